-- A row grows by a third as it is sent (mark, result, reply), and a group that marks eight neighbours wants room for eight new versions
-- besides. At 70 every tenth update found none in its page and wrote three index entries anew; the table became no smaller by it.
-- For pages that are written from here on.
ALTER TABLE messages SET (fillfactor = 55);
