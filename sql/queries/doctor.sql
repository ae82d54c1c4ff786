-- The invariants of the ledger, as questions that a healthy installation answers with no row.
-- Each returns (what, id): at most 20 rows. "Recent" bounds the cost: the newest 50 campaigns that moved within seven
-- days, and the newest 200,000 messages. Every check is one statement, so it sees one instant.
-- name: i1_campaign_without_launch :many
-- I1: a scheduled campaign whose launch is overdue and has no job.
SELECT 'campaign ' || campaigns.name AS what, campaigns.campaign_id AS id
FROM campaigns
WHERE campaigns.status = 'scheduled'
    AND campaigns.materialised_at IS NULL
    AND campaigns.scheduled_at < %(now)s::timestamptz - make_interval(secs => %(grace_s)s)
    AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS jobs
        WHERE jobs.task_name = 'launch_campaign'
            AND jobs.status IN ('todo', 'doing')
            AND (jobs.args ->> 'id')::bigint = campaigns.campaign_id
    )
LIMIT 20;

-- name: i1_batch_without_job :many
-- I1: a due batch of a campaign that is on its way, without a job that would run it.
SELECT 'batch, ' || batches.status AS what, batches.batch_id AS id
FROM batches
INNER JOIN campaigns ON campaigns.campaign_id = batches.campaign_id
WHERE campaigns.status IN ('scheduled', 'sending')
    AND batches.status = 'queued'
    AND batches.due_at < %(now)s::timestamptz - make_interval(secs => %(grace_s)s)
    AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS jobs
        WHERE jobs.task_name = 'send_batch'
            AND jobs.status IN ('todo', 'doing')
            AND (jobs.args ->> 'id')::bigint = batches.batch_id
            AND (jobs.args ->> 'epoch')::integer = campaigns.epoch
    )
LIMIT 20;

-- name: i1_running_batch_without_job :many
-- I1: a batch that says it runs, although its job is gone.
SELECT 'batch' AS what, batches.batch_id AS id
FROM batches
WHERE batches.job_id IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS jobs
        WHERE jobs.id = batches.job_id AND jobs.status IN ('todo', 'doing')
    )
LIMIT 20;

-- name: i1_waiting_batch_without_wakeup :many
-- I1: a batch that waits on a limit which nobody will wake.
SELECT 'batch' AS what, batches.batch_id AS id
FROM batches
INNER JOIN campaigns ON campaigns.campaign_id = batches.campaign_id
INNER JOIN limits ON limits.limit_id = batches.waiting_limit_id
WHERE campaigns.status IN ('scheduled', 'sending')
    AND batches.status = 'waiting'
    AND (limits.resume_at IS NULL OR limits.resume_at < %(now)s::timestamptz - make_interval(secs => %(grace_s)s))
LIMIT 20;

-- name: i1_message_without_job :many
-- I1: a due API message without a job of its account that would send it. A job of a later time (for tomorrow's messages)
-- will do only for a message that waits on a limit: that job is for the instant of the next permit.
SELECT 'message' AS what, due_messages.message_id AS id
FROM due_messages
WHERE due_messages.job_id IS NULL
    AND due_messages.send_after < %(now)s::timestamptz - make_interval(secs => %(grace_s)s)
    AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS jobs
        WHERE jobs.task_name = 'send_due'
            AND jobs.status IN ('todo', 'doing')
            AND (jobs.args ->> 'id')::bigint = due_messages.account_id
            AND (
                jobs.status = 'doing' OR coalesce(jobs.scheduled_at <= %(now)s::timestamptz, true)
                OR EXISTS (SELECT 1 FROM waits WHERE waits.account_id = due_messages.account_id AND waits.ended_at IS NULL)
            )
    )
LIMIT 20;

-- name: i1_held_message_without_job :many
-- I1: an API message that a job holds, although that job is gone.
SELECT 'message' AS what, due_messages.message_id AS id
FROM due_messages
WHERE due_messages.job_id IS NOT NULL
    AND NOT EXISTS (
        SELECT 1 FROM procrastinate_jobs AS jobs
        WHERE jobs.id = due_messages.job_id AND jobs.status IN ('todo', 'doing')
    )
