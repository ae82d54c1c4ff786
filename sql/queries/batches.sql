-- name: claim :maybe
-- Take one batch for the job that runs it now, if its campaign is still on under this epoch.
-- Writes   the batch: status, job, run, lateness of the first claim; the campaign, which its first batch starts. Claimed a
--          moment ahead, both start when they are due.
-- Returns  with it what it says and as whom: the sender's columns are NULL when the campaign has none any more; its relay, as
--          relay_choice.find_relay, or NULLs; and `limits` as the rows of launch.list_limits, NULL when none binds it.
-- Safe with many workers: the status is checked by the UPDATE, so a batch has one owner. The campaign is locked before the
-- batch, as by everybody.
WITH started AS MATERIALIZED (
    UPDATE campaigns c
    SET status = 'sending', started_at = coalesce(c.started_at, greatest(b.due_at, %(now)s))
    FROM batches b
    WHERE b.batch_id = %(batch_id)s AND b.status = 'queued' AND b.due_at <= %(now)s::timestamptz + interval '1 s'
        AND c.campaign_id = b.campaign_id AND c.epoch = %(epoch)s
        AND c.status = 'scheduled' AND c.materialised_at IS NOT NULL
    RETURNING c.campaign_id
),
claimed AS (
    UPDATE batches b
    SET status = 'running', job_id = %(job_id)s, run = b.run + 1,
        started_at = coalesce(b.started_at, greatest(b.due_at, %(now)s)),
        lateness_ms = coalesce(b.lateness_ms, greatest(0, least(
            2000000000,
            1000 * extract(epoch FROM %(now)s::timestamptz - greatest(b.due_at, %(free_since)s::timestamptz))
        ))::integer)
    FROM campaigns c
    JOIN accounts a USING (account_id)
    WHERE (SELECT count(*) FROM started) >= 0
        AND b.batch_id = %(batch_id)s AND b.status = 'queued'
        -- The queue woke us a moment ahead, by the database's clock, which ours follows to some milliseconds only.
        AND b.due_at <= %(now)s::timestamptz + interval '1 s'
        AND c.campaign_id = b.campaign_id AND c.epoch = %(epoch)s
        AND (c.status = 'sending' OR (c.status = 'scheduled' AND c.materialised_at IS NOT NULL))
    RETURNING
        b.batch_id, b.run, b.account_id, b.campaign_id, b.first_message_id, b.last_message_id, c.recipients,
        c.uncertain_policy, c.launched_at, a.transport, c.subject, c.preview_text, c.html, c.text_body, c.sender_id
)
SELECT
    claimed.*, s.name AS from_name, s.email AS from_email, s.reply_to,
    r.relay_id, r.host, r.port, r.tls, r.username, r.password_sealed, r.in_flight, r.paused_at, r.pause_reason, r.updated_at,
    (
        SELECT jsonb_agg(to_jsonb(l) ORDER BY l.scope, l.limit_id)
        FROM (
            SELECT l.limit_id, l.scope, l.max_count, l.window_s
            FROM limits l
            WHERE l.account_id = claimed.account_id AND l.max_count > 0
                AND (l.scope = 'account' OR l.campaign_id = claimed.campaign_id)
        ) AS l
    ) AS limits
FROM claimed
LEFT JOIN senders s ON s.sender_id = coalesce(
    claimed.sender_id, (SELECT d.sender_id FROM senders d WHERE d.account_id = claimed.account_id AND d.is_default)
)
LEFT JOIN LATERAL (
    SELECT *
    FROM relays r
    WHERE r.account_id = claimed.account_id AND (r.relay_id = s.relay_id OR (s.relay_id IS NULL AND r.is_default))
    ORDER BY r.relay_id
    LIMIT 1
) AS r ON true;

-- name: find_content :maybe
-- What a campaign says and as whom, as `claim` returns it, and through which relay.
SELECT
    c.account_id, c.campaign_id, c.recipients, c.launched_at, a.transport, c.subject, c.preview_text, c.html, c.text_body,
    s.name AS from_name, s.email AS from_email, s.reply_to, s.relay_id
