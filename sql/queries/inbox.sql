-- name: list_mails :many
-- A page of what the sandbox received for the account, newest first, without the mails themselves.
SELECT inbox_id, message_id, mail_from, rcpt_to, subject, size_bytes, received_at
FROM inbox
WHERE account_id = %(account_id)s
  AND inbox_id < coalesce(%(after_id)s, 9223372036854775807)
  AND (%(pattern)s::text IS NULL OR rcpt_to ILIKE %(pattern)s OR subject ILIKE %(pattern)s)
  AND (%(recipient)s::text IS NULL OR lower(rcpt_to) = lower(%(recipient)s))
ORDER BY inbox_id DESC
LIMIT %(fetch_limit)s

-- name: get_mail :maybe
-- One mail as it was received.
SELECT inbox_id, message_id, mail_from, rcpt_to, subject, size_bytes, received_at, raw
FROM inbox
WHERE account_id = %(account_id)s AND inbox_id = %(inbox_id)s
