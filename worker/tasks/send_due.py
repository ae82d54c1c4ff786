"""Send an account's API messages that are due, from the beginning of a five-second bucket until its end.

A burst of single messages makes one job for each account and bucket. The job lingers: it looks for due messages every few
hundredths of a second, takes each a moment ahead, and sends it at its instant. At the end it takes its wake-up away, so
that whoever writes a message from then on makes a new one, and then sends on until nothing is due: what was written in
between, and what the bucket was too short for.
"""

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from psycopg.rows import DictRow

from app.content.compiled import CompiledContent, ContentSource
from app.domain.schedule import WAKEUP_BUCKET_S
from app.jobs import AHEAD_S
from sql import queries
from worker.db import count, many, maybe, one
from worker.ledger import Unsent
from worker.limiter import Lease, Limit
from worker.relays import RelayPaused
from worker.sending import AT_ONCE, Ending, Item, Refusals, Run
from worker.services import WorkerServices
from worker.smtp.pool import RelayPool

CLAIM_MAX = 500  # messages taken at once
PER_CONNECTION = 25  # one more connection for each so many
LOOK_EVERY_S = 0.04
LAST_LOOK_S = 0.1  # a writer that saw our wake-up has committed by then
PAUSED_RELAY_S = 300.0
_SAID = ("subject", "html", "text_body", "from_name", "from_email", "reply_to")

_refusals: dict[int, Refusals] = {}


async def run(services: WorkerServices, *, id: int, epoch: int, job_id: int) -> None:
    account = await maybe(services.pool, queries.due.get_account, account_id=id)
    if account is None:
        return
    turn = _Turn(services, account, job_id)
    bucket_end = datetime.fromtimestamp(epoch + WAKEUP_BUCKET_S, UTC)
    while not services.stopping.is_set() and services.now() < bucket_end:
        if not await turn.send_what_is_due(bucket_end):
            break
    # From here on a new message makes a new wake-up; what came with ours is found by looking again.
    await count(services.pool, queries.due.end_wakeup, account_id=id, epoch=epoch)
    await asyncio.sleep(LAST_LOOK_S)
    await turn.send_backlog()
    # Only now: while our own wake-up was there, one for the same bucket would have come to nothing.
    await turn.plan_return()