LIMIT 20;

-- name: stalled_jobs :many
-- A job whose worker has been silent for longer than the recovery takes.
SELECT jobs.task_name AS what, jobs.id
FROM procrastinate_jobs AS jobs
LEFT JOIN procrastinate_workers AS workers ON workers.id = jobs.worker_id
WHERE jobs.status = 'doing'
    AND coalesce(workers.last_heartbeat, '-infinity') < %(now)s::timestamptz - make_interval(secs => %(grace_s)s)
LIMIT 20;

-- name: failed_jobs :many
-- A job that ended with an error and was given up.
SELECT jobs.task_name AS what, jobs.id
FROM procrastinate_jobs AS jobs
WHERE jobs.status = 'failed'
LIMIT 20;

-- name: i7_counters_differ :many
-- I7: a batch whose counters are not what its messages say.
WITH recent AS (
    SELECT campaign_id FROM campaigns
    WHERE materialised_at > %(now)s::timestamptz - interval '7 days'
    ORDER BY materialised_at DESC
    LIMIT 50
),
counted AS (
    SELECT
        batches.batch_id,
        count(messages.message_id) AS total,
        count(*) FILTER (WHERE messages.status = 'queued') AS queued,
        count(*) FILTER (WHERE messages.status = 'sending') AS sending,
        count(*) FILTER (WHERE messages.status = 'sent') AS sent,
        count(*) FILTER (WHERE messages.status = 'failed') AS failed,
        count(*) FILTER (WHERE messages.status = 'uncertain') AS uncertain,
        count(*) FILTER (WHERE messages.status = 'suppressed') AS suppressed,
        count(*) FILTER (WHERE messages.status = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE messages.status = 'expired') AS expired
    FROM recent
    INNER JOIN batches USING (campaign_id)
    LEFT JOIN messages
        ON messages.message_id BETWEEN batches.first_message_id AND batches.last_message_id
        AND messages.batch_id = batches.batch_id
        AND messages.account_id = batches.account_id
    GROUP BY batches.batch_id
)
SELECT 'batch' AS what, batches.batch_id AS id
FROM counted
INNER JOIN batches USING (batch_id)
WHERE (
    counted.total, counted.queued, counted.sending, counted.sent, counted.failed, counted.uncertain,
    counted.suppressed, counted.cancelled, counted.expired
) IS DISTINCT FROM (
    batches.total, batches.queued, batches.sending, batches.sent, batches.failed, batches.uncertain,
    batches.suppressed, batches.cancelled, batches.expired
)
LIMIT 20;

-- name: i7_batches_do_not_add_up :many
-- I7: a campaign whose batches do not add up to its recipients.
SELECT 'campaign ' || campaigns.name AS what, campaigns.campaign_id AS id
FROM campaigns
LEFT JOIN LATERAL (
    SELECT coalesce(sum(batches.total), 0) AS total
    FROM batches
    WHERE batches.campaign_id = campaigns.campaign_id
) AS cut ON true
WHERE campaigns.materialised_at > %(now)s::timestamptz - interval '7 days'
    AND campaigns.recipients IS DISTINCT FROM cut.total
LIMIT 20;

-- name: i9_address_twice :many
-- I9: an address that a recent campaign writes to twice.
WITH recent AS (
    SELECT campaign_id FROM campaigns
    WHERE materialised_at > %(now)s::timestamptz - interval '7 days'
    ORDER BY materialised_at DESC
    LIMIT 50
)
SELECT 'address in campaign' AS what, messages.campaign_id AS id
FROM recent
INNER JOIN messages USING (campaign_id)
GROUP BY messages.campaign_id, lower(messages.recipient)
HAVING count(*) > 1
LIMIT 20;

-- name: sending_without_batch :many
-- A message under way in a batch that does not run: its connection is gone, and nobody decided.
WITH recent AS (
    SELECT campaign_id FROM campaigns
    WHERE materialised_at > %(now)s::timestamptz - interval '7 days'
    ORDER BY materialised_at DESC
    LIMIT 50
)
SELECT 'message' AS what, messages.message_id AS id
FROM recent
INNER JOIN batches USING (campaign_id)
INNER JOIN messages
    ON messages.message_id BETWEEN batches.first_message_id AND batches.last_message_id
    AND messages.batch_id = batches.batch_id
