"""Wake the batches that wait on one limit, as many as its free permits can serve.

One job for a limit, however many batches wait: it runs at the instant the next permits are free, and plans its
successor while any batch still waits.
"""

from datetime import timedelta

from psycopg.rows import DictRow

from app.domain.limits import campaign_ceiling
from sql import queries
from worker.db import many, maybe, one
from worker.limiter import Limit, LimiterDown
from worker.services import WorkerServices

#: How soon to look again when woken batches have not used their permits yet, and so the next instant is not known. The
#: permits of a burst come back one after the other, so what is lost by looking late is at most this share of a window.
LOOK_AGAIN_MAX_S, LOOK_AGAIN_MIN_S, LOOK_AGAIN_SHARE = 1.0, 0.05, 0.01


async def run(services: WorkerServices, *, id: int, epoch: int) -> None:
    row = await maybe(services.pool, queries.batches.claim_resume, limit_id=id, epoch=epoch)
    if row is None:
        return
    try:
        free, wait_s = await services.limiter.free_permits(_limit(row)) if row["max_count"] else (1_000_000, 0.0)
    except LimiterDown:
        free, wait_s = 0, LOOK_AGAIN_MAX_S
    if free > 0:
        await many(services.pool, queries.batches.wake_waiting, limit_id=id, free=free, now=services.now())
        wait_s = min(max(row["window_s"] * LOOK_AGAIN_SHARE, LOOK_AGAIN_MIN_S), LOOK_AGAIN_MAX_S)
    if (await one(services.pool, queries.batches.has_waiting, limit_id=id))["waiting"]:
        await plan_resume(services, limit_id=id, wait_s=wait_s)


async def plan_resume(services: WorkerServices, *, limit_id: int, wait_s: float) -> None:
    """Make sure that one job looks at this limit in `wait_s` seconds."""
    now = services.now()
    at = now + timedelta(seconds=wait_s)
    await maybe(services.pool, queries.batches.plan_resume, limit_id=limit_id, at=at, now=now)


def _limit(row: DictRow) -> Limit:
    # Looked at as the waiting campaigns will: past the reserve that API messages have.
    cap = campaign_ceiling(row["max_count"], scope=row["scope"], recipients=row["max_count"] + 1)
    return Limit(row["limit_id"], row["account_id"], row["campaign_id"], row["max_count"], row["window_s"], cap)
