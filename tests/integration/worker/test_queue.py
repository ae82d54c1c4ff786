"""The six things that PunctualWorker does and the stock worker of Procrastinate does not: `worker/queue.py`, (a) to (f).

Each scenario is run with both. The stock worker must fail it: when an upgrade mends one, its override can go.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import procrastinate
import psycopg
import pytest
from procrastinate import exceptions
from procrastinate.worker import Worker
from psycopg.rows import dict_row

from app.jobs import AHEAD_S, Queue
from tests.integration.worker.conftest import Opened
from worker import queue as queue_module
from worker.db import AsyncConn, AsyncPool
from worker.queue import PunctualWorker

#: Enough for what should happen at once on a busy machine, and well below the five seconds of the stock worker's poll.
SOON_S = 2.5
POLL_S = 30.0

both = pytest.mark.parametrize(
    "worker_class",
    [PunctualWorker, pytest.param(Worker, marks=pytest.mark.xfail(reason="the stock worker", strict=True))],
)


@dataclass
class Scene:
    """A worker on a queue with one task. `began` has the monotonic second of each job's beginning, by its number."""

    #: The test's own connection: the worker's are cut, and one of them may be given once more before that is found out.
    bystander: AsyncConn
    app: procrastinate.App
    worker: Any
    running: asyncio.Task[Any]
    began: dict[int, float] = field(default_factory=dict)
    #: A job waits for this before it ends.
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def defer(self, number: int, *, in_s: float | None = None) -> None:
        await self.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)"
            " VALUES ('messages', 'note', jsonb_build_object('number', %s::integer),"
            " clock_timestamp() + %s::float8 * interval '1 s')",
            number, in_s,
        )  # fmt: skip

    async def execute(self, statement: str, *params: Any) -> Any:
        cursor = await self.bystander.execute(statement.encode(), params)
        return await cursor.fetchall() if cursor.description else None

    async def cut(self, pattern: str = "%") -> None:
        """End the connections whose latest statement is like this, all but the asking one."""
        await self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ILIKE %s",
            pattern,
        )

    async def until_begun(self, number: int, timeout_s: float = SOON_S) -> float:
        await until(lambda: number in self.began, timeout_s)
        return self.began[number]


async def until(fact: Callable[[], Any], timeout_s: float = SOON_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not happen soon"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def scene(
    pool: AsyncPool, worker_class: type[Worker], bystander: AsyncConn, **settings: Any
) -> AsyncIterator[Scene]:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector())
    made: Scene

    async def note(number: int) -> None:
        made.began[number] = time.monotonic()
        await made.may_end.wait()

    app.task(name="note", queue="messages")(note)
    await app.open_async(pool)
    worker = worker_class(
        app, queues=["messages"], install_signal_handlers=False, delete_jobs="successful",
        fetch_job_polling_interval=POLL_S, **{"concurrency": 10, "update_heartbeat_interval": 0.1, "shutdown_graceful_timeout": 5.0, **settings},
    )  # fmt: skip
    made = Scene(bystander, app, worker, asyncio.create_task(worker.run()))
    made.may_end.set()
    try:
        await until(lambda: worker.worker_id is not None)
        await listening(made)
        yield made
    finally:
        made.may_end.set()
        worker.stop()
        with suppress(TimeoutError, Exception):
            await asyncio.wait_for(made.running, 10)


async def listening(made: Scene) -> None:
    deadline = time.monotonic() + 10
    while not await made.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%%'"
    ):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def play(with_pool: Opened, worker_class: type[Worker], act: Callable[[Scene], Awaitable[Any]], **settings: Any) -> Any:
    async def work(pool: AsyncPool) -> Any:
        bystander = await AsyncConn.connect(pool.conninfo, autocommit=True, row_factory=dict_row)
        async with bystander, scene(pool, worker_class, bystander, **settings) as made:
            return await asyncio.wait_for(act(made), 60)

    return with_pool(work)


@both
def test_a_scheduled_job_begins_at_its_instant_and_not_at_the_next_poll(
    with_pool: Opened, worker_class: type[Worker]
) -> None:
    async def act(s: Scene) -> None:
        due = {number: time.monotonic() + 0.3 * number for number in (1, 2, 3)}
        for number in due:
            await s.defer(number, in_s=0.3 * number)
        for number, at in due.items():
            assert await s.until_begun(number) >= at - 0.05

    play(with_pool, worker_class, act)


