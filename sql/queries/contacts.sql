-- name: insert_contact :maybe
-- No row: the address is known.
INSERT INTO contacts (account_id, email, attributes, created_at, updated_at)
VALUES (%(account_id)s, %(email)s, %(attributes)s, %(now)s, %(now)s)
ON CONFLICT (account_id, email_key) DO NOTHING
RETURNING contact_id, email, attributes, created_at, updated_at;

-- name: get_contact :maybe
SELECT c.contact_id, c.email, c.attributes, c.created_at, c.updated_at, s.reason AS suppressed,
    coalesce(
        (SELECT array_agg(l.list_id ORDER BY l.list_id) FROM list_contacts AS l WHERE l.contact_id = c.contact_id), '{}'
    ) AS list_ids
FROM contacts AS c
LEFT JOIN suppressions AS s ON s.account_id = c.account_id AND s.email_key = c.email_key
WHERE c.account_id = %(account_id)s AND c.contact_id = %(contact_id)s;

-- name: list_contacts :many
-- Newest first. The limit stands below the join, so that a page costs a page.
SELECT page.contact_id, page.email, page.attributes, page.created_at, page.updated_at, s.reason AS suppressed
FROM (
    SELECT contact_id, account_id, email, email_key, attributes, created_at, updated_at
    FROM contacts
    WHERE account_id = %(account_id)s AND (%(after_id)s::bigint IS NULL OR contact_id < %(after_id)s::bigint)
    ORDER BY contact_id DESC
    LIMIT %(limit)s
) AS page
LEFT JOIN suppressions AS s ON s.account_id = page.account_id AND s.email_key = page.email_key
ORDER BY page.contact_id DESC;

-- name: list_members :many
-- Of one list, newest contact first.
SELECT page.contact_id, page.email, page.attributes, page.created_at, page.updated_at, s.reason AS suppressed
FROM (
    SELECT contact_id
    FROM list_contacts
    WHERE list_id = %(list_id)s
      AND account_id = %(account_id)s
      AND (%(after_id)s::bigint IS NULL OR contact_id < %(after_id)s::bigint)
    ORDER BY contact_id DESC
    LIMIT %(limit)s
) AS member
JOIN contacts AS page ON page.contact_id = member.contact_id AND page.account_id = %(account_id)s
LEFT JOIN suppressions AS s ON s.account_id = page.account_id AND s.email_key = page.email_key
ORDER BY page.contact_id DESC;

-- name: find_contacts :many
-- Whose address or name holds the text, newest first down to `end_id` (find_scan_end); of one list when it is given. A whole
-- address is found by its key.
SELECT page.contact_id, page.email, page.attributes, page.created_at, page.updated_at, s.reason AS suppressed
FROM (
    SELECT c.contact_id, c.account_id, c.email, c.email_key, c.attributes, c.created_at, c.updated_at
    FROM contacts AS c
    WHERE c.account_id = %(account_id)s
      AND (%(after_id)s::bigint IS NULL OR c.contact_id < %(after_id)s::bigint)
      AND (%(end_id)s::bigint IS NULL OR c.contact_id >= %(end_id)s::bigint)
      AND (
          strpos(c.email_key, lower(%(q)s)) > 0
          OR strpos(lower(coalesce(c.attributes ->> 'first_name', '')), lower(%(q)s)) > 0
          OR strpos(lower(coalesce(c.attributes ->> 'last_name', '')), lower(%(q)s)) > 0
          OR strpos(lower(coalesce(c.attributes ->> 'name', '')), lower(%(q)s)) > 0
      )
      AND (
          %(list_id)s::bigint IS NULL
          OR EXISTS (SELECT FROM list_contacts AS l WHERE l.list_id = %(list_id)s::bigint AND l.contact_id = c.contact_id)
      )
    ORDER BY c.contact_id DESC
    LIMIT %(limit)s
) AS page
LEFT JOIN suppressions AS s ON s.account_id = page.account_id AND s.email_key = page.email_key
ORDER BY page.contact_id DESC;

-- name: find_scan_end :maybe
-- The contact that a search looks at last, so that no request looks at more than `scan_limit`; none when there are fewer.
SELECT contact_id
FROM contacts
WHERE account_id = %(account_id)s AND (%(after_id)s::bigint IS NULL OR contact_id < %(after_id)s::bigint)
ORDER BY contact_id DESC
OFFSET %(scan_limit)s - 1
LIMIT 1;

-- name: find_by_email :many
-- The contact with exactly this address, if any.
SELECT c.contact_id, c.email, c.attributes, c.created_at, c.updated_at, s.reason AS suppressed
FROM contacts AS c
LEFT JOIN suppressions AS s ON s.account_id = c.account_id AND s.email_key = c.email_key
WHERE c.account_id = %(account_id)s
  AND c.email_key = lower(%(email)s)
  AND (%(after_id)s::bigint IS NULL OR c.contact_id < %(after_id)s::bigint)
  AND (
      %(list_id)s::bigint IS NULL
      OR EXISTS (SELECT FROM list_contacts AS l WHERE l.list_id = %(list_id)s::bigint AND l.contact_id = c.contact_id)
  )
LIMIT %(limit)s;

-- name: lock_contact :maybe
SELECT contact_id, email, attributes
FROM contacts
WHERE account_id = %(account_id)s AND contact_id = %(contact_id)s
FOR UPDATE;

-- name: update_contact :one
UPDATE contacts
SET email = %(email)s, attributes = %(attributes)s, updated_at = %(now)s
WHERE account_id = %(account_id)s AND contact_id = %(contact_id)s
RETURNING contact_id;

-- name: find_other :maybe
-- Another contact that has this address.
SELECT contact_id FROM contacts
WHERE account_id = %(account_id)s AND email_key = lower(%(email)s) AND contact_id <> %(contact_id)s;

-- name: add_to_lists :count
-- Lists of other accounts are not joined.
INSERT INTO list_contacts (account_id, list_id, contact_id, added_at)
SELECT %(account_id)s, list_id, %(contact_id)s, %(now)s
FROM lists
WHERE account_id = %(account_id)s AND list_id = ANY (%(list_ids)s::bigint[])
ON CONFLICT DO NOTHING;

-- name: delete_contact :maybe
-- Writes   memberships and audiences too, and cancels what campaigns under way still have for it: ordered by the commit,
--          nothing goes to it afterwards that was not marked before. What was sent stays in the ledger.
WITH gone AS (
    DELETE FROM contacts
    WHERE account_id = %(account_id)s AND contact_id = %(contact_id)s
    RETURNING contact_id
), memberships_gone AS (
    DELETE FROM list_contacts USING gone WHERE list_contacts.contact_id = gone.contact_id
), cancelled AS (
    UPDATE messages m
    SET status = 'cancelled', settled_at = %(now)s, reply = 'its contact was deleted'
    FROM gone, campaigns c
    WHERE c.account_id = %(account_id)s AND c.status IN ('scheduled', 'sending', 'paused')
        AND m.campaign_id = c.campaign_id AND m.contact_id = gone.contact_id AND m.status = 'queued'
    RETURNING m.batch_id
), counted AS (
    UPDATE batches b
    SET queued = b.queued - d.n, cancelled = b.cancelled + d.n
    FROM (SELECT batch_id, count(*) AS n FROM cancelled GROUP BY batch_id) AS d
    WHERE b.batch_id = d.batch_id
)
SELECT contact_id FROM gone;
