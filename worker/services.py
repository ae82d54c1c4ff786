"""What tasks need, in one place. Made by `main`, passed to every task; holds no rules."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.public_ids import PublicIds
from app.settings import Settings
from worker.clock import DatabaseClock
from worker.contents import Contents
from worker.db import AsyncPool
from worker.ledger import Ledger
from worker.limiter import Limiter
from worker.relays import Relays


@dataclass(slots=True)
class WorkerServices:
    settings: Settings
    pool: AsyncPool
    clock: DatabaseClock
    ids: PublicIds
    link_key: bytes
    ledger: Ledger
    limiter: Limiter
    relays: Relays
    contents: Contents
    writer_id: int
    #: Set on SIGTERM: finish what is under way, take nothing new.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    #: A batch ends: if all slots were taken, one is free from here on. Set by `main`.
    note_slot_freed: Callable[[], None] = lambda: None
    #: Monotonic seconds of the latest such moment; 0 when there was none.
    slot_freed_at: Callable[[], float] = lambda: 0.0
    #: Another batch is due here and no slot is free for it. Set by `main`.
    others_wait: Callable[[], bool] = lambda: True

    def now(self) -> datetime:
        return self.clock.now()

    def slots_free_since(self) -> datetime:
        """Since when a batch could have been taken here: due work that waits longer than that is late."""
        freed_at = self.slot_freed_at()
        return self.now() - timedelta(seconds=time.monotonic() - freed_at) if freed_at else _LONG_AGO


_LONG_AGO = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
