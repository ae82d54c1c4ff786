-- Campaigns and the batches that their messages are sent in.
CREATE TABLE templates (
    template_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    subject text NOT NULL DEFAULT '',
    html text,
    text_body text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT templates_once_per_name UNIQUE (account_id, name)
);

CREATE TABLE campaigns (
    campaign_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    subject text NOT NULL DEFAULT '',
    preview_text text NOT NULL DEFAULT '',
    html text,
    text_body text,
    sender_id bigint,
    -- {"kind": "import", "import_id": 7} | {"kind": "lists", "list_ids": [1, 2]} | {"kind": "contacts"} (see campaign_contacts)
    audience jsonb,
    audience_duplicates integer NOT NULL DEFAULT 0, -- addresses given twice in {"contacts": […]}
    pacing text NOT NULL DEFAULT 'burst',
    uncertain_policy text NOT NULL DEFAULT 'hold',
    status text NOT NULL DEFAULT 'draft',
    -- Grows with launch, pause, resume, cancel and reschedule: a job that carries an older one does nothing.
    epoch integer NOT NULL DEFAULT 0,
    scheduled_at timestamptz, -- T: when the first message may go
    launched_at timestamptz, -- when a person pressed the button
    materialised_at timestamptz, -- when audience became messages and batches
    started_at timestamptz, -- first batch claimed
    paused_at timestamptz,
    finished_at timestamptz,
    recipients integer, -- messages made at materialisation, suppressed ones included
    excluded_duplicates integer NOT NULL DEFAULT 0,
    error text, -- why it failed or was paused by the system, in words
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT campaigns_name_size CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT campaigns_subject_size CHECK (length(subject) <= 998),
    CONSTRAINT campaigns_pacing_known CHECK (pacing IN ('burst', 'smooth')),
    CONSTRAINT campaigns_uncertain_policy_known CHECK (uncertain_policy IN ('hold', 'resend')),
    CONSTRAINT campaigns_status_known CHECK (
        status IN ('draft', 'scheduled', 'sending', 'paused', 'sent', 'cancelled', 'failed')
    ),
    CONSTRAINT campaigns_scheduled_has_time CHECK (status NOT IN ('scheduled', 'sending') OR scheduled_at IS NOT NULL),
    CONSTRAINT campaigns_account_key UNIQUE (account_id, campaign_id),
    CONSTRAINT campaigns_sender_fkey FOREIGN KEY (account_id, sender_id) REFERENCES senders (account_id, sender_id)
);
CREATE INDEX campaigns_moving_idx ON campaigns (scheduled_at) WHERE status IN ('scheduled', 'sending', 'paused');

CREATE TABLE campaign_contacts (
    account_id bigint NOT NULL,
    campaign_id bigint NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    contact_id bigint NOT NULL,
    PRIMARY KEY (campaign_id, contact_id)
);

CREATE TABLE batches (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    campaign_id bigint NOT NULL REFERENCES campaigns ON DELETE CASCADE,
    ordinal integer NOT NULL,
    status text NOT NULL DEFAULT 'queued',
    due_at timestamptz NOT NULL, -- when it may next run
    job_id bigint, -- the queue job that runs it now; NULL while it waits
    run integer NOT NULL DEFAULT 0, -- how often it was claimed
    -- Its messages have ids in this range and carry its batch_id: no index on the ledger is needed to find them.
    first_message_id bigint NOT NULL DEFAULT 0,
    last_message_id bigint NOT NULL DEFAULT 0,
    total integer NOT NULL,
    queued integer NOT NULL,
    sending integer NOT NULL DEFAULT 0,
    sent integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    uncertain integer NOT NULL DEFAULT 0,
    suppressed integer NOT NULL DEFAULT 0,
    cancelled integer NOT NULL DEFAULT 0,
    expired integer NOT NULL DEFAULT 0,
    lateness_ms integer, -- first claim: how long it was due while a worker was free to take it
    waiting_limit_id bigint, -- status 'waiting': on which limit
    waiting_since timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT batches_status_known CHECK (status IN ('queued', 'running', 'waiting', 'done', 'cancelled')),
    CONSTRAINT batches_ledger_adds_up CHECK (
        queued + sending + sent + failed + uncertain + suppressed + cancelled + expired = total
    ),
    CONSTRAINT batches_counts_not_negative CHECK (
        least(queued, sending, sent, failed, uncertain, suppressed, cancelled, expired) >= 0
    ),
    CONSTRAINT batches_running_has_job CHECK ((status = 'running') = (job_id IS NOT NULL)),
    -- Nobody puts a batch down with a message under way, and nobody whose batch was taken away gets a mark in it.
    CONSTRAINT batches_sending_is_held CHECK (sending = 0 OR job_id IS NOT NULL),
    CONSTRAINT batches_waiting_has_limit CHECK ((status = 'waiting') = (waiting_limit_id IS NOT NULL))
) WITH (fillfactor = 60); -- counters change with every group commit: keep those updates HOT
CREATE UNIQUE INDEX batches_campaign_idx ON batches (campaign_id, ordinal);
CREATE INDEX batches_job_idx ON batches (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX batches_open_idx ON batches (due_at) WHERE status = 'queued';
CREATE INDEX batches_waiting_idx ON batches (waiting_limit_id, due_at, batch_id) WHERE status = 'waiting';
