"""The bytes of one SMTP connection: what goes out, the replies that come in, and when waiting for one has to end.

Knows how many replies are owed and nothing of what they mean. Anything unasked for, unreadable or late breaks the wire;
a broken wire is never mended, so a late reply cannot be credited to another message.
"""

import asyncio
import socket
from collections import deque
from contextlib import suppress
from typing import cast

from worker.smtp.reply import RawReply, Reply, ReplyFault, ReplyReader

# Bytes that may wait in this process without `is_held` being set. Fewer than the three of the final dot and its CRLF:
# while a write that ends with the dot is held, the end of the data has not left.
_BUFFER_LIMIT_BYTES = 2

_QUICK_ACK: int = getattr(socket, "TCP_QUICKACK", 0)  # Linux only

# A path that is dead, not closed: noticed within a minute and not after the ten that a reply may take. What cannot be
# acknowledged for 30 s is dropped by the kernel too, instead of arriving when the path comes back. Elsewhere than on Linux
# some of these names are missing.
_LIVENESS = [
    (level, getattr(socket, name, None), value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 30),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 30_000),
    )
]


class WireBroken(Exception):
    """No further reply will be read from this connection. `wire.why` says why."""


class Wire(asyncio.Protocol):
    """One connection. Only one task may wait on it at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._reader = ReplyReader()
        self._replies: deque[RawReply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 1  # replies that whoever waits has use for
        self._deadline_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self.owed = 1  # replies that what was written will still bring; at first, the greeting
        self.is_broken = False
        self.is_held = False  # bytes of the last write are still in this process
        self.why = ""  # why it broke, for people
        self.farewell: Reply | None = None  # a reply that nobody asked for: "421 timeout", mostly

    # -- what the event loop calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.use(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        if self.is_broken:
            return
        try:
            replies = self._reader.feed(data)
        except ReplyFault as fault:
            self.abort(f"the server sent {fault}")
            return
        for raw in replies:
            if not self.owed:
                self.farewell = Reply.from_wire(raw)
                self.abort(f"the server said, unasked: {self.farewell.line}")
                break
            self.owed -= 1
            self._replies.append(raw)
        if self._replies:
            if self.owed:
                self._acknowledge_now()
            if len(self._replies) >= self._wanted:
                self._wake()

    def _acknowledge_now(self) -> None:
        """Acknowledge what came although we have nothing to send.

        A server that writes its replies one by one holds the next back until the first is acknowledged (Nagle), and our
        kernel delays that for 40 ms. Measured into smtp-sink, 5 connections: 90 messages/s without this. Linux forgets
        the wish with each packet, so it is repeated.
        """
        if self._socket is not None:
            with suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def pause_writing(self) -> None:
        self.is_held = True

    def resume_writing(self) -> None:
        if not self.is_broken:
            self.is_held = False
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        # `is_held` stays as it was: what was in the buffer now will never leave.
        self._break("the server closed the connection" if exc is None else f"the connection was lost ({exc})")
        if not self._closed.done():
            self._closed.set_result(None)

    # -- what the connection calls --

    def use(self, transport: asyncio.Transport) -> None:
        """Take a transport: the first one, or the encrypted one after STARTTLS."""
        self._transport = transport
        connected = transport.get_extra_info("socket")
        self._socket = connected if _QUICK_ACK else None
        for level, option, value in _LIVENESS:
            if option is not None and connected is not None:
                with suppress(OSError):
                    connected.setsockopt(level, option, value)
        transport.set_write_buffer_limits(high=_BUFFER_LIMIT_BYTES, low=_BUFFER_LIMIT_BYTES)

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None, "not connected"
        return self._transport

    @property
    def is_quiet(self) -> bool:
        """Nothing owed and nothing half-read: needed before STARTTLS (RFC 3207 § 5: what came before is discarded)."""
        return not self.owed and not self._replies and self._reader.is_empty

    @property
    def unread(self) -> int:
        """Replies that have come and wait for `next_reply`."""
        return len(self._replies)

    def send(self, data: bytes, *, replies: int) -> bool:
        """Write, and expect so many replies. Returns False when the connection turned out to be gone: no byte left."""
        if self.is_broken or self.transport.is_closing():
            self._break("the connection was closed")
            return False
        self.owed += replies
        self.transport.write(data)
        if self.transport.is_closing():  # The system refused this very write.
            self._break("the connection was closed while writing")
            return False
        return True

    async def next_reply(self, timeout_s: float) -> RawReply:
        """Wait for the next reply in order. Raises WireBroken; on a timeout the connection is closed first."""
        while not self._replies:
            if self.is_broken:
                raise WireBroken(self.why)
            await self._wait(timeout_s)
        return self._replies.popleft()

    async def until_unread(self, count: int, *, or_until: asyncio.Future[None]) -> None:
        """Wait until so many replies have come or that is done. Returns sooner when anything else happens."""
        if self.is_broken or len(self._replies) >= count or or_until.done():
            return

        def wake(_: object) -> None:
            self._wake()

        self._wanted = count
        or_until.add_done_callback(wake)
        try:
            await self._wait_for_wake()
        finally:
            or_until.remove_done_callback(wake)
            self._wanted = 1

    async def until_written(self, timeout_s: float) -> None:
        """Wait until the last write has left this process, or the server answers before that. Raises WireBroken."""
        while self.is_held and not self._replies:
            if self.is_broken:
                raise WireBroken(self.why)
            await self._wait(timeout_s)

    def abort(self, why: str) -> None:
        """Close at once, dropping what is still in the buffer. Replies already read stay readable."""
        self._break(why)
        if self._transport is not None:
            self._transport.abort()

    async def close(self, timeout_s: float) -> None:
        """Close and wait until it is."""
        self._break("closed by this side")
        if self._transport is None:
            return
        self._transport.close()
        await asyncio.wait([self._closed], timeout=timeout_s)
        if not self._closed.done():
            self._transport.abort()

    # -- waiting --

    async def _wait(self, timeout_s: float) -> None:
        self._arm(timeout_s)
        try:
            await self._wait_for_wake()
        finally:
            self._deadline_s = None

    async def _wait_for_wake(self) -> None:
        assert self._waiter is None, "two tasks wait on one connection"
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break(self, why: str) -> None:
        if not self.is_broken:
            self.is_broken = True
            self.why = why
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self._wake()

    def _arm(self, timeout_s: float) -> None:
        # One timer for many waits: a timer for each reply would cost more than reading the reply.
        self._deadline_s = self._loop.time() + timeout_s
        if self._timer is not None:
            if self._timer.when() <= self._deadline_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline_s, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._deadline_s is None:
            return
        if self._loop.time() < self._deadline_s:
            self._timer = self._loop.call_at(self._deadline_s, self._check_deadline)
        else:
            self.abort("the server did not answer in time")
