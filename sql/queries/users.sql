-- name: insert_user :one
INSERT INTO users (iss, sub, email, name, picture_url, is_admin, created_at, last_login_at)
VALUES (
    %(iss)s, %(sub)s, %(email)s, %(name)s, %(picture_url)s, %(is_admin)s, %(now)s::timestamptz,
    CASE WHEN %(iss)s::text IS NULL THEN NULL ELSE %(now)s::timestamptz END
)
RETURNING user_id;

-- name: get_user :maybe
SELECT user_id, email, name, picture_url, is_admin, created_at, last_login_at
FROM users
WHERE user_id = %(user_id)s;

-- name: note_login :maybe
-- Find a person by their identity, and bring name and address up to date.
UPDATE users
SET email = %(email)s, name = %(name)s, picture_url = %(picture_url)s, last_login_at = %(now)s
WHERE iss = %(iss)s AND sub = %(sub)s
RETURNING user_id;

-- name: link_user :maybe
-- Give a person who was invited, or an owner made by `make admin`, the identity that proved the address: once, never again.
UPDATE users
SET iss = %(iss)s, sub = %(sub)s, name = %(name)s, picture_url = %(picture_url)s, last_login_at = %(now)s
WHERE iss IS NULL AND email IS NOT NULL AND lower(email) = lower(%(email)s)
RETURNING user_id;

-- name: find_by_email :maybe
-- For `make admin`: whoever has this address, the unlinked owner first.
SELECT user_id
FROM users
WHERE lower(email) = lower(%(email)s)
ORDER BY (iss IS NULL) DESC, is_admin DESC, user_id
LIMIT 1;

-- name: adopt_invitations :count
-- Somebody known by their identity has an address now under which a person without one was invited: it is them.  Writes
-- memberships, users.
WITH invited AS (
    DELETE FROM users
    WHERE iss IS NULL AND email IS NOT NULL AND lower(email) = lower(%(email)s)
    RETURNING user_id, is_admin
), promoted AS (
    UPDATE users SET is_admin = true FROM invited
    WHERE users.user_id = %(user_id)s AND invited.is_admin AND NOT users.is_admin
)
INSERT INTO memberships (account_id, user_id, role, created_at, entered_at)
SELECT m.account_id, %(user_id)s, m.role, m.created_at, m.entered_at
FROM memberships AS m
JOIN invited USING (user_id)
ON CONFLICT DO NOTHING;

-- name: make_admin :count
UPDATE users SET is_admin = true WHERE user_id = %(user_id)s AND NOT is_admin;

-- name: insert_session :count
-- Begin a session in an account, which from now on knows who it is.  Writes sessions, memberships.
WITH entered AS (
    UPDATE memberships SET entered_at = %(now)s
    WHERE account_id = %(account_id)s AND user_id = %(user_id)s AND entered_at IS NULL
)
INSERT INTO sessions (session_hash, user_id, account_id, created_at, expires_at)
VALUES (%(session_hash)s, %(user_id)s, %(account_id)s, %(now)s, %(expires_at)s);

-- name: find_session :maybe
SELECT s.account_id, s.user_id, a.is_demo, u.is_admin, m.role
FROM sessions AS s
JOIN accounts AS a USING (account_id)
JOIN users AS u USING (user_id)
JOIN memberships AS m USING (account_id, user_id)
WHERE s.session_hash = %(session_hash)s AND s.expires_at > %(now)s;

-- name: move_session :count
-- Have a session act in another account of its user, which from now on knows who it is.  Writes sessions, memberships.
WITH entered AS (
    UPDATE memberships AS m
    SET entered_at = coalesce(m.entered_at, %(now)s)
    FROM sessions AS s
    WHERE s.session_hash = %(session_hash)s AND m.user_id = s.user_id AND m.account_id = %(account_id)s
    RETURNING m.account_id
)
UPDATE sessions SET account_id = entered.account_id
FROM entered
WHERE session_hash = %(session_hash)s;

-- name: delete_session :count
DELETE FROM sessions WHERE session_hash = %(session_hash)s;

-- name: prune_sessions :count
-- Removes what has expired, a bounded number at a time.
DELETE FROM sessions
WHERE session_hash IN (SELECT session_hash FROM sessions WHERE expires_at <= %(now)s LIMIT 100);
