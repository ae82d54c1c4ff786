-- name: suppress :one
-- Writes a suppression. A known one keeps its time, and its reason unless the new one blocks more.
INSERT INTO suppressions (account_id, email_key, reason, note, created_at)
VALUES (%(account_id)s, lower(%(email)s), %(reason)s, %(note)s, %(now)s)
ON CONFLICT ON CONSTRAINT suppressions_once_per_address DO UPDATE
    SET reason = CASE WHEN suppressions.reason = 'unsubscribe' THEN excluded.reason ELSE suppressions.reason END,
        note = CASE WHEN excluded.note = '' THEN suppressions.note ELSE excluded.note END
RETURNING suppression_id, email_key, reason, note, message_id, created_at;

-- name: list_suppressions :many
-- Newest first; with q only addresses that hold the text.
SELECT suppression_id, email_key, reason, note, message_id, created_at
FROM suppressions
WHERE account_id = %(account_id)s
  AND (%(after_id)s::bigint IS NULL OR suppression_id < %(after_id)s::bigint)
  AND (%(q)s::text IS NULL OR strpos(email_key, lower(%(q)s::text)) > 0)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s::text)
ORDER BY suppression_id DESC
LIMIT %(limit)s;

-- name: get_suppression :maybe
SELECT suppression_id, email_key, reason, note, message_id, created_at
FROM suppressions
WHERE account_id = %(account_id)s AND suppression_id = %(suppression_id)s;

-- name: delete_suppression :count
DELETE FROM suppressions WHERE account_id = %(account_id)s AND suppression_id = %(suppression_id)s;
