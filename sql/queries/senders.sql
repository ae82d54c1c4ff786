-- name: list_senders :many
-- Newest first.
SELECT sender_id, name, email, reply_to, relay_id, is_default, created_at, updated_at
FROM senders
WHERE account_id = %(account_id)s AND (%(after_id)s::bigint IS NULL OR sender_id < %(after_id)s::bigint)
ORDER BY sender_id DESC
LIMIT %(row_limit)s;

-- name: get_sender :maybe
SELECT sender_id, name, email, reply_to, relay_id, is_default, created_at, updated_at
FROM senders
WHERE account_id = %(account_id)s AND sender_id = %(sender_id)s;

-- name: get_default_sender :maybe
SELECT sender_id FROM senders WHERE account_id = %(account_id)s AND is_default;

-- name: insert_sender :one
-- Make a sender; an account's first one is its default.
INSERT INTO senders (account_id, name, email, reply_to, relay_id, is_default, created_at, updated_at)
SELECT
    %(account_id)s, %(name)s, %(email)s, %(reply_to)s, %(relay_id)s,
    %(is_default)s::boolean OR NOT EXISTS (SELECT 1 FROM senders WHERE account_id = %(account_id)s), %(now)s, %(now)s
RETURNING sender_id, name, email, reply_to, relay_id, is_default, created_at, updated_at;

-- name: update_sender :maybe
UPDATE senders
SET name = %(name)s, email = %(email)s, reply_to = %(reply_to)s, relay_id = %(relay_id)s,
    is_default = %(is_default)s, updated_at = %(now)s
WHERE account_id = %(account_id)s AND sender_id = %(sender_id)s
RETURNING sender_id, name, email, reply_to, relay_id, is_default, created_at, updated_at;

-- name: clear_default :count
-- Make room for another default.
UPDATE senders SET is_default = false, updated_at = %(now)s
WHERE account_id = %(account_id)s AND is_default;

-- name: lock_account :one
-- Two changes of the defaults of one account take turns.
SELECT account_id, is_demo FROM accounts WHERE account_id = %(account_id)s FOR NO KEY UPDATE;

-- name: count_uses :one
-- What still needs a sender: campaigns, and API messages that are not final.
SELECT
    (
        SELECT count(*) FROM campaigns WHERE account_id = %(account_id)s AND sender_id = %(sender_id)s
    ) AS campaigns,
    (
        SELECT count(*)
        FROM due_messages AS d
        JOIN message_contents AS m USING (message_id)
        WHERE d.account_id = %(account_id)s AND m.sender_id = %(sender_id)s
    ) AS messages,
    (SELECT count(*) FROM senders WHERE account_id = %(account_id)s AND sender_id <> %(sender_id)s) AS other_senders;

-- name: delete_sender :count
DELETE FROM senders WHERE account_id = %(account_id)s AND sender_id = %(sender_id)s;
