"""The pipelined SMTP client: connection, pool, replies, delivery of one message."""
