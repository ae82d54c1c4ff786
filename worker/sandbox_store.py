"""Where the SMTP sandbox keeps mail: the `inbox` table, in natural group commits.

Arrivals queue up; one task takes all that wait, stores them with one statement, and tells each connection. While it
commits, the next group forms: no timer. While PostgreSQL is away every arrival is answered "later"; a group whose answer
was lost is looked up after reconnecting, so an arrival is neither stored twice nor denied after it was stored.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row

from app.db import SESSION_OPTIONS
from app.public_ids import PublicIds
from sql import queries

#: Newest arrivals kept for each account: 150 MB of messages of 3 kB. Nothing newer is ever dropped.
KEPT_PER_ACCOUNT = 50_000
_PRUNE_EVERY_S = 60.0
_PRUNE_AFTER_ARRIVALS = 1_000
_PRUNE_BATCH_SIZE = 5_000
_GROUP_SIZE_MAX = 500
_GROUP_BYTES_MAX = 8_388_608
_RECONNECT_FIRST_S, _RECONNECT_MAX_S = 0.1, 1.0
_IN_DOUBT_MAX_S = 10.0  # how long a group may wait to hear whether it was stored

log = structlog.get_logger("sandbox")
Conn = psycopg.AsyncConnection[DictRow]


class Verdict(Enum):
    STORED = auto()
    UNKNOWN = auto()  # no account has such a message
    AWAY = auto()  # the database cannot say


@dataclass(frozen=True, slots=True)
class Arrival:
    """One received message. `received_at`: when its final dot came. `told` is called once."""

    message_id: int
    mail_from: str
    rcpt_to: str
    subject: str
    received_at: datetime
    raw: bytes
    told: Callable[[Verdict], None]


class SandboxStore:
    def __init__(self, database_url: str, *, kept_per_account: int = KEPT_PER_ACCOUNT) -> None:
        self._database_url, self._kept = database_url, kept_per_account
        self._conn: Conn | None = None
        self._pending: deque[Arrival] = deque()
        self._has_pending = asyncio.Event()
        self._connected = asyncio.Event()
        self._last_inbox_id = 0
        self._since_prune: Counter[int] = Counter()  # arrivals by account
        self._tasks: list[asyncio.Task[None]] = []
        self._drained = asyncio.Event()
        self._drained.set()
        self.ids: PublicIds | None = None  # known once the database has answered for the first time

    def start(self) -> None:
        run = asyncio.get_running_loop().create_task
        self._tasks = [run(self._keep_connected()), run(self._store_forever()), run(self._prune_forever())]

    async def stop(self) -> None:
        """Finish the group under way and what waits behind it, then close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._drained.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._pending:
            self._pending.popleft().told(Verdict.AWAY)
        if self._conn is not None:
            await self._conn.close()

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    async def wait_until_ready(self) -> None:
        await self._connected.wait()

    def submit(self, arrival: Arrival) -> None:
        """Store it soon. Its `told` is called after the commit, or at once when the database is away."""
        if not self._connected.is_set():
            # Soon, not now: the session is in the middle of its own work.
            asyncio.get_running_loop().call_soon(arrival.told, Verdict.AWAY)
            return
        self._drained.clear()
        self._pending.append(arrival)
        self._has_pending.set()

    # -- storing --

    async def _store_forever(self) -> None:
        while True:
            await self._has_pending.wait()
            group = self._take_group()
            verdicts = await self._store(group)
            for arrival, verdict in zip(group, verdicts, strict=True):
                arrival.told(verdict)
            if not self._pending:
                self._drained.set()

    def _take_group(self) -> list[Arrival]:
        group: list[Arrival] = []
        size_bytes = 0
        while self._pending and len(group) < _GROUP_SIZE_MAX and size_bytes < _GROUP_BYTES_MAX:
            arrival = self._pending.popleft()
            size_bytes += len(arrival.raw)
            group.append(arrival)
        if not self._pending:
            self._has_pending.clear()
        return group

    async def _store(self, group: list[Arrival]) -> list[Verdict]:
        if not self._connected.is_set():
            return [Verdict.AWAY] * len(group)
        try:
            return await self._insert(group)
        except psycopg.OperationalError as error:
            if self._conn is not None and not self._conn.broken and not self._conn.closed:
                log.warning("inbox_refused", error=str(error))  # A full disk, a timeout: it was rolled back.
                return [Verdict.AWAY] * len(group)
            self._connected.clear()
            return await self._find_out(group)
        except psycopg.Error as error:
            if len(group) > 1:  # One bad arrival does not take the others with it.
                return [(await self._store([arrival]))[0] for arrival in group]
            log.warning("inbox_refused", error=str(error))
            return [Verdict.UNKNOWN]

    async def _insert(self, group: list[Arrival]) -> list[Verdict]:
        assert self._conn is not None
        cursor = await self._conn.execute(
            queries.sandbox.store_arrivals.text,
            {
                "message_ids": [arrival.message_id for arrival in group],
                "mail_froms": [arrival.mail_from for arrival in group],
                "rcpt_tos": [arrival.rcpt_to for arrival in group],
                "subjects": [arrival.subject for arrival in group],
                "sizes_bytes": [len(arrival.raw) for arrival in group],
                "received_ats": [arrival.received_at for arrival in group],
                "raws": [arrival.raw for arrival in group],
            },
        )
        rows = await cursor.fetchall()
        if rows:
            self._last_inbox_id = max(row["inbox_id"] for row in rows)
            self._since_prune.update(row["account_id"] for row in rows)
        stored = {row["message_id"] for row in rows}
        return [Verdict.STORED if arrival.message_id in stored else Verdict.UNKNOWN for arrival in group]

    async def _find_out(self, group: list[Arrival]) -> list[Verdict]:
        """The connection died under the statement: wait for the database, look, and store what is not there."""
        try:
            async with asyncio.timeout(_IN_DOUBT_MAX_S):
                await self._connected.wait()
                assert self._conn is not None
                cursor = await self._conn.execute(
                    queries.sandbox.find_stored.text,
                    {
                        "message_ids": [arrival.message_id for arrival in group],
                        "received_ats": [arrival.received_at for arrival in group],
                        "after_inbox_id": self._last_inbox_id,
                    },
                )
                stored = {(row["message_id"], row["received_at"]) for row in await cursor.fetchall()}
        except (TimeoutError, psycopg.Error):
            return [Verdict.AWAY] * len(group)
        missing = [arrival for arrival in group if (arrival.message_id, arrival.received_at) not in stored]
        try:
            found = iter(await self._insert(missing) if missing else [])
        except psycopg.Error:
            found = iter([Verdict.AWAY] * len(missing))
        return [
            Verdict.STORED if (arrival.message_id, arrival.received_at) in stored else next(found) for arrival in group
        ]

    # -- the connection --

    async def _keep_connected(self) -> None:
        delay_s = _RECONNECT_FIRST_S
        while True:
            try:
                await self._connect()
            except (psycopg.Error, OSError) as error:
                log.warning("database_away", error=str(error).splitlines()[0] if str(error) else type(error).__name__)
                await asyncio.sleep(delay_s)
                delay_s = min(_RECONNECT_MAX_S, delay_s * 2)
                continue
            delay_s = _RECONNECT_FIRST_S
            while self._connected.is_set():  # Cleared by whoever finds it broken.
                await asyncio.sleep(_RECONNECT_FIRST_S)
                if self._conn is None or self._conn.closed:
                    self._connected.clear()

    async def _connect(self) -> None:
        if self._conn is not None:
            with suppress(psycopg.Error, OSError):
                await self._conn.close()
        self._conn = await psycopg.AsyncConnection.connect(
            self._database_url,
            autocommit=True,
            row_factory=dict_row,
            application_name="mailtide-sandbox",
            options=SESSION_OPTIONS,
            connect_timeout=5,
        )
        if self.ids is None:
            row = await (await self._conn.execute(queries.installation.get_keys.text)).fetchone()
            assert row is not None
            self.ids = PublicIds(bytes(row["id_key"]))
            last = await (await self._conn.execute(queries.sandbox.get_last_inbox_id.text)).fetchone()
            assert last is not None
            self._last_inbox_id = last["inbox_id"]
        self._connected.set()

    # -- keeping it small --

    async def _prune_forever(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_EVERY_S)
            try:
                await self.prune()
            except (psycopg.Error, OSError) as error:
                log.warning("prune_failed", error=str(error))

    async def prune(self) -> None:
        """Delete what is beyond the newest KEPT_PER_ACCOUNT of accounts that got much mail, on a connection of its own."""
        busy = [account_id for account_id, count in self._since_prune.items() if count >= self._prune_after]
        if not busy:
            return
        async with await psycopg.AsyncConnection.connect(
            self._database_url, autocommit=True, application_name="mailtide-sandbox-prune", options=SESSION_OPTIONS
        ) as conn:
            for account_id in busy:
                del self._since_prune[account_id]
                deleted = _PRUNE_BATCH_SIZE
                while deleted == _PRUNE_BATCH_SIZE:
                    deleted = (
                        await conn.execute(
                            queries.sandbox.prune_inbox.text,
                            {"account_id": account_id, "kept": self._kept, "batch_size": _PRUNE_BATCH_SIZE},
                        )
                    ).rowcount

    @property
    def _prune_after(self) -> int:
        return min(_PRUNE_AFTER_ARRIVALS, self._kept)
