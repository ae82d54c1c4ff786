-- name: insert_import :one
-- Writes an import that is still being uploaded.
INSERT INTO imports (account_id, filename, created_at)
VALUES (%(account_id)s, %(filename)s, %(now)s)
RETURNING import_id;

-- name: insert_chunk :count
-- Writes one piece of the file.
INSERT INTO import_chunks (import_id, ordinal, data) VALUES (%(import_id)s, %(ordinal)s, %(data)b);

-- name: finish_upload :maybe
-- The whole file is here: it waits for its mapping. Writes status and what the file was found to be.
UPDATE imports
SET status = 'awaiting_mapping',
    size_bytes = %(size_bytes)s,
    encoding = %(encoding)s,
    delimiter = %(delimiter)s,
    columns = %(columns)s,
    sample_rows = %(sample_rows)s,
    mapping = %(mapping)s,
    rows_total = %(rows_total)s
WHERE account_id = %(account_id)s AND import_id = %(import_id)s AND status = 'uploading'
RETURNING import_id, filename, status, size_bytes, encoding, delimiter, columns, sample_rows, mapping, list_id,
    on_conflict, rows_total, rows_read, contacts_created, contacts_updated, rows_duplicate, rows_rejected, error,
    created_at, started_at, finished_at;

-- name: start :maybe
-- Writes the mapping and status 'importing' with a new epoch. No row: it does not wait for a mapping.
UPDATE imports
SET status = 'importing',
    mapping = %(mapping)s,
    list_id = %(list_id)s::bigint,
    on_conflict = %(on_conflict)s,
    epoch = epoch + 1,
    started_at = %(now)s
WHERE account_id = %(account_id)s AND import_id = %(import_id)s AND status = 'awaiting_mapping'
RETURNING import_id, filename, status, size_bytes, encoding, delimiter, columns, sample_rows, mapping, list_id,
    on_conflict, rows_total, rows_read, contacts_created, contacts_updated, rows_duplicate, rows_rejected, error,
    created_at, started_at, finished_at, epoch;

-- name: get_import :maybe
SELECT import_id, filename, status, size_bytes, encoding, delimiter, columns, sample_rows, mapping, list_id,
    on_conflict, rows_total, rows_read, contacts_created, contacts_updated, rows_duplicate, rows_rejected, error,
    created_at, started_at, finished_at
FROM imports
WHERE account_id = %(account_id)s AND import_id = %(import_id)s AND status <> 'uploading';

-- name: list_imports :many
-- Newest first.
SELECT import_id, filename, status, size_bytes, encoding, delimiter, columns, sample_rows, mapping, list_id,
    on_conflict, rows_total, rows_read, contacts_created, contacts_updated, rows_duplicate, rows_rejected, error,
    created_at, started_at, finished_at
FROM imports
WHERE account_id = %(account_id)s
  AND status <> 'uploading'
  AND (%(after_id)s::bigint IS NULL OR import_id < %(after_id)s::bigint)
ORDER BY import_id DESC
LIMIT %(limit)s;

-- name: list_rejects :many
-- In the order of the file.
SELECT line, reason, row_text
FROM import_rejects
WHERE import_id = %(import_id)s AND line > %(after_line)s
ORDER BY line
LIMIT %(limit)s;

-- name: delete_import :maybe
-- Writes nothing while it is importing. Contacts stay; the file, the rejects and the audience go.
WITH gone AS (
    DELETE FROM imports
    WHERE account_id = %(account_id)s AND import_id = %(import_id)s AND status <> 'importing'
    RETURNING import_id
), audience AS (
    DELETE FROM import_contacts USING gone WHERE import_contacts.import_id = gone.import_id
)
SELECT import_id FROM gone;

-- name: find_use_of_import :maybe
-- A campaign that still needs this import's contacts to resolve its audience.
SELECT campaign_id, name
FROM campaigns
WHERE account_id = %(account_id)s
  AND audience ->> 'kind' = 'import'
  AND (audience ->> 'import_id')::bigint = %(import_id)s
  AND status IN ('draft', 'scheduled', 'paused')
  AND materialised_at IS NULL
