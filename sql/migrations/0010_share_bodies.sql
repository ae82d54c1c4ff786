-- A letter that a batch sends to many is stored once: html and text_body are in the row of its first message, and the others'
-- rows name that message here. Its row must stay for as long as theirs do.
ALTER TABLE message_contents ADD COLUMN body_of bigint;