FROM campaigns c
JOIN accounts a USING (account_id)
LEFT JOIN senders s ON s.sender_id = coalesce(
    c.sender_id, (SELECT d.sender_id FROM senders d WHERE d.account_id = c.account_id AND d.is_default)
)
WHERE c.campaign_id = %(campaign_id)s;

-- name: list_messages :many
-- The batch's messages that may go now, with their merge values. Every third first: neighbours lie on one page, which has
-- no room for the new versions of all of them at once (with 48 in flight every eighth update left its page).
SELECT m.message_id, m.attempt, m.burned, m.recipient, contact.attributes
FROM messages m
LEFT JOIN contacts contact USING (account_id, contact_id)
WHERE m.message_id BETWEEN %(first_message_id)s AND %(last_message_id)s
    AND m.batch_id = %(batch_id)s AND m.status = 'queued' AND m.send_after <= %(until)s
ORDER BY m.message_id %% 3, m.message_id;

-- name: find_next_slot :one
-- When the batch's next queued message may go; NULL when none is queued.
SELECT min(m.send_after) AS next_at
FROM messages m
WHERE m.message_id BETWEEN %(first_message_id)s AND %(last_message_id)s
    AND m.batch_id = %(batch_id)s AND m.status = 'queued';

-- name: release :maybe
-- Put a batch down: done when nothing is queued, else due again at its earliest message, not before `not_before`.
-- Writes   the batch, and its next job, in one statement.
-- Only the run that holds the batch can: a successor has another job or run.
WITH next AS (
    -- greatest() skips NULLs: with nothing queued it would answer not_before.
    SELECT CASE WHEN count(*) > 0 THEN greatest(min(m.send_after), %(not_before)s::timestamptz) END AS due_at
    FROM messages m
    JOIN batches b ON b.batch_id = %(batch_id)s
    WHERE m.message_id BETWEEN b.first_message_id AND b.last_message_id
        AND m.batch_id = %(batch_id)s AND m.status = 'queued'
),
released AS (
    UPDATE batches b
    SET status = CASE WHEN next.due_at IS NULL THEN 'done' ELSE 'queued' END,
        due_at = coalesce(next.due_at, b.due_at),
        job_id = NULL,
        finished_at = CASE WHEN next.due_at IS NULL THEN %(now)s::timestamptz END
    FROM next
    WHERE b.batch_id = %(batch_id)s AND b.job_id = %(job_id)s AND b.run = %(run)s AND b.status = 'running'
    RETURNING b.batch_id, b.campaign_id, b.status, b.due_at, b.ordinal
),
deferred AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, scheduled_at)
    SELECT
        -- It has had a turn: behind the first batches of every campaign, before what is far from its first.
        'batches', 'send_batch', -least(greatest(released.ordinal, 19), 20),
        jsonb_build_object('id', released.batch_id, 'epoch', c.epoch), released.due_at
    FROM released
    JOIN campaigns c USING (campaign_id)
    WHERE released.status = 'queued' AND c.status = 'sending'
)
SELECT batch_id, campaign_id, status FROM released;

-- name: let_another_go_next :count
-- Of the due batches of other campaigns, one goes before all that wait for a slot. Which one is left to chance, so that of
-- several slow campaigns none is passed over for long.
UPDATE procrastinate_jobs
SET priority = 1
WHERE id = (
    SELECT j.id
    FROM procrastinate_jobs j
    JOIN batches b ON b.batch_id = (j.args ->> 'id')::bigint
    WHERE j.queue_name = 'batches' AND j.status = 'todo' AND j.priority < 1
        AND (j.scheduled_at IS NULL OR j.scheduled_at <= %(now)s) AND b.campaign_id <> %(campaign_id)s
    ORDER BY random()
    LIMIT 1
    FOR UPDATE OF j SKIP LOCKED
);

