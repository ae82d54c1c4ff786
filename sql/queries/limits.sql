-- name: list_limits :many
-- The account's own limit first, then those of its campaigns that are not over.
SELECT
    l.limit_id, l.scope, l.campaign_id, c.name AS campaign_name, l.max_count, l.window_s, l.resume_at, l.created_at,
    l.updated_at
FROM limits AS l
LEFT JOIN campaigns AS c ON c.campaign_id = l.campaign_id
WHERE l.account_id = %(account_id)s
  AND (l.scope = 'account' OR c.status IN ('draft', 'scheduled', 'sending', 'paused'))
ORDER BY l.scope, l.limit_id DESC
LIMIT 200

-- name: get_limit :maybe
-- One limit of the account, locked until the transaction ends.
SELECT
    l.limit_id, l.scope, l.campaign_id, c.name AS campaign_name, l.max_count, l.window_s, l.resume_at, l.created_at,
    l.updated_at, c.status AS campaign_status
FROM limits AS l
LEFT JOIN campaigns AS c ON c.campaign_id = l.campaign_id
WHERE l.account_id = %(account_id)s AND l.limit_id = %(limit_id)s
FOR NO KEY UPDATE OF l

-- name: change_limit :one
-- Writes  the limit, and a new resume_epoch: whoever waits on it is woken by the job that is deferred with it.
UPDATE limits
SET max_count = %(max_count)s,
    window_s = %(window_s)s,
    resume_at = CASE
        WHEN EXISTS (SELECT FROM batches AS b WHERE b.status = 'waiting' AND b.waiting_limit_id = limits.limit_id)
        THEN %(now)s::timestamptz
    END,
    resume_epoch = resume_epoch + 1,
    updated_at = %(now)s
WHERE limit_id = %(limit_id)s AND account_id = %(account_id)s
RETURNING limit_id, scope, campaign_id, max_count, window_s, resume_at, resume_epoch, created_at, updated_at
