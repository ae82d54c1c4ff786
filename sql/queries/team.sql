-- name: list_members :many
-- Who may enter an account, in the order in which they came to this installation. Of somebody who has not been in it yet it
-- sees the address that it let in: anybody's name and habits could be asked for by adding them, otherwise.
SELECT
    m.user_id, u.email, m.role, m.created_at AS joined_at,
    m.entered_at IS NULL OR (u.iss IS NULL AND u.email IS NOT NULL) AS pending,
    CASE WHEN m.entered_at IS NULL THEN '' ELSE u.name END AS name,
    CASE WHEN m.entered_at IS NULL THEN NULL ELSE u.last_login_at END AS last_login_at
FROM memberships AS m
JOIN users AS u USING (user_id)
WHERE m.account_id = %(account_id)s AND (%(after_id)s::bigint IS NULL OR m.user_id > %(after_id)s::bigint)
  AND (%(user_id)s::bigint IS NULL OR m.user_id = %(user_id)s::bigint)
ORDER BY m.user_id
LIMIT %(row_limit)s;

-- name: count_members :one
SELECT count(*) AS members FROM memberships WHERE account_id = %(account_id)s;

-- name: has_other_owner :one
-- Whether somebody else owns the account: one who has been in it, since an address that nobody has owns nothing.
SELECT EXISTS (
    SELECT FROM memberships
    WHERE account_id = %(account_id)s AND role = 'owner' AND entered_at IS NOT NULL AND user_id <> %(user_id)s
) AS found;

-- name: list_accounts :many
-- The accounts that a person may enter, those they own first.
SELECT a.account_id, a.name, m.role
FROM memberships AS m
JOIN accounts AS a USING (account_id)
WHERE m.user_id = %(user_id)s
ORDER BY m.role = 'owner' DESC, a.account_id
LIMIT 200;

-- name: find_user_by_email :maybe
-- Whoever has this address: of several, who signed in last.
SELECT user_id
FROM users
WHERE lower(email) = lower(%(email)s)
ORDER BY last_login_at DESC NULLS LAST, user_id
LIMIT 1;

-- name: invite_user :one
-- Make a person without an identity yet. Two accounts that invite one address at once make one person.
INSERT INTO users (email, created_at) VALUES (%(email)s, %(now)s)
ON CONFLICT (lower(email)) WHERE iss IS NULL AND email IS NOT NULL DO UPDATE SET email = users.email
RETURNING user_id;

-- name: insert_member :count
-- No row: they are one already.
INSERT INTO memberships (account_id, user_id, role, created_at)
VALUES (%(account_id)s, %(user_id)s, %(role)s, %(now)s)
ON CONFLICT DO NOTHING;

-- name: set_role :count
-- Works at once: every request of a session asks for it.
UPDATE memberships SET role = %(role)s WHERE account_id = %(account_id)s AND user_id = %(user_id)s;

-- name: delete_member :count
-- Take a person out of an account and end their sessions in it.  Writes memberships, sessions.
WITH ended AS (
    DELETE FROM sessions WHERE account_id = %(account_id)s AND user_id = %(user_id)s
)
DELETE FROM memberships WHERE account_id = %(account_id)s AND user_id = %(user_id)s;

-- name: forget_invited :count
-- Remove a person who never signed in and is invited nowhere any more: otherwise their address would stay taken.
DELETE FROM users AS u
WHERE u.user_id = %(user_id)s AND u.iss IS NULL
  AND NOT EXISTS (SELECT FROM memberships AS m WHERE m.user_id = u.user_id);
