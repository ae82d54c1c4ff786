-- name: claim :many
-- Take an account's API messages that are due, oldest first.
-- Safe with many workers: SKIP LOCKED, and a row that a job holds is not taken again.
-- Each table is asked for these ids alone (ANY of an array): by a join, a plan made for any account would read them whole.
WITH taken AS (
    UPDATE due_messages d
    SET job_id = %(job_id)s
    WHERE d.message_id = ANY(ARRAY(
        SELECT message_id FROM due_messages
        WHERE account_id = %(account_id)s AND job_id IS NULL AND send_after <= %(until)s
        ORDER BY send_after, message_id
        LIMIT %(at_most)s
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING d.message_id
),
waited AS (
    UPDATE waits w SET ended_at = %(now)s
    WHERE w.message_id = ANY(ARRAY(SELECT message_id FROM taken)) AND w.ended_at IS NULL
),
contents AS MATERIALIZED (
    SELECT * FROM message_contents WHERE message_id = ANY(ARRAY(SELECT message_id FROM taken))
),
bodies AS MATERIALIZED (
    SELECT message_id, html, text_body FROM message_contents
    WHERE message_id = ANY(ARRAY(SELECT DISTINCT body_of FROM contents))
)
SELECT
    m.message_id, m.attempt, m.burned, m.recipient, m.send_after, m.status,
    k.subject, coalesce(k.html, b.html) AS html, coalesce(k.text_body, b.text_body) AS text_body,
    k.variables, k.deadline, k.created_at,
    s.sender_id, s.name AS from_name, s.email AS from_email, s.reply_to, s.relay_id
FROM messages m
JOIN contents k USING (message_id)
LEFT JOIN bodies b ON b.message_id = k.body_of
LEFT JOIN senders s ON s.account_id = m.account_id AND s.sender_id = coalesce(
    k.sender_id, (SELECT d.sender_id FROM senders d WHERE d.account_id = m.account_id AND d.is_default)
)
WHERE m.message_id = ANY(ARRAY(SELECT message_id FROM taken))
ORDER BY m.send_after, m.message_id;

-- name: count_due :one
-- How many could go now (at most `at_most`), and when the next one after that is due before `bucket_end`.
SELECT
    (
        SELECT count(*) FROM (
            SELECT 1 FROM due_messages
            WHERE account_id = %(account_id)s AND job_id IS NULL AND send_after <= %(until)s
            LIMIT %(at_most)s
        ) AS due
    ) AS due,
    (
        SELECT min(send_after) FROM due_messages
        WHERE account_id = %(account_id)s AND job_id IS NULL
            AND send_after > %(until)s AND send_after < %(bucket_end)s
    ) AS next_at;

-- name: put_back :count
-- Let go of messages that were taken and not sent; due again at `until`.
UPDATE due_messages d
SET job_id = NULL, send_after = greatest(d.send_after, %(until)s)
WHERE d.job_id = %(job_id)s AND d.message_id = ANY(%(ids)s::bigint[]);

-- name: wake_account :maybe
-- Make sure that a job looks at this account's due messages in the bucket of `at`.
WITH woken AS (
    INSERT INTO wakeups (account_id, bucket)
    VALUES (%(account_id)s, to_timestamp(floor(extract(epoch FROM %(at)s::timestamptz) / 5) * 5))
    ON CONFLICT DO NOTHING
    RETURNING account_id, bucket
)
INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
SELECT
    'messages', 'send_due',
    jsonb_build_object('id', account_id, 'epoch', extract(epoch FROM bucket)::bigint), greatest(bucket, %(at)s)
FROM woken
RETURNING id;

-- name: end_wakeup :count
-- From here on a new message of this bucket makes a new wake-up.
DELETE FROM wakeups WHERE account_id = %(account_id)s AND bucket = to_timestamp(%(epoch)s::bigint);

-- name: note_waits :count
-- Remember why due messages did not go: their account's limit had no permit.
INSERT INTO waits (account_id, message_id, limit_id, reason, started_at)
SELECT d.account_id, d.message_id, %(limit_id)s, 'limit', %(now)s
FROM due_messages d
WHERE d.account_id = %(account_id)s AND d.job_id IS NULL AND d.send_after <= %(now)s
    AND NOT EXISTS (SELECT 1 FROM waits w WHERE w.message_id = d.message_id AND w.ended_at IS NULL)
ORDER BY d.send_after
LIMIT 1000;

-- name: get_account :maybe
SELECT a.account_id, a.transport, a.is_demo FROM accounts a WHERE a.account_id = %(account_id)s;
