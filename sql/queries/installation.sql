-- name: get_keys :one
-- The keys of public ids and of unsubscribe links; made by the first migration run, never changed.
SELECT id_key, link_key FROM installation;
