"""A plain HTTP/1.1 client for load: a fixed number of keep-alive connections, one request at a time on each."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import uvloop


@dataclass(slots=True)
class Measured:
    seconds: float = 0.0
    times_ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the one before is whole."""

    def __init__(self, requests: Iterator[bytes], measured: Measured, ended: asyncio.Future[None]) -> None:
        self._requests = requests
        self._measured = measured
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        status = _whole_status(self._received)
        if status is None:
            return
        self._received = b""
        self._measured.times_ms.append((time.perf_counter() - self._began) * 1000)
        self._measured.statuses[status] = self._measured.statuses.get(status, 0) + 1
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(exc or ConnectionError("the server closed a connection"))

    def _send_next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            if not self._ended.done():
                self._ended.set_result(None)
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request)


def _whole_status(received: bytes) -> int | None:
    """The status, once the whole answer is here."""
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return None
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at >= 0:
        if len(body) < int(lower[at + 15 :].split(b"\r\n", 1)[0]):
            return None
    elif not body.endswith(b"0\r\n\r\n"):
        return None
    return int(head.split(b" ", 2)[1])


def load(port: int, requests: Iterator[bytes], *, connections: int, timeout_s: float) -> Measured:
    """Send all requests and return what they took. Raises TimeoutError, ConnectionError."""
    return uvloop.run(asyncio.wait_for(_load(port, requests, connections), timeout_s))


async def _load(port: int, requests: Iterator[bytes], connections: int) -> Measured:
    loop = asyncio.get_running_loop()
    measured = Measured()
    began = time.perf_counter()
    ends = []
    for _ in range(connections):
        ended: asyncio.Future[None] = loop.create_future()
        ends.append(ended)
        await loop.create_connection(lambda ended=ended: _Connection(requests, measured, ended), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ends)
    measured.seconds = time.perf_counter() - began
    return measured


def post(path: str, body: bytes, **headers: str) -> bytes:
    """One POST with a JSON body, ready for the wire."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