@both
def test_a_job_that_is_announced_while_a_fetch_is_under_way_is_found(
    with_pool: Opened, worker_class: type[Worker]
) -> None:
    async def act(s: Scene) -> None:
        fetch = s.app.job_manager.fetch_job
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def slow_fetch(**arguments: Any) -> Any:
            job = await fetch(**arguments)
            if job is None and not asked.is_set():
                asked.set()  # it has looked and found nothing; its answer is on the way
                await may_answer.wait()
            return job

        s.app.job_manager.fetch_job = slow_fetch  # type: ignore[method-assign]
        await s.defer(1)
        await s.until_begun(1)
        await asyncio.wait_for(asked.wait(), 10)
        s.worker._new_job_event.clear()
        await s.defer(2)
        await until(s.worker._new_job_event.is_set)  # it has been told
        may_answer.set()
        await s.until_begun(2)

    play(with_pool, worker_class, act)


@both
def test_a_heartbeat_or_listener_that_the_database_ended_is_started_again(
    with_pool: Opened, worker_class: type[Worker]
) -> None:
    async def act(s: Scene) -> None:
        manager = s.app.job_manager
        beat = manager.update_heartbeat
        refusals = [exceptions.ConnectorException("away")] * 2

        async def beat_later(worker_id: int) -> None:
            if refusals:
                raise refusals.pop()
            await beat(worker_id)

        manager.update_heartbeat = beat_later  # type: ignore[method-assign]
        await until(lambda: not refusals)
        await s.cut("LISTEN%")
        await asyncio.sleep(0.2)  # time enough to stop, for a worker that stops
        assert not s.running.done(), "it stopped"
        await listening(s)
        await s.defer(1)
        await s.until_begun(1, 5.0)

    play(with_pool, worker_class, act)


def test_a_worker_whose_connections_are_all_cut_again_and_again_goes_on(with_pool: Opened) -> None:
    async def act(s: Scene) -> None:
        for number in range(3):
            await s.cut()
            await s.defer(number)
            await s.until_begun(number, 5.0)
            assert not s.running.done()

    play(with_pool, PunctualWorker, act)


def test_it_knows_whether_something_waits_for_a_slot(with_pool: Opened) -> None:
    async def act(s: Scene) -> None:
        s.may_end.clear()
        await s.defer(1)
        await s.until_begun(1)
        await s.defer(2, in_s=0.6)
        assert not s.worker.has_waiting, "what is not due does not wait"
        await until(lambda: s.worker.has_waiting)
        s.may_end.set()
        await s.until_begun(2)
        await until(lambda: not s.worker.has_waiting)

    play(with_pool, PunctualWorker, act, concurrency=1)


@both
def test_its_heartbeat_goes_on_while_it_waits_for_its_last_jobs(with_pool: Opened, worker_class: type[Worker]) -> None:
    async def act(s: Scene) -> None:
        s.may_end.clear()
        await s.defer(1)
        await s.until_begun(1)
        s.worker.stop()
        await asyncio.sleep(0.3)  # what was under way when it was told may still beat once
        before = await s.execute("SELECT last_heartbeat FROM procrastinate_workers")
        deadline = time.monotonic() + SOON_S
        while await s.execute("SELECT last_heartbeat FROM procrastinate_workers") == before:
            assert time.monotonic() < deadline, "no sign of life: others will take its job"
            await asyncio.sleep(0.02)
        s.may_end.set()
        await asyncio.wait_for(asyncio.shield(s.running), 10)
        assert await s.execute("SELECT 1 FROM procrastinate_workers") == []

    play(with_pool, worker_class, act)


@both
def test_the_end_of_a_job_that_cannot_be_written_now_is_written_later(
    with_pool: Opened, worker_class: type[Worker]
) -> None:
    async def act(s: Scene) -> None:
        finish = s.app.job_manager.finish_job
        refusals = [exceptions.ConnectorException("away")] * 3

        async def finish_later(*args: Any, **kwargs: Any) -> None:
            if refusals:
                raise refusals.pop()
            await finish(*args, **kwargs)

        s.app.job_manager.finish_job = finish_later  # type: ignore[method-assign]
        await s.defer(1)
        await s.until_begun(1)
        deadline = time.monotonic() + SOON_S
        while await s.execute("SELECT 1 FROM procrastinate_jobs"):
            assert time.monotonic() < deadline, "the job stays 'doing' for ever"
            await asyncio.sleep(0.02)

    play(with_pool, worker_class, act)


def test_a_job_that_was_taken_back_before_it_ended_is_not_a_failure(with_pool: Opened) -> None:
    async def act(s: Scene) -> None:
        s.may_end.clear()
        await s.defer(1)
        await s.until_begun(1)
        await s.execute("DELETE FROM procrastinate_jobs")
        s.may_end.set()
        await until(lambda: not s.worker._running_jobs)
        await s.defer(2)
        await s.until_begun(2)
        assert s.worker.failed is None

    play(with_pool, PunctualWorker, act)


