-- name: insert_api_key :one
INSERT INTO api_keys (account_id, name, prefix, secret_hash, scopes, created_at, expires_at)
VALUES (%(account_id)s, %(name)s, %(prefix)s, %(secret_hash)s, %(scopes)s, %(now)s, %(expires_at)s)
RETURNING api_key_id, name, prefix, scopes, created_at, last_used_at, expires_at;

-- name: list_api_keys :many
-- Live keys, newest first.
SELECT api_key_id, name, prefix, scopes, created_at, last_used_at, expires_at
FROM api_keys
WHERE account_id = %(account_id)s
  AND revoked_at IS NULL
  AND (%(after_id)s::bigint IS NULL OR api_key_id < %(after_id)s::bigint)
ORDER BY api_key_id DESC
LIMIT %(limit)s;

-- name: count_live :one
SELECT count(*) AS live FROM api_keys WHERE account_id = %(account_id)s AND revoked_at IS NULL;

-- name: revoke :count
-- Works at once: every request looks the key up.
UPDATE api_keys SET revoked_at = %(now)s
WHERE account_id = %(account_id)s AND api_key_id = %(api_key_id)s AND revoked_at IS NULL;
