-- name: get_campaign :maybe
-- One campaign with its limit, its counts (from batches, never from messages) and what its audience may hold.
SELECT
    c.campaign_id, c.name, c.subject, c.preview_text, c.html, c.text_body, c.sender_id, c.audience,
    c.audience_duplicates, c.pacing, c.uncertain_policy, c.status, c.epoch, c.scheduled_at, c.launched_at,
    c.materialised_at, c.started_at, c.paused_at, c.finished_at, c.recipients, c.excluded_duplicates, c.error,
    c.created_at, c.updated_at,
    c.html IS NOT NULL OR c.text_body IS NOT NULL AS has_body,
    s.name AS sender_name, s.email AS sender_email,
    l.limit_id, l.max_count, l.window_s,
    i.rows_read - i.rows_duplicate - i.rows_rejected AS import_contacts,
    (
        SELECT sum(contact_count)::bigint
        FROM lists
        WHERE lists.account_id = c.account_id
          AND lists.list_id IN (SELECT jsonb_array_elements_text(c.audience -> 'list_ids')::bigint)
    ) AS list_contacts,
    i.filename AS import_filename,
    (
        SELECT array_agg(name ORDER BY list_id)
        FROM lists
        WHERE lists.account_id = c.account_id
          AND lists.list_id IN (SELECT jsonb_array_elements_text(c.audience -> 'list_ids')::bigint)
    ) AS list_names,
    b.*
FROM campaigns AS c
LEFT JOIN senders AS s ON s.account_id = c.account_id AND s.sender_id = c.sender_id
LEFT JOIN limits AS l ON l.campaign_id = c.campaign_id AND l.scope = 'campaign'
LEFT JOIN imports AS i
    ON i.account_id = c.account_id AND i.import_id = (c.audience ->> 'import_id')::bigint
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(total), 0)::bigint AS total, coalesce(sum(queued), 0)::bigint AS queued,
        coalesce(sum(sending), 0)::bigint AS sending, coalesce(sum(sent), 0)::bigint AS sent,
        coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(uncertain), 0)::bigint AS uncertain,
        coalesce(sum(suppressed), 0)::bigint AS suppressed, coalesce(sum(cancelled), 0)::bigint AS cancelled,
        coalesce(sum(expired), 0)::bigint AS expired
    FROM batches
    WHERE campaign_id = c.campaign_id
) AS b
WHERE c.account_id = %(account_id)s AND c.campaign_id = %(campaign_id)s;

-- name: list_campaigns :many
-- Newest first, without the bodies; or those of a page that find_campaign_page found.
SELECT
    c.campaign_id, c.name, c.subject, c.preview_text, c.sender_id, c.audience, c.audience_duplicates, c.pacing,
    c.uncertain_policy, c.status, c.epoch, c.scheduled_at, c.launched_at, c.materialised_at, c.started_at,
    c.paused_at, c.finished_at, c.recipients, c.excluded_duplicates, c.error, c.created_at, c.updated_at,
    c.html IS NOT NULL OR c.text_body IS NOT NULL AS has_body,
    s.name AS sender_name, s.email AS sender_email,
    l.limit_id, l.max_count, l.window_s,
    i.rows_read - i.rows_duplicate - i.rows_rejected AS import_contacts,
    (
        SELECT sum(contact_count)::bigint
        FROM lists
        WHERE lists.account_id = c.account_id
          AND lists.list_id IN (SELECT jsonb_array_elements_text(c.audience -> 'list_ids')::bigint)
    ) AS list_contacts,
    i.filename AS import_filename,
    (
        SELECT array_agg(name ORDER BY list_id)
        FROM lists
        WHERE lists.account_id = c.account_id
          AND lists.list_id IN (SELECT jsonb_array_elements_text(c.audience -> 'list_ids')::bigint)
    ) AS list_names,
    b.*
