-- Limits (N messages in any W seconds), who waited on them, and what was sent in each second.
CREATE TABLE limits (
    limit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    scope text NOT NULL,
    campaign_id bigint,
    max_count integer NOT NULL, -- 0: no limit
    window_s integer NOT NULL,
    -- The one job that wakes waiting batches: when, and which job is the current one.
    resume_at timestamptz,
    resume_epoch integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT limits_scope_known CHECK (scope IN ('account', 'campaign')),
    CONSTRAINT limits_campaign_scope CHECK ((scope = 'campaign') = (campaign_id IS NOT NULL)),
    CONSTRAINT limits_max_count_range CHECK (max_count BETWEEN 0 AND 1000000000),
    CONSTRAINT limits_window_range CHECK (window_s BETWEEN 1 AND 2592000),
    CONSTRAINT limits_campaign_fkey FOREIGN KEY (account_id, campaign_id)
        REFERENCES campaigns (account_id, campaign_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX limits_one_per_account_idx ON limits (account_id) WHERE scope = 'account';
CREATE UNIQUE INDEX limits_one_per_campaign_idx ON limits (campaign_id) WHERE scope = 'campaign';

-- Why a message went later than its slot.
CREATE TABLE waits (
    wait_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    batch_id bigint,
    message_id bigint,
    limit_id bigint,
    reason text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT waits_of_one_thing CHECK ((batch_id IS NULL) <> (message_id IS NULL)),
    CONSTRAINT waits_reason_known CHECK (reason IN ('limit', 'relay', 'paused'))
);
CREATE INDEX waits_batch_idx ON waits (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX waits_message_idx ON waits (message_id) WHERE message_id IS NOT NULL;

-- Results by second. Feeds the charts, and gives the limiter back its memory when Redis has lost it. One row per
-- writing process, so that two of them never wait for each other's row. Kept for two days.
CREATE TABLE throughput (
    account_id bigint NOT NULL,
    at_second timestamptz NOT NULL,
    campaign_id bigint NOT NULL DEFAULT 0, -- 0: API messages
    writer_id bigint NOT NULL,
    sent integer NOT NULL DEFAULT 0, -- accepted or uncertain: what counts against a limit
    failed integer NOT NULL DEFAULT 0,
    retried integer NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, at_second, campaign_id, writer_id)
) WITH (fillfactor = 50);
CREATE INDEX throughput_campaign_idx ON throughput (campaign_id, at_second) WHERE campaign_id <> 0;
