"""Marks and results: the durable record of each attempt, in one natural group commit.

    permit -> mark -> SMTP -> result

A connection hands over the result of message k together with the mark of message k + 2 (k + 1 is marked already and its
envelope is on the wire), and goes on when both are committed. One committer for each process takes all that is
pending, runs one statement, and wakes them; while it commits, the next group forms, so there is no timer. While
PostgreSQL is away, results are kept and nothing is marked, so nothing is sent that is not marked.

What this guarantees: a body goes out only after the results of all earlier messages of its connection are durable. So a
kill leaves at most two marks in doubt for each connection, at most one of which the relay may have accepted. With several
in flight (CHUNKING) it is as many as are in flight, all of which it may have.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import psycopg

from sql import queries
from worker.db import AsyncConn, connection_arguments, many, one

log = logging.getLogger("mailtide.ledger")

Status = Literal["sent", "failed", "uncertain", "expired", "queued"]
OutcomeWord = Literal["sent", "failed", "uncertain", "expired", "try_later", "not_sent"]

RETRY_PAUSE_MAX_S = 1.0
GROUP_MAX = 2000
GATHER_TURNS_MAX, QUIET_TURNS_MAX = 12, 4
#: How long whoever has several messages in flight keeps results back, for others to share their commit: one for each
#: connection's few answers is dearer for this process and for PostgreSQL (`make bench ONLY=latency`, into Postfix).
GATHER_S = 0.03
COLLISIONS_MAX = 3
REPLY_SIZE_MAX = 500

# A plan is made once and must stay right: made while `messages` was empty, a nested loop began with that table, and when it
# had grown each group read all of it (1,016 µs of PostgreSQL for each message instead of some 100, `make bench ONLY=send`).
# Joined by hash, a table is reached by its list of keys alone.
_PLANNER_OPTIONS = (
    "-c enable_seqscan=off -c enable_nestloop=off -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan"
)


class Result(NamedTuple):
    """What an attempt came to. `attempt` is the number that its mark gave it, 1-based."""

    message_id: int
    attempt: int
    status: Status
    outcome: OutcomeWord
    reply: str
    next_at: datetime | None = None
    burn: int = 0
    suppress: bool = False
    is_api: bool = False

    @property
    def has_follow_up(self) -> bool:
        """More rows are touched than the message, its batch and the second's counts."""
        return self.is_api or self.suppress or self.status == "queued"