FROM campaigns AS c
LEFT JOIN senders AS s ON s.account_id = c.account_id AND s.sender_id = c.sender_id
LEFT JOIN limits AS l ON l.campaign_id = c.campaign_id AND l.scope = 'campaign'
LEFT JOIN imports AS i
    ON i.account_id = c.account_id AND i.import_id = (c.audience ->> 'import_id')::bigint
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(total), 0)::bigint AS total, coalesce(sum(queued), 0)::bigint AS queued,
        coalesce(sum(sending), 0)::bigint AS sending, coalesce(sum(sent), 0)::bigint AS sent,
        coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(uncertain), 0)::bigint AS uncertain,
        coalesce(sum(suppressed), 0)::bigint AS suppressed, coalesce(sum(cancelled), 0)::bigint AS cancelled,
        coalesce(sum(expired), 0)::bigint AS expired
    FROM batches
    WHERE campaign_id = c.campaign_id
) AS b
WHERE c.account_id = %(account_id)s
  AND (%(after_id)s::bigint IS NULL OR c.campaign_id < %(after_id)s::bigint)
  AND (%(campaign_ids)s::bigint[] IS NULL OR c.campaign_id = ANY (%(campaign_ids)s::bigint[]))
  AND (%(statuses)s::text[] IS NULL OR c.status = ANY (%(statuses)s::text[]))
  AND (
      %(q)s::text IS NULL
      OR strpos(lower(c.name), lower(%(q)s::text)) > 0
      OR strpos(lower(c.subject), lower(%(q)s::text)) > 0
  )
ORDER BY c.campaign_id DESC
LIMIT %(row_limit)s;

-- name: find_campaign_page :many
-- The page of a list in another order than newest first: ids, with the key that each was sorted by, as text. What was never
-- scheduled comes last either way. No index: sorting the 10,000 campaigns of one account takes some 20 ms.
SELECT campaign_id, sort_key
FROM (
    SELECT
        campaign_id,
        CASE %(sort_by)s::text
            WHEN 'name' THEN lower(name)
            WHEN 'updated' THEN to_char(updated_at, 'YYYY-MM-DD HH24:MI:SS.US')
            WHEN 'scheduled' THEN coalesce(
                to_char(scheduled_at, 'YYYY-MM-DD HH24:MI:SS.US'), CASE WHEN %(is_descending)s THEN '' ELSE 'never' END
            )
            ELSE ''
        END AS sort_key
    FROM campaigns
    WHERE account_id = %(account_id)s
      AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s::text[]))
      AND (
          %(q)s::text IS NULL
          OR strpos(lower(name), lower(%(q)s::text)) > 0
          OR strpos(lower(subject), lower(%(q)s::text)) > 0
      )
) AS keyed
WHERE %(after_id)s::bigint IS NULL
   OR CASE
       WHEN %(is_descending)s THEN (sort_key, campaign_id) < (%(after_key)s::text, %(after_id)s::bigint)
       ELSE (sort_key, campaign_id) > (%(after_key)s::text, %(after_id)s::bigint)
   END
ORDER BY
    CASE WHEN %(is_descending)s THEN sort_key END DESC, CASE WHEN %(is_descending)s THEN campaign_id END DESC,
    CASE WHEN NOT %(is_descending)s THEN sort_key END, CASE WHEN NOT %(is_descending)s THEN campaign_id END
LIMIT %(row_limit)s;

-- name: lock_campaign :maybe
-- The campaign's state, locked until the transaction ends, so that what is decided on it stays true.
SELECT
    campaign_id, name, subject, preview_text, html, text_body, sender_id, audience, audience_duplicates, pacing,
    uncertain_policy, status, epoch, scheduled_at, materialised_at, started_at, paused_at
FROM campaigns
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
FOR UPDATE;

-- name: insert_campaign :one
-- Make a draft.  Writes a row of campaigns.
INSERT INTO campaigns (
    account_id, name, subject, preview_text, html, text_body, sender_id, audience, pacing, uncertain_policy,
    created_at, updated_at
) VALUES (
    %(account_id)s, %(name)s, %(subject)s, %(preview_text)s, %(html)s, %(text_body)s, %(sender_id)s, %(audience)s,
    %(pacing)s, %(uncertain_policy)s, %(now)s, %(now)s
)
RETURNING campaign_id;

