-- name: unsubscribe_recipient :count
-- Suppress the recipient of a message for its account. Idempotent: a stronger reason that is there stays.
INSERT INTO suppressions (account_id, email_key, reason, message_id, created_at)
SELECT account_id, lower(recipient), 'unsubscribe', message_id, %(now)s
FROM messages
WHERE message_id = %(message_id)s AND account_id = %(account_id)s
ON CONFLICT (account_id, email_key) DO NOTHING;
