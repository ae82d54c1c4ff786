"""Warm connections to one relay, and how hard to lean on it.

    breaker     a failed connection, or a 421, closes the door for 1, 2, 4 … 60 s; then one connection tries
    AIMD        a 421 also halves the number of connections; each ten good seconds give one back

    patience    who asks waits some seconds for a connection to open, which then goes on without them: a server may take
                minutes to say its first word (RFC 5321 § 4.5.3.2.1), and who waits holds a slot that others need

Nobody waits behind a closed door: `connection()` raises RelayUnavailable at once, and `blocked_for_s` says when to come
again. Belongs to one event loop; knows no settings and no database.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.settings import RelayAddress
from worker.smtp.connection import SmtpConnection
from worker.smtp.reply import Reply
from worker.smtp.stage import RelayUnavailable, Stage, Timeouts

IDLE_MAX_S = 60.0  # well below the 5 minutes that a server grants (RFC 5321 § 4.5.3.2.7)
BLOCK_FIRST_S = 1.0
BLOCK_MAX_S = 60.0
GROW_AFTER_S = 10.0
OPEN_PATIENCE_S = 3.0
SLOW_RETRY_S = 10.0  # when to ask again for a connection that is still being opened

Opener = Callable[[], Awaitable[SmtpConnection]]


class RelayPool:
    """Connections to one relay, at most `size_max` at once."""

    def __init__(
        self,
        address: RelayAddress,
        *,
        helo_name: str,
        size_max: int,
        timeouts: Timeouts | None = None,
        public_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
        opener: Opener | None = None,
    ) -> None:
        self._open = opener or (
            lambda: SmtpConnection.open(address, helo_name=helo_name, timeouts=timeouts, public_only=public_only)
        )
        self._size_max, self._clock = size_max, clock
        self._limit = size_max  # moves between 1 and size_max
        self._limit_changed_at = clock()
        self._in_use = 0
        self._idle: list[tuple[SmtpConnection, float]] = []  # newest last, with the time of its return
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._failures = 0  # rounds in a row
        self._blocked_until: float | None = None
        self._is_probing = False
        self._last_reply: Reply | None = None
        self._last_reason = ""
        self._closing: set[asyncio.Task[None]] = set()
        self._slow_openings: set[asyncio.Task[SmtpConnection]] = set()  # nobody waits for these any more
        self._is_closed = False

    @property
    def blocked_until(self) -> float | None:
        """Until when the breaker is open, on the pool's clock, or None."""
        return self._blocked_until if self._breaker_s > 0 else None

    @property
    def blocked_for_s(self) -> float:
        """Seconds until a connection may be asked for again; 0 when it may now."""
        is_opening_slowly = self._slow_openings and not self._idle
        return max(self._breaker_s, SLOW_RETRY_S if is_opening_slowly else 0.0)

    @property
    def _breaker_s(self) -> float:
        return max(0.0, self._blocked_until - self._clock()) if self._blocked_until is not None else 0.0

    @property
    def limit(self) -> int:
        """How many connections it may have at the moment."""
        return self._limit

    @property
    def last_reason(self) -> str:
        """Why the relay was last found unavailable, for people; "" once it works."""
        return self._last_reason

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[SmtpConnection]:
        """Hand out a live connection, waiting for a free one.

        Afterwards it is kept when it is still good; with an announced envelope left on it, it is closed.
        Raises RelayUnavailable while the breaker is open and when connecting fails.
        """
        await self._take_slot()
        try:
            connection = self._take_idle() or await self._connect()
            answered = connection.answered
            try:
                yield connection
            finally:
                self._give_back(connection, did_work=connection.answered > answered)
        finally:
            self._in_use -= 1
            self._wake_waiters()

    async def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        self._is_closed = True
        for connection, _ in self._idle:
            self._close_later(connection)
        self._idle.clear()
        for opening in self._slow_openings:
            opening.cancel()
        self._wake_waiters()
        if self._closing:
            await asyncio.wait(self._closing)

    # -- slots --

    async def _take_slot(self) -> None:
        while True:
            self._raise_if_blocked()
            if self._in_use < self._limit and not (self._is_probing and not self._idle):
                self._in_use += 1
                return
            turn = asyncio.get_running_loop().create_future()
            self._waiters.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake_waiters()  # The turn was ours and we leave: it is the next one's.
                raise

    def _raise_if_blocked(self) -> None:
        if self._is_closed:
            raise RelayUnavailable(Stage.CONNECT, None, "This process is stopping.")
        if self.blocked_for_s > 0:
            reason = f"Not tried again for {self.blocked_for_s:.0f} s: {self._last_reason}"
            raise RelayUnavailable(Stage.CONNECT, self._last_reply, reason)

    def _wake_waiters(self) -> None:
        free = self._limit - self._in_use
        if self._is_closed or self.blocked_for_s > 0:
            free = len(self._waiters)  # All of them hear why not.
        while self._waiters and free > 0:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    # -- connections --

    def _take_idle(self) -> SmtpConnection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if connection.usable and self._clock() - since <= IDLE_MAX_S:
                return connection
            self._close_later(connection)
        return None

    async def _connect(self) -> SmtpConnection:
        opening = asyncio.get_running_loop().create_task(self._open_one())
        if self._failures > 0:
            # After a failure one connection tries, and the rest wait for how it goes.
            self._is_probing = True
            opening.add_done_callback(self._end_probe)
        try:
            done, _ = await asyncio.wait((opening,), timeout=OPEN_PATIENCE_S)
        except asyncio.CancelledError:
            opening.cancel()
            raise
        if done:
            return opening.result()
        self._last_reply, self._last_reason = None, "It takes long to answer."
        self._slow_openings.add(opening)
        opening.add_done_callback(self._adopt)
        self._wake_waiters()
        raise RelayUnavailable(Stage.CONNECT, None, self._last_reason)

    def _adopt(self, opening: "asyncio.Task[SmtpConnection]") -> None:
        """Keep a connection that nobody waited for until somebody asks. A failure has been noted by then."""
        self._slow_openings.discard(opening)
        if opening.cancelled() or opening.exception() is not None:
            return
        if self._is_closed:
            self._close_later(opening.result())
            return
        self._idle.append((opening.result(), self._clock()))
        self._wake_waiters()

    async def _open_one(self) -> SmtpConnection:
        try:
            return await self._open()
        except RelayUnavailable as error:
            self._note_failure(error.reply, error.reason)
            raise

    def _end_probe(self, _: object) -> None:
        self._is_probing = False
        self._wake_waiters()

    def _give_back(self, connection: SmtpConnection, *, did_work: bool) -> None:
        connection.drop_ahead()
        if connection.was_told_to_go:
            self._halve()
            self._note_failure(None, connection.why)
        elif connection.failed:
            self._note_failure(None, connection.why)
        elif did_work:
            self._note_success()
        if connection.usable and not self._is_closed:
            self._idle.append((connection, self._clock()))
        else:
            self._close_later(connection)

    def _close_later(self, connection: SmtpConnection) -> None:
        # QUIT and its answer hold nobody up.
        task = asyncio.get_running_loop().create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # -- breaker and AIMD --

    def _note_failure(self, reply: Reply | None, reason: str) -> None:
        self._last_reply, self._last_reason = reply, reason
        if self._breaker_s > 0:
            return  # Connections that fail together are one failure.
        self._failures += 1
        delay_s = min(BLOCK_MAX_S, BLOCK_FIRST_S * 2.0 ** min(self._failures - 1, 10))
        self._blocked_until = self._clock() + delay_s
        self._wake_waiters()

    def _note_success(self) -> None:
        if self._breaker_s > 0:
            return  # A conversation that began before the failure proves nothing about what came after.
        self._failures = 0
        self._blocked_until = None
        self._last_reply, self._last_reason = None, ""
        if self._limit < self._size_max and self._clock() - self._limit_changed_at >= GROW_AFTER_S:
            self._limit += 1
            self._limit_changed_at = self._clock()

    def _halve(self) -> None:
        if self._breaker_s > 0:
            return
        self._limit = max(1, self._limit // 2)
        self._limit_changed_at = self._clock()