-- name: update_campaign :count
-- Change a draft.  Writes all that a person may edit.
UPDATE campaigns
SET name = %(name)s, subject = %(subject)s, preview_text = %(preview_text)s, html = %(html)s,
    text_body = %(text_body)s, sender_id = %(sender_id)s, audience = %(audience)s, pacing = %(pacing)s,
    uncertain_policy = %(uncertain_policy)s, updated_at = %(now)s
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status = 'draft';

-- name: delete_campaign :count
-- Remove a draft; its limit and its contact choices go with it, the contacts stay.
DELETE FROM campaigns
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status = 'draft';

-- name: duplicate_campaign :one
-- Copy what a person wrote and chose into a new draft.
INSERT INTO campaigns (
    account_id, name, subject, preview_text, html, text_body, sender_id, audience, audience_duplicates, pacing,
    uncertain_policy, created_at, updated_at
)
SELECT
    account_id, left('Copy of ' || name, 200), subject, preview_text, html, text_body, sender_id, audience,
    audience_duplicates, pacing, uncertain_policy, %(now)s, %(now)s
FROM campaigns
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
RETURNING campaign_id;

-- name: copy_contact_choices :count
-- Give a copied campaign the contacts that its original was given by hand.
INSERT INTO campaign_contacts (account_id, campaign_id, contact_id)
SELECT account_id, %(new_campaign_id)s, contact_id
FROM campaign_contacts
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s;

-- name: copy_limit :count
-- Give a copied campaign its original's limit.
INSERT INTO limits (account_id, scope, campaign_id, max_count, window_s, created_at, updated_at)
SELECT account_id, 'campaign', %(new_campaign_id)s, max_count, window_s, %(now)s, %(now)s
FROM limits
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND scope = 'campaign';

-- name: set_limit :count
-- Set the campaign's own limit.
INSERT INTO limits (account_id, scope, campaign_id, max_count, window_s, created_at, updated_at)
VALUES (%(account_id)s, 'campaign', %(campaign_id)s, %(max_count)s, %(window_s)s, %(now)s, %(now)s)
ON CONFLICT (campaign_id) WHERE scope = 'campaign'
DO UPDATE SET max_count = excluded.max_count, window_s = excluded.window_s, updated_at = excluded.updated_at;

-- name: delete_limit :count
-- Take the campaign's own limit away.
DELETE FROM limits
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND scope = 'campaign';

-- name: clear_contact_choices :count
-- Forget the contacts that were given by hand.
DELETE FROM campaign_contacts WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s;

-- name: choose_contacts :count
-- Make or update the contacts of `contacts` ([{"email", "attributes"}]) and choose them for the campaign; of an address
-- given twice the last one counts.  Writes contacts, campaign_contacts.  In the order of addresses, so that two of them
-- at once cannot lock each other out.
WITH given AS (
    SELECT DISTINCT ON (lower(item ->> 'email')) item ->> 'email' AS email, item -> 'attributes' AS attributes
    FROM jsonb_array_elements(%(contacts)s::jsonb) WITH ORDINALITY AS listed (item, position)
    ORDER BY lower(item ->> 'email'), position DESC
), kept AS (
    INSERT INTO contacts (account_id, email, attributes, created_at, updated_at)
    SELECT %(account_id)s, email, attributes, %(now)s, %(now)s
    FROM given
    ON CONFLICT (account_id, email_key)
    DO UPDATE SET attributes = contacts.attributes || excluded.attributes, updated_at = excluded.updated_at
    RETURNING contact_id
)
INSERT INTO campaign_contacts (account_id, campaign_id, contact_id)
SELECT %(account_id)s, %(campaign_id)s, contact_id
FROM kept;

-- name: set_audience :count
-- Note whom the draft is for, and how many addresses were given twice.
UPDATE campaigns
SET audience = %(audience)s, audience_duplicates = %(duplicates)s
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status = 'draft';

-- name: get_import :maybe
-- What an audience needs to know of an import.
SELECT import_id, status, mapping
FROM imports
WHERE account_id = %(account_id)s AND import_id = %(import_id)s;

