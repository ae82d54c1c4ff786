"""Close a cancelled campaign: what is still queued becomes 'cancelled', batch by batch, so that counts stay true."""

from sql import queries
from worker.db import count, many
from worker.services import WorkerServices

SLICE = 50


async def run(services: WorkerServices, *, id: int, epoch: int) -> None:
    """Batches that a worker holds at this moment put themselves down as queued; the clock loop comes back for them."""
    while not services.stopping.is_set():
        batches = await many(services.pool, queries.launch.list_open_batches, campaign_id=id, epoch=epoch, slice=SLICE)
        if not batches:
            return
        for batch in batches:
            await count(services.pool, queries.launch.cancel_batch, batch_id=batch["batch_id"], now=services.now())
