-- name: insert_account :one
-- Writes an account with its hourly limit and its default sender.
WITH account AS (
    INSERT INTO accounts (name, is_demo, transport, created_at)
    VALUES (
        %(name)s, %(is_demo)s::boolean, CASE WHEN %(is_demo)s::boolean THEN 'sandbox' ELSE 'relay' END, %(now)s::timestamptz
    )
    RETURNING account_id
), account_limit AS (
    INSERT INTO limits (account_id, scope, max_count, window_s, created_at, updated_at)
    SELECT account_id, 'account', %(limit_per_hour)s::integer, 3600, %(now)s, %(now)s FROM account
), sender AS (
    INSERT INTO senders (account_id, name, email, is_default, created_at, updated_at)
    SELECT account_id, %(sender_name)s, %(sender_email)s, true, %(now)s, %(now)s FROM account
    WHERE %(sender_email)s::text IS NOT NULL
)
SELECT account_id FROM account;

-- name: insert_membership :count
-- Of an account's own person: nobody invited them, so it knows who it is from the beginning.
INSERT INTO memberships (account_id, user_id, role, created_at, entered_at)
VALUES (%(account_id)s, %(user_id)s, %(role)s, %(now)s, %(now)s)
ON CONFLICT DO NOTHING;

-- name: get_account :maybe
SELECT account_id, name, is_demo, transport, created_at
FROM accounts
WHERE account_id = %(account_id)s;

-- name: find_owned_account :maybe
-- The first account that a user owns; an invitation that they have not followed is not theirs.
SELECT account_id
FROM memberships
WHERE user_id = %(user_id)s AND role = 'owner' AND entered_at IS NOT NULL
ORDER BY account_id
LIMIT 1;

-- name: find_account_of_user :maybe
-- The account that a user works in: the first that they own. Where they have been before comes first: whoever may invite
-- could draw somebody into an account of theirs, otherwise.
SELECT account_id
FROM memberships
WHERE user_id = %(user_id)s
ORDER BY (entered_at IS NULL), (role = 'owner') DESC, account_id
LIMIT 1;
