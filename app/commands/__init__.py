"""Use cases that write: one function, one transaction (rows, jobs and idempotency record together)."""
