"""The worker's services against real servers, with the sandbox as the relay and no queue worker: a test runs the tasks.

def test_…(engine):
    async def work(e: Engine) -> None:
        await send_due.run(e.services, id=…, epoch=…, job_id=…)
    engine(work)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from app.settings import Settings
from worker.db import AsyncPool, make_pool
from worker.main import _build
from worker.sandbox import Sandbox
from worker.sandbox_store import SandboxStore
from worker.services import WorkerServices

SECRET = "engine-0123456789-abcdefghijklmnopqrstuvwxyz"


@dataclass
class Engine:
    services: WorkerServices
    db: psycopg.Connection[Any]  #: autocommit; for the factories
    pool: AsyncPool

    def rows(self, statement: str, *params: Any) -> list[dict[str, Any]]:
        return self.db.cursor(row_factory=dict_row).execute(statement.encode(), params).fetchall()

    def value(self, statement: str, *params: Any) -> Any:
        (row,) = self.rows(statement, *params)
        return next(iter(row.values()))

    def do(self, statement: str, *params: Any) -> None:
        self.db.execute(statement.encode(), params)

    def jobs(self, task: str, *, status: str = "todo") -> list[dict[str, Any]]:
        """The jobs of this task: id, args, scheduled_at."""
        return self.rows(
            "SELECT id, args, scheduled_at FROM procrastinate_jobs WHERE task_name = %s AND status::text = %s ORDER BY id",
            task,
            status,
        )

    def a_job(
        self, task: str, *, id: int, epoch: int, queue: str = "batches", worker_silent_s: float | None = 0.0
    ) -> int:
        """A job that a worker runs now; None: one whose worker is not even registered. Its id."""
        job_id: int = self.value(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args)"
            " VALUES (%s, %s, jsonb_build_object('id', %s::bigint, 'epoch', %s::bigint)) RETURNING id",
            queue, task, id, epoch,
        )  # fmt: skip
        worker_id = None
        if worker_silent_s is not None:
            worker_id = self.value(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s * interval '1 s') RETURNING id",
                worker_silent_s,
            )
        self.do("UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = %s", worker_id, job_id)
        return job_id

    def arrivals(self) -> list[str]:
        return [row["rcpt_to"] for row in self.rows("SELECT rcpt_to FROM inbox ORDER BY inbox_id")]


@asynccontextmanager
async def running_engine(database_url: str, redis_url: str, **settings: Any) -> AsyncIterator[Engine]:
    sandbox = Sandbox(SandboxStore(database_url), host="127.0.0.1", port=0)
    await sandbox.start()
    pool = make_pool(database_url, size=12, application_name="test")
    await pool.open()
    made = Settings(
        _env_file=None, database_url=database_url, redis_url=redis_url, sandbox_port=sandbox.port, secret_key=SECRET,
        log_level="warning", **settings,
    )  # fmt: skip
    services = await _build(made, pool)
    ledger = asyncio.create_task(services.ledger.run())
    try:
        while True:
            try:
                await services.limiter.warm()
                break
            except Exception:
                await asyncio.sleep(0.1)
        with psycopg.connect(database_url, autocommit=True) as db:
            yield Engine(services, db, pool)
    finally:
        await services.relays.close()
        await services.limiter.close()
        ledger.cancel()
        await asyncio.gather(ledger, return_exceptions=True)
        await pool.close()
        await sandbox.stop()


RunEngine = Callable[[Callable[[Engine], Awaitable[Any]]], Any]


def make_runner(database_url: str, redis_url: str) -> RunEngine:
    def run(work: Callable[[Engine], Awaitable[Any]]) -> Any:
        async def go() -> Any:
            async with running_engine(database_url, redis_url) as engine:
                return await asyncio.wait_for(work(engine), 60)

        return asyncio.run(go())

    return run
