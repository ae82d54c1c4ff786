-- name: list_sends :many
-- What counted against an account's (or one campaign's) limit in the last window, by age.
-- A second's sends are taken as made at its end, so the limiter may wait a little longer, never too short.
SELECT
    extract(epoch FROM clock_timestamp() - (max(t.at_second) + interval '1 second'))::float8 AS age_s,
    sum(t.sent)::bigint AS sent
FROM throughput t
WHERE t.account_id = %(account_id)s
    AND (%(campaign_id)s::bigint IS NULL OR t.campaign_id = %(campaign_id)s)
    AND t.at_second > clock_timestamp() - (%(window_s)s::integer + 2) * interval '1 second'
    AND t.sent > 0
GROUP BY floor(extract(epoch FROM t.at_second) / %(width_s)s::integer)
LIMIT 5000;

-- name: count_sending :one
-- What is marked and has no result yet: it may count.
SELECT
    coalesce((
        SELECT sum(b.sending) FROM batches b
        WHERE b.job_id IS NOT NULL AND b.account_id = %(account_id)s
            AND (%(campaign_id)s::bigint IS NULL OR b.campaign_id = %(campaign_id)s)
    ), 0)::bigint
    + CASE WHEN %(campaign_id)s::bigint IS NULL THEN (
        SELECT count(*) FROM due_messages d
        JOIN messages m USING (message_id)
        WHERE d.account_id = %(account_id)s AND d.job_id IS NOT NULL AND m.status = 'sending'
    ) ELSE 0 END AS sending;
