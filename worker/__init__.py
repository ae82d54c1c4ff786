"""The process that sends: queue worker, clock loop, SMTP client, limiter and ledger. Imports no HTTP code of `app`."""