LIMIT 1;

-- name: abandon_upload :count
-- Removes an upload that was refused or cut off.
DELETE FROM imports WHERE import_id = %(import_id)s AND status = 'uploading';

-- name: prune_stale_uploads :count
-- Removes uploads whose web process died.
DELETE FROM imports WHERE account_id = %(account_id)s AND status = 'uploading' AND created_at < %(before)s;

-- name: get_work :maybe
-- What the importing process needs; nothing when the job is old.
SELECT import_id, account_id, encoding, delimiter, columns, mapping, list_id, on_conflict, rows_read, rows_rejected
FROM imports
WHERE import_id = %(import_id)s AND epoch = %(epoch)s AND status = 'importing';

-- name: get_chunk :maybe
SELECT data FROM import_chunks WHERE import_id = %(import_id)s AND ordinal = %(ordinal)s;

-- name: lock_account_contacts :one
-- One slice of one import at a time in an account: two imports cannot deadlock over the same contacts.
SELECT pg_advisory_xact_lock(7245, (%(account_id)s::bigint %% 2147483647)::integer);

-- name: advance :count
-- Writes the counts of one slice. Touches no row when another process has already done this slice, or the job is old:
-- the caller then rolls the slice back. So each row of the file counts once, however often the process is killed.
UPDATE imports
SET rows_read = rows_read + %(rows_read)s,
    contacts_created = contacts_created + %(contacts_created)s,
    contacts_updated = contacts_updated + %(contacts_updated)s,
    rows_duplicate = rows_duplicate + %(rows_duplicate)s,
    rows_rejected = rows_rejected + %(rows_rejected)s,
    rows_total = greatest(rows_total, rows_read + %(rows_read)s)
WHERE import_id = %(import_id)s
  AND epoch = %(epoch)s
  AND status = 'importing'
  AND rows_read = %(rows_before)s;

-- name: reserve_contact_ids :one
-- A block of ids for COPY; it has gaps when another insert ran at the same time.
SELECT min(contact_id) AS first_id, max(contact_id) AS last_id
FROM (
    SELECT nextval(ids.sequence) AS contact_id
    FROM (SELECT pg_get_serial_sequence('contacts', 'contact_id')::regclass AS sequence OFFSET 0) AS ids,
        generate_series(1, %(size)s::integer)
) AS reserved;

