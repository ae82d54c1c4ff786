-- name: list_relays :many
-- Newest first; a password only as a yes or no.
SELECT
    relay_id, name, host, port, tls, username, password_sealed IS NOT NULL AS has_password, is_default, in_flight, paused_at,
    pause_reason, created_at, updated_at
FROM relays
WHERE account_id = %(account_id)s AND (%(after_id)s::bigint IS NULL OR relay_id < %(after_id)s::bigint)
ORDER BY relay_id DESC
LIMIT %(row_limit)s;

-- name: get_relay :maybe
SELECT
    relay_id, name, host, port, tls, username, password_sealed IS NOT NULL AS has_password, is_default, in_flight, paused_at,
    pause_reason, created_at, updated_at
FROM relays
WHERE account_id = %(account_id)s AND relay_id = %(relay_id)s;

-- name: insert_relay :one
-- Make a relay; the CHECK relays_never_for_demo refuses a demo account's. Its password follows by set_password.
INSERT INTO relays (account_id, account_is_demo, name, host, port, tls, username, is_default, in_flight, created_at, updated_at)
SELECT
    account_id, is_demo, %(name)s, %(host)s, %(port)s, %(tls)s, %(username)s, %(is_default)s, %(in_flight)s, %(now)s,
    %(now)s
FROM accounts
WHERE account_id = %(account_id)s
RETURNING relay_id;

-- name: update_relay :count
-- Change a relay. One that was paused may go again: its owner has acted.
UPDATE relays
SET name = %(name)s, host = %(host)s, port = %(port)s, tls = %(tls)s, username = %(username)s,
    is_default = %(is_default)s, in_flight = %(in_flight)s, paused_at = NULL, pause_reason = NULL, updated_at = %(now)s
WHERE account_id = %(account_id)s AND relay_id = %(relay_id)s;

-- name: set_password :count
-- Store a sealed password, or none.
UPDATE relays SET password_sealed = %(password_sealed)s
WHERE account_id = %(account_id)s AND relay_id = %(relay_id)s;

-- name: clear_default :count
-- Make room for another default.
UPDATE relays SET is_default = false, updated_at = %(now)s
WHERE account_id = %(account_id)s AND is_default;

-- name: count_senders :one
-- How many senders hand their mail to this relay.
SELECT count(*) AS senders FROM senders WHERE account_id = %(account_id)s AND relay_id = %(relay_id)s;

-- name: delete_relay :count
DELETE FROM relays WHERE account_id = %(account_id)s AND relay_id = %(relay_id)s;
