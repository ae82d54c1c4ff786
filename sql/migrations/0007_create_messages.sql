-- The ledger: one narrow row for each recipient's copy, no bodies. Plan: 100 million rows.
-- No foreign keys: rows are derived from the account's own rows in one INSERT … SELECT, and a check per row would cost
-- more than the insert; `make doctor` looks for orphans. No index touches a column that sending changes (status,
-- attempt, times, reply), so mark and result are HOT updates.
CREATE TABLE messages (
    message_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    campaign_id bigint, -- NULL: an API message, whose content is in message_contents
    batch_id bigint,
    contact_id bigint,
    send_after timestamptz NOT NULL, -- its slot; after a temporary failure, the next try
    marked_at timestamptz, -- the latest attempt's mark
    settled_at timestamptz, -- the latest attempt's result
    attempt smallint NOT NULL DEFAULT 0, -- SMTP conversations begun; the fence for late results
    burned smallint NOT NULL DEFAULT 0, -- of these, how many temporary failures were about the recipient
    status text NOT NULL DEFAULT 'queued',
    recipient text NOT NULL,
    reply text, -- what the server said last, at most 500 characters
    CONSTRAINT messages_status_known CHECK (
        status IN ('queued', 'sending', 'sent', 'failed', 'uncertain', 'suppressed', 'cancelled', 'expired')
    )
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);
-- I9: one message per campaign and contact; a contact is unique per address.
CREATE UNIQUE INDEX messages_once_per_contact ON messages (campaign_id, contact_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX messages_account_idx ON messages (account_id, message_id);

-- What an API message says. A campaign's messages have no row here.
CREATE TABLE message_contents (
    message_id bigint PRIMARY KEY,
    account_id bigint NOT NULL,
    sender_id bigint,
    subject text NOT NULL,
    html text,
    text_body text,
    variables jsonb NOT NULL DEFAULT '{}',
    tags text[] NOT NULL DEFAULT '{}',
    deadline timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Attempts that did not decide their message. The latest attempt is in the message's own row, so a message that is
-- accepted at once has no row here.
CREATE TABLE attempts (
    message_id bigint NOT NULL,
    attempt smallint NOT NULL,
    account_id bigint NOT NULL,
    marked_at timestamptz,
    settled_at timestamptz,
    outcome text NOT NULL,
    reply text,
    PRIMARY KEY (message_id, attempt),
    CONSTRAINT attempts_outcome_known CHECK (outcome IN ('try_later', 'uncertain', 'failed', 'expired'))
);

-- API messages that are not final: what send_due looks through. Small: a row leaves with its message's final state.
CREATE TABLE due_messages (
    message_id bigint PRIMARY KEY,
    account_id bigint NOT NULL,
    send_after timestamptz NOT NULL,
    job_id bigint -- the queue job that holds it now
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX due_messages_account_idx ON due_messages (account_id, send_after);
CREATE INDEX due_messages_time_idx ON due_messages (send_after) WHERE job_id IS NULL;
CREATE INDEX due_messages_job_idx ON due_messages (job_id) WHERE job_id IS NOT NULL;

-- One wake-up per account and bucket of five seconds; only who inserts the row defers the job.
CREATE TABLE wakeups (
    account_id bigint NOT NULL,
    bucket timestamptz NOT NULL,
    PRIMARY KEY (account_id, bucket)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
