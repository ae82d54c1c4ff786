-- name: list_stalled_jobs :many
-- Jobs whose worker has not been heard of: killed, frozen or cut off.
SELECT j.id, j.task_name, j.args
FROM procrastinate_jobs j
LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
WHERE j.status = 'doing' AND (w.id IS NULL OR w.last_heartbeat < now() - %(silence_s)s::integer * interval '1 second')
ORDER BY j.id
LIMIT 500;

-- name: retry_job :one
-- `at`: when its batch is due again; NULL is now.
SELECT procrastinate_retry_job_v2(%(job_id)s, coalesce(%(at)s::timestamptz, now()), NULL, NULL, NULL) AS done;

-- name: release_job :one
-- Take back what a dead job held: its batches and API messages are free again, and what it had marked is uncertain.
-- Under the policy 'resend' (the default of API messages) such a message goes back to the queue under the same
-- Message-ID; under 'hold' its owner decides.
WITH freed AS (
    SELECT
        b.batch_id, b.first_message_id, b.last_message_id, c.uncertain_policy,
        coalesce((SELECT j.attempts FROM procrastinate_jobs j WHERE j.id = b.job_id), 0) AS failures
    FROM batches b
    JOIN campaigns c USING (campaign_id)
    WHERE b.job_id = %(job_id)s
    FOR UPDATE OF b
),
doubtful AS (
    SELECT m.message_id, freed.uncertain_policy AS policy
    FROM freed
    JOIN messages m ON m.message_id BETWEEN freed.first_message_id AND freed.last_message_id
        AND m.batch_id = freed.batch_id AND m.status = 'sending'
    UNION ALL
    SELECT m.message_id, 'resend'
    FROM due_messages d
    JOIN messages m USING (message_id)
    WHERE d.job_id = %(job_id)s AND m.status = 'sending'
),
settled AS (
    UPDATE messages m
    SET status = CASE WHEN doubtful.policy = 'resend' THEN 'queued' ELSE 'uncertain' END,
        settled_at = %(now)s, reply = 'the sending process ended before a reply was recorded'
    FROM doubtful
    WHERE m.message_id = doubtful.message_id AND m.status = 'sending'
    RETURNING m.message_id, m.account_id, m.campaign_id, m.batch_id, m.attempt, m.marked_at, m.status, m.reply
),
history AS (
    INSERT INTO attempts (message_id, attempt, account_id, marked_at, settled_at, outcome, reply)
    SELECT message_id, attempt, account_id, marked_at, %(now)s, 'uncertain', reply FROM settled WHERE status = 'queued'
    ON CONFLICT DO NOTHING
),
seconds AS (
    INSERT INTO throughput AS t (account_id, at_second, campaign_id, writer_id, sent)
    SELECT account_id, date_trunc('second', %(now)s::timestamptz), coalesce(campaign_id, 0), 0, count(*)
    FROM settled
    GROUP BY 1, 2, 3
    ON CONFLICT (account_id, at_second, campaign_id, writer_id) DO UPDATE SET sent = t.sent + excluded.sent
),
counts AS (
    SELECT
        batch_id, count(*) AS doubtful, count(*) FILTER (WHERE status = 'queued') AS queued,
        count(*) FILTER (WHERE status = 'uncertain') AS uncertain
    FROM settled
    WHERE batch_id IS NOT NULL
    GROUP BY batch_id
),
batches_freed AS (
    UPDATE batches b
    SET status = 'queued', job_id = NULL,
        -- At once the first time; a batch that fails again and again comes back ever later, up to a minute. Its job's
        -- attempts say how often, not its runs: a batch that is put down in order comes back with a job of its own.
        due_at = greatest(b.due_at, %(now)s::timestamptz + least(60, 2 * freed.failures) * interval '1 s'),
        sending = b.sending - coalesce(d.doubtful, 0), queued = b.queued + coalesce(d.queued, 0),
        uncertain = b.uncertain + coalesce(d.uncertain, 0)
    FROM freed
    LEFT JOIN counts d USING (batch_id)
    WHERE b.batch_id = freed.batch_id
    RETURNING b.due_at
),
due_freed AS (
    UPDATE due_messages d SET job_id = NULL WHERE d.job_id = %(job_id)s RETURNING 1
)
SELECT
    (SELECT count(*) FROM batches_freed) AS batches, (SELECT count(*) FROM due_freed) AS messages,
    (SELECT count(*) FROM settled) AS uncertain, (SELECT max(due_at) FROM batches_freed) AS due_at;

