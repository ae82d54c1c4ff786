"""Messages per second into a sink, with the full ledger on: each is marked, sent, recorded, and counted by the limiter."""

import time
from pathlib import Path
from typing import Any

from tests.bench.stack import Stack
from tests.factories import a_scheduled_campaign, an_account, some_contacts

HTML = (
    "<html><body><p>Hello {{ first_name }},</p>"
    + "<p>a paragraph that is the same for everybody, with enough words to be one.</p>\n" * 36
    + "</body></html>"
)


def measure(stack: Stack, *, count: int, processes: int, concurrency: int) -> dict[str, Any]:
    """Send `count` personalised messages of 3 kB and return what it took, from the first mark to the last result."""
    with stack.connect() as conn:
        account_id = an_account(conn, limit=1_000_000_000, transport="relay")
        contacts = some_contacts(conn, account_id, count, domain=f"a{account_id}.test")
        conn.execute("ANALYZE")
        workers = [stack.start_worker(WORKER_CONCURRENCY=str(concurrency)) for _ in range(processes)]
        # The audience is laid out before its instant; what is measured is sending.
        campaign_id = a_scheduled_campaign(conn, account_id, contacts, html=HTML, in_s=6 + count / 50_000)
        _wait(conn, "SELECT status = 'sent' FROM campaigns WHERE campaign_id = %s", campaign_id)
        row = conn.execute(
            "SELECT sum(sent), extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM batches"
            " WHERE campaign_id = %s",
            (campaign_id,),
        ).fetchone()
        assert row is not None
        memory_mb = max(_rss_mb(worker.pid) for worker in workers)
        for worker in workers:
            stack.stop(worker)
    sent, seconds = row
    assert sent == count, f"{sent} of {count} were sent"
    return {
        "bench": "send", "n": count, "processes": processes, "connections": concurrency * processes,
        "per_s": round(count / seconds), "seconds": round(seconds, 2), "worker_rss_mb": memory_mb,
        "sink": stack.sink_name,
    }  # fmt: skip


def _wait(conn: Any, question: str, campaign_id: int, timeout_s: float = 600.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not conn.execute(question.encode(), (campaign_id,)).fetchone()[0]:
        if time.monotonic() > deadline:
            raise TimeoutError(question)
        time.sleep(0.05)


def _rss_mb(pid: int) -> int:
    with Path(f"/proc/{pid}/status").open(encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return 0
