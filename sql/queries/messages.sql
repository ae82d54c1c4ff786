-- name: create_each :many
-- Take API messages of several requests in, each on its own terms: everything that POST /messages writes, in one statement and
-- so in one commit. `items` is a JSON array; no two of them have the same account and key.
-- Writes   for each: idempotency_keys (when a key is given), messages, message_contents, due_messages; wakeups and their jobs.
-- Answers  one row for each, in order: is_locked false = the first request with this key is running; message_id NULL = its
--          answer is stored; has_sender false = there is no such sender; is_allowed false = the API key was revoked. Then
--          nothing is written for it.
-- Safe with many at once: the advisory lock keeps two requests with one key apart, and ON CONFLICT looks past the snapshot.
-- Wake-ups are made in order, so that two statements never wait for each other.
-- The stored answer is "<message_id>|<the rest of the JSON>": the public id is made outside.
WITH items AS MATERIALIZED (
    SELECT
        item.*,
        CASE
            WHEN item.key IS NULL THEN true
            ELSE pg_try_advisory_xact_lock(hashtextextended(item.key, item.account_id))
        END AS is_locked,
        (
            SELECT s.sender_id FROM senders s
            WHERE s.account_id = item.account_id
                AND CASE WHEN item.asked_sender_id IS NULL THEN s.is_default ELSE s.sender_id = item.asked_sender_id END
        ) AS sender_id,
        (
            item.api_key_id IS NULL
            OR EXISTS (
                SELECT FROM api_keys k
                WHERE k.api_key_id = item.api_key_id
                    AND k.revoked_at IS NULL
                    AND (k.expires_at IS NULL OR k.expires_at > item.now)
            )
        ) AS is_allowed
    FROM ROWS FROM (
        jsonb_to_recordset(%(items)s::jsonb) AS (
            account_id bigint, api_key_id bigint, asked_sender_id bigint, key text, request_hash text, answer text,
            recipient text, send_after timestamptz, bucket timestamptz, deadline timestamptz, subject text, html text,
            text_body text, variables jsonb, tags text[], now timestamptz
        )
    ) WITH ORDINALITY AS item
), numbered AS MATERIALIZED (
    SELECT nextval('messages_message_id_seq') AS message_id, items.*
    FROM items
    WHERE is_locked AND is_allowed AND sender_id IS NOT NULL
), record AS (
    INSERT INTO idempotency_keys (account_id, key, request_hash, status_code, response, created_at)
    SELECT
        account_id, key, decode(request_hash, 'hex'), 201, convert_to(message_id || '|' || answer, 'UTF8'), now
    FROM numbered
    WHERE key IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING account_id, key
), accepted AS MATERIALIZED (
    SELECT * FROM numbered n
    WHERE n.key IS NULL OR EXISTS (SELECT FROM record r WHERE r.account_id = n.account_id AND r.key = n.key)
), message AS (
    INSERT INTO messages (message_id, account_id, send_after, recipient)
    OVERRIDING SYSTEM VALUE
    SELECT message_id, account_id, send_after, recipient FROM accepted
), content AS (
    INSERT INTO message_contents
        (message_id, account_id, sender_id, subject, html, text_body, variables, tags, deadline, created_at)
    SELECT message_id, account_id, sender_id, subject, html, text_body, variables, tags, deadline, now FROM accepted
), due AS (
    INSERT INTO due_messages (message_id, account_id, send_after)
    SELECT message_id, account_id, send_after FROM accepted
), wakeup AS (
    INSERT INTO wakeups (account_id, bucket)
    SELECT DISTINCT account_id, bucket FROM accepted ORDER BY account_id, bucket
    ON CONFLICT DO NOTHING
    RETURNING account_id, bucket
), job AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
    SELECT
        'messages', 'send_due',
        jsonb_build_object('id', account_id, 'epoch', extract(epoch FROM bucket)::bigint), bucket
    FROM wakeup
)
SELECT items.is_locked, items.is_allowed, items.sender_id IS NOT NULL AS has_sender, accepted.message_id
FROM items LEFT JOIN accepted USING (ordinality)
ORDER BY items.ordinality