-- name: find_lists :many
-- Which of these lists the account has.
SELECT list_id
FROM lists
WHERE account_id = %(account_id)s AND list_id = ANY (%(list_ids)s::bigint[]);

-- name: list_attribute_names :many
-- Merge values that the contacts of these lists have, by a bounded sample: the oldest and the newest of each list.
SELECT DISTINCT attribute AS name
FROM unnest(%(list_ids)s::bigint[]) AS chosen (list_id)
CROSS JOIN LATERAL (
    (SELECT contact_id FROM list_contacts WHERE list_id = chosen.list_id ORDER BY contact_id LIMIT 500)
    UNION ALL
    (SELECT contact_id FROM list_contacts WHERE list_id = chosen.list_id ORDER BY contact_id DESC LIMIT 500)
) AS sampled
JOIN contacts AS c ON c.contact_id = sampled.contact_id AND c.account_id = %(account_id)s
CROSS JOIN LATERAL jsonb_object_keys(c.attributes) AS attribute;

-- name: get_first_contact :maybe
-- The first contact of an audience: whom the preview shows when nobody is named.
SELECT c.contact_id, c.email, c.attributes
FROM (
    (
        SELECT contact_id FROM import_contacts
        WHERE account_id = %(account_id)s AND import_id = %(import_id)s::bigint
        ORDER BY contact_id LIMIT 1
    )
    UNION ALL
    (
        SELECT contact_id FROM list_contacts
        WHERE account_id = %(account_id)s AND list_id = ANY (%(list_ids)s::bigint[])
        ORDER BY list_id, contact_id LIMIT 1
    )
    UNION ALL
    (
        SELECT contact_id FROM campaign_contacts
        WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
        ORDER BY contact_id LIMIT 1
    )
) AS members
JOIN contacts AS c ON c.contact_id = members.contact_id AND c.account_id = %(account_id)s
LIMIT 1;

-- name: list_audience :many
-- The contacts of an audience by id. Each of its sources gives at most a page, so that a page costs a page; with `q`, what
-- has to be read until one is full, up to `end_id`.
SELECT DISTINCT page.contact_id, page.email, page.attributes
FROM (
    (
        SELECT c.contact_id, c.email, c.attributes
        FROM import_contacts AS i
        JOIN contacts AS c ON c.contact_id = i.contact_id AND c.account_id = i.account_id
        WHERE i.account_id = %(account_id)s AND i.import_id = %(import_id)s::bigint
          AND i.contact_id > %(after_id)s::bigint
          AND (%(end_id)s::bigint IS NULL OR i.contact_id <= %(end_id)s::bigint)
          AND (%(q)s::text IS NULL OR strpos(c.email_key, lower(%(q)s::text)) > 0)
        ORDER BY i.contact_id
        LIMIT %(row_limit)s
    )
    UNION ALL
    SELECT member.contact_id, member.email, member.attributes
    FROM unnest(%(list_ids)s::bigint[]) AS chosen (list_id)
    CROSS JOIN LATERAL (
        SELECT c.contact_id, c.email, c.attributes
        FROM list_contacts AS l
        JOIN contacts AS c ON c.contact_id = l.contact_id AND c.account_id = l.account_id
        WHERE l.account_id = %(account_id)s AND l.list_id = chosen.list_id
          AND l.contact_id > %(after_id)s::bigint
          AND (%(end_id)s::bigint IS NULL OR l.contact_id <= %(end_id)s::bigint)
          AND (%(q)s::text IS NULL OR strpos(c.email_key, lower(%(q)s::text)) > 0)
        ORDER BY l.contact_id
        LIMIT %(row_limit)s
    ) AS member
    UNION ALL
    (
        SELECT c.contact_id, c.email, c.attributes
        FROM campaign_contacts AS k
        JOIN contacts AS c ON c.contact_id = k.contact_id AND c.account_id = k.account_id
        WHERE k.account_id = %(account_id)s AND k.campaign_id = %(campaign_id)s
          AND k.contact_id > %(after_id)s::bigint
          AND (%(end_id)s::bigint IS NULL OR k.contact_id <= %(end_id)s::bigint)
          AND (%(q)s::text IS NULL OR strpos(c.email_key, lower(%(q)s::text)) > 0)
        ORDER BY k.contact_id
        LIMIT %(row_limit)s
    )
) AS page
ORDER BY page.contact_id
LIMIT %(row_limit)s;

