-- name: get_migration :one
-- The newest migration that was applied. Fails where none was.
SELECT coalesce(max(version), 0) AS version, count(*) AS applied FROM schema_migrations

-- name: get_heartbeat :one
-- When a worker was last heard of, and how many were in the last 15 seconds.
SELECT
    max(last_heartbeat) AS last_heartbeat,
    count(*) FILTER (WHERE last_heartbeat > %(now)s::timestamptz - interval '15 seconds') AS alive
FROM procrastinate_workers

-- name: get_oldest_due :one
-- Since when the oldest work that is due waits: a job, a batch, an API message that no job holds.
SELECT least(
    (SELECT min(scheduled_at) FROM procrastinate_jobs WHERE status = 'todo' AND scheduled_at <= %(now)s),
    (SELECT min(due_at) FROM batches WHERE status = 'queued' AND due_at <= %(now)s),
    (SELECT min(send_after) FROM due_messages WHERE job_id IS NULL AND send_after <= %(now)s)
) AS due_since

-- name: list_jobs :many
-- Queue rows by queue, task and status.
SELECT
    queue_name, task_name, status::text AS status, count(*) AS jobs,
    count(*) FILTER (WHERE status = 'todo' AND scheduled_at <= %(now)s) AS due
FROM procrastinate_jobs
GROUP BY 1, 2, 3

-- name: list_recent_results :many
-- Messages settled in the last full minute, over all accounts.
SELECT coalesce(sum(sent), 0)::bigint AS sent, coalesce(sum(failed), 0)::bigint AS failed,
    coalesce(sum(retried), 0)::bigint AS retried
FROM throughput
WHERE at_second >= %(now)s::timestamptz - interval '61 seconds' AND at_second < %(now)s::timestamptz - interval '1 second'