-- name: settle_orphans :many
-- API messages that are marked while no job holds them: a worker that was taken for dead marked them late, and then did
-- die. In doubt, so they go back to the queue as those of a dead job do.
WITH settled AS (
    UPDATE messages m
    SET status = 'queued', settled_at = %(now)s, reply = 'the sending process ended before a reply was recorded'
    FROM due_messages d
    WHERE d.job_id IS NULL AND d.send_after <= %(now)s AND m.message_id = d.message_id
        AND m.status = 'sending' AND m.marked_at < %(now)s::timestamptz - interval '20 s'
    RETURNING m.message_id, m.account_id, m.attempt, m.marked_at, m.reply
),
history AS (
    INSERT INTO attempts (message_id, attempt, account_id, marked_at, settled_at, outcome, reply)
    SELECT message_id, attempt, account_id, marked_at, %(now)s, 'uncertain', reply FROM settled
    ON CONFLICT DO NOTHING
),
seconds AS (
    INSERT INTO throughput AS t (account_id, at_second, campaign_id, writer_id, sent)
    SELECT account_id, date_trunc('second', %(now)s::timestamptz), 0, 0, count(*) FROM settled GROUP BY 1
    ON CONFLICT (account_id, at_second, campaign_id, writer_id) DO UPDATE SET sent = t.sent + excluded.sent
)
SELECT message_id FROM settled;

-- name: list_lost_holders :many
-- Jobs that batches or due messages still name as their holder, but that no worker is running.
SELECT held.job_id
FROM (
    SELECT b.job_id FROM batches b WHERE b.job_id IS NOT NULL
    UNION
    SELECT d.job_id FROM due_messages d WHERE d.job_id IS NOT NULL
) AS held
WHERE NOT EXISTS (SELECT 1 FROM procrastinate_jobs j WHERE j.id = held.job_id AND j.status = 'doing')
LIMIT 500;

-- name: redefer_launches :many
-- Scheduled campaigns whose launch is due and that no job is going to launch.
WITH lost AS (
    SELECT c.campaign_id, c.epoch
    FROM campaigns c
    WHERE c.status = 'scheduled' AND c.materialised_at IS NULL AND c.scheduled_at < %(now)s::timestamptz + interval '20 s'
        AND c.updated_at < %(now)s::timestamptz - interval '2 s'
        AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs j
            WHERE j.task_name = 'launch_campaign' AND j.status IN ('todo', 'doing')
                AND j.args = jsonb_build_object('id', c.campaign_id, 'epoch', c.epoch)
        )
    LIMIT 100
)
INSERT INTO procrastinate_jobs (queue_name, task_name, args)
SELECT 'control', 'launch_campaign', jsonb_build_object('id', campaign_id, 'epoch', epoch) FROM lost
RETURNING id;

-- name: redefer_batches :many
-- Queued batches of campaigns that are on, due for more than two seconds, that no job is going to send.
WITH live AS MATERIALIZED (
    SELECT (j.args ->> 'id')::bigint AS batch_id, (j.args ->> 'epoch')::integer AS epoch
    FROM procrastinate_jobs j
    WHERE j.task_name = 'send_batch' AND j.status IN ('todo', 'doing')
),
lost AS (
    SELECT b.batch_id, b.ordinal, c.epoch
    FROM batches b
    JOIN campaigns c USING (campaign_id)
    LEFT JOIN live ON live.batch_id = b.batch_id AND live.epoch = c.epoch
    WHERE b.status = 'queued' AND b.due_at < %(now)s::timestamptz - interval '2 s'
        AND (c.status = 'sending' OR (c.status = 'scheduled' AND c.materialised_at IS NOT NULL))
        AND live.batch_id IS NULL
    ORDER BY b.due_at
    LIMIT 1000
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)
SELECT 'batches', 'send_batch', -least(ordinal, 20), jsonb_build_object('id', batch_id, 'epoch', epoch) FROM lost
RETURNING id;

-- name: redefer_due_messages :many
-- Accounts with API messages due for more than two seconds and no job that will look.
-- A job of a later time (for other messages: tomorrow's) will do only when the oldest due message waits for a limit: that
-- job was planned for the instant of the next permit.
WITH oldest AS (
    SELECT DISTINCT ON (d.account_id) d.account_id, d.message_id
    FROM due_messages d
    WHERE d.job_id IS NULL AND d.send_after < %(now)s::timestamptz - interval '2 s'
    ORDER BY d.account_id, d.send_after, d.message_id
),
lost AS (
    SELECT oldest.account_id
    FROM oldest
    WHERE NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs j
        WHERE j.task_name = 'send_due' AND j.status IN ('todo', 'doing')
            AND (j.args ->> 'id')::bigint = oldest.account_id
            AND (
                j.status = 'doing' OR coalesce(j.scheduled_at <= %(now)s::timestamptz, true)
                OR EXISTS (SELECT 1 FROM waits w WHERE w.message_id = oldest.message_id AND w.ended_at IS NULL)
            )
    )
    LIMIT 100
)
INSERT INTO procrastinate_jobs (queue_name, task_name, args)
SELECT
    'messages', 'send_due',
    jsonb_build_object('id', account_id, 'epoch', floor(extract(epoch FROM %(now)s::timestamptz) / 5)::bigint * 5)