-- name: find_audience_scan_end :maybe
-- The contact that a search through an audience looks at last, so that no request looks at more than `scan_limit` of them.
SELECT contact_id
FROM contacts
WHERE account_id = %(account_id)s AND contact_id > %(after_id)s::bigint
ORDER BY contact_id
OFFSET %(scan_limit)s - 1
LIMIT 1;

-- name: find_in_audience :many
-- The contact of an audience with exactly this address, if any.
SELECT c.contact_id, c.email, c.attributes
FROM contacts AS c
WHERE c.account_id = %(account_id)s AND c.email_key = lower(%(email)s) AND c.contact_id > %(after_id)s::bigint
  AND (
      EXISTS (
          SELECT FROM import_contacts AS i
          WHERE i.import_id = %(import_id)s::bigint AND i.contact_id = c.contact_id
      )
      OR EXISTS (
          SELECT FROM list_contacts AS l
          WHERE l.list_id = ANY (%(list_ids)s::bigint[]) AND l.contact_id = c.contact_id
      )
      OR EXISTS (
          SELECT FROM campaign_contacts AS k
          WHERE k.campaign_id = %(campaign_id)s AND k.contact_id = c.contact_id
      )
  );

-- name: get_contact :maybe
-- The contact that a preview was asked for.
SELECT contact_id, email, attributes
FROM contacts
WHERE account_id = %(account_id)s AND contact_id = %(contact_id)s;

-- name: launch :maybe
-- draft -> scheduled.  Writes status, epoch, times.
UPDATE campaigns
SET status = 'scheduled', epoch = epoch + 1, scheduled_at = %(scheduled_at)s, launched_at = %(now)s,
    error = NULL, updated_at = %(now)s
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status = 'draft'
RETURNING epoch;

-- name: unschedule :maybe
-- scheduled -> draft, as long as nothing was sent.  Writes status, epoch, times.
UPDATE campaigns
SET status = 'draft', epoch = epoch + 1, scheduled_at = NULL, launched_at = NULL, materialised_at = NULL,
    recipients = NULL, excluded_duplicates = 0, updated_at = %(now)s
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
  AND status = 'scheduled' AND started_at IS NULL
RETURNING epoch;

-- name: get_message_range :one
-- Where in the ledger the campaign's messages are: ids for a range scan. 0 and 0 when there are none.
SELECT coalesce(min(first_message_id), 0) AS first_id, coalesce(max(last_message_id), 0) AS last_id
FROM batches
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s;

-- name: delete_messages :count
-- Unmake the messages of a campaign that went back to draft.
DELETE FROM messages
WHERE message_id BETWEEN %(first_id)s AND %(last_id)s
  AND account_id = %(account_id)s AND campaign_id = %(campaign_id)s;

-- name: delete_batches :count
-- Unmake the batches of a campaign that went back to draft.
DELETE FROM batches WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s;

-- name: pause :maybe
-- scheduled or sending -> paused. The mark of each message asks for status and epoch, so this commit stops them.
UPDATE campaigns
SET status = 'paused', epoch = epoch + 1, paused_at = %(now)s, updated_at = %(now)s
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status IN ('scheduled', 'sending')
RETURNING epoch;

-- name: resume :maybe
-- paused -> sending when it has its messages and its time has come, else scheduled.  Writes status, epoch, started_at.
UPDATE campaigns
SET status = CASE
        WHEN materialised_at IS NOT NULL AND (started_at IS NOT NULL OR scheduled_at <= %(now)s) THEN 'sending'
        ELSE 'scheduled'
    END,
    started_at = CASE
        WHEN materialised_at IS NOT NULL AND scheduled_at <= %(now)s THEN coalesce(started_at, %(now)s)
        ELSE started_at
    END,
    epoch = epoch + 1, paused_at = NULL, error = NULL, updated_at = %(now)s
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status = 'paused'
RETURNING epoch, status, scheduled_at, materialised_at;

