"""A worker that records nothing: `python -m tests.bench.null_ledger`. What the ledger costs is the difference.

The same engine, with two parts exchanged: marks and results are answered at once instead of written, and a batch that was sent
is put down without a look at its messages (one statement for up to 500 of them). Never for real mail.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from psycopg.rows import DictRow

from sql import Query, queries
from worker import main
from worker.db import many, one
from worker.ledger import Ledger, Mark, MarkAnswer, Result, Unsent
from worker.relays import RelayPool
from worker.sending import Ending
from worker.services import WorkerServices
from worker.tasks import send_batch

_PUT_DOWN = b"""
WITH done AS (
    UPDATE batches SET status = 'done', job_id = NULL, sent = sent + queued, queued = 0, finished_at = %(now)s
    WHERE batch_id = %(batch_id)s AND status = 'running'
    RETURNING campaign_id
)
UPDATE campaigns c SET status = 'sent', finished_at = %(now)s
FROM done
WHERE c.campaign_id = done.campaign_id AND NOT EXISTS (
    SELECT 1 FROM batches b
    WHERE b.campaign_id = c.campaign_id AND b.batch_id <> %(batch_id)s AND b.status <> 'done'
)
"""


class NullLedger(Ledger):
    """Marks everything, once, and forgets every result."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._marked: set[int] = set()

    def hand_over(
        self, result: Result | None, mark: Mark | None, meanwhile: Callable[[], None] | None = None
    ) -> asyncio.Future[MarkAnswer]:
        answer: asyncio.Future[MarkAnswer] = asyncio.get_running_loop().create_future()
        if mark is not None:
            assert mark.message_id not in self._marked, "a message would be sent twice: this file is behind the engine"
            self._marked.add(mark.message_id)
        answer.set_result("marked" if mark is not None else "none")
        return answer

    def settle_unsent(self, unsent: Unsent) -> None:
        raise AssertionError(f"a message of the measurement cannot be sent: {unsent}")

    async def run(self) -> None:
        await asyncio.Event().wait()


_put_down = send_batch._put_down
_listed: set[int] = set()


async def put_down(services: WorkerServices, batch: send_batch.Batch, ending: Ending, relay: RelayPool) -> None:
    if ending.kind != "done":
        await _put_down(services, batch, ending, relay)
        return
    async with services.pool.connection() as conn:
        await conn.execute(_PUT_DOWN, {"batch_id": batch.batch_id, "now": services.now()})


async def list_once(at: Any, query: Query, /, **params: Any) -> list[DictRow]:
    """In the table a batch's messages stay queued: the second look would find them again."""
    if query is queries.batches.list_messages:
        if params["batch_id"] in _listed:
            return []
        _listed.add(params["batch_id"])
    return await many(at, query, **params)


async def find_no_slot(at: Any, query: Query, /, **params: Any) -> DictRow:
    return {"next_at": None} if query is queries.batches.find_next_slot else await one(at, query, **params)


if __name__ == "__main__":
    main.Ledger = NullLedger  # type: ignore[misc]
    send_batch.SLICE_S = math.inf  # a batch that is put down counts as sent here
    send_batch._put_down = put_down
    send_batch.many, send_batch.one = list_once, find_no_slot  # type: ignore[attr-defined]
    main.main()