-- name: wait_for_limit :maybe
-- Put a batch down until a limit has permits again; the limit's resume job will wake it.
WITH waiting AS (
    UPDATE batches b
    SET status = 'waiting', job_id = NULL, waiting_limit_id = %(limit_id)s, waiting_since = %(now)s
    WHERE b.batch_id = %(batch_id)s AND b.job_id = %(job_id)s AND b.run = %(run)s AND b.status = 'running'
    RETURNING b.batch_id, b.account_id
)
INSERT INTO waits (account_id, batch_id, limit_id, reason, started_at)
SELECT account_id, batch_id, %(limit_id)s, 'limit', %(now)s FROM waiting
RETURNING batch_id;

-- name: finish_campaign :maybe
-- The last batch closes its campaign. Two last batches that end at once leave it to the clock loop.
UPDATE campaigns c
SET status = 'sent', finished_at = %(now)s, updated_at = %(now)s
WHERE c.campaign_id = %(campaign_id)s AND c.status = 'sending'
    AND NOT EXISTS (
        SELECT 1 FROM batches b WHERE b.campaign_id = c.campaign_id AND b.status IN ('queued', 'running', 'waiting')
    )
RETURNING c.campaign_id;

-- name: claim_resume :maybe
-- Take the resume job of one limit. A job with an older epoch finds nothing.
UPDATE limits
SET resume_at = NULL
WHERE limit_id = %(limit_id)s AND resume_epoch = %(epoch)s
RETURNING limit_id, account_id, scope, campaign_id, max_count, window_s;

-- name: wake_waiting :many
-- Wake as many waiting batches as the free permits can serve, oldest first; at least one.
-- Writes   batches, the end of their waits, their jobs.
WITH candidates AS MATERIALIZED (
    SELECT b.batch_id, b.queued, b.due_at, b.campaign_id
    FROM batches b
    WHERE b.status = 'waiting' AND b.waiting_limit_id = %(limit_id)s
    ORDER BY b.due_at, b.batch_id
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
),
counted AS (
    SELECT batch_id, sum(queued) OVER (ORDER BY due_at, batch_id) - queued AS before FROM candidates
),
woken AS (
    UPDATE batches b
    SET status = 'queued', due_at = least(b.due_at, %(now)s), waiting_limit_id = NULL, waiting_since = NULL
    FROM counted
    WHERE b.batch_id = counted.batch_id AND counted.before < greatest(%(free)s::bigint, 1)
    RETURNING b.batch_id, b.campaign_id, b.ordinal
),
ended AS (
    UPDATE waits w SET ended_at = %(now)s FROM woken WHERE w.batch_id = woken.batch_id AND w.ended_at IS NULL
),
deferred AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, scheduled_at)
    SELECT
        'batches', 'send_batch', -least(woken.ordinal, 20),
        jsonb_build_object('id', woken.batch_id, 'epoch', c.epoch), NULL
    FROM woken
    JOIN campaigns c USING (campaign_id)
    WHERE c.status = 'sending'
)
SELECT batch_id FROM woken;

-- name: has_waiting :one
SELECT EXISTS (SELECT 1 FROM batches b WHERE b.status = 'waiting' AND b.waiting_limit_id = %(limit_id)s) AS waiting;

-- name: plan_resume :maybe
-- Make sure that one job will look at this limit at `at`. Whoever changes the row defers the job.
-- A plan that is later than `at`, or that should have run already, is replaced.
WITH planned AS (
    UPDATE limits
    SET resume_at = %(at)s, resume_epoch = resume_epoch + 1
    WHERE limit_id = %(limit_id)s
        AND (resume_at IS NULL OR resume_at > %(at)s::timestamptz OR resume_at < %(now)s::timestamptz - interval '2 s')
    RETURNING limit_id, resume_epoch
)
INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
SELECT 'control', 'resume_limit', jsonb_build_object('id', limit_id, 'epoch', resume_epoch), %(at)s
FROM planned
RETURNING id;
