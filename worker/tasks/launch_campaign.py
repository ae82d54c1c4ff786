"""Launch a campaign: its audience becomes messages and batches, and each batch gets a job at its slot.

Runs some time before the campaign's instant, so that a large audience does not make it late.
"""

import asyncio
from datetime import timedelta

import structlog

from app.domain.limits import campaign_ceiling
from sql import queries
from worker.db import AsyncConn, count, many, maybe, one, transaction
from worker.services import WorkerServices
from worker.tasks import send_batch

PREPARE_AHEAD = timedelta(seconds=1)

preparing: set[asyncio.Task[None]] = set()

log = structlog.get_logger("mailtide.launch")


async def run(services: WorkerServices, *, id: int, epoch: int) -> None:
    now = services.now()
    async with transaction(services.pool) as conn:
        # 1. Only a campaign that is scheduled under this epoch and has no messages yet.
        campaign = await maybe(conn, queries.launch.claim_campaign, campaign_id=id, epoch=epoch)
        if campaign is None:
            return
        # A million rows may take longer than one statement usually should.
        await conn.execute("SET LOCAL statement_timeout = '30min'")
        # 2. Audience to messages and batches.
        audience = campaign["audience"] or {}
        import_id = audience.get("import_id") if audience.get("kind") == "import" else None
        start_at = max(campaign["scheduled_at"], now)
        made = await one(
            conn, queries.launch.materialise, campaign_id=id, account_id=campaign["account_id"], now=now,
            import_id=import_id, list_ids=audience.get("list_ids") or [],
            is_inline=audience.get("kind") == "contacts", start_at=start_at,
            interval_s=await _interval_s(conn, campaign["account_id"], id, campaign["pacing"]),
        )  # fmt: skip
        # 3. It has its messages now; their jobs wait for their slots.
        await count(
            conn, queries.launch.finish_materialising, campaign_id=id, now=now, import_id=import_id,
            recipients=made["recipients"], queued=made["queued"],
        )  # fmt: skip
        await count(conn, queries.launch.defer_batches, campaign_id=id, epoch=epoch)
    log.info("launched", campaign_id=id, recipients=made["recipients"], starts_at=start_at.isoformat())
    # 4. Its first batches begin sooner when all is ready. Beside this job, which may not wait for a silent relay: others are
    # to be launched, too.
    if start_at - services.now() > PREPARE_AHEAD:
        task = asyncio.create_task(send_batch.prepare(services, campaign_id=id))
        preparing.add(task)
        task.add_done_callback(preparing.discard)


async def _interval_s(conn: AsyncConn, account_id: int, campaign_id: int, pacing: str) -> float:
    """Seconds between two messages under smooth pacing: the slowest limit, spread evenly. 0 for bursts."""
    if pacing != "smooth":
        return 0.0
    limits = await many(conn, queries.launch.list_limits, account_id=account_id, campaign_id=campaign_id)
    paces = (
        row["window_s"] / campaign_ceiling(row["max_count"], scope=row["scope"], recipients=row["max_count"] + 1)
        for row in limits
    )
    return max(paces, default=0.0)
