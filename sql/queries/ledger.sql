-- The statements of worker/ledger.py's connection, which joins by hash alone and keeps each plan for ever, whatever the
-- tables grew to since it was made. So each table is looked up by a list of keys (= ANY), and each subquery by such a list
-- or by one key (OFFSET 0: it is not turned into a join or a hash of the whole table).

-- name: commit_group :one
-- One group commit: the results of messages that were sent, and the marks of those that go next.
-- Writes   messages, batches (counters), throughput.
-- Returns  the ids of the marks that were given, and of the results that counted. A message whose mark is not among
--          them must not be sent.
-- A result counts only if nothing newer decided: same attempt, and still 'sending' or 'uncertain'. What the recovery
-- called uncertain does not go back to the queue: its batch may be done, and then nobody would send it.
-- A mark checks, in this one UPDATE, that the message is queued, its campaign on, its contact still there, and its address not
-- suppressed. The campaigns of a group are few: they are read once (a hashed subplan), not for each message.
WITH settled AS (
    UPDATE messages m
    SET status = r.status, reply = r.reply, settled_at = %(now)s
    FROM unnest(
        %(result_ids)s::bigint[], %(result_attempts)s::smallint[], %(result_statuses)s::text[],
        %(result_replies)s::text[]
    ) AS r(message_id, attempt, status, reply)
    WHERE m.message_id = r.message_id AND m.message_id = ANY(%(result_ids)s::bigint[]) AND m.attempt = r.attempt
        AND (m.status = 'sending' OR (m.status = 'uncertain' AND r.status <> 'queued'))
    RETURNING m.message_id, m.account_id, m.campaign_id, m.batch_id, old.status AS was, m.status
),
marked AS (
    UPDATE messages m
    SET status = 'sending', attempt = m.attempt + 1, marked_at = %(now)s
    FROM unnest(%(mark_ids)s::bigint[], %(mark_attempts)s::smallint[], %(mark_epochs)s::integer[])
        AS k(message_id, attempt, epoch)
    WHERE m.message_id = k.message_id AND m.message_id = ANY(%(mark_ids)s::bigint[]) AND m.attempt = k.attempt
        AND m.status = 'queued'
        AND (m.campaign_id IS NULL OR (m.campaign_id, k.epoch) IN (
            SELECT c.campaign_id, c.epoch FROM campaigns c
            WHERE c.campaign_id = ANY(%(campaign_ids)s::bigint[]) AND c.status = 'sending'
        ))
        AND (m.contact_id IS NULL OR EXISTS (
            SELECT 1 FROM contacts c WHERE c.account_id = m.account_id AND c.contact_id = m.contact_id OFFSET 0
        ))
        AND NOT EXISTS (
            SELECT 1 FROM suppressions s
            WHERE s.account_id = m.account_id AND s.email_key = lower(m.recipient)
                AND (m.campaign_id IS NOT NULL OR s.reason <> 'unsubscribe')
            OFFSET 0
        )
    RETURNING m.message_id, m.batch_id
),
changes AS MATERIALIZED (
    SELECT
        batch_id,
        count(*) FILTER (WHERE status = 'queued') - count(*) FILTER (WHERE was = 'queued') AS queued,
        count(*) FILTER (WHERE status = 'sending') - count(*) FILTER (WHERE was = 'sending') AS sending,
        count(*) FILTER (WHERE status = 'sent') AS sent,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        count(*) FILTER (WHERE status = 'uncertain') - count(*) FILTER (WHERE was = 'uncertain') AS uncertain,
        count(*) FILTER (WHERE status = 'expired') AS expired
    FROM (
        SELECT batch_id, was, status FROM settled
        UNION ALL
        SELECT batch_id, 'queued', 'sending' FROM marked
    ) AS moves
    WHERE batch_id IS NOT NULL
    GROUP BY batch_id
),
counted AS (
    UPDATE batches b
    SET queued = b.queued + d.queued, sending = b.sending + d.sending, sent = b.sent + d.sent,
        failed = b.failed + d.failed, uncertain = b.uncertain + d.uncertain, expired = b.expired + d.expired
    FROM changes d
    WHERE b.batch_id = d.batch_id AND b.batch_id = ANY(ARRAY(SELECT batch_id FROM changes))
),
seconds AS (
    INSERT INTO throughput AS t (account_id, at_second, campaign_id, writer_id, sent, failed)
    SELECT
        account_id, date_trunc('second', %(now)s::timestamptz), coalesce(campaign_id, 0), %(writer_id)s::bigint,
        count(*) FILTER (WHERE status IN ('sent', 'uncertain') AND was = 'sending'),
        count(*) FILTER (WHERE status IN ('failed', 'expired'))
    FROM settled
    GROUP BY 1, 3
    ON CONFLICT (account_id, at_second, campaign_id, writer_id)
    DO UPDATE SET sent = t.sent + excluded.sent, failed = t.failed + excluded.failed
)
SELECT
    array(SELECT message_id FROM marked) AS marked,
    array(SELECT message_id FROM settled) AS settled;