def test_a_database_that_stays_away_ends_the_worker_with_its_reason(
    with_pool: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "DATABASE_PATIENCE_S", 0.5)

    async def act(s: Scene) -> None:
        async def away(**arguments: Any) -> None:
            raise exceptions.ConnectorException("away") from psycopg.OperationalError("no route")

        s.app.job_manager.fetch_job = away  # type: ignore[method-assign, assignment]
        await s.defer(1)
        await asyncio.wait_for(asyncio.shield(s.running), 15)
        assert isinstance(s.worker.failed, exceptions.ConnectorException)

    play(with_pool, PunctualWorker, act)


def test_a_burst_of_announcements_is_worked_off_whole(with_pool: Opened) -> None:
    async def act(s: Scene) -> None:
        await asyncio.gather(*(s.defer(number) for number in range(100)))
        await until(lambda: len(s.began) == 100, 15.0)

    play(with_pool, PunctualWorker, act)


def test_row_07_a_job_whose_fetch_was_committed_and_never_answered_is_run_all_the_same(with_pool: Opened) -> None:
    """The worker lives and beats, so the job never counts as stalled; only the worker can know that it has not got it."""

    async def act(s: Scene) -> None:
        fetch = s.app.job_manager.fetch_job
        lost: list[int] = []

        async def lose_the_first(**arguments: Any) -> Any:
            job = await fetch(**arguments)
            if job is not None and not lost:
                lost.append(job.id)
                raise exceptions.ConnectorException("the connection was cut before the answer came")
            return job

        s.app.job_manager.fetch_job = lose_the_first  # type: ignore[method-assign]
        await s.defer(1)
        await s.until_begun(1, timeout_s=20)
        assert lost, "the fetch was not lost"

    play(with_pool, PunctualWorker, act)


def test_a_job_that_runs_for_long_is_not_given_back_by_its_own_worker(
    with_pool: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "MISSING_LOOK_EVERY_S", 0.1, raising=False)

    async def act(s: Scene) -> None:
        s.may_end.clear()
        await s.defer(1)
        began = await s.until_begun(1)
        await asyncio.sleep(0.6)  # several looks
        assert s.began[1] == began
        rows = await s.execute("SELECT status FROM procrastinate_jobs")
        assert [row["status"] for row in rows] == ["doing"]

    play(with_pool, PunctualWorker, act)


def test_a_fetch_looks_at_what_is_due_however_much_waits_in_the_future(database_url: str) -> None:
    """Also when its connection has fetched so often that PostgreSQL would keep a plan for any queue."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)"
            " SELECT 'messages', 'note', '{}', now() + interval '1 day' FROM generate_series(1, 20000)"
        )
        conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, priority, scheduled_at)"
            " SELECT 'messages', 'note', jsonb_build_object('n', n), -n, now() FROM generate_series(1, 20) AS n"
        )
        conn.execute("ANALYZE procrastinate_jobs")
        (worker_id,) = conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id").fetchone() or ()
        touched = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = 'procrastinate_jobs'"
        for number in range(1, 21):
            with conn.transaction():
                (before,) = conn.execute(touched).fetchone() or ()
                fetch = "SELECT (procrastinate_fetch_job_v2(ARRAY['messages']::varchar[], %s)).args"
                assert conn.execute(fetch, (worker_id,)).fetchone() == ({"n": number},), "by priority"
                (after,) = conn.execute(touched).fetchone() or ()
            assert after - before < 500


@pytest.mark.parametrize("queue", list(Queue))
def test_jobs_that_send_are_given_a_moment_ahead_and_all_others_at_their_time(database_url: str, queue: Queue) -> None:
    """In one transaction, in which now() stands still."""
    sends = queue in (Queue.BATCHES, Queue.MESSAGES)
    with psycopg.connect(database_url) as conn:
        (worker_id,) = conn.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id").fetchone() or ()
        for number, ahead_s in enumerate((AHEAD_S, AHEAD_S + 0.001)):
            conn.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)"
                " SELECT %s, 'note', jsonb_build_object('n', %s::integer), now() + %s::float8 * interval '1 s'",
                (queue, number, ahead_s),
            )
        fetch = "SELECT (procrastinate_fetch_job_v2(ARRAY[%s]::varchar[], %s)).args"
        given = [conn.execute(fetch, (queue, worker_id)).fetchone() for _ in range(2)]
    assert given == [({"n": 0},) if sends else (None,), (None,)]
