-- SMTP servers that an account hands mail to, and the From identities it writes as.
CREATE TABLE relays (
    relay_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    -- A demo account can have no relay of its own: the composite key carries its flag, the CHECK refuses it.
    account_is_demo boolean NOT NULL DEFAULT false,
    name text NOT NULL,
    host text NOT NULL,
    port integer NOT NULL,
    tls text NOT NULL,
    username text,
    password_sealed bytea, -- AES-GCM, bound to the account and relay
    is_default boolean NOT NULL DEFAULT false,
    -- Messages under way at once on one connection, where CHUNKING is offered; each may be in doubt after a crash.
    in_flight smallint NOT NULL DEFAULT 1,
    -- The relay refuses us as a sender (535, 530, 5.7.x, 5.4.5): nothing goes out until its owner acts.
    paused_at timestamptz,
    pause_reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT relays_account_fkey FOREIGN KEY (account_id, account_is_demo)
        REFERENCES accounts (account_id, is_demo) ON DELETE CASCADE,
    CONSTRAINT relays_never_for_demo CHECK (NOT account_is_demo),
    CONSTRAINT relays_tls_known CHECK (tls IN ('starttls', 'implicit', 'none')),
    CONSTRAINT relays_in_flight_range CHECK (in_flight BETWEEN 1 AND 50),
    CONSTRAINT relays_port_known CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT relays_account_key UNIQUE (account_id, relay_id)
);

CREATE TABLE senders (
    sender_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL DEFAULT '',
    email text NOT NULL,
    reply_to text,
    relay_id bigint, -- NULL: the account's default relay, else the installation's SMTP_URL
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT senders_account_key UNIQUE (account_id, sender_id),
    CONSTRAINT senders_relay_fkey FOREIGN KEY (account_id, relay_id) REFERENCES relays (account_id, relay_id)
);
CREATE UNIQUE INDEX senders_one_default_idx ON senders (account_id) WHERE is_default;
CREATE UNIQUE INDEX relays_one_default_idx ON relays (account_id) WHERE is_default;
