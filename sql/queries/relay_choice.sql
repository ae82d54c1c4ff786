-- name: find_relay :maybe
-- The relay a sender names, else the account's default one.
SELECT r.relay_id, r.host, r.port, r.tls, r.username, r.password_sealed, r.in_flight, r.paused_at, r.pause_reason, r.updated_at
FROM relays r
WHERE r.account_id = %(account_id)s AND (r.relay_id = %(relay_id)s OR (%(relay_id)s::bigint IS NULL AND r.is_default))
ORDER BY r.relay_id
LIMIT 1;

-- name: pause_campaign :maybe
-- The relay refuses us as a sender: stop, and tell the owner why. Nobody is suppressed for it.
UPDATE campaigns
SET status = 'paused', epoch = epoch + 1, paused_at = %(now)s, updated_at = %(now)s, error = %(reason)s
WHERE campaign_id = %(campaign_id)s AND epoch = %(epoch)s AND status = 'sending'
RETURNING campaign_id;
