-- Who uses this installation: accounts (tenants), their users, sessions and API keys.
-- One row that never changes: the keys under which public ids and unsubscribe links are made.
CREATE TABLE installation (
    only_row boolean PRIMARY KEY DEFAULT true,
    id_key bytea NOT NULL,
    link_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT installation_one_row CHECK (only_row),
    CONSTRAINT installation_id_key_size CHECK (octet_length(id_key) = 16),
    CONSTRAINT installation_link_key_size CHECK (octet_length(link_key) = 32)
);

INSERT INTO installation (id_key, link_key)
VALUES (uuid_send(gen_random_uuid()), uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

CREATE TABLE accounts (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    is_demo boolean NOT NULL DEFAULT false,
    -- Where this account's mail goes. 'sandbox' never leaves the built-in SMTP server.
    transport text NOT NULL DEFAULT 'relay',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_name_size CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT accounts_transport_known CHECK (transport IN ('sandbox', 'relay')),
    CONSTRAINT accounts_demo_uses_sandbox CHECK (NOT is_demo OR transport = 'sandbox'),
    CONSTRAINT accounts_is_demo_key UNIQUE (account_id, is_demo)
);

CREATE TABLE users (
    user_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The identity is (iss, sub), never the address: addresses change hands. NULL for a demo visitor and for
    -- an owner made by `make admin` who has not signed in yet (then linked once, by verified address).
    iss text,
    sub text,
    email text,
    name text NOT NULL DEFAULT '',
    picture_url text,
    is_admin boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz,
    CONSTRAINT users_identity_whole CHECK ((iss IS NULL) = (sub IS NULL)),
    CONSTRAINT users_identity_key UNIQUE (iss, sub)
);
CREATE UNIQUE INDEX users_unlinked_email_idx ON users (lower(email)) WHERE iss IS NULL AND email IS NOT NULL;

CREATE TABLE memberships (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL DEFAULT 'owner',
    created_at timestamptz NOT NULL DEFAULT now(),
    entered_at timestamptz, -- when they first acted in this account; until then it knows their address and no more
    PRIMARY KEY (account_id, user_id),
    CONSTRAINT memberships_role_known CHECK (role IN ('owner', 'member'))
);
CREATE INDEX memberships_user_idx ON memberships (user_id);

CREATE TABLE sessions (
    session_hash bytea PRIMARY KEY, -- SHA-256 of the random id in the cookie
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_expiry_idx ON sessions (expires_at);

CREATE TABLE api_keys (
    api_key_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name text NOT NULL,
    prefix text NOT NULL, -- the first characters, to recognise a key on screen
    secret_hash bytea NOT NULL, -- SHA-256; the secret has 256 random bits, so no slow hash is needed (ASVS 6.5.2)
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz, -- written at most once a minute
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_secret_hash_key UNIQUE (secret_hash),
    CONSTRAINT api_keys_scopes_known CHECK (scopes <@ ARRAY['read', 'send', 'admin'] AND cardinality(scopes) > 0)
);
CREATE INDEX api_keys_account_idx ON api_keys (account_id, api_key_id);

-- The first answer to a POST with an Idempotency-Key, written by the command's own transaction.
CREATE TABLE idempotency_keys (
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    key text NOT NULL,
    request_hash bytea NOT NULL, -- SHA-256 of method, path and body
    status_code smallint NOT NULL,
    response bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, key),
    CONSTRAINT idempotency_keys_key_size CHECK (length(key) BETWEEN 1 AND 255)
);
CREATE INDEX idempotency_keys_age_idx ON idempotency_keys (created_at);