class Mark(NamedTuple):
    """The wish to send a message. `attempt` is how many it has had; `epoch` the campaign's (0 for API messages, of none)."""

    message_id: int
    attempt: int
    epoch: int
    campaign_id: int | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A queued message that no relay will see: it cannot be made, or its time is over."""

    message_id: int
    attempt: int
    status: Literal["failed", "expired"]
    reply: str


MarkAnswer = Literal["marked", "suppressed", "stopped", "none", "overtaken", "overtaken_marked"]


@dataclass(slots=True)
class _Entry:
    result: Result | None
    mark: Mark | None
    done: asyncio.Future[MarkAnswer]
    meanwhile: Callable[[], None] | None = None


class Ledger:
    """One for each process. `run` commits until it is cancelled; `exchange` is called by the connections."""

    def __init__(self, database_url: str, *, writer_id: int, now: Callable[[], datetime]) -> None:
        self._database_url = database_url
        self._writer_id = writer_id
        self._now = now
        self._pending: list[_Entry] = []
        self._unsent: list[Unsent] = []
        self._wake = asyncio.Event()
        self._conn: AsyncConn | None = None
        self._meanwhile: list[Callable[[], None]] = []  # of the group under way, until its statement is
        self._gathering: asyncio.Future[None] | None = None
        self._tried_at: list[datetime] = []  # the times that the group under way has been written with
        self.groups = 0
        self.committed = 0

    async def exchange(
        self, result: Result | None, mark: Mark | None, meanwhile: Callable[[], None] | None = None
    ) -> MarkAnswer:
        """Record a result, ask for a mark, and return when both are durable.

        meanwhile  what to do while PostgreSQL works: called once, or not at all.

        Returns  "marked": send it; "suppressed": it was settled, as such or as the message of a deleted
                 contact; "stopped": its campaign is paused, cancelled
                 or under another epoch, or another worker has it; "none": no mark was asked for. "overtaken": the
                 result did not count, since this process was taken for dead and its messages went to another; with
                 "overtaken_marked" the mark was given all the same.
        """
        return await self.hand_over(result, mark, meanwhile)

    def hand_over(
        self, result: Result | None, mark: Mark | None, meanwhile: Callable[[], None] | None = None
    ) -> asyncio.Future[MarkAnswer]:
        """`exchange`, to be waited for later: several that are handed over in one go are in one group.

        Whoever waits may be cancelled; the entry stays in its group, so what happened on the wire is recorded.
        """
        entry = _Entry(result, mark, asyncio.get_running_loop().create_future(), meanwhile)
        self._pending.append(entry)
        self._wake.set()
        return entry.done

    def record(self, result: Result) -> None:
        """Record a result without waiting; `flush` waits.

        The mark of this very attempt, where it is still pending, is withdrawn, since nobody is there to use it: in one
        statement with it the result would find the message unmarked, and the mark would stay.
        """
        attempt = result.message_id, result.attempt - 1  # the number that the mark was asked for with
        for entry in self._pending:
            if entry.mark is not None and (entry.mark.message_id, entry.mark.attempt) == attempt:
                entry.mark = None
                return
        self._pending.append(_Entry(result, None, asyncio.get_running_loop().create_future()))
        self._wake.set()

    def settle_unsent(self, unsent: Unsent) -> None:
        """End a queued message without an attempt. Recorded with the next group; before `flush` returns."""
        self._unsent.append(unsent)
        self._wake.set()

    def next_gathering(self) -> asyncio.Future[None]:
        """Done within GATHER_S, for all who wait for it at once: what they hand over then is in one group."""
        if self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.create_future()
            loop.call_later(GATHER_S, self._end_gathering)
        return self._gathering

    def _end_gathering(self) -> None:
        if self._gathering is not None:
            self._gathering.set_result(None)
            self._gathering = None

    async def flush(self) -> None:
        """Return when everything handed over so far is durable."""
        await self.exchange(None, None)

    async def run(self) -> None:
        try:
            with suppress(psycopg.Error):  # whatever it is, the first group will meet it
                await self._connection()  # before anybody waits for it
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._pending or self._unsent:
                    await self._gather()
                    await self._commit_next()
        finally:
            if self._conn is not None:
                await self._conn.close()

    async def _gather(self) -> None:
        """Let what the event loop has ready join the group: replies that have arrived, connections that wait to go on.

        A statement costs PostgreSQL some 280 µs and 20 µs for each entry, so under load a larger group is worth a few
        turns of the loop: with 20 connections that are looked at once, groups were of 10 entries; looked at until nothing
        has come four times, of 15. When nothing comes these take some tens of microseconds.
        """
        quiet_turns = 0
        for _ in range(GATHER_TURNS_MAX):
            before = len(self._pending)
            await asyncio.sleep(0)  # reads what has arrived
            await asyncio.sleep(0)  # runs whom that has woken
            quiet_turns += len(self._pending) == before
            if quiet_turns >= QUIET_TURNS_MAX:
                return

    async def _commit_next(self) -> None:
        group, self._pending = self._pending[:GROUP_MAX], self._pending[GROUP_MAX:]
        unsent, self._unsent = self._unsent, []
        self._meanwhile = [entry.meanwhile for entry in group if entry.meanwhile is not None]
        try:
            answers = await self._until_durable(group, unsent)
        except psycopg.Error as error:  # a bug: this group can never be written
            log.exception("a group of %d entries cannot be recorded", len(group))
            for entry in group:
                if not entry.done.done():
                    entry.done.set_exception(error)
                    entry.done.exception()  # its waiter may be gone: not a reason to complain
            return
        self.groups += 1
        self.committed += len(group)
        for entry, answer in zip(group, answers, strict=True):
            if not entry.done.done():
                entry.done.set_result(answer)

    async def _until_durable(self, group: list[_Entry], unsent: list[Unsent]) -> list[MarkAnswer]:
        """Write the group, again and again while the database is away."""
        pause_s, again = 0.02, False
        warned = 0.0
        collisions = 0
        self._tried_at = []
        while True:
            try:
                conn = await self._connection()
                return await self._write(conn, group, unsent, again=again)
            except psycopg.OperationalError as error:
                if time.monotonic() - warned > 5.0:
                    warned = time.monotonic()
                    log.warning("the ledger cannot reach the database, %d entries wait: %s", len(group), error)
                again = True
                if self._conn is not None and not isinstance(error, psycopg.errors.DeadlockDetected):
                    await self._conn.close()
                    self._conn = None
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_PAUSE_MAX_S)
            except psycopg.errors.CheckViolation:
                # PostgreSQL checks the counters as our snapshot has them before it sees that another transaction, which
                # took a batch from this process, has changed them: with a new snapshot it may be fine.
                collisions += 1
                if collisions > COLLISIONS_MAX:
                    return await self._write_apart(group, unsent)

    async def _write_apart(self, group: list[_Entry], unsent: list[Unsent]) -> list[MarkAnswer]:
        """Write a group that the database refuses entry by entry: whose batch was taken away gets no mark in it."""
        if len(group) > 1:
            if unsent:
                await self._until_durable([], unsent)
            return [(await self._until_durable([entry], []))[0] for entry in group]
        if not group or group[0].mark is None:
            raise psycopg.DataError("the counters of a batch do not fit its messages")
        without_mark = _Entry(group[0].result, None, group[0].done)
        (answer,) = await self._until_durable([without_mark], unsent)
        return ["stopped" if answer == "none" else answer]

    async def _connection(self) -> AsyncConn:
        if self._conn is None or self._conn.closed:
            arguments = connection_arguments("mailtide-ledger")
            arguments["options"] += f" {_PLANNER_OPTIONS}"
            conn = await psycopg.AsyncConnection.connect(
                self._database_url, autocommit=True, prepare_threshold=0, **arguments
            )
            self._conn = conn
            await self._move(conn, [], [])  # makes its plan, which takes longer than to run it
        return self._conn

    async def _write(
        self, conn: AsyncConn, group: list[_Entry], unsent: list[Unsent], *, again: bool
    ) -> list[MarkAnswer]:
        marks = [entry.mark for entry in group if entry.mark is not None]
        results = [entry.result for entry in group if entry.result is not None]
        marked: set[int] = set()
        overtaken: set[int] = set()
        if again and marks:
            # The commit before this one may have happened although its answer was lost.
            marked.update(await self._already_marked(conn, marks))
        todo = [mark for mark in marks if mark.message_id not in marked]
        if todo or results:
            now_marked, counted = await self._commit_group(conn, results, todo)
            marked.update(now_marked)
            if not again:  # else they may have counted the first time
                overtaken = {result.message_id for result in results}.difference(counted)
        if unsent:
            await many(
                conn, queries.ledger.settle_unsent, now=self._now(), writer_id=self._writer_id,
                ids=[u.message_id for u in unsent], attempts=[u.attempt for u in unsent],
                statuses=[u.status for u in unsent], replies=[u.reply[:REPLY_SIZE_MAX] for u in unsent],
            )  # fmt: skip
        if again and not marked.issuperset(mark.message_id for mark in todo):
            # That commit may even have ended between the question and our own.
            marked.update(await self._already_marked(conn, todo))
        refused = [mark.message_id for mark in todo if mark.message_id not in marked]
        suppressed: set[int] = set()
        if refused:
            rows = await many(conn, queries.ledger.settle_unmarked, ids=refused, now=self._now())
            suppressed = {row["message_id"] for row in rows}
        answers = []
        for entry in group:
            answers.append(_answer(entry, marked, suppressed, overtaken))
            if entry.mark is not None:
                # One mark, one sender: a job that was taken back may run here again beside its first run.
                marked.discard(entry.mark.message_id)
        return answers

    async def _commit_group(
        self, conn: AsyncConn, results: list[Result], marks: list[Mark]
    ) -> tuple[list[int], list[int]]:
        """Write results and marks in one transaction; return the ids that were marked, and those whose result counted."""
        if not any(result.has_follow_up for result in results):
            return await self._move(conn, results, marks)
        async with conn.transaction():
            marked, settled = await self._move(conn, results, marks)
            counted = set(settled)
            following = [r for r in results if r.has_follow_up and r.message_id in counted]
            if following:
                await many(
                    conn, queries.ledger.follow_up, writer_id=self._writer_id, ids=[r.message_id for r in following],
                    outcomes=[r.outcome for r in following], next=[r.next_at for r in following],
                    burns=[r.burn for r in following], suppress=[r.suppress for r in following],
                )  # fmt: skip
        return marked, settled

    async def _move(self, conn: AsyncConn, results: list[Result], marks: list[Mark]) -> tuple[list[int], list[int]]:
        """The hot statement. Arrays go as PostgreSQL's own text: psycopg writes lists element by element, in Python."""
        now = self._now()
        self._tried_at.append(now)
        if self._meanwhile:  # the loop comes to it when the statement has left and its answer is not here
            asyncio.get_running_loop().call_soon(self._use_meanwhile)
        row = await one(
            conn, queries.ledger.commit_group, now=now, writer_id=self._writer_id,
            result_ids=_array(str(r.message_id) for r in results),
            result_attempts=_array(str(r.attempt) for r in results),
            result_statuses=_array(r.status for r in results),
            result_replies=_array(_quoted(r.reply[:REPLY_SIZE_MAX]) for r in results),
            mark_ids=_array(str(m.message_id) for m in marks), mark_attempts=_array(str(m.attempt) for m in marks),
            mark_epochs=_array(str(m.epoch) for m in marks),
            campaign_ids=_array(str(id) for id in {m.campaign_id for m in marks if m.campaign_id is not None}),
        )  # fmt: skip
        return row["marked"], row["settled"]

    def _use_meanwhile(self) -> None:
        while self._meanwhile:
            self._meanwhile.pop()()

    async def _already_marked(self, conn: AsyncConn, marks: list[Mark]) -> list[int]:
        """Which of these marks an earlier try has given. Its time tells it from the mark of another worker."""
        rows = await many(
            conn, queries.ledger.list_marked, times=self._tried_at,
            ids=[m.message_id for m in marks], attempts=[m.attempt for m in marks],
        )  # fmt: skip
        return [row["message_id"] for row in rows]


def _array(elements: Iterable[str]) -> str:
    return "{" + ",".join(elements) + "}"


def _quoted(text: str) -> str:
    """One element of an array's text form. NUL cannot be stored; replies are printable, this is the last door."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "") + '"'


def _answer(entry: _Entry, marked: set[int], suppressed: set[int], overtaken: set[int]) -> MarkAnswer:
    mark = entry.mark
    is_marked = mark is not None and mark.message_id in marked
    if entry.result is not None and entry.result.message_id in overtaken:
        return "overtaken_marked" if is_marked else "overtaken"
    if mark is None:
        return "none"
    if is_marked:
        return "marked"
    return "suppressed" if mark.message_id in suppressed else "stopped"
