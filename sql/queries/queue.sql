-- What waits in the queue, and a hand on single jobs.
-- name: list_by_task :many
-- One row per task that has jobs: how many wait for their time, are due, run, are stalled or failed.
-- A job is stalled when its worker has given no sign of life for %(stalled_after_s)s seconds.
SELECT
    task_name,
    count(*) FILTER (WHERE status = 'todo' AND scheduled_at > %(now)s::timestamptz) AS waiting,
    count(*) FILTER (WHERE status = 'todo' AND coalesce(scheduled_at, '-infinity') <= %(now)s::timestamptz) AS due,
    count(*) FILTER (WHERE status = 'doing' AND NOT stalled) AS running,
    count(*) FILTER (WHERE status = 'doing' AND stalled) AS stalled,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    extract(epoch FROM %(now)s::timestamptz - min(due_since) FILTER (WHERE status = 'todo' AND due_since <= %(now)s::timestamptz))::float8 AS oldest_due_s,
    min(scheduled_at) FILTER (WHERE status = 'todo' AND scheduled_at > %(now)s::timestamptz) AS next_at
FROM (
    SELECT
        jobs.task_name,
        jobs.status,
        jobs.scheduled_at,
        coalesce(
            jobs.scheduled_at,
            (SELECT max(events.at) FROM procrastinate_events AS events WHERE events.job_id = jobs.id)
        ) AS due_since,
        coalesce(workers.last_heartbeat, '-infinity') < %(now)s::timestamptz - make_interval(secs => %(stalled_after_s)s) AS stalled
    FROM procrastinate_jobs AS jobs
    LEFT JOIN procrastinate_workers AS workers ON workers.id = jobs.worker_id
    WHERE jobs.status IN ('todo', 'doing', 'failed')
) AS seen
GROUP BY task_name
ORDER BY task_name;

-- name: list_stalled :many
-- Jobs whose worker has given no sign of life for %(stalled_after_s)s seconds, and failed ones; newest 100.
SELECT
    jobs.id AS job_id,
    jobs.task_name,
    jobs.args,
    jobs.status::text AS status,
    jobs.attempts,
    workers.last_heartbeat
FROM procrastinate_jobs AS jobs
LEFT JOIN procrastinate_workers AS workers ON workers.id = jobs.worker_id
WHERE jobs.status = 'failed'
    OR (
        jobs.status = 'doing'
        AND coalesce(workers.last_heartbeat, '-infinity') < %(now)s::timestamptz - make_interval(secs => %(stalled_after_s)s)
    )
ORDER BY jobs.id DESC
LIMIT 100;

-- name: get_job :maybe
-- One job, and whether the worker that runs it shows signs of life. Locks the job against a worker's claim.
SELECT
    jobs.id AS job_id,
    jobs.task_name,
    jobs.args,
    jobs.status::text AS status,
    EXISTS (
        SELECT 1 FROM procrastinate_workers AS workers
        WHERE workers.id = jobs.worker_id
            AND workers.last_heartbeat >= %(now)s::timestamptz - make_interval(secs => %(stalled_after_s)s)
    ) AS is_alive
FROM procrastinate_jobs AS jobs
WHERE jobs.id = %(job_id)s
FOR UPDATE OF jobs;

-- name: retry_job :one
-- Put a stalled or failed job back in the queue, due now.
-- Writes   status, attempts, scheduled_at, through Procrastinate's own function.
SELECT procrastinate_retry_job_v2(%(job_id)s, %(now)s, NULL, NULL, NULL) IS NOT NULL AS retried;

-- name: cancel_job :one
-- Take a waiting job out of the queue. The rows it points at stay; due ones get a new job within seconds.
SELECT procrastinate_cancel_job_v1(%(job_id)s, false, true) IS NOT NULL AS cancelled;

-- name: count_live_workers :one
-- How many workers gave a sign of life in the last %(stalled_after_s)s seconds.
SELECT count(*) AS live, max(last_heartbeat) AS last_heartbeat
FROM procrastinate_workers
WHERE last_heartbeat >= %(now)s::timestamptz - make_interval(secs => %(stalled_after_s)s);

-- name: pause_after_restore :count
-- Pause every campaign that was on its way when a backup was made: some of its mail may have gone out since.
-- Writes   campaigns.status, epoch, paused_at.
UPDATE campaigns
SET status = 'paused', epoch = epoch + 1, paused_at = %(now)s, updated_at = %(now)s,
    error = 'Paused after a backup was restored: messages sent since the backup would be sent again.'
WHERE status IN ('scheduled', 'sending');
