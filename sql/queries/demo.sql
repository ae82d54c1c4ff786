-- name: find_fresh_account :maybe
-- A demo account that was seeded a moment ago and that nobody has entered. Locked, so that two visitors never share one.
SELECT account_id
FROM accounts
WHERE is_demo
  AND created_at > %(since)s
  AND NOT EXISTS (SELECT FROM memberships WHERE memberships.account_id = accounts.account_id)
ORDER BY account_id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: has_account :one
SELECT EXISTS (SELECT FROM accounts WHERE is_demo) AS is_there;

-- name: insert_contacts :count
-- 500 people from lists of names. Addresses at bounce.test and later.test are refused by the sandbox, for good or for now.
WITH people AS (
    SELECT
        n,
        (%(first_names)s::text[])[1 + (n * 7) %% cardinality(%(first_names)s::text[])] AS first_name,
        (%(last_names)s::text[])[1 + (n * 11 + n / 40) %% cardinality(%(last_names)s::text[])] AS last_name,
        (%(cities)s::text[])[1 + (n * 13) %% cardinality(%(cities)s::text[])] AS city,
        (ARRAY['Free', 'Free', 'Plus', 'Pro'])[1 + (n * 5) %% 4] AS plan,
        CASE WHEN n %% 71 = 5 THEN 'bounce.test' WHEN n %% 53 = 7 THEN 'later.test'
            ELSE (ARRAY['mail.example.test', 'post.example.test', 'example.test'])[1 + n %% 3] END AS domain
    FROM generate_series(0, 499) AS n
)
INSERT INTO contacts (account_id, email, attributes, created_at, updated_at)
SELECT
    %(account_id)s,
    lower(first_name) || '.' || lower(last_name) || n || '@' || domain,
    jsonb_build_object(
        'first_name', first_name, 'last_name', last_name, 'city', city, 'plan', plan,
        'member_since', (2019 + (n * 3) %% 7)::text
    ),
    %(now)s::timestamptz - interval '40 days' + n * interval '90 minutes',
    %(now)s::timestamptz - interval '40 days' + n * interval '90 minutes'
FROM people
ORDER BY n;

-- name: insert_lists :one
-- Two lists of the account's contacts: the first 480 and the last 300.
WITH ranked AS (
    SELECT contact_id, row_number() OVER (ORDER BY contact_id) AS place FROM contacts WHERE account_id = %(account_id)s
), newsletter AS (
    INSERT INTO lists (account_id, name, description, created_at, updated_at)
    VALUES (%(account_id)s, 'Newsletter', 'Everybody who signed up on the site.', %(before)s, %(before)s)
    RETURNING list_id
), customers AS (
    INSERT INTO lists (account_id, name, description, created_at, updated_at)
    VALUES (%(account_id)s, 'Customers', 'People who have bought at least once.', %(before)s, %(before)s)
    RETURNING list_id
), members AS (
    INSERT INTO list_contacts (account_id, list_id, contact_id, added_at)
    SELECT %(account_id)s, newsletter.list_id, ranked.contact_id, %(before)s FROM ranked, newsletter WHERE place <= 480
    UNION ALL
    SELECT %(account_id)s, customers.list_id, ranked.contact_id, %(before)s FROM ranked, customers WHERE place > 200
)
SELECT newsletter.list_id AS newsletter_id, customers.list_id AS customers_id FROM newsletter, customers;

-- name: suppress_some :count
-- Three people who unsubscribed before the sent campaign.
INSERT INTO suppressions (account_id, email_key, reason, created_at)
SELECT %(account_id)s, email_key, 'unsubscribe', %(before)s
FROM (SELECT email_key FROM contacts WHERE account_id = %(account_id)s ORDER BY contact_id OFFSET 118 LIMIT 3) AS chosen
ON CONFLICT DO NOTHING;

-- name: insert_sent_campaign :one
INSERT INTO campaigns (
    account_id, name, subject, preview_text, html, text_body, sender_id, audience, pacing, status, epoch,
    scheduled_at, launched_at, materialised_at, started_at, finished_at, recipients, created_at, updated_at
)
SELECT
    %(account_id)s, %(name)s, %(subject)s, %(preview_text)s, %(html)s, %(text_body)s,
    (SELECT sender_id FROM senders WHERE account_id = %(account_id)s AND is_default),
    %(audience)s, 'smooth', 'sent', 1,
    %(started_at)s::timestamptz, %(started_at)s::timestamptz - interval '1 hour',
    %(started_at)s::timestamptz - interval '30 seconds', %(started_at)s, %(finished_at)s, 480,
    %(started_at)s::timestamptz - interval '1 day', %(finished_at)s
