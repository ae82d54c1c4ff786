-- name: claim_campaign :maybe
-- Lock one campaign that is scheduled under this epoch and has no messages yet.
SELECT c.account_id, c.audience, c.pacing, c.scheduled_at
FROM campaigns c
WHERE c.campaign_id = %(campaign_id)s AND c.epoch = %(epoch)s
    AND c.status = 'scheduled' AND c.materialised_at IS NULL
FOR UPDATE;

-- name: materialise :one
-- Turn the audience into messages and batches, in one statement: dedupe, mark who is suppressed, cut into batches.
-- Writes   messages, batches.
-- A batch's messages get ids in one range, so the ledger needs no index on batch_id.
WITH audience AS MATERIALIZED (
    SELECT
        row_number() OVER (ORDER BY contact.contact_id) - 1 AS n,
        contact.contact_id,
        contact.email,
        EXISTS (
            SELECT 1 FROM suppressions s
            WHERE s.account_id = contact.account_id AND s.email_key = contact.email_key
        ) AS is_suppressed
    FROM (
        SELECT i.contact_id FROM import_contacts i WHERE i.import_id = %(import_id)s
        UNION
        SELECT l.contact_id FROM list_contacts l WHERE l.list_id = ANY(%(list_ids)s::bigint[])
        UNION
        SELECT k.contact_id FROM campaign_contacts k WHERE k.campaign_id = %(campaign_id)s AND %(is_inline)s
    ) AS chosen
    JOIN contacts contact ON contact.contact_id = chosen.contact_id AND contact.account_id = %(account_id)s
),
sizes AS MATERIALIZED (
    -- At least ten batches, so that a small campaign uses several connections; at most 500 messages in each.
    SELECT greatest(25, least(500, ceil(count(*) / 10.0)))::integer AS batch_size, count(*) AS recipients
    FROM audience
),
cut AS MATERIALIZED (
    SELECT ordinal, nextval(pg_get_serial_sequence('batches', 'batch_id')) AS batch_id
    FROM sizes, generate_series(0, ((sizes.recipients - 1) / sizes.batch_size)::integer) AS ordinal
    WHERE sizes.recipients > 0
),
made AS (
    INSERT INTO messages (account_id, campaign_id, batch_id, contact_id, send_after, status, recipient)
    SELECT
        %(account_id)s, %(campaign_id)s, cut.batch_id, audience.contact_id,
        %(start_at)s::timestamptz + audience.n * %(interval_s)s::float8 * interval '1 second',
        CASE WHEN audience.is_suppressed THEN 'suppressed' ELSE 'queued' END,
        audience.email
    FROM audience
    CROSS JOIN sizes
    JOIN cut ON cut.ordinal = audience.n / sizes.batch_size
    ORDER BY audience.n
    RETURNING message_id, batch_id, send_after, status
),
kept AS (
    INSERT INTO batches (
        batch_id, account_id, campaign_id, ordinal, status, due_at, first_message_id, last_message_id,
        total, queued, suppressed, finished_at
    )
    OVERRIDING SYSTEM VALUE
    SELECT
        cut.batch_id, %(account_id)s, %(campaign_id)s, cut.ordinal,
        CASE WHEN count(*) FILTER (WHERE made.status = 'queued') > 0 THEN 'queued' ELSE 'done' END,
        min(made.send_after), min(made.message_id), max(made.message_id),
        count(*), count(*) FILTER (WHERE made.status = 'queued'), count(*) FILTER (WHERE made.status = 'suppressed'),
        CASE WHEN count(*) FILTER (WHERE made.status = 'queued') = 0 THEN %(now)s::timestamptz END
    FROM made
    JOIN cut USING (batch_id)
    GROUP BY cut.batch_id, cut.ordinal
    RETURNING total, queued
)
SELECT coalesce(sum(total), 0)::bigint AS recipients, coalesce(sum(queued), 0)::bigint AS queued FROM kept;

-- name: finish_materialising :count
-- Writes   the campaign: it has its messages now. With nobody to write to it is sent at once.
UPDATE campaigns
SET materialised_at = %(now)s,
    recipients = %(recipients)s,
    excluded_duplicates = audience_duplicates + coalesce((
        SELECT i.rows_duplicate FROM imports i
        WHERE i.import_id = %(import_id)s AND i.account_id = campaigns.account_id
    ), 0),
    status = CASE WHEN %(queued)s::bigint = 0 THEN 'sent' ELSE status END,
    finished_at = CASE WHEN %(queued)s::bigint = 0 THEN %(now)s::timestamptz END,
    updated_at = %(now)s
WHERE campaign_id = %(campaign_id)s;

-- name: defer_batches :count
-- Defer a job for each batch that waits for its turn.
-- The first twenty batches of a campaign go before the later ones of all others, so that a small campaign launched
-- after a huge one is done in seconds; beyond that, first come, first served.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, scheduled_at)
SELECT
    'batches', 'send_batch', -least(b.ordinal, 20),
    jsonb_build_object('id', b.batch_id, 'epoch', %(epoch)s::integer), b.due_at
FROM batches b
WHERE b.campaign_id = %(campaign_id)s AND b.status = 'queued'
ORDER BY b.ordinal;

-- name: list_limits :many
-- The limits that bind one campaign, the account's first.
SELECT l.limit_id, l.scope, l.max_count, l.window_s
FROM limits l
WHERE l.account_id = %(account_id)s AND l.max_count > 0
    AND (l.scope = 'account' OR l.campaign_id = %(campaign_id)s)
ORDER BY l.scope, l.limit_id;

-- name: list_open_batches :many
-- A slice of a cancelled campaign's batches that still hold queued messages and that no job is sending.
SELECT b.batch_id, b.first_message_id, b.last_message_id
FROM batches b
JOIN campaigns c USING (campaign_id)
WHERE b.campaign_id = %(campaign_id)s AND c.epoch = %(epoch)s AND c.status = 'cancelled'
    AND b.status IN ('queued', 'waiting')
ORDER BY b.ordinal
LIMIT %(slice)s;

-- name: cancel_batch :count
-- Move one batch's queued messages to 'cancelled', and its counters with them.
WITH moved AS (
    UPDATE messages m
    SET status = 'cancelled', settled_at = %(now)s
    FROM batches b
    WHERE b.batch_id = %(batch_id)s AND b.status IN ('queued', 'waiting')
        AND m.message_id BETWEEN b.first_message_id AND b.last_message_id
        AND m.batch_id = b.batch_id AND m.status = 'queued'
    RETURNING 1
)
UPDATE batches b
SET status = 'cancelled', waiting_limit_id = NULL, waiting_since = NULL, finished_at = %(now)s,
    queued = b.queued - (SELECT count(*) FROM moved), cancelled = b.cancelled + (SELECT count(*) FROM moved)
WHERE b.batch_id = %(batch_id)s AND b.status IN ('queued', 'waiting');
