"""What pages and clients read: one function, one SELECT, one result."""