class _Turn:
    """One job's work for one account."""

    def __init__(self, services: WorkerServices, account: DictRow, job_id: int) -> None:
        self._services = services
        self._account_id: int = account["account_id"]
        self._transport: str = account["transport"]
        self._job_id = job_id
        self._come_back_at: datetime | None = None

    async def send_what_is_due(self, bucket_end: datetime) -> bool:
        """Send until nothing is due, then sleep until something may be. False: come back later."""
        services = self._services
        state = await one(
            services.pool, queries.due.count_due, account_id=self._account_id, until=services.now(),
            bucket_end=bucket_end, at_most=CLAIM_MAX,
        )  # fmt: skip
        not_before = AT_ONCE
        if not state["due"]:
            if state["next_at"] is None:
                await asyncio.sleep(LOOK_EVERY_S)
                return True
            wait_s = (state["next_at"] - services.now()).total_seconds()
            if wait_s > AHEAD_S:
                await asyncio.sleep(min(LOOK_EVERY_S, wait_s - AHEAD_S))
                return True
            not_before = state["next_at"]
        rows = await self._claim(not_before)
        return not rows or await self._send_rows(rows, not_before)

    async def send_backlog(self) -> None:
        """Send until nothing is due any more, or something keeps us."""
        before: set[int] = set()
        while not self._services.stopping.is_set():
            rows = await self._claim()
            claimed = {row["message_id"] for row in rows}
            if not rows or not await self._send_rows(rows):
                return
            if claimed == before:  # they come back each time: not ours to send
                return
            before = claimed

    async def plan_return(self) -> None:
        """Make sure that a job comes back for what was put back; at once when this process is asked to stop."""
        at = self._services.now() if self._services.stopping.is_set() else self._come_back_at
        if at is not None:
            # Its messages are due already, so the job need not come ahead.
            at += timedelta(seconds=AHEAD_S)
            await maybe(self._services.pool, queries.due.wake_account, account_id=self._account_id, at=at)

    def _come_back(self, wait_s: float) -> None:
        at = self._services.now() + timedelta(seconds=wait_s)
        self._come_back_at = at if self._come_back_at is None else min(at, self._come_back_at)

    async def _claim(self, until: datetime = AT_ONCE) -> list[DictRow]:
        now = self._services.now()
        return await many(
            self._services.pool, queries.due.claim, account_id=self._account_id, job_id=self._job_id,
            until=max(until, now), now=now, at_most=CLAIM_MAX,
        )  # fmt: skip

    async def _send_rows(self, rows: list[DictRow], not_before: datetime = AT_ONCE) -> bool:
        """Send what was claimed, on as many connections as it is worth. Rows of one relay at a time."""
        goes_on = True
        for relay_id in dict.fromkeys(row["relay_id"] for row in rows):
            of_relay = [row for row in rows if row["relay_id"] == relay_id]
            goes_on &= await self._send_through(relay_id, of_relay, not_before)
        return goes_on

    async def _send_through(self, relay_id: int | None, rows: list[DictRow], not_before: datetime) -> bool:
        services = self._services
        try:
            relay = await services.relays.find(
                account_id=self._account_id, transport=self._transport, relay_id=relay_id
            )
        except RelayPaused:
            await self._put_back(rows, PAUSED_RELAY_S)
            return False
        items = await self._items(rows)
        limits = await self._limits()
        connections = min(services.settings.worker_concurrency, 1 + len(rows) // PER_CONNECTION)
        ended = await asyncio.gather(
            *(self._send_on(relay, items, limits, not_before) for _ in range(connections)), return_exceptions=True
        )
        # Only now, when none of them is sending any more: after the job's end its messages may be another's.
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure
        return await self._settle([each for each in ended if isinstance(each, Ending)], relay, rows)

    async def _send_on(self, relay: RelayPool, items: "_Items", limits: list[Limit], not_before: datetime) -> Ending:
        services = self._services
        lease: Lease = services.limiter.new_lease(limits)
        run = Run(
            services, items, kind="api", epoch=0, resend_uncertain=True, account_id=self._account_id, lease=lease,
            refusals=_refusals.setdefault(self._account_id, Refusals()), how_many=items.how_many, not_before=not_before,
        )  # fmt: skip
        return await run.send_through(relay)

    async def _settle(self, endings: list[Ending], relay: RelayPool, rows: list[DictRow]) -> bool:
        """Let go of what was not sent, and plan when to come back. True: nothing keeps us, go on."""
        await self._services.ledger.flush()
        troubles = [ending for ending in endings if ending.kind not in ("done", "stopped")]
        if not troubles:
            # Cancelled ones apart, nothing is left; what is, is found again at once.
            await self._put_back(rows, 0.0, wake=False)
            return True
        wait_s = max(ending.wait_s for ending in troubles)
        limit = next((ending.limit for ending in troubles if ending.limit is not None), None)
        if any(ending.kind == "relay" for ending in troubles):
            wait_s = max(wait_s, relay.blocked_for_s)
        if any(ending.kind == "refused" for ending in troubles):
            _refusals.pop(self._account_id, None)
            wait_s = max(wait_s, PAUSED_RELAY_S)
        # Under a limit the messages stay due: they were on time, the limit makes them wait, and `waits` says so.
        await self._put_back(rows, 0.0 if limit is not None else wait_s, wake=False)
        if limit is not None:
            await count(
                self._services.pool, queries.due.note_waits, account_id=self._account_id, limit_id=limit.limit_id,
                now=self._services.now(),
            )  # fmt: skip
        if wait_s > 0.0:
            self._come_back(wait_s)
            return False
        return True

    async def _put_back(self, rows: list[DictRow], wait_s: float, *, wake: bool = True) -> None:
        until = self._services.now() + timedelta(seconds=wait_s)
        await count(
            self._services.pool, queries.due.put_back, job_id=self._job_id, ids=[row["message_id"] for row in rows],
            until=until,
        )  # fmt: skip
        if wake:
            self._come_back(wait_s)

    async def _items(self, rows: list[DictRow]) -> "_Items":
        """The rows as items; what cannot be compiled fails here, and takes nobody with it."""
        made: list[tuple[DictRow, CompiledContent]] = []
        for row in rows:
            try:
                made.append((row, await self._content(row)))
            except ValueError as error:
                fault = Unsent(row["message_id"], row["attempt"], "failed", f"cannot be made: {error}")
                self._services.ledger.settle_unsent(fault)
        return _Items(self._services, made)

    async def _content(self, row: DictRow) -> CompiledContent:
        """Compiled once for messages that say the same: a burst mostly does. Raises ValueError."""
        source = ContentSource(
            subject=row["subject"], html=row["html"], text_body=row["text_body"], preview_text="",
            from_name=row["from_name"] or "", from_email=row["from_email"] or "", reply_to=row["reply_to"],
            list_id=None, is_bulk=False,
        )  # fmt: skip
        said = "\0".join(str(row[part]) for part in _SAID)
        return await self._services.contents.get(hashlib.sha256(said.encode()).digest(), source)

    async def _limits(self) -> list[Limit]:
        rows = await many(
            self._services.pool, queries.launch.list_limits, account_id=self._account_id, campaign_id=None
        )
        return [
            Limit(row["limit_id"], self._account_id, None, row["max_count"], row["window_s"], cap=row["max_count"])
            for row in rows
        ]


class _Items(Iterator[Item]):
    """Claimed rows as items, shared by the connections that send them."""

    def __init__(self, services: WorkerServices, made: list[tuple[DictRow, CompiledContent]]) -> None:
        ids = services.ids.encode_many("message", (row["message_id"] for row, _ in made))
        self._left = [(row, public_id, content) for (row, content), public_id in zip(made, ids, strict=True)][::-1]

    def how_many(self) -> int:
        return len(self._left)

    def __next__(self) -> Item:
        if not self._left:
            raise StopIteration
        row, public_id, content = self._left.pop()
        return Item(
            row["message_id"], row["attempt"], row["burned"], row["recipient"],
            row["variables"] or {}, public_id, content, row["deadline"],
        )  # fmt: skip