-- name: follow_up :many
-- What some results bring with them, in the transaction that recorded them.
-- Writes   messages (the next try), attempts (of what is not final), throughput, suppressions (hard bounces),
--          due_messages (API messages leave, or move to their next try), wakeups and their jobs.
WITH settled AS (
    UPDATE messages m
    SET send_after = coalesce(r.next_at, m.send_after), burned = m.burned + r.burn
    FROM unnest(
        %(ids)s::bigint[], %(outcomes)s::text[], %(next)s::timestamptz[], %(burns)s::smallint[],
        %(suppress)s::boolean[]
    ) AS r(message_id, outcome, next_at, burn, suppress)
    WHERE m.message_id = r.message_id AND m.message_id = ANY(%(ids)s::bigint[])
    RETURNING
        m.message_id, m.account_id, m.campaign_id, m.recipient, m.attempt, m.marked_at, m.settled_at, m.send_after,
        m.status, m.reply, r.outcome, r.suppress
),
history AS (
    INSERT INTO attempts (message_id, attempt, account_id, marked_at, settled_at, outcome, reply)
    SELECT message_id, attempt, account_id, marked_at, settled_at, outcome, reply
    FROM settled
    WHERE status = 'queued' AND outcome IN ('try_later', 'uncertain')
    ON CONFLICT DO NOTHING
),
seconds AS (
    -- An attempt whose outcome nobody knows may have been delivered, so it counts against the limits.
    INSERT INTO throughput AS t (account_id, at_second, campaign_id, writer_id, sent, retried)
    SELECT
        account_id, date_trunc('second', settled_at), coalesce(campaign_id, 0), %(writer_id)s::bigint,
        count(*) FILTER (WHERE outcome = 'uncertain'), count(*) FILTER (WHERE outcome = 'try_later')
    FROM settled
    WHERE status = 'queued'
    GROUP BY 1, 2, 3
    ON CONFLICT (account_id, at_second, campaign_id, writer_id)
    DO UPDATE SET sent = t.sent + excluded.sent, retried = t.retried + excluded.retried
),
bounced AS (
    INSERT INTO suppressions (account_id, email_key, reason, note, message_id, created_at)
    SELECT DISTINCT ON (account_id, lower(recipient))
        account_id, lower(recipient), 'hard_bounce', left(reply, 200), message_id, settled_at
    FROM settled
    WHERE suppress
    ON CONFLICT (account_id, email_key) DO UPDATE
    SET reason = 'hard_bounce', note = excluded.note, message_id = excluded.message_id
    WHERE suppressions.reason = 'unsubscribe'
),
left_due AS (
    DELETE FROM due_messages d
    USING settled s
    WHERE d.message_id = s.message_id AND d.message_id = ANY(%(ids)s::bigint[])
        AND s.campaign_id IS NULL AND s.status <> 'queued'
),
later_due AS (
    UPDATE due_messages d
    SET send_after = s.send_after, job_id = NULL
    FROM settled s
    WHERE d.message_id = s.message_id AND d.message_id = ANY(%(ids)s::bigint[])
        AND s.campaign_id IS NULL AND s.status = 'queued'
    RETURNING d.account_id, to_timestamp(floor(extract(epoch FROM s.send_after) / 5) * 5) AS bucket
),
woken AS (
    INSERT INTO wakeups (account_id, bucket)
    SELECT DISTINCT account_id, bucket FROM later_due ORDER BY account_id, bucket
    ON CONFLICT DO NOTHING
    RETURNING account_id, bucket
)
INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
SELECT
    'messages', 'send_due',
    jsonb_build_object('id', account_id, 'epoch', extract(epoch FROM bucket)::bigint), bucket
FROM woken
RETURNING id;

