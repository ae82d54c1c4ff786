"""Send one batch of a campaign, on one connection.

    claim -> messages that may go -> one Run -> put the batch down: done, due again, or waiting on a limit

The job comes a moment before the batch's time, so that at the instant only the first mark is left to be made.

A batch that is claimed under an old epoch, or by somebody else, is left alone: the job was only a wake-up.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
import structlog
from psycopg.rows import DictRow

from app.content.compiled import CompiledContent, ContentSource
from app.domain.limits import campaign_ceiling
from app.jobs import AHEAD_S
from sql import queries
from worker.contents import list_id_domain
from worker.db import count, many, maybe, one
from worker.limiter import Limit, LimiterDown
from worker.relays import RelayPaused
from worker.sending import AT_ONCE, NO_DEADLINE, Ending, Item, Refusals, Run
from worker.services import WorkerServices
from worker.smtp.connection import RelayUnavailable
from worker.smtp.pool import RelayPool
from worker.tasks.resume_limit import plan_resume

log = structlog.get_logger("mailtide.batch")

# A batch whose next message is due sooner than this waits for it in place (smooth pacing, or a clock that runs a little
# behind the queue's); beyond that it is put down, and a job picks it up at the slot.
LINGER_S = 0.25

# A batch that has held its slot for so long is put down as soon as another campaign's waits for one, which goes next, and it
# comes back behind that one: else a relay that takes 200 ms for each reply would hold all slots for minutes. It costs some
# 10 ms and two round trips to the relay, so batches of one campaign do not make room for each other.
SLICE_S = 2.0

IDS_AT_ONCE = 25

_refusals: dict[int, Refusals] = {}


@dataclass(frozen=True, slots=True)
class Batch:
    batch_id: int
    job_id: int
    run: int
    epoch: int
    account_id: int
    campaign_id: int
    first_message_id: int
    last_message_id: int
    recipients: int
    resend_uncertain: bool
    transport: str
    launched_at: datetime  # the content cannot change after it

    @property
    def limit_scope(self) -> dict[str, int]:
        return {"account_id": self.account_id, "campaign_id": self.campaign_id, "recipients": self.recipients}

    @property
    def extent(self) -> dict[str, int]:
        """Where its messages are, as the queries ask for it."""
        return {
            "batch_id": self.batch_id, "first_message_id": self.first_message_id,
            "last_message_id": self.last_message_id,
        }  # fmt: skip


async def run(services: WorkerServices, *, id: int, epoch: int, job_id: int) -> None:
    # 1. Take it, with what it says and as whom.
    row = await maybe(
        services.pool, queries.batches.claim, batch_id=id, epoch=epoch, job_id=job_id, now=services.now(),
        free_since=services.slots_free_since(),
    )  # fmt: skip
    if row is None:
        return
    batch = _batch(row, job_id=job_id, epoch=epoch)
    if row["from_email"] is None:
        await _pause(services, batch, "the campaign has no sender any more: choose one and resume")
        return
    # 2. Through which relay, and who is due.
    limits = _bind(row["limits"], **batch.limit_scope)
    try:
        relay = services.relays.choose(row, account_id=batch.account_id, transport=batch.transport)
        rows = await _list_messages(services, batch)
    except RelayPaused as error:
        await _pause(services, batch, f"the relay is paused: {error}")
        return
    # 3. Send what may go now.
    try:
        content = await _content(services, row)
    except ValueError as error:  # it was checked when it was saved; its sender may have changed since
        ending = Ending("refused", reason=f"the content cannot be made: {error}")
    else:
        ending = await _send(services, batch, rows, content=content, relay=relay, limits=limits)
    services.note_slot_freed()
    # 4. Put it down.
    try:
        await _put_down(services, batch, ending, relay)
    except psycopg.errors.CheckViolation:
        # batches_sending_is_held: a worker that was taken for dead came back and has a message of it under way. The clock
        # loop takes the batch back from this job, once it has ended, and settles that message.
        log.warning("another worker is still in this batch", batch_id=batch.batch_id)


async def prepare(services: WorkerServices, *, campaign_id: int) -> None:
    """Have ready before its instant what a campaign's first batches would else wait for.

    The counters of its limits, its content, and one connection to its relay. What cannot be had now is had then.
    """
    with suppress(psycopg.OperationalError, LimiterDown, ValueError, RelayPaused, RelayUnavailable):
        row = await maybe(services.pool, queries.batches.find_content, campaign_id=campaign_id)
        if row is None or row["from_email"] is None:
            return
        for limit in await _limits(
            services, account_id=row["account_id"], campaign_id=campaign_id, recipients=row["recipients"] or 0
        ):
            await services.limiter.free_permits(limit)
        await _content(services, row)
        relay = await services.relays.find(
            account_id=row["account_id"], transport=row["transport"], relay_id=row["relay_id"]
        )
        async with relay.connection():
            pass


def _batch(row: DictRow, *, job_id: int, epoch: int) -> Batch:
    return Batch(
        row["batch_id"], job_id, row["run"], epoch, row["account_id"], row["campaign_id"], row["first_message_id"],
        row["last_message_id"], row["recipients"] or 0, row["uncertain_policy"] == "resend",
        row["transport"], row["launched_at"],
    )  # fmt: skip


async def _list_messages(services: WorkerServices, batch: Batch, *, until: datetime | None = None) -> list[DictRow]:
    until = until or services.now()
    return await many(services.pool, queries.batches.list_messages, until=until, **batch.extent)


async def _send(
    services: WorkerServices, batch: Batch, rows: list[DictRow], *, content: CompiledContent, relay: RelayPool,
    limits: list[Limit],
) -> Ending:  # fmt: skip
    """Send `rows`, and what becomes due meanwhile."""
    turn = _Turn(services, batch.campaign_id)
    not_before = AT_ONCE
    try:
        while True:
            if rows:
                items = _Items(services, rows, content, turn)
                ending = await _send_rows(services, batch, items, relay, limits, not_before)
                if ending.kind != "done" or turn.is_over():
                    return ending
                not_before = AT_ONCE
                rows = await _list_messages(services, batch)
            else:
                slot = await one(services.pool, queries.batches.find_next_slot, **batch.extent)
                wait_s = _seconds_until(services, slot["next_at"])
                if wait_s is None or wait_s > LINGER_S or services.stopping.is_set():
                    return Ending("done")
                not_before = slot["next_at"]
                await asyncio.sleep(max(0.0, wait_s - AHEAD_S))
                rows = await _list_messages(services, batch, until=not_before)
    finally:
        turn.end()


async def _send_rows(
    services: WorkerServices, batch: Batch, items: "_Items", relay: RelayPool, limits: list[Limit],
    not_before: datetime,
) -> Ending:  # fmt: skip
    run = Run(
        services, items, kind="campaign", epoch=batch.epoch, campaign_id=batch.campaign_id,
        resend_uncertain=batch.resend_uncertain, account_id=batch.account_id, lease=services.limiter.new_lease(limits),
        refusals=_refusals.setdefault(batch.campaign_id, Refusals()), how_many=items.how_many, not_before=not_before,
    )  # fmt: skip
    return await run.send_through(relay)


def _seconds_until(services: WorkerServices, at: datetime | None) -> float | None:
    return None if at is None else max(0.0, (at - services.now()).total_seconds())


class _Turn:
    """How long a batch may hold its slot: SLICE_S, and then as long as no other campaign's batch waits for one.

    Whether one does is asked beside the sending, which goes on meanwhile; the one that is found goes next.
    """

    def __init__(self, services: WorkerServices, campaign_id: int) -> None:
        self._services = services
        self._campaign_id = campaign_id
        self._may_end_at = time.monotonic() + SLICE_S
        self._asked: asyncio.Task[bool] | None = None

    def is_over(self) -> bool:
        if self._asked is None:
            if time.monotonic() >= self._may_end_at and self._services.others_wait():
                self._asked = asyncio.create_task(self._let_another_go_next())
            return False
        if not self._asked.done():
            return False
        if not self._asked.result():
            self._asked, self._may_end_at = None, time.monotonic() + SLICE_S
        return self._asked is not None

    def end(self) -> None:
        if self._asked is not None:
            self._asked.cancel()

    async def _let_another_go_next(self) -> bool:
        try:
            moved = await count(
                self._services.pool, queries.batches.let_another_go_next, campaign_id=self._campaign_id,
                now=self._services.now(),
            )  # fmt: skip
        except psycopg.Error:  # it is asked again after another slice
            return False
        return moved > 0


class _Items(Iterator[Item]):
    """Rows as items, made when they are asked for, until this batch's turn is over."""

    def __init__(self, services: WorkerServices, rows: list[DictRow], content: CompiledContent, turn: _Turn) -> None:
        self._ids = services.ids
        self._left = rows[::-1]
        self._public_ids: list[str] = []  # of the next ones: all at once would keep everybody's first message waiting
        self._content = content
        self._turn = turn

    def how_many(self) -> int:
        return len(self._left)

    def __next__(self) -> Item:
        if not self._left or self._turn.is_over():
            raise StopIteration
        if not self._public_ids:
            self._public_ids = self._ids.encode_many(
                "message", [row["message_id"] for row in self._left[-IDS_AT_ONCE:]]
            )
        row = self._left.pop()
        return Item(
            row["message_id"], row["attempt"], row["burned"], row["recipient"],
            row["attributes"] or {}, self._public_ids.pop(), self._content, NO_DEADLINE,
        )  # fmt: skip


