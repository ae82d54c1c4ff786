"""The database's time, as the worker's clock.

Workers on hosts whose clocks differ by an hour must agree on what is due. So a worker reads the database's clock now
and then, and counts on from there with its own monotonic clock, which nobody sets.
"""

import time
from datetime import UTC, datetime, timedelta

from worker.db import AsyncPool

REFRESH_S = 10.0
ROUND_TRIP_MAX_S = 0.5


class DatabaseClock:
    def __init__(self) -> None:
        self._base = datetime.now(UTC)
        self._base_mono = time.monotonic()
        self._is_set = False

    def now(self) -> datetime:
        return self._base + timedelta(seconds=time.monotonic() - self._base_mono)

    async def refresh(self, pool: AsyncPool) -> None:
        """Read the database's clock. The middle of the round trip is taken as the instant of the answer.

        After the first time, an answer that took long is not believed: this process or its connection was held up, and
        nobody knows in which half. Counting on is better.
        """
        async with pool.connection() as conn:
            before = time.monotonic()
            row = await (await conn.execute("SELECT clock_timestamp() AS now")).fetchone()
            after = time.monotonic()
        assert row is not None
        if self._is_set and after - before > ROUND_TRIP_MAX_S:
            return
        self._is_set = True
        self._base, self._base_mono = row["now"], (before + after) / 2
