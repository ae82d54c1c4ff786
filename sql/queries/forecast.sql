-- name: count_audience :one
-- How many contacts an audience holds, how many memberships that were, and how many of them are suppressed.
-- Only several lists can hold a contact twice, so only then are distinct ones counted, which costs a sort.
WITH counted AS (
    SELECT
        (
            SELECT count(*) FROM import_contacts
            WHERE account_id = %(account_id)s AND import_id = %(import_id)s::bigint
        ) + (
            SELECT count(*) FROM list_contacts
            WHERE account_id = %(account_id)s AND list_id = ANY (%(list_ids)s::bigint[])
        ) + (
            SELECT count(*) FROM campaign_contacts
            WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
        ) AS memberships
)
SELECT
    counted.memberships,
    CASE WHEN cardinality(%(list_ids)s::bigint[]) > 1 THEN (
        SELECT count(DISTINCT contact_id) FROM list_contacts
        WHERE account_id = %(account_id)s AND list_id = ANY (%(list_ids)s::bigint[])
    ) ELSE counted.memberships END AS contacts,
    (
        SELECT count(*)
        FROM suppressions AS s
        JOIN contacts AS c ON c.account_id = s.account_id AND c.email_key = s.email_key
        WHERE s.account_id = %(account_id)s AND (
            EXISTS (
                SELECT 1 FROM import_contacts AS i
                WHERE i.import_id = %(import_id)s::bigint AND i.contact_id = c.contact_id
            )
            OR EXISTS (
                SELECT 1 FROM list_contacts AS l
                WHERE l.list_id = ANY (%(list_ids)s::bigint[]) AND l.contact_id = c.contact_id
            )
            OR EXISTS (
                SELECT 1 FROM campaign_contacts AS k
                WHERE k.campaign_id = %(campaign_id)s AND k.contact_id = c.contact_id
            )
        )
    ) AS suppressed
FROM counted;

-- name: has_contacts :one
-- Whether an audience holds anybody at all.
SELECT
    EXISTS (
        SELECT 1 FROM import_contacts WHERE account_id = %(account_id)s AND import_id = %(import_id)s::bigint
    )
    OR EXISTS (
        SELECT 1 FROM list_contacts
        WHERE account_id = %(account_id)s AND list_id = ANY (%(list_ids)s::bigint[])
    )
    OR EXISTS (
        SELECT 1 FROM campaign_contacts WHERE account_id = %(account_id)s AND campaign_id = %(campaign_id)s
    ) AS has_contacts;

-- name: get_import_exclusions :maybe
-- What an import left out: rows that repeat an address, rows that are no good.
SELECT rows_duplicate, rows_rejected, status
FROM imports
WHERE account_id = %(account_id)s AND import_id = %(import_id)s;

-- name: list_limits :many
-- The limits that apply to a campaign; 0 means none and is left out.
SELECT limit_id, scope, max_count, window_s
FROM limits
WHERE account_id = %(account_id)s AND max_count > 0
  AND (scope = 'account' OR campaign_id = %(campaign_id)s);

-- name: list_use :many
-- What was sent within the last window, in at most 61 steps, each with the instant at which its permits are free again.
-- campaign_id NULL means all of the account.
SELECT
    date_bin(make_interval(secs => greatest(1, %(window_s)s / 60)), at_second, 'epoch'::timestamptz)
        + make_interval(secs => greatest(1, %(window_s)s / 60) + %(window_s)s) AS free_at,
    sum(sent)::bigint AS permits
FROM throughput
WHERE account_id = %(account_id)s AND at_second > %(now)s::timestamptz - make_interval(secs => %(window_s)s)
  AND (%(campaign_id)s::bigint IS NULL OR campaign_id = %(campaign_id)s::bigint)
  AND sent > 0
GROUP BY free_at
ORDER BY free_at;