async def _limits(services: WorkerServices, *, account_id: int, campaign_id: int, recipients: int) -> list[Limit]:
    rows = await many(services.pool, queries.launch.list_limits, account_id=account_id, campaign_id=campaign_id)
    return _bind(rows, account_id=account_id, campaign_id=campaign_id, recipients=recipients)


def _bind(rows: Sequence[DictRow] | None, *, account_id: int, campaign_id: int, recipients: int) -> list[Limit]:
    def limit(row: DictRow) -> Limit:
        cap = campaign_ceiling(row["max_count"], scope=row["scope"], recipients=recipients)
        its_campaign_id = campaign_id if row["scope"] == "campaign" else None
        return Limit(row["limit_id"], account_id, its_campaign_id, row["max_count"], row["window_s"], cap)

    return [limit(row) for row in rows or ()]


async def _content(services: WorkerServices, row: DictRow) -> CompiledContent:
    """Compiled once a campaign. Raises ValueError."""
    return await services.contents.get((row["campaign_id"], row["launched_at"]), _source(services, row))


def _source(services: WorkerServices, row: DictRow) -> ContentSource:
    list_id = f"{services.ids.encode('campaign', row['campaign_id'])}.{list_id_domain(services.settings.public_url)}"
    return ContentSource(
        subject=row["subject"], html=row["html"], text_body=row["text_body"], preview_text=row["preview_text"],
        from_name=row["from_name"], from_email=row["from_email"], reply_to=row["reply_to"], list_id=list_id,
        is_bulk=True,
    )  # fmt: skip