-- name: create_messages :one
-- Take up to 1,000 API messages in. `letters` is a JSON array of what they say, numbered; `items` one of who gets which: its order
-- is the order of the ids. A letter's html and text are written once, with its first message.
-- Writes  messages, message_contents, due_messages, and for each new bucket a wakeup with its job.
WITH letters AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(letters)s::jsonb) AS given (
        letter int, send_after timestamptz, bucket timestamptz, deadline timestamptz, sender_id bigint,
        subject text, html text, text_body text, tags text[]
    )
), items AS MATERIALIZED (
    SELECT nextval('messages_message_id_seq') AS message_id, ordered.*
    FROM (
        SELECT item.*, letters.send_after
        FROM ROWS FROM (
            jsonb_to_recordset(%(items)s::jsonb) AS (recipient text, letter int, variables jsonb)
        ) WITH ORDINALITY AS item
        JOIN letters USING (letter)
        ORDER BY item.ordinality
    ) AS ordered
), first AS (
    SELECT letter, min(message_id) AS message_id FROM items GROUP BY letter
), message AS (
    INSERT INTO messages (message_id, account_id, send_after, recipient)
    OVERRIDING SYSTEM VALUE
    SELECT message_id, %(account_id)s, send_after, recipient FROM items
), content AS (
    INSERT INTO message_contents (
        message_id, account_id, sender_id, subject, html, text_body, body_of, variables, tags, deadline, created_at
    )
    SELECT
        items.message_id, %(account_id)s, sender_id, subject,
        CASE WHEN items.message_id = first.message_id THEN html END,
        CASE WHEN items.message_id = first.message_id THEN text_body END,
        nullif(first.message_id, items.message_id),
        coalesce(variables, '{}'), tags, deadline, %(now)s
    FROM items
    JOIN letters USING (letter)
    JOIN first USING (letter)
), due AS (
    INSERT INTO due_messages (message_id, account_id, send_after)
    SELECT message_id, %(account_id)s, send_after FROM items
), wakeup AS (
    INSERT INTO wakeups (account_id, bucket)
    SELECT DISTINCT %(account_id)s::bigint, bucket FROM letters ORDER BY bucket
    ON CONFLICT DO NOTHING
    RETURNING account_id, bucket
), job AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
    SELECT
        'messages', 'send_due',
        jsonb_build_object('id', account_id, 'epoch', extract(epoch FROM bucket)::bigint), bucket
    FROM wakeup
)
SELECT array_agg(message_id ORDER BY ordinality) AS message_ids FROM items

-- name: find_senders :many
-- Which of these senders the account has, and its default one.
SELECT sender_id, is_default FROM senders
WHERE account_id = %(account_id)s AND (is_default OR sender_id = ANY(%(sender_ids)s::bigint[]))

-- name: cancel_message :maybe
-- Cancel an API message that no job holds.  Writes  status; deletes its due row.
WITH due AS (
    DELETE FROM due_messages
    WHERE message_id = %(message_id)s AND account_id = %(account_id)s AND job_id IS NULL
    RETURNING message_id
)
UPDATE messages
SET status = 'cancelled', settled_at = %(now)s
FROM due
WHERE messages.message_id = due.message_id AND account_id = %(account_id)s AND status = 'queued'
RETURNING messages.message_id

-- name: reschedule_message :maybe
-- Move an API message that no job holds, and wake the worker at its new time.
-- Writes  send_after in both rows; the deadline moves along when it would come first; wakeups and its job.
WITH due AS (
    UPDATE due_messages
    SET send_after = %(send_after)s
    WHERE message_id = %(message_id)s AND account_id = %(account_id)s AND job_id IS NULL
    RETURNING message_id
), message AS (
    UPDATE messages
    SET send_after = %(send_after)s
    FROM due
    WHERE messages.message_id = due.message_id AND account_id = %(account_id)s AND status = 'queued'
    RETURNING messages.message_id
), content AS (
    UPDATE message_contents
    SET deadline = greatest(deadline, %(deadline)s)
    FROM message
    WHERE message_contents.message_id = message.message_id
), wakeup AS (
    INSERT INTO wakeups (account_id, bucket)
    SELECT %(account_id)s, %(bucket)s FROM message
    ON CONFLICT DO NOTHING
    RETURNING account_id, bucket
), job AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
    SELECT
        'messages', 'send_due',
        jsonb_build_object('id', account_id, 'epoch', extract(epoch FROM bucket)::bigint), bucket
    FROM wakeup
)
SELECT message_id FROM message

-- name: get_message :maybe
-- One message of the account, with the words of its own content or its campaign's.
SELECT
    m.message_id, m.campaign_id, m.batch_id, m.status, m.recipient, m.send_after, m.marked_at, m.settled_at, m.attempt,
    m.reply, mc.tags, mc.deadline, mc.variables,
    coalesce(mc.html, body.html) AS html,
    coalesce(mc.text_body, body.text_body) AS text_body,
    coalesce(mc.subject, c.subject) AS subject,
    coalesce(mc.sender_id, c.sender_id) AS sender_id,
    coalesce(mc.created_at, c.materialised_at, c.created_at) AS created_at
