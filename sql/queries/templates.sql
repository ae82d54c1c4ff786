-- name: list_templates :many
-- Newest first, without the bodies.
SELECT template_id, name, subject, created_at, updated_at
FROM templates
WHERE account_id = %(account_id)s
  AND (%(after_id)s::bigint IS NULL OR template_id < %(after_id)s::bigint)
  AND (%(q)s::text IS NULL OR strpos(lower(name), lower(%(q)s::text)) > 0)
ORDER BY template_id DESC
LIMIT %(row_limit)s;

-- name: get_template :maybe
SELECT template_id, name, subject, html, text_body, created_at, updated_at
FROM templates
WHERE account_id = %(account_id)s AND template_id = %(template_id)s;

-- name: insert_template :one
INSERT INTO templates (account_id, name, subject, html, text_body, created_at, updated_at)
VALUES (%(account_id)s, %(name)s, %(subject)s, %(html)s, %(text_body)s, %(now)s, %(now)s)
RETURNING template_id, name, subject, html, text_body, created_at, updated_at;

-- name: update_template :maybe
UPDATE templates
SET name = %(name)s, subject = %(subject)s, html = %(html)s, text_body = %(text_body)s, updated_at = %(now)s
WHERE account_id = %(account_id)s AND template_id = %(template_id)s
RETURNING template_id, name, subject, html, text_body, created_at, updated_at;

-- name: delete_template :count
DELETE FROM templates WHERE account_id = %(account_id)s AND template_id = %(template_id)s;