RETURNING campaign_id;

-- name: insert_sent_messages :one
-- What is left of a campaign that was sent, one message each 30 seconds: its messages with replies, its batches of 48,
-- the suppressions of its bounces, and the seconds of the chart.
-- Writes messages, batches, suppressions, throughput.
WITH ranked AS MATERIALIZED (
    SELECT
        row_number() OVER (ORDER BY contact.contact_id) - 1 AS n,
        contact.contact_id,
        contact.email,
        contact.email_key,
        EXISTS (
            SELECT FROM suppressions s WHERE s.account_id = contact.account_id AND s.email_key = contact.email_key
        ) AS is_suppressed
    FROM list_contacts AS member
    JOIN contacts AS contact USING (account_id, contact_id)
    WHERE member.list_id = %(list_id)s
), cut AS MATERIALIZED (
    SELECT ordinal, nextval(pg_get_serial_sequence('batches', 'batch_id')) AS batch_id
    FROM generate_series(0, 9) AS ordinal
), timed AS MATERIALIZED (
    SELECT
        ranked.n, ranked.contact_id, ranked.email, ranked.email_key, cut.batch_id, cut.ordinal,
        %(started_at)s::timestamptz + ranked.n * interval '30 seconds' AS send_after,
        CASE WHEN ranked.is_suppressed THEN 'suppressed'
            WHEN ranked.email_key LIKE '%%@bounce.test' THEN 'failed'
            ELSE 'sent' END AS status
    FROM ranked
    JOIN cut ON cut.ordinal = ranked.n / 48
), made AS (
    INSERT INTO messages (
        account_id, campaign_id, batch_id, contact_id, send_after, marked_at, settled_at, attempt, status, recipient, reply
    )
    SELECT
        %(account_id)s, %(campaign_id)s, batch_id, contact_id, send_after,
        CASE WHEN status <> 'suppressed' THEN send_after + interval '3 milliseconds' END,
        CASE WHEN status <> 'suppressed' THEN send_after + (9 + n %% 23) * interval '1 millisecond' END,
        CASE WHEN status <> 'suppressed' THEN 1 ELSE 0 END,
        status, email,
        CASE status WHEN 'sent' THEN '250 2.0.0 Ok: queued as ' || upper(substr(md5(email), 1, 10))
            WHEN 'failed' THEN '550 5.1.1 <' || email || '>: user unknown' END
    FROM timed
    ORDER BY n
    RETURNING message_id, batch_id, contact_id, status
), bounced AS (
    INSERT INTO suppressions (account_id, email_key, reason, message_id, created_at)
    SELECT %(account_id)s, timed.email_key, 'hard_bounce', made.message_id, timed.send_after
    FROM made JOIN timed USING (contact_id)
    WHERE made.status = 'failed'
    ON CONFLICT DO NOTHING
), kept AS (
    INSERT INTO batches (
        batch_id, account_id, campaign_id, ordinal, status, due_at, run, first_message_id, last_message_id,
        total, queued, sent, failed, suppressed, lateness_ms, started_at, finished_at
    )
    OVERRIDING SYSTEM VALUE
    SELECT
        cut.batch_id, %(account_id)s, %(campaign_id)s, cut.ordinal, 'done',
        %(started_at)s::timestamptz + cut.ordinal * interval '24 minutes', 1, min(made.message_id), max(made.message_id),
        count(*), 0, count(*) FILTER (WHERE made.status = 'sent'), count(*) FILTER (WHERE made.status = 'failed'),
        count(*) FILTER (WHERE made.status = 'suppressed'), 3 + (cut.ordinal * 7) %% 11,
        %(started_at)s::timestamptz + cut.ordinal * interval '24 minutes',
        %(started_at)s::timestamptz + (cut.ordinal + 1) * interval '24 minutes'
    FROM made
    JOIN cut USING (batch_id)
    GROUP BY cut.batch_id, cut.ordinal
), seconds AS (
    INSERT INTO throughput (account_id, at_second, campaign_id, writer_id, sent, failed)
    SELECT
        %(account_id)s, date_trunc('second', send_after), %(campaign_id)s, 0,
        (status = 'sent')::integer, (status = 'failed')::integer
    FROM timed
    WHERE status <> 'suppressed'
    ON CONFLICT DO NOTHING
)
SELECT count(*) AS messages FROM made;