-- name: resume_batches :count
-- Wake all open batches of a campaign under its new epoch, with one job for each, and note why they were late.
-- Writes batches, waits (the one on a limit ended with the pause; the pause itself), jobs.
WITH open AS (
    SELECT batch_id, account_id, ordinal, due_at
    FROM batches
    WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status IN ('queued', 'waiting')
    ORDER BY batch_id
    FOR UPDATE
), woken AS (
    UPDATE batches AS b
    SET status = 'queued', waiting_limit_id = NULL, waiting_since = NULL, due_at = greatest(b.due_at, %(now)s)
    FROM open
    WHERE b.batch_id = open.batch_id
    RETURNING b.batch_id, b.ordinal, b.due_at
), ended AS (
    UPDATE waits AS w
    SET ended_at = greatest(w.started_at, %(paused_at)s)
    FROM open
    WHERE w.batch_id = open.batch_id AND w.ended_at IS NULL
), noted AS (
    INSERT INTO waits (account_id, batch_id, reason, started_at, ended_at)
    SELECT account_id, batch_id, 'paused', greatest(due_at, %(paused_at)s), %(now)s
    FROM open
    WHERE greatest(due_at, %(paused_at)s) < %(now)s
)
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, scheduled_at)
SELECT
    'batches', 'send_batch', -least(ordinal, 20),
    jsonb_build_object('id', batch_id, 'epoch', %(epoch)s::integer),
    CASE WHEN due_at > %(now)s THEN due_at END
FROM woken
ORDER BY ordinal;

-- name: finish_if_done :count
-- sending -> sent when no batch is open any more: its last batch may have ended while it was paused.
UPDATE campaigns AS c
SET status = 'sent', finished_at = %(now)s, updated_at = %(now)s
WHERE c.account_id = %(account_id)s AND c.campaign_id = %(campaign_id)s AND c.status = 'sending'
  AND NOT EXISTS (
      SELECT 1 FROM batches AS b
      WHERE b.campaign_id = c.campaign_id AND b.status IN ('queued', 'running', 'waiting')
  );

-- name: cancel :maybe
-- scheduled, sending or paused -> cancelled. What is queued is moved to 'cancelled' by the job close_campaign.
UPDATE campaigns
SET status = 'cancelled', epoch = epoch + 1, finished_at = %(now)s, paused_at = NULL, updated_at = %(now)s
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
  AND status IN ('scheduled', 'sending', 'paused')
RETURNING epoch;

-- name: end_waits :count
-- The batches of a cancelled campaign wait for nothing any more.
UPDATE waits AS w
SET ended_at = greatest(w.started_at, %(now)s)
FROM batches AS b
WHERE b.account_id = %(account_id)s AND b.campaign_id = %(campaign_id)s AND b.status = 'waiting'
  AND w.batch_id = b.batch_id AND w.ended_at IS NULL;

-- name: reopen :maybe
-- sent -> sending, because messages are queued again. Under way or paused it stays what it is, with its epoch: batches
-- that are running go on.
UPDATE campaigns
SET status = CASE WHEN status = 'sent' THEN 'sending' ELSE status END,
    epoch = CASE WHEN status = 'sent' THEN epoch + 1 ELSE epoch END,
    finished_at = NULL, updated_at = %(now)s
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status IN ('sent', 'sending', 'paused')
RETURNING epoch, status;

