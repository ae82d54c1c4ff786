-- People we may write to: contacts, lists, CSV imports, and those who must not be written to.
-- No foreign key to accounts: they come by the million, account_id is the importer's own, and the check per row is a
-- fifth of an import (measured). Who deletes an account deletes its contacts.
CREATE TABLE contacts (
    contact_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    email text NOT NULL, -- as written: the local part may be case-sensitive (RFC 5321 § 2.4)
    email_key text NOT NULL GENERATED ALWAYS AS (lower(email)) STORED,
    attributes jsonb NOT NULL DEFAULT '{}', -- merge values by column name: strings
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT contacts_email_size CHECK (length(email) BETWEEN 3 AND 320),
    CONSTRAINT contacts_once_per_address UNIQUE (account_id, email_key),
    CONSTRAINT contacts_attributes_object CHECK (jsonb_typeof(attributes) = 'object')
);
CREATE INDEX contacts_account_idx ON contacts (account_id, contact_id);

CREATE TABLE lists (
    list_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    contact_count bigint NOT NULL DEFAULT 0, -- kept by triggers on list_contacts: a page never counts a million rows
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT lists_name_size CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT lists_once_per_name UNIQUE (account_id, name),
    CONSTRAINT lists_account_key UNIQUE (account_id, list_id)
);

-- Membership rows come by the million from set-based inserts that derive both ids from the account's own rows:
-- a foreign key per row would cost more than the insert. Deleting a contact or list deletes its rows here.
CREATE TABLE list_contacts (
    account_id bigint NOT NULL,
    list_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (list_id, contact_id)
);
CREATE INDEX list_contacts_contact_idx ON list_contacts (contact_id);

-- Once per statement, not per row. Rows are never moved between lists, so UPDATE needs none.
CREATE FUNCTION count_list_contacts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lists
    SET contact_count = lists.contact_count + CASE TG_OP WHEN 'INSERT' THEN changed.rows ELSE -changed.rows END
    FROM (SELECT list_id, count(*) AS rows FROM changed_rows GROUP BY list_id) AS changed
    WHERE lists.list_id = changed.list_id;
    RETURN NULL;
END;
$$;
CREATE TRIGGER list_contacts_count_added AFTER INSERT ON list_contacts
    REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_list_contacts();
CREATE TRIGGER list_contacts_count_removed AFTER DELETE ON list_contacts
    REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION count_list_contacts();

CREATE TABLE imports (
    import_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    filename text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'uploading',
    size_bytes bigint NOT NULL DEFAULT 0,
    encoding text,
    delimiter text,
    columns jsonb NOT NULL DEFAULT '[]', -- header names in order
    sample_rows jsonb NOT NULL DEFAULT '[]',
    mapping jsonb, -- {"email": "E-mail", "first_name": "First"}: attribute -> column
    list_id bigint,
    on_conflict text NOT NULL DEFAULT 'update',
    epoch integer NOT NULL DEFAULT 0,
    rows_total bigint, -- known once counted; NULL before
    rows_read bigint NOT NULL DEFAULT 0,
    contacts_created bigint NOT NULL DEFAULT 0,
    contacts_updated bigint NOT NULL DEFAULT 0,
    rows_duplicate bigint NOT NULL DEFAULT 0,
    rows_rejected bigint NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT imports_status_known CHECK (status IN ('uploading', 'awaiting_mapping', 'importing', 'done', 'failed')),
    CONSTRAINT imports_on_conflict_known CHECK (on_conflict IN ('update', 'skip')),
    CONSTRAINT imports_account_key UNIQUE (account_id, import_id),
    CONSTRAINT imports_list_fkey FOREIGN KEY (account_id, list_id) REFERENCES lists (account_id, list_id)
        ON DELETE SET NULL (list_id)
);

-- The uploaded file, in pieces, so that web and worker need no common disk. Deleted when the import is done.
CREATE TABLE import_chunks (
    import_id bigint NOT NULL REFERENCES imports ON DELETE CASCADE,
    ordinal integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (import_id, ordinal)
);
ALTER TABLE import_chunks ALTER COLUMN data SET STORAGE EXTERNAL; -- no compression: it is read once

CREATE TABLE import_rejects (
    import_id bigint NOT NULL REFERENCES imports ON DELETE CASCADE,
    line bigint NOT NULL,
    reason text NOT NULL,
    row_text text NOT NULL,
    PRIMARY KEY (import_id, line)
);

-- Whom an import brought: an audience of its own.
CREATE TABLE import_contacts (
    account_id bigint NOT NULL,
    import_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    PRIMARY KEY (import_id, contact_id)
);

CREATE TABLE suppressions (
    suppression_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    email_key text NOT NULL, -- lower case
    -- 'unsubscribe' stops campaigns; the others stop API messages too.
    reason text NOT NULL,
    note text NOT NULL DEFAULT '',
    message_id bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT suppressions_reason_known CHECK (reason IN ('unsubscribe', 'hard_bounce', 'complaint', 'manual')),
    CONSTRAINT suppressions_once_per_address UNIQUE (account_id, email_key)
);
CREATE INDEX suppressions_account_idx ON suppressions (account_id, suppression_id);
