-- name: list_next_campaigns :many
-- What goes next: scheduled campaigns, soonest first.
SELECT campaign_id, name, scheduled_at, recipients, pacing
FROM campaigns
WHERE account_id = %(account_id)s AND status = 'scheduled'
ORDER BY scheduled_at, campaign_id
LIMIT 10

-- name: get_next_messages :one
-- API messages with a future time: how many (up to 1,000), and when the first goes.
SELECT
    (
        SELECT count(*)
        FROM (
            SELECT FROM due_messages WHERE account_id = %(account_id)s AND send_after > %(now)s LIMIT 1000
        ) AS counted
    ) AS scheduled,
    (SELECT min(send_after) FROM due_messages WHERE account_id = %(account_id)s AND send_after > %(now)s) AS next_at

-- name: list_moving_campaigns :many
-- Campaigns that are sending or paused, with their counts from batches and their rate in the last ten full seconds.
SELECT
    c.campaign_id, c.name, c.status, c.scheduled_at, c.started_at, c.recipients,
    b.total, b.queued, b.sending, b.sent, b.failed, b.uncertain, b.suppressed, b.cancelled, b.expired,
    coalesce(t.settled, 0) / 10.0 AS per_second,
    CASE WHEN b.is_waiting THEN l.resume_at END AS resumes_at
FROM campaigns AS c
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(total), 0)::bigint AS total, coalesce(sum(queued), 0)::bigint AS queued,
        coalesce(sum(sending), 0)::bigint AS sending, coalesce(sum(sent), 0)::bigint AS sent,
        coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(uncertain), 0)::bigint AS uncertain,
        coalesce(sum(suppressed), 0)::bigint AS suppressed, coalesce(sum(cancelled), 0)::bigint AS cancelled,
        coalesce(sum(expired), 0)::bigint AS expired, coalesce(bool_or(status = 'waiting'), false) AS is_waiting,
        min(waiting_limit_id) AS waiting_limit_id
    FROM batches WHERE campaign_id = c.campaign_id
) AS b
LEFT JOIN limits AS l ON l.limit_id = b.waiting_limit_id
CROSS JOIN LATERAL (
    SELECT sum(sent + failed) AS settled
    FROM throughput
    WHERE campaign_id = c.campaign_id
      AND campaign_id <> 0
      AND at_second >= date_trunc('second', %(now)s::timestamptz) - interval '10 seconds'
      AND at_second < date_trunc('second', %(now)s::timestamptz)
) AS t
WHERE c.account_id = %(account_id)s AND c.status IN ('sending', 'paused')
ORDER BY c.started_at DESC NULLS LAST, c.campaign_id DESC
LIMIT 20

-- name: list_hours :many
-- Results by hour from `since` to before `until`, hours without any left out.
SELECT
    date_trunc('hour', at_second) AS hour, sum(sent)::bigint AS sent, sum(failed)::bigint AS failed,
    sum(retried)::bigint AS retried
FROM throughput
WHERE account_id = %(account_id)s
  AND at_second >= %(since)s
  AND at_second < %(until)s
GROUP BY 1
ORDER BY 1