-- name: requeue_messages :one
-- Queue again the messages of done batches whose status is `status` ('failed' or 'uncertain'), and those batches.
-- Writes messages, attempts (what had been the latest), batches with their counters, and, unless the campaign is
-- paused, one job for each batch: all in this statement, so the counters cannot differ from the rows.
WITH done AS (
    SELECT batch_id
    FROM batches
    WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status = 'done'
      AND CASE %(status)s::text WHEN 'failed' THEN failed ELSE uncertain END > 0
    ORDER BY batch_id
    FOR UPDATE
), moved AS (
    UPDATE messages AS m
    SET status = 'queued', send_after = %(now)s, burned = 0
    FROM done
    WHERE m.message_id BETWEEN %(first_id)s AND %(last_id)s
      AND m.account_id = %(account_id)s AND m.batch_id = done.batch_id AND m.status = %(status)s::text
    RETURNING m.message_id, m.batch_id, m.attempt, m.marked_at, m.settled_at, m.reply
), remembered AS (
    INSERT INTO attempts (message_id, attempt, account_id, marked_at, settled_at, outcome, reply)
    SELECT message_id, attempt, %(account_id)s, marked_at, settled_at, %(status)s::text, reply
    FROM moved
    WHERE attempt > 0
    ON CONFLICT (message_id, attempt) DO NOTHING
), tallied AS (
    SELECT batch_id, count(*)::integer AS moved_count FROM moved GROUP BY batch_id
), woken AS (
    UPDATE batches AS b
    SET status = 'queued', due_at = %(now)s, finished_at = NULL, queued = b.queued + t.moved_count,
        failed = b.failed - CASE %(status)s::text WHEN 'failed' THEN t.moved_count ELSE 0 END,
        uncertain = b.uncertain - CASE %(status)s::text WHEN 'failed' THEN 0 ELSE t.moved_count END
    FROM tallied AS t
    WHERE b.batch_id = t.batch_id
    RETURNING b.batch_id, b.ordinal
), deferred AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)
    SELECT
        'batches', 'send_batch', -least(ordinal, 20),
        jsonb_build_object('id', batch_id, 'epoch', %(epoch)s::integer)
    FROM woken
    WHERE %(with_jobs)s::boolean
    ORDER BY ordinal
)
SELECT coalesce(sum(moved_count), 0)::integer AS message_count FROM tallied;

-- name: accept_uncertain :one
-- Count the uncertain messages of batches that are not running as sent: their owner says that they arrived.
-- Writes messages and the batches' counters in one statement.
WITH still AS (
    SELECT batch_id
    FROM batches
    WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s AND status <> 'running' AND uncertain > 0
    ORDER BY batch_id
    FOR UPDATE
), moved AS (
    UPDATE messages AS m
    SET status = 'sent', settled_at = coalesce(m.settled_at, %(now)s)
    FROM still
    WHERE m.message_id BETWEEN %(first_id)s AND %(last_id)s
      AND m.account_id = %(account_id)s AND m.batch_id = still.batch_id AND m.status = 'uncertain'
    RETURNING m.batch_id
), tallied AS (
    SELECT batch_id, count(*)::integer AS moved_count FROM moved GROUP BY batch_id
), counted AS (
    UPDATE batches AS b
    SET sent = b.sent + t.moved_count, uncertain = b.uncertain - t.moved_count
    FROM tallied AS t
    WHERE b.batch_id = t.batch_id
    RETURNING b.batch_id
)
SELECT coalesce(sum(moved_count), 0)::integer AS message_count FROM tallied;

-- name: get_progress :maybe
-- All that the live page shows of one campaign, from its batches; lateness is over first claims.
SELECT
    c.status, c.pacing, c.scheduled_at, c.started_at, c.finished_at, c.materialised_at, c.recipients, b.*
FROM campaigns AS c
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(total), 0)::bigint AS total, coalesce(sum(queued), 0)::bigint AS queued,
        coalesce(sum(sending), 0)::bigint AS sending, coalesce(sum(sent), 0)::bigint AS sent,
        coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(uncertain), 0)::bigint AS uncertain,
        coalesce(sum(suppressed), 0)::bigint AS suppressed, coalesce(sum(cancelled), 0)::bigint AS cancelled,
        coalesce(sum(expired), 0)::bigint AS expired,
        min(due_at) FILTER (WHERE batches.status IN ('queued', 'waiting')) AS next_due_at,
        min(limits.resume_at) FILTER (WHERE batches.status = 'waiting') AS resumes_at,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms) AS lateness_p50_ms,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) AS lateness_p99_ms,
        max(lateness_ms) AS lateness_max_ms
    FROM batches
    LEFT JOIN limits ON limits.limit_id = batches.waiting_limit_id
    WHERE batches.campaign_id = c.campaign_id
) AS b
WHERE c.account_id = %(account_id)s AND c.campaign_id = %(campaign_id)s;