FROM lost
RETURNING id;

-- name: replan_resumes :many
-- Limits that batches wait on while no job will resume them.
WITH lost AS (
    UPDATE limits l
    SET resume_at = %(now)s, resume_epoch = l.resume_epoch + 1
    WHERE l.limit_id IN (
            SELECT DISTINCT b.waiting_limit_id FROM batches b
            WHERE b.status = 'waiting' AND b.waiting_since < %(now)s::timestamptz - interval '1 s'
        )
        AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs j
            WHERE j.task_name = 'resume_limit' AND j.status IN ('todo', 'doing')
                AND j.args = jsonb_build_object('id', l.limit_id, 'epoch', l.resume_epoch)
        )
    RETURNING l.limit_id, l.resume_epoch
)
INSERT INTO procrastinate_jobs (queue_name, task_name, args)
SELECT 'control', 'resume_limit', jsonb_build_object('id', limit_id, 'epoch', resume_epoch) FROM lost
RETURNING id;

-- name: redefer_closings :many
-- Cancelled campaigns that still hold open batches, with no job that will close them.
WITH lost AS (
    SELECT c.campaign_id, c.epoch
    FROM campaigns c
    WHERE c.status = 'cancelled' AND c.updated_at > %(now)s::timestamptz - interval '7 days'
        AND EXISTS (
            SELECT 1 FROM batches b WHERE b.campaign_id = c.campaign_id AND b.status IN ('queued', 'waiting')
        )
        AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs j
            WHERE j.task_name = 'close_campaign' AND j.status IN ('todo', 'doing')
                AND (j.args ->> 'id')::bigint = c.campaign_id
        )
    LIMIT 100
)
INSERT INTO procrastinate_jobs (queue_name, task_name, args)
SELECT 'control', 'close_campaign', jsonb_build_object('id', campaign_id, 'epoch', epoch) FROM lost
RETURNING id;

-- name: redefer_imports :many
-- Imports that are under way while no job reads them.
WITH lost AS (
    SELECT i.import_id, i.epoch
    FROM imports i
    WHERE i.status = 'importing' AND i.started_at < %(now)s::timestamptz - interval '2 s'
        AND NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs j
            WHERE j.task_name = 'import_contacts' AND j.status IN ('todo', 'doing')
                AND (j.args ->> 'id')::bigint = i.import_id
        )
    LIMIT 100
)
INSERT INTO procrastinate_jobs (queue_name, task_name, args)
SELECT 'imports', 'import_contacts', jsonb_build_object('id', import_id, 'epoch', epoch) FROM lost
RETURNING id;

-- name: finish_campaigns :many
-- Campaigns that are on with no open batch left.
UPDATE campaigns c
SET status = 'sent', finished_at = %(now)s, updated_at = %(now)s
WHERE c.status = 'sending' AND c.materialised_at IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM batches b WHERE b.campaign_id = c.campaign_id AND b.status IN ('queued', 'running', 'waiting')
    )
RETURNING c.campaign_id;

-- name: prune_throughput :count
DELETE FROM throughput WHERE at_second < %(now)s::timestamptz - interval '31 days';

-- name: prune_idempotency_keys :count
DELETE FROM idempotency_keys WHERE created_at < %(now)s::timestamptz - interval '2 days';

-- name: prune_sessions :count
DELETE FROM sessions WHERE expires_at < %(now)s;

-- name: prune_wakeups :count
DELETE FROM wakeups WHERE bucket < %(now)s::timestamptz - interval '10 minutes';

-- name: prune_uploads :count
DELETE FROM imports WHERE status = 'uploading' AND created_at < %(now)s::timestamptz - interval '1 day';

-- name: prune_failed_jobs :count
DELETE FROM procrastinate_jobs WHERE id IN (
    SELECT j.id FROM procrastinate_jobs j
    WHERE j.status IN ('failed', 'cancelled', 'aborted')
        AND NOT EXISTS (
            SELECT 1 FROM procrastinate_events e
            WHERE e.job_id = j.id AND e.at > %(now)s::timestamptz - interval '7 days'
        )
    LIMIT 1000
);

-- name: list_outgrown :many
-- Tables of over 20 pages that have twice the pages that the planner was last told of.
SELECT c.relname AS table_name
FROM pg_class c
WHERE c.oid = ANY(%(tables)s::regclass[])
    AND pg_relation_size(c.oid) / current_setting('block_size')::integer > 2 * greatest(c.relpages, 10);