-- name: merge_update :one
-- Bring `rows` ([{"email", "attributes"}]) into the contacts, whose attributes they update; note whom this import
-- brought, and add them to the list. Sorted, because neighbours in the index are a third cheaper; and a contact that is
-- new cannot be noted yet, so that only the others pay for ON CONFLICT.
-- Writes contacts, import_contacts, list_contacts.
WITH given AS (
    SELECT DISTINCT ON (lower(email)) email, attributes
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS item (email text, attributes jsonb)
    ORDER BY lower(email)
), merged AS (
    INSERT INTO contacts (account_id, email, attributes, created_at, updated_at)
    SELECT %(account_id)s, email, attributes, %(now)s, %(now)s FROM given
    ON CONFLICT (account_id, email_key) DO UPDATE
        SET attributes = contacts.attributes || excluded.attributes, updated_at = excluded.updated_at
    RETURNING contact_id, (xmax = 0) AS is_new
), brought_new AS (
    INSERT INTO import_contacts (account_id, import_id, contact_id)
    SELECT %(account_id)s, %(import_id)s, contact_id FROM merged WHERE is_new
), brought_known AS (
    INSERT INTO import_contacts (account_id, import_id, contact_id)
    SELECT %(account_id)s, %(import_id)s, contact_id FROM merged WHERE NOT is_new
    ON CONFLICT DO NOTHING
    RETURNING contact_id
), listed_new AS (
    INSERT INTO list_contacts (account_id, list_id, contact_id, added_at)
    SELECT %(account_id)s, %(list_id)s::bigint, contact_id, %(now)s FROM merged
    WHERE is_new AND %(list_id)s::bigint IS NOT NULL
), listed_known AS (
    INSERT INTO list_contacts (account_id, list_id, contact_id, added_at)
    SELECT %(account_id)s, %(list_id)s::bigint, contact_id, %(now)s FROM merged
    WHERE NOT is_new AND %(list_id)s::bigint IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT
    count(*) FILTER (WHERE is_new) AS contacts_created,
    count(*) FILTER (WHERE is_new) + (SELECT count(*) FROM brought_known) AS contacts_brought
FROM merged;

-- name: merge_skip :one
-- The same, but a contact that exists keeps its attributes.
-- Writes contacts, import_contacts, list_contacts.
WITH given AS (
    SELECT DISTINCT ON (lower(email)) email, attributes
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS item (email text, attributes jsonb)
    ORDER BY lower(email)
), inserted AS (
    INSERT INTO contacts (account_id, email, attributes, created_at, updated_at)
    SELECT %(account_id)s, email, attributes, %(now)s, %(now)s FROM given
    ON CONFLICT (account_id, email_key) DO NOTHING
    RETURNING contact_id
), merged AS (
    SELECT contact_id, true AS is_new FROM inserted
    UNION ALL
    SELECT contacts.contact_id, false
    FROM given
    JOIN contacts ON contacts.account_id = %(account_id)s AND contacts.email_key = lower(given.email)
), brought_new AS (
    INSERT INTO import_contacts (account_id, import_id, contact_id)
    SELECT %(account_id)s, %(import_id)s, contact_id FROM merged WHERE is_new
), brought_known AS (
    INSERT INTO import_contacts (account_id, import_id, contact_id)
    SELECT %(account_id)s, %(import_id)s, contact_id FROM merged WHERE NOT is_new
    ON CONFLICT DO NOTHING
    RETURNING contact_id
), listed_new AS (
    INSERT INTO list_contacts (account_id, list_id, contact_id, added_at)
    SELECT %(account_id)s, %(list_id)s::bigint, contact_id, %(now)s FROM merged
    WHERE is_new AND %(list_id)s::bigint IS NOT NULL
), listed_known AS (
    INSERT INTO list_contacts (account_id, list_id, contact_id, added_at)
    SELECT %(account_id)s, %(list_id)s::bigint, contact_id, %(now)s FROM merged
    WHERE NOT is_new AND %(list_id)s::bigint IS NOT NULL
    ON CONFLICT DO NOTHING
)
SELECT
    count(*) FILTER (WHERE is_new) AS contacts_created,
    count(*) FILTER (WHERE is_new) + (SELECT count(*) FROM brought_known) AS contacts_brought
FROM merged;

-- name: insert_rejects :count
-- Writes rejected rows; the page and the file show the first 100,000.
INSERT INTO import_rejects (import_id, line, reason, row_text)
SELECT %(import_id)s, line, reason, row_text
FROM unnest(%(lines)s::bigint[], %(reasons)s::text[], %(rows)s::text[]) AS given (line, reason, row_text)
ON CONFLICT DO NOTHING;

-- name: finish :count
-- Writes status 'done' and the exact number of rows; the file is not needed any more.
WITH file AS (
    DELETE FROM import_chunks WHERE import_id = %(import_id)s
)
UPDATE imports
SET status = 'done', rows_total = rows_read, finished_at = %(now)s
WHERE import_id = %(import_id)s AND epoch = %(epoch)s AND status = 'importing';

-- name: fail :count
-- Writes status 'failed' with the reason, in words.
UPDATE imports
SET status = 'failed', error = %(error)s, finished_at = %(now)s
WHERE import_id = %(import_id)s AND epoch = %(epoch)s AND status = 'importing';