-- name: get_rate :one
-- Results in the last five full seconds, and the best second of the last minute.
SELECT
    coalesce(sum(results) FILTER (WHERE at_second >= %(second)s::timestamptz - interval '5 seconds'), 0)::bigint AS last_5_s,
    coalesce(max(results), 0)::bigint AS best
FROM (
    SELECT at_second, sum(sent + failed) AS results
    FROM throughput
    WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
      AND at_second >= %(second)s::timestamptz - interval '60 seconds' AND at_second < %(second)s::timestamptz
    GROUP BY at_second
) AS seconds;

-- name: get_throughput_span :maybe
-- From when to when a campaign was sent, as far as it is known.
SELECT started_at, finished_at, status FROM campaigns
WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s;

-- name: list_throughput :many
-- Results by step of step_s seconds from `since` until before `until`; steps without results are 0.
SELECT
    step.at,
    coalesce(sum(t.sent), 0)::bigint AS sent,
    coalesce(sum(t.failed), 0)::bigint AS failed,
    coalesce(sum(t.retried), 0)::bigint AS retried
FROM generate_series(
    %(since)s::timestamptz, %(until)s::timestamptz - interval '1 millisecond', make_interval(secs => %(step_s)s)
) AS step (at)
LEFT JOIN (
    SELECT
        date_bin(make_interval(secs => %(step_s)s), at_second, %(since)s::timestamptz) AS at, sent, failed, retried
    FROM throughput
    WHERE campaign_id = %(campaign_id)s AND account_id = %(account_id)s
      AND at_second >= %(since)s::timestamptz AND at_second < %(until)s::timestamptz
) AS t ON t.at = step.at
GROUP BY step.at
ORDER BY step.at;

-- name: list_campaign_messages :many
-- A campaign's messages, last first. With a status only those batches are read whose counter says that they hold one,
-- so a single failure among a million is found at once.
SELECT
    m.message_id, m.contact_id, m.recipient, m.status, m.attempt, m.send_after, m.marked_at, m.settled_at, m.reply
FROM (
    SELECT batch_id, ordinal, first_message_id, last_message_id
    FROM batches
    WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
      AND (%(after_id)s::bigint IS NULL OR first_message_id < %(after_id)s::bigint)
      AND CASE %(status)s::text
          WHEN 'queued' THEN queued WHEN 'sending' THEN sending WHEN 'sent' THEN sent WHEN 'failed' THEN failed
          WHEN 'uncertain' THEN uncertain WHEN 'suppressed' THEN suppressed WHEN 'cancelled' THEN cancelled
          WHEN 'expired' THEN expired ELSE total
      END > 0
    ORDER BY ordinal DESC
) AS b
CROSS JOIN LATERAL (
    SELECT message_id, contact_id, recipient, status, attempt, send_after, marked_at, settled_at, reply
    FROM messages
    WHERE message_id BETWEEN b.first_message_id AND b.last_message_id
      AND batch_id = b.batch_id AND account_id = %(account_id)s
      AND (%(after_id)s::bigint IS NULL OR message_id < %(after_id)s::bigint)
      AND (%(status)s::text IS NULL OR status = %(status)s::text)
      AND (%(q)s::text IS NULL OR strpos(lower(recipient), lower(%(q)s::text)) > 0)
    ORDER BY message_id DESC
    LIMIT %(row_limit)s
) AS m
ORDER BY b.ordinal DESC, m.message_id DESC
LIMIT %(row_limit)s;

-- name: find_message_by_address :many
-- The campaign's message to exactly this address, by index.
SELECT
    m.message_id, m.contact_id, m.recipient, m.status, m.attempt, m.send_after, m.marked_at, m.settled_at, m.reply
FROM contacts AS c
JOIN messages AS m ON m.campaign_id = %(campaign_id)s AND m.contact_id = c.contact_id
WHERE c.account_id = %(account_id)s AND c.email_key = lower(%(address)s) AND m.account_id = %(account_id)s
  AND (%(status)s::text IS NULL OR m.status = %(status)s::text);
