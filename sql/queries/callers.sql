-- name: find_api_key :maybe
-- The live API key with this hash, and its account.
SELECT k.api_key_id, k.account_id, k.scopes, a.is_demo,
       (k.last_used_at IS NULL OR k.last_used_at < %(now)s::timestamptz - interval '1 minute') AS is_use_unnoted
FROM api_keys AS k
JOIN accounts AS a USING (account_id)
WHERE k.secret_hash = %(secret_hash)s
  AND k.revoked_at IS NULL
  AND (k.expires_at IS NULL OR k.expires_at > %(now)s)

-- name: note_api_key_use :count
-- Writes  last_used_at, at most once a minute: of many requests at once, one does.
UPDATE api_keys
SET last_used_at = %(now)s
WHERE api_key_id = %(api_key_id)s
  AND (last_used_at IS NULL OR last_used_at < %(now)s::timestamptz - interval '1 minute')