FROM messages AS m
LEFT JOIN message_contents AS mc ON mc.message_id = m.message_id
LEFT JOIN message_contents AS body ON body.message_id = mc.body_of AND body.account_id = mc.account_id
LEFT JOIN campaigns AS c ON c.campaign_id = m.campaign_id
WHERE m.message_id = %(message_id)s AND m.account_id = %(account_id)s

-- name: list_attempts :many
-- The attempts that did not decide the message, in order.
SELECT attempt, marked_at, settled_at, outcome, reply
FROM attempts
WHERE message_id = %(message_id)s AND account_id = %(account_id)s
ORDER BY attempt

-- name: list_waits :many
-- What the message, or its batch before the message was marked, waited for.
SELECT w.reason, w.started_at, w.ended_at, l.window_s, l.max_count, l.scope
FROM waits AS w
LEFT JOIN limits AS l USING (limit_id)
WHERE w.account_id = %(account_id)s
  AND (
      w.message_id = %(message_id)s
      OR (w.batch_id = %(batch_id)s AND (%(marked_at)s::timestamptz IS NULL OR w.started_at < %(marked_at)s))
  )
ORDER BY w.started_at
LIMIT 100

-- name: list_messages :many
-- A page of the account's messages, newest first. Filters are NULL where there is none.
-- Bounded: looks at no more than scan_limit rows, so a filter that fits nothing cannot read the whole ledger; the last row
-- of a scan that was cut has is_match false and tells where to go on.
WITH scanned AS (
    SELECT message_id, campaign_id, status, recipient, send_after, settled_at, attempt, reply
    FROM messages
    WHERE account_id = %(account_id)s
      AND message_id < coalesce(%(after_id)s, 9223372036854775807)
      AND message_id >= %(first_id)s
      AND message_id <= %(last_id)s
    ORDER BY message_id DESC
    LIMIT %(scan_limit)s
), matched AS (
    SELECT *
    FROM scanned
    WHERE (%(status)s::text IS NULL OR status = %(status)s)
      AND (%(campaign_id)s::bigint IS NULL OR campaign_id = %(campaign_id)s)
      AND (%(pattern)s::text IS NULL OR recipient ILIKE %(pattern)s)
      AND (%(from)s::timestamptz IS NULL OR send_after >= %(from)s)
      AND (%(until)s::timestamptz IS NULL OR send_after < %(until)s)
    ORDER BY message_id DESC
    LIMIT %(fetch_limit)s
), edge AS (
    SELECT min(message_id) AS message_id FROM scanned HAVING count(*) = %(scan_limit)s
)
SELECT
    m.message_id, true AS is_match, m.campaign_id, m.status, m.recipient, m.send_after, m.settled_at, m.attempt, m.reply,
    mc.tags, coalesce(mc.subject, c.subject) AS subject, coalesce(mc.created_at, c.materialised_at) AS created_at
FROM matched AS m
LEFT JOIN message_contents AS mc ON mc.message_id = m.message_id
LEFT JOIN campaigns AS c ON c.campaign_id = m.campaign_id
UNION ALL
SELECT message_id, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM edge
WHERE (SELECT count(*) FROM matched) < %(fetch_limit)s
ORDER BY message_id DESC, is_match DESC

-- name: list_waiting_api_messages :many
-- A page of API messages that are queued: for a future time when `is_scheduled`, due or being retried otherwise too.
-- Reads the small table of what is not final, so its cost does not grow with the ledger.
SELECT
    m.message_id, true AS is_match, m.campaign_id, m.status, m.recipient, m.send_after, m.settled_at, m.attempt, m.reply,
    mc.tags, mc.subject, mc.created_at
FROM due_messages AS d
JOIN messages AS m USING (message_id)
JOIN message_contents AS mc USING (message_id)
WHERE d.account_id = %(account_id)s
  AND d.message_id < coalesce(%(after_id)s, 9223372036854775807)
  AND d.send_after > %(now)s
  AND m.status = 'queued'
  AND (%(pattern)s::text IS NULL OR m.recipient ILIKE %(pattern)s)
  AND (%(from)s::timestamptz IS NULL OR d.send_after >= %(from)s)
  AND (%(until)s::timestamptz IS NULL OR d.send_after < %(until)s)
ORDER BY d.message_id DESC
LIMIT %(fetch_limit)s

-- name: find_campaign_range :maybe
-- Which ids a campaign's messages have, so that the ledger's own index finds them.
SELECT
    c.campaign_id,
    coalesce((SELECT min(first_message_id) FROM batches AS b WHERE b.campaign_id = c.campaign_id), 1) AS first_id,
    coalesce((SELECT max(last_message_id) FROM batches AS b WHERE b.campaign_id = c.campaign_id), 0) AS last_id
FROM campaigns AS c
WHERE c.campaign_id = %(campaign_id)s AND c.account_id = %(account_id)s
