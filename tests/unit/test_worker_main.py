"""A worker process serves all of its queues, or ends."""

import asyncio
from typing import cast

from procrastinate.worker import Worker

from worker.main import serve_all


class Served:
    """A queue worker that fails at once, or serves until it is stopped."""

    def __init__(self, fault: Exception | None = None) -> None:
        self._fault = fault
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        if self._fault is not None:
            raise self._fault
        await self._stopped.wait()

    def stop(self) -> None:
        self._stopped.set()


def test_one_queue_that_cannot_be_served_ends_the_whole_process() -> None:
    async def scenario() -> list[BaseException | None]:
        fault = ConnectionError("the database restarted while it registered")
        served = [Served(), Served(fault), Served()]

        def stop() -> None:
            for one in served:
                one.stop()

        return await asyncio.wait_for(serve_all([cast(Worker, one) for one in served], stop), 10)

    first, failed, last = asyncio.run(scenario())
    assert (first, last) == (None, None)
    assert isinstance(failed, ConnectionError)
