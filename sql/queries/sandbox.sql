-- name: store_arrivals :many
-- Put what the SMTP sandbox received into the inbox of the account whose message it is.
-- Writes   inbox. An arrival whose message does not exist is left out; the answer has the ids that were stored.
INSERT INTO inbox (account_id, message_id, mail_from, rcpt_to, subject, size_bytes, received_at, raw)
SELECT messages.account_id, message_id, mail_from, rcpt_to, subject, size_bytes, received_at, raw
FROM unnest(
    %(message_ids)b::bigint[], %(mail_froms)b::text[], %(rcpt_tos)b::text[], %(subjects)b::text[],
    %(sizes_bytes)b::integer[], %(received_ats)b::timestamptz[], %(raws)b::bytea[]
) AS arrived (message_id, mail_from, rcpt_to, subject, size_bytes, received_at, raw)
INNER JOIN messages USING (message_id)
RETURNING inbox_id, account_id, message_id;

-- name: find_stored :many
-- Which of these arrivals were stored by a statement whose answer was lost: received_at tells two arrivals apart.
-- Reads only what is newer than the last row that the asker knows of.
SELECT inbox.message_id, inbox.received_at
FROM unnest(%(message_ids)b::bigint[], %(received_ats)b::timestamptz[]) AS arrived (message_id, received_at)
INNER JOIN inbox USING (message_id, received_at)
WHERE inbox.inbox_id > %(after_inbox_id)s;

-- name: get_last_inbox_id :one
-- Where the inbox ends now.
SELECT coalesce(max(inbox_id), 0) AS inbox_id FROM inbox;

-- name: prune_inbox :count
-- Delete an account's oldest arrivals beyond the newest `kept`, at most `batch_size` at once.
-- Writes   inbox.
DELETE FROM inbox
WHERE inbox_id IN (
    SELECT inbox_id
    FROM inbox
    WHERE account_id = %(account_id)s
      AND inbox_id <= (
          SELECT inbox_id
          FROM inbox
          WHERE account_id = %(account_id)s
          ORDER BY inbox_id DESC
          OFFSET %(kept)s LIMIT 1
      )
    ORDER BY inbox_id
    LIMIT %(batch_size)s
);
