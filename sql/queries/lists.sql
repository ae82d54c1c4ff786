-- name: insert_list :maybe
-- No row: a list of this name exists.
INSERT INTO lists (account_id, name, description, created_at, updated_at)
VALUES (%(account_id)s, %(name)s, %(description)s, %(now)s, %(now)s)
ON CONFLICT ON CONSTRAINT lists_once_per_name DO NOTHING
RETURNING list_id, name, description, contact_count, created_at, updated_at;

-- name: get_list :maybe
SELECT list_id, name, description, contact_count, created_at, updated_at
FROM lists
WHERE account_id = %(account_id)s AND list_id = %(list_id)s;

-- name: list_lists :many
-- Newest first.
SELECT list_id, name, description, contact_count, created_at, updated_at
FROM lists
WHERE account_id = %(account_id)s AND (%(after_id)s::bigint IS NULL OR list_id < %(after_id)s::bigint)
ORDER BY list_id DESC
LIMIT %(limit)s;

-- name: update_list :maybe
-- NULL leaves a field as it is.
UPDATE lists
SET name = coalesce(%(name)s, name), description = coalesce(%(description)s, description), updated_at = %(now)s
WHERE account_id = %(account_id)s AND list_id = %(list_id)s
RETURNING list_id, name, description, contact_count, created_at, updated_at;

-- name: empty_list :count
-- Removes all memberships of a list that is about to be deleted.
DELETE FROM list_contacts WHERE account_id = %(account_id)s AND list_id = %(list_id)s;

-- name: delete_list :count
DELETE FROM lists WHERE account_id = %(account_id)s AND list_id = %(list_id)s;

-- name: find_use_of_list :maybe
-- A campaign that still needs this list to resolve its audience.
SELECT campaign_id, name
FROM campaigns
WHERE account_id = %(account_id)s
  AND audience ->> 'kind' = 'lists'
  AND audience -> 'list_ids' @> to_jsonb(%(list_id)s::bigint)
  AND status IN ('draft', 'scheduled', 'paused')
  AND materialised_at IS NULL
LIMIT 1;

-- name: add_contacts_by_id :count
-- Ids of other accounts add nothing.
INSERT INTO list_contacts (account_id, list_id, contact_id, added_at)
SELECT %(account_id)s, %(list_id)s, contact_id, %(now)s
FROM contacts
WHERE account_id = %(account_id)s AND contact_id = ANY (%(contact_ids)s::bigint[])
ON CONFLICT DO NOTHING;

-- name: add_contacts_by_email :count
-- Writes contacts for addresses that are new, and the memberships.
WITH given AS (
    SELECT DISTINCT ON (lower(email)) email, lower(email) AS email_key
    FROM unnest(%(emails)s::text[]) AS email
), inserted AS (
    INSERT INTO contacts (account_id, email, created_at, updated_at)
    SELECT %(account_id)s, email, %(now)s, %(now)s FROM given
    ON CONFLICT (account_id, email_key) DO NOTHING
    RETURNING contact_id
), met AS (
    SELECT contact_id FROM inserted
    UNION ALL
    SELECT contact_id FROM contacts JOIN given USING (email_key) WHERE account_id = %(account_id)s
)
INSERT INTO list_contacts (account_id, list_id, contact_id, added_at)
SELECT %(account_id)s, %(list_id)s, contact_id, %(now)s FROM met
ON CONFLICT DO NOTHING;

-- name: remove_contacts_by_id :count
DELETE FROM list_contacts
WHERE account_id = %(account_id)s AND list_id = %(list_id)s AND contact_id = ANY (%(contact_ids)s::bigint[]);

-- name: remove_contacts_by_email :count
DELETE FROM list_contacts
USING contacts
WHERE list_contacts.account_id = %(account_id)s
  AND list_contacts.list_id = %(list_id)s
  AND contacts.contact_id = list_contacts.contact_id
  AND contacts.account_id = %(account_id)s
  AND contacts.email_key IN (SELECT lower(email) FROM unnest(%(emails)s::text[]) AS email);

-- name: count_owned_contacts :one
SELECT count(*) AS found
FROM contacts
WHERE account_id = %(account_id)s AND contact_id = ANY (%(contact_ids)s::bigint[]);
