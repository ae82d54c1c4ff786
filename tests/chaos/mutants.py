"""Workers that are broken on purpose, to see that the judge notices: `python -m tests.chaos.mutants NAME`.

Each mutant is the worker with one of its guarantees taken out, and the invariant that must be named for it.
"""

import asyncio
import re
import sys
from typing import Any

import psycopg

from app.settings import load_settings
from sql import queries
from worker import clock_loop, ledger, limiter, main
from worker.tasks import send_batch

EXPECTED = {"no-mark": "I2", "no-fence": "I2", "no-lease": "I4", "no-reconciler": "I1"}


def remove_mark() -> None:
    """Send first and mark at the same time: nothing waits until the mark is durable."""
    hand_over = ledger.Ledger.hand_over

    def careless(self: ledger.Ledger, result: Any, mark: Any, _: Any = None) -> "asyncio.Future[Any]":
        if mark is None:
            return hand_over(self, result, None)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if result is None:
            loop.call_later(0.5, hand_over, self, None, mark)
            answer.set_result("marked")
        else:
            hand_over(self, result, None).add_done_callback(lambda _: answer.done() or answer.set_result("marked"))
        return answer

    ledger.Ledger.hand_over = careless  # type: ignore[method-assign]


def remove_fence() -> None:
    """Take any mark and any result, whatever happened to the message and its batch in the meantime."""
    # A process that was frozen may find its batch's turn over, and mark nothing more: the fence is what is to be seen here.
    send_batch.SLICE_S = 3600.0
    query = queries.ledger.commit_group
    fences = (
        rb" AND m\.attempt = r\.attempt\s+AND \(m\.status = 'sending' OR [^)]*\)\)",
        rb" AND m\.attempt = k\.attempt\s+AND m\.status = 'queued'",
    )
    text = query.text
    for fence in fences:
        text, found = re.subn(fence, b"", text)
        assert found == 1, fence
    object.__setattr__(query, "text", text)
    with psycopg.connect(load_settings().postgres_url, autocommit=True) as conn:
        for constraint in ("batches_sending_is_held", "batches_counts_not_negative", "batches_ledger_adds_up"):
            conn.execute(f"ALTER TABLE batches DROP CONSTRAINT IF EXISTS {constraint}".encode())


def remove_lease() -> None:
    """Grant permits without reserving them: they count only when they have been used."""
    reserve = (
        "    if grant > 0 then redis.call('HINCRBY', h, lease, grant); redis.call('HINCRBY', h, 'total', grant) end\n"
    )
    assert reserve in limiter._EXCHANGE
    limiter._EXCHANGE = limiter._EXCHANGE.replace(reserve, "")


def remove_reconciler() -> None:
    """Nobody looks for work that has lost its job."""

    async def idle(services: Any) -> None:
        return None

    clock_loop.tick = idle


MUTATIONS = {
    "no-mark": remove_mark,
    "no-fence": remove_fence,
    "no-lease": remove_lease,
    "no-reconciler": remove_reconciler,
}

if __name__ == "__main__":
    MUTATIONS[sys.argv[1]]()
    main.main()
