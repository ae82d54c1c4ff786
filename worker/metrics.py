"""What the worker counts, for its /metrics."""

from prometheus_client import Counter, Gauge

repaired = Counter("mailtide_repaired_jobs_total", "Work that had lost its job and was given one", ["what"])
groups = Gauge("mailtide_ledger_groups", "Group commits since start")
entries = Gauge("mailtide_ledger_entries", "Marks and results committed since start")
limiter_calls = Gauge("mailtide_limiter_calls", "Calls to the rate counter since start")
limiter_rebuilds = Gauge("mailtide_limiter_rebuilds", "Generations started since start")
