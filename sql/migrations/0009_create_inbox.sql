-- What the built-in SMTP sandbox received, by account.
CREATE TABLE inbox (
    inbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    message_id bigint, -- from the Message-ID header
    mail_from text NOT NULL,
    rcpt_to text NOT NULL,
    subject text NOT NULL,
    size_bytes integer NOT NULL,
    received_at timestamptz NOT NULL, -- when the final dot arrived
    raw bytea NOT NULL
);
CREATE INDEX inbox_account_idx ON inbox (account_id, inbox_id);
