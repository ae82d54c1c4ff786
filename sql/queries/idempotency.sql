-- name: lock_key :one
-- Try to be the only transaction that works under this account's key; held until the transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended(%(key)s::text, %(account_id)s::bigint)) AS is_locked

-- name: find_answer :maybe
-- The first answer that was given under this key.
SELECT request_hash, status_code, response
FROM idempotency_keys
WHERE account_id = %(account_id)s AND key = %(key)s

-- name: insert_answer :count
-- Writes  the answer, in the command's own transaction.
INSERT INTO idempotency_keys (account_id, key, request_hash, status_code, response, created_at)
VALUES (%(account_id)s, %(key)s, %(request_hash)s, %(status_code)s, %(response)s, %(now)s)