WHERE batches.status <> 'running'
    AND batches.sending > 0
    AND messages.status = 'sending'
LIMIT 20;

-- name: campaign_not_closed :many
-- A campaign that is still sending although all its batches are done.
SELECT 'campaign ' || campaigns.name AS what, campaigns.campaign_id AS id
FROM campaigns
WHERE campaigns.status = 'sending'
    AND campaigns.materialised_at < %(now)s::timestamptz - make_interval(secs => %(grace_s)s)
    AND NOT EXISTS (
        SELECT 1 FROM batches
        WHERE batches.campaign_id = campaigns.campaign_id AND batches.status NOT IN ('done', 'cancelled')
    )
    AND NOT EXISTS (
        SELECT 1 FROM batches
        WHERE batches.campaign_id = campaigns.campaign_id
            AND batches.finished_at > %(now)s::timestamptz - make_interval(secs => %(grace_s)s)
    )
LIMIT 20;

-- name: sent_campaign_has_open_batch :many
-- A campaign that says it is sent, with a batch that is not.
SELECT 'campaign ' || campaigns.name AS what, campaigns.campaign_id AS id
FROM campaigns
WHERE campaigns.status = 'sent'
    AND EXISTS (
        SELECT 1 FROM batches
        WHERE batches.campaign_id = campaigns.campaign_id AND batches.status NOT IN ('done', 'cancelled')
    )
LIMIT 20;

-- name: api_message_lost :many
-- A recent API message that is not final and that nothing will look at again.
SELECT 'message' AS what, messages.message_id AS id
FROM messages
WHERE messages.message_id > (SELECT coalesce(max(message_id), 0) - 200000 FROM messages)
    AND messages.campaign_id IS NULL
    AND messages.status IN ('queued', 'sending')
    AND NOT EXISTS (SELECT 1 FROM due_messages WHERE due_messages.message_id = messages.message_id)
LIMIT 20;

-- name: api_message_due_though_final :many
-- An API message that is final or gone, and still listed as due.
SELECT 'message' AS what, due_messages.message_id AS id
FROM due_messages
LEFT JOIN messages USING (message_id)
WHERE messages.message_id IS NULL
    OR messages.status NOT IN ('queued', 'sending')
    OR messages.account_id <> due_messages.account_id
LIMIT 20;

-- name: i5_message_of_another_account :many
-- I5: a recent message whose campaign, content or body belongs to another account, or is gone.
SELECT 'message' AS what, messages.message_id AS id
FROM messages
LEFT JOIN campaigns ON campaigns.campaign_id = messages.campaign_id
LEFT JOIN message_contents ON message_contents.message_id = messages.message_id
LEFT JOIN message_contents AS body ON body.message_id = message_contents.body_of
WHERE messages.message_id > (SELECT coalesce(max(message_id), 0) - 200000 FROM messages)
    AND (
        coalesce(campaigns.account_id, message_contents.account_id) IS DISTINCT FROM messages.account_id
        OR (message_contents.body_of IS NOT NULL AND body.account_id IS DISTINCT FROM messages.account_id)
    )
LIMIT 20;

-- name: account_without_limit :many
-- An account that has no row for its limit, so that none would be kept.
SELECT 'account ' || accounts.name AS what, accounts.account_id AS id
FROM accounts
WHERE NOT EXISTS (
    SELECT 1 FROM limits WHERE limits.account_id = accounts.account_id AND limits.scope = 'account'
)
LIMIT 20;

-- name: invalid_index :many
-- An index that was left half built.
SELECT 'index ' || relations.relname AS what, relations.oid::bigint AS id
FROM pg_index AS indexes
INNER JOIN pg_class AS relations ON relations.oid = indexes.indexrelid
WHERE NOT indexes.indisvalid AND relations.relnamespace = 'public'::regnamespace
LIMIT 20;

-- name: get_server :one
-- What the database server is, and its clock.
SELECT current_setting('server_version_num')::integer AS version_num, clock_timestamp() AS server_now;
