"""A TCP proxy that breaks connections on request, for SMTP, PostgreSQL and Redis alike.

    proxy = FaultProxy("127.0.0.1", 5432); port = await proxy.start()
    proxy.arm(Cut("down", after_bytes=100))         # after 100 more bytes to the client, close both sides
    proxy.arm(Cut("up", pattern=b"\\r\\n.\\r\\n"))  # right after the pattern has gone to the server
    proxy.arm(Swallow(times=1))                     # the server's next bytes never arrive
    proxy.arm(Late(seconds=2.0))                    # they arrive late
    proxy.set_delay("up", 0.05); proxy.hang(); proxy.go_on(); proxy.reset()

"up" is from the client to the server, "down" the other way. A fault that is armed strikes the first connection that it
fits, `times` times. `ProxyThread` runs proxies beside synchronous code.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Direction = Literal["up", "down"]
CHUNK = 65_536
T = TypeVar("T")


@dataclass(slots=True)
class Cut:
    """Close both sides once so many more bytes, or the pattern, have passed in this direction."""

    direction: Direction
    after_bytes: int | None = None
    pattern: bytes | None = None
    with_reset: bool = False
    times: int = 1


@dataclass(slots=True)
class Swallow:
    """Drop what the server sends next, or all that it still sends on that connection."""

    times: int = 1
    and_all_after: bool = False


@dataclass(slots=True)
class Late:
    """Hold what the server sends next for so long."""

    seconds: float
    times: int = 1


Fault = Cut | Swallow | Late


class FaultProxy:
    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._faults: list[Fault] = []
        self._delays: dict[Direction, float] = {"up": 0.0, "down": 0.0}
        self._moving = asyncio.Event()
        self._moving.set()
        self.struck = 0  # connections that a fault has ended, or whose bytes it has taken
        self.port = 0

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.go_on()
        self.reset()

    def arm(self, fault: Fault) -> None:
        self._faults.append(fault)

    def disarm(self) -> None:
        self._faults.clear()
        self._delays = {"up": 0.0, "down": 0.0}

    def hang(self) -> None:
        """Move no byte until `go_on`. Connections are still taken."""
        self._moving.clear()

    def go_on(self) -> None:
        self._moving.set()

    def set_delay(self, direction: Direction, seconds: float) -> None:
        self._delays[direction] = seconds

    def reset(self) -> int:
        """End every connection with RST. Returns how many."""
        links = list(self._links)
        for link in links:
            link.end(with_reset=True)
        self.struck += len(links)
        return len(links)

    @property
    def open(self) -> int:
        return len(self._links)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, up_writer)
        self._links.add(link)
        pumps = [
            asyncio.create_task(self._pump("up", reader, up_writer, link)),
            asyncio.create_task(self._pump("down", up_reader, writer, link)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            link.end()
            self._links.discard(link)

    async def _pump(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link"
    ) -> None:
        seen = _Seen()
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._moving.wait()
                if self._delays[direction]:
                    await asyncio.sleep(self._delays[direction])
                if not await self._pass_on(direction, data, writer, link, seen):
                    return

    async def _pass_on(
        self, direction: Direction, data: bytes, writer: asyncio.StreamWriter, link: "_Link", seen: "_Seen"
    ) -> bool:
        """Forward what the faults let through. False: the connection is over."""
        if link.is_mute and direction == "down":
            return True
        for fault in list(self._faults):
            if isinstance(fault, Cut):
                if fault.direction != direction:
                    continue
                end = seen.find_cut(fault, data)
                if end is None:
                    continue
                self._use_up(fault)
                writer.write(data[:end])
                with contextlib.suppress(OSError):
                    await asyncio.wait_for(writer.drain(), 1.0)
                link.end(with_reset=fault.with_reset)
                return False
            if direction == "down":
                self._use_up(fault)
                if isinstance(fault, Swallow):
                    link.is_mute = fault.and_all_after
                    return True
                await asyncio.sleep(fault.seconds)
        seen.remember(data)
        writer.write(data)
        await writer.drain()
        return True

    def _use_up(self, fault: Fault) -> None:
        self.struck += 1
        fault.times -= 1
        if fault.times <= 0 and fault in self._faults:
            self._faults = [other for other in self._faults if other is not fault]


class _Seen:
    """What one direction of one connection has carried, as far as faults need it."""

    def __init__(self) -> None:
        self._tail = b""
        self._since: dict[int, int] = {}  # id(fault) -> bytes that passed since this connection met it

    def find_cut(self, fault: Cut, data: bytes) -> int | None:
        """How many bytes of `data` still pass, if the cut is in it."""
        if fault.pattern is not None:
            keep = min(len(self._tail), len(fault.pattern) - 1)
            tail = self._tail[len(self._tail) - keep :]
            at = (tail + data).find(fault.pattern)
            return None if at < 0 else at + len(fault.pattern) - keep
        passed = self._since.get(id(fault), 0)
        left = (fault.after_bytes or 0) - passed
        if left < len(data):
            return left
        self._since[id(fault)] = passed + len(data)
        return None

    def remember(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-64:]


class _Link:
    """Both ends of one proxied connection."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._writers = (client, server)
        self.is_mute = False  # nothing the server says arrives any more

    def end(self, *, with_reset: bool = False) -> None:
        for writer in self._writers:
            if with_reset:
                link: socket.socket | None = writer.get_extra_info("socket")
                if link is not None:
                    with contextlib.suppress(OSError):
                        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()


class ProxyThread:
    """An event loop on a thread of its own, for proxies beside synchronous code."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._proxies: list[FaultProxy] = []

    def open(self, port: int, host: str = "127.0.0.1") -> FaultProxy:
        async def start() -> FaultProxy:
            proxy = FaultProxy(host, port)
            await proxy.start()
            return proxy

        proxy = self._wait(start())
        self._proxies.append(proxy)
        return proxy

    def do(self, act: Callable[[], T]) -> T:
        """Call a proxy's method where its event loop runs."""

        async def call() -> T:
            return act()

        return self._wait(call())

    def close(self) -> None:
        for proxy in self._proxies:
            self._wait(proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