-- name: settle_unmarked :many
-- Of messages whose mark was refused, settle those whose address is suppressed or whose contact was deleted. The others'
-- campaign was paused or cancelled.
WITH looked_at AS (
    SELECT
        m.message_id,
        EXISTS (
            SELECT 1 FROM suppressions s
            WHERE s.account_id = m.account_id AND s.email_key = lower(m.recipient)
                AND (m.campaign_id IS NOT NULL OR s.reason <> 'unsubscribe')
            OFFSET 0
        ) AS is_suppressed,
        m.contact_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM contacts c WHERE c.account_id = m.account_id AND c.contact_id = m.contact_id OFFSET 0
        ) AS is_gone
    FROM messages m
    WHERE m.message_id = ANY(%(ids)s::bigint[])
),
settled AS (
    UPDATE messages m
    SET status = CASE WHEN l.is_gone THEN 'cancelled' ELSE 'suppressed' END,
        reply = CASE WHEN l.is_gone THEN 'its contact was deleted' ELSE m.reply END, settled_at = %(now)s
    FROM looked_at l
    WHERE m.message_id = l.message_id AND m.message_id = ANY(%(ids)s::bigint[])
        AND m.status = 'queued' AND (l.is_suppressed OR l.is_gone)
    RETURNING m.message_id, m.batch_id, m.status
),
counted AS (
    UPDATE batches b
    SET queued = b.queued - d.suppressed - d.cancelled, suppressed = b.suppressed + d.suppressed,
        cancelled = b.cancelled + d.cancelled
    FROM (
        SELECT
            batch_id, count(*) FILTER (WHERE status = 'suppressed') AS suppressed,
            count(*) FILTER (WHERE status = 'cancelled') AS cancelled
        FROM settled WHERE batch_id IS NOT NULL GROUP BY batch_id
    ) AS d
    WHERE b.batch_id = d.batch_id AND b.batch_id = ANY(ARRAY(SELECT batch_id FROM settled))
),
left_due AS (
    DELETE FROM due_messages d
    USING settled s
    WHERE d.message_id = s.message_id AND d.message_id = ANY(%(ids)s::bigint[])
)
SELECT message_id FROM settled;

-- name: settle_unsent :many
-- End queued messages that will never be handed to a relay: 'failed' (cannot be made) or 'expired'.
WITH ended AS (
    UPDATE messages m
    SET status = r.status, reply = r.reply, settled_at = %(now)s
    FROM unnest(%(ids)s::bigint[], %(attempts)s::smallint[], %(statuses)s::text[], %(replies)s::text[])
        AS r(message_id, attempt, status, reply)
    WHERE m.message_id = r.message_id AND m.message_id = ANY(%(ids)s::bigint[]) AND m.attempt = r.attempt
        AND m.status = 'queued'
    RETURNING m.message_id, m.batch_id, m.account_id, m.campaign_id, m.status
),
counted AS (
    UPDATE batches b
    SET queued = b.queued - d.failed - d.expired, failed = b.failed + d.failed, expired = b.expired + d.expired
    FROM (
        SELECT
            batch_id, count(*) FILTER (WHERE status = 'failed') AS failed,
            count(*) FILTER (WHERE status = 'expired') AS expired
        FROM ended WHERE batch_id IS NOT NULL GROUP BY batch_id
    ) AS d
    WHERE b.batch_id = d.batch_id AND b.batch_id = ANY(ARRAY(SELECT batch_id FROM ended))
),
seconds AS (
    INSERT INTO throughput AS t (account_id, at_second, campaign_id, writer_id, failed)
    SELECT account_id, date_trunc('second', %(now)s::timestamptz), coalesce(campaign_id, 0), %(writer_id)s::bigint, count(*)
    FROM ended
    GROUP BY 1, 2, 3
    ON CONFLICT (account_id, at_second, campaign_id, writer_id) DO UPDATE SET failed = t.failed + excluded.failed
),
left_due AS (
    DELETE FROM due_messages d
    USING ended e
    WHERE d.message_id = e.message_id AND d.message_id = ANY(%(ids)s::bigint[])
)
SELECT message_id FROM ended;

-- name: list_marked :many
-- Which of these marks were committed by a statement whose answer was lost.
SELECT m.message_id
FROM unnest(%(ids)s::bigint[], %(attempts)s::smallint[]) AS k(message_id, attempt)
JOIN messages m ON m.message_id = k.message_id AND m.attempt = k.attempt + 1 AND m.status = 'sending'
WHERE m.message_id = ANY(%(ids)s::bigint[]) AND m.marked_at = ANY(%(times)s::timestamptz[]);
