"""A wire with latency: `python -m tests.bench.proxy PORT TARGET_PORT ONE_WAY_MS`. Each byte arrives so much later, in order."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import cast

import uvloop


class OneWay:
    """What was put in comes out `delay_s` later, in order."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()

    def put(self, arrive: Callable[[], None]) -> None:
        due = self._loop.time() + self._delay_s
        self._waiting.append((due, arrive))
        if len(self._waiting) == 1:
            self._loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        # Never before its time: the loop's timers are as coarse as a millisecond and may be early.
        while self._waiting and self._waiting[0][0] <= self._loop.time() + 0.0002:
            self._waiting.popleft()[1]()
        if self._waiting:
            self._loop.call_at(self._waiting[0][0], self._deliver)


class End(asyncio.Protocol):
    """One end of a proxied connection. `other` is the end at which its bytes come out."""

    def __init__(self, delay_s: float) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self._way = OneWay(delay_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own

    def data_received(self, data: bytes) -> None:
        self._way.put(lambda: self._at_other(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._way.put(lambda: self._at_other(None))

    def _at_other(self, data: bytes | None) -> None:
        if self.other is None or self.other.transport is None or self.other.transport.is_closing():
            return
        if data is None:
            self.other.transport.close()
        else:
            self.other.transport.write(data)


async def serve(port: int, target_port: int, one_way_s: float) -> None:
    loop = asyncio.get_running_loop()
    connecting: set[asyncio.Task[None]] = set()

    class Accepted(End):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = loop.create_task(self._connect())
            connecting.add(task)
            task.add_done_callback(connecting.discard)

        async def _connect(self) -> None:
            self.other = End(one_way_s)
            self.other.other = self
            try:
                await loop.create_connection(lambda: self.other, "127.0.0.1", target_port)  # type: ignore[arg-type,return-value]
            except OSError:
                if self.transport is not None:
                    self.transport.abort()

    server = await loop.create_server(lambda: Accepted(one_way_s), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