async def _put_down(services: WorkerServices, batch: Batch, ending: Ending, relay: RelayPool) -> None:
    if ending.kind == "limit" and ending.limit is not None:
        waiting = await maybe(
            services.pool, queries.batches.wait_for_limit, batch_id=batch.batch_id, job_id=batch.job_id,
            run=batch.run, limit_id=ending.limit.limit_id, now=services.now(),
        )  # fmt: skip
        if waiting is not None:
            # A limit that was changed before this batch waited has had its resume already: look again at once.
            is_current = ending.limit in await _limits(services, **batch.limit_scope)
            await plan_resume(services, limit_id=ending.limit.limit_id, wait_s=ending.wait_s if is_current else 0.0)
        return
    if ending.kind == "refused":
        _refusals.pop(batch.campaign_id, None)
        await _pause(services, batch, ending.reason)
        return
    wait_s = max(ending.wait_s, relay.blocked_for_s) if ending.kind == "relay" else ending.wait_s
    await _release(services, batch, wait_s=wait_s)


async def _release(services: WorkerServices, batch: Batch, *, wait_s: float = 0.0) -> None:
    await services.ledger.flush()
    now = services.now()
    released = await maybe(
        services.pool, queries.batches.release, batch_id=batch.batch_id, job_id=batch.job_id, run=batch.run, now=now,
        not_before=now + timedelta(seconds=wait_s),
    )  # fmt: skip
    if released is not None and released["status"] == "done":
        finished = await maybe(
            services.pool, queries.batches.finish_campaign, campaign_id=batch.campaign_id, now=services.now()
        )
        if finished is not None:
            _refusals.pop(batch.campaign_id, None)
            log.info("sent", campaign_id=batch.campaign_id)


async def _pause(services: WorkerServices, batch: Batch, reason: str) -> None:
    """Stop the campaign and tell its owner why; nothing is lost."""
    await maybe(
        services.pool, queries.relay_choice.pause_campaign, campaign_id=batch.campaign_id, epoch=batch.epoch,
        now=services.now(), reason=reason,
    )  # fmt: skip
    log.warning("paused", campaign_id=batch.campaign_id, reason=reason)
    await _release(services, batch)
