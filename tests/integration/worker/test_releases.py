"""A rolling deploy: two releases side by side, each with jobs of the other in the queue. Nothing fails for good."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import procrastinate
import pytest
from psycopg.types.json import Jsonb

from app.jobs import Queue, Task
from tests.factories import a_scheduled_campaign, an_account, some_contacts
from tests.integration.worker.engine import Engine, RunEngine
from worker import queue as queue_module
from worker.main import _make_worker
from worker.registry import build_queue

TOMORROW = "task_of_the_next_release"


@asynccontextmanager
async def running(app: procrastinate.App, e: Engine) -> AsyncIterator[Any]:
    """A worker process' control queue."""
    worker = _make_worker(app, Queue.CONTROL, e.services.settings)
    ended = asyncio.create_task(worker.run())
    try:
        yield worker
        assert not ended.done(), "the worker has ended"
    finally:
        worker.stop()
        await asyncio.wait_for(ended, 20)
        assert worker.failed is None


@asynccontextmanager
async def this_release(e: Engine) -> AsyncIterator[procrastinate.App]:
    app = build_queue(e.services)
    await app.open_async(e.pool)
    yield app


def defer(e: Engine, task: str, args: object) -> int:
    job_id: int = e.value(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('control', %s, %s) RETURNING id",
        task, Jsonb(args),
    )  # fmt: skip
    return job_id


async def until(fact: Any, timeout_s: float = 15.0) -> None:
    async def look() -> None:
        while not fact():  # noqa: ASYNC110 - the other side is the database
            await asyncio.sleep(0.05)

    await asyncio.wait_for(look(), timeout_s)


def a_campaign_without_a_job(e: Engine) -> int:
    account_id = an_account(e.db)
    campaign_id = a_scheduled_campaign(e.db, account_id, some_contacts(e.db, account_id, 3))
    e.do("DELETE FROM procrastinate_jobs WHERE task_name = 'launch_campaign'")
    return campaign_id


def is_materialised(e: Engine, campaign_id: int) -> bool:
    sql = "SELECT materialised_at IS NOT NULL FROM campaigns WHERE campaign_id = %s"
    return bool(e.value(sql, campaign_id))


def test_a_job_of_the_next_release_waits_for_it_and_todays_work_goes_on(
    engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "UNKNOWN_PAUSE_S", 0.2)

    async def work(e: Engine) -> None:
        done: list[dict[str, Any]] = []

        async def do(**arguments: Any) -> None:
            done.append(arguments)

        async with this_release(e) as today:
            job_id = defer(e, TOMORROW, {"id": 1, "epoch": 1})
            async with running(today, e):
                looked = "SELECT attempts > 1 FROM procrastinate_jobs WHERE id = %s"
                await until(lambda: e.value(looked, job_id))
                campaign_id = a_campaign_without_a_job(e)
                defer(e, Task.LAUNCH_CAMPAIGN, {"id": campaign_id, "epoch": 1})
                await until(lambda: is_materialised(e, campaign_id))
                assert e.rows("SELECT status::text FROM procrastinate_jobs WHERE status = 'failed'") == []
                # The next release comes up beside it. Whoever takes the job first, it is the new one that does it.
                tomorrow = build_queue(e.services)
                tomorrow.task(name=TOMORROW, queue=Queue.CONTROL)(do)
                await tomorrow.open_async(e.pool)
                async with running(tomorrow, e):
                    await until(lambda: done)
                    await until(lambda: not e.rows("SELECT 1 FROM procrastinate_jobs WHERE task_name = %s", TOMORROW))
        assert done == [{"id": 1, "epoch": 1}]

    engine(work)


def test_a_job_of_another_release_is_read_as_far_as_it_makes_sense(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        async with this_release(e) as app, running(app, e):
            for args in ({"id": "{}", "epoch": "1"}, {"id": 0, "epoch": 1, "account_id": 5, "priority": "high"}):
                campaign_id = a_campaign_without_a_job(e)
                given = str(campaign_id) if isinstance(args["id"], str) else campaign_id
                defer(e, Task.LAUNCH_CAMPAIGN, {**args, "id": given})
                await until(lambda campaign_id=campaign_id: is_materialised(e, campaign_id))

    engine(work)


def test_a_job_that_makes_no_sense_neither_fails_nor_stops_the_worker(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        async with this_release(e) as app, running(app, e):
            for args in ({}, {"id": 1}, {"campaign": 1}, {"id": None, "epoch": []}, {"id": "x", "epoch": 1}):
                odd = defer(e, Task.LAUNCH_CAMPAIGN, args)
                await until(lambda odd=odd: not e.rows("SELECT 1 FROM procrastinate_jobs WHERE id = %s", odd))
            assert e.jobs(Task.LAUNCH_CAMPAIGN, status="failed") == []
            campaign_id = a_campaign_without_a_job(e)
            defer(e, Task.LAUNCH_CAMPAIGN, {"id": campaign_id, "epoch": 1})
            await until(lambda: is_materialised(e, campaign_id))

    engine(work)
