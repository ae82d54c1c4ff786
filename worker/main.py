"""`python -m worker.main`: the process that sends. Any number of them may run, on any number of hosts.

    one pool of connections, one ledger, one limiter
    four queue workers   batches (WORKER_CONCURRENCY at once), messages, control, imports
    the clock loop       in one process of all

Exit code 0 after SIGTERM or SIGINT, once what was under way has ended; 1 when it cannot go on, so that it is started
again.
"""

import asyncio
import gc
import secrets
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress

import procrastinate
import psycopg
import structlog
import uvloop
from procrastinate.worker import Worker

from app.jobs import Queue
from app.public_ids import PublicIds
from app.settings import ConfigError, Settings, load_settings
from sql import queries
from worker import clock_loop, health, logs
from worker.clock import REFRESH_S, DatabaseClock
from worker.contents import Contents
from worker.db import AsyncPool, make_pool, one
from worker.ledger import Ledger
from worker.limiter import Limiter, LimiterDown
from worker.queue import PunctualWorker
from worker.registry import build_queue
from worker.relays import Relays
from worker.services import WorkerServices

log = structlog.get_logger("mailtide.worker")

HEARTBEAT_S = 3
#: Below the 10 s in which a deploy expects us gone, and below the time after which jobs count as stalled.
GRACE_S = 8
LAST_FLUSH_S = 1.5
START_PATIENCE_S = 60
CONCURRENCY = {Queue.MESSAGES: 100, Queue.CONTROL: 4, Queue.IMPORTS: 1}


def main() -> None:
    try:
        settings = load_settings()
        settings.require_secret()
        logs.configure(settings)
        _calm_collector()
        sys.exit(uvloop.run(serve(settings)))
    except ConfigError as error:
        sys.exit(f"worker: {error}")


def _calm_collector() -> None:
    """Hardly anything here is garbage in cycles, and looking for it takes 4 % of the time: look less often."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def serve(settings: Settings) -> int:
    """Run until a signal or a failure. Returns the exit code."""
    pool = make_pool(
        settings.postgres_direct_url, size=settings.worker_concurrency + 15, application_name="mailtide-worker"
    )
    await pool.open()
    try:
        services = await _build(settings, pool)
        return await _work(services)
    finally:
        await pool.close()


async def _build(settings: Settings, pool: AsyncPool) -> WorkerServices:
    clock = DatabaseClock()
    await _until_database_answers(clock, pool)
    keys = await one(pool, queries.installation.get_keys)
    writer_id = secrets.randbits(62)
    return WorkerServices(
        settings=settings,
        pool=pool,
        clock=clock,
        ids=PublicIds(bytes(keys["id_key"])),
        link_key=bytes(keys["link_key"]),
        ledger=Ledger(settings.postgres_direct_url, writer_id=writer_id, now=clock.now),
        limiter=Limiter(settings.valkey_url, pool),
        relays=Relays(settings, pool),
        contents=Contents(),
        writer_id=writer_id,
    )


async def _until_database_answers(clock: DatabaseClock, pool: AsyncPool) -> None:
    for attempt in range(START_PATIENCE_S):
        try:
            await clock.refresh(pool)
            return
        except (psycopg.OperationalError, OSError) as error:
            if attempt == START_PATIENCE_S - 1:
                raise ConfigError(f"the database cannot be reached: {error}") from error
            await asyncio.sleep(1.0)


async def _work(services: WorkerServices) -> int:
    app = build_queue(services)
    await app.open_async(services.pool)
    workers = {queue: _make_worker(app, queue, services.settings) for queue in Queue}
    batches = workers[Queue.BATCHES]
    services.slot_freed_at = lambda: batches.slot_freed_at
    services.note_slot_freed = batches.note_slot_freed
    services.others_wait = lambda: batches.has_waiting

    def stop() -> None:
        services.stopping.set()
        for worker in workers.values():
            worker.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)

    ledger = asyncio.create_task(services.ledger.run(), name="ledger")
    sides = [
        asyncio.create_task(services.limiter.run(), name="limiter"),
        asyncio.create_task(_warm_limiter(services), name="warm"),
        asyncio.create_task(clock_loop.run(services), name="clock"),
        asyncio.create_task(_keep_time(services), name="time"),
    ]
    server = await health.serve(services)
    for task in (ledger, *sides):
        task.add_done_callback(lambda done: _stop_on_failure(done, stop))
    log.info("working", concurrency=services.settings.worker_concurrency)
    try:
        ended = await serve_all(workers.values(), stop)
    finally:
        server.close()
        for task in sides:
            task.cancel()
        await asyncio.gather(*sides, return_exceptions=True)
        await services.relays.close()
        await services.limiter.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(services.ledger.flush(), LAST_FLUSH_S)
        ledger.cancel()
        await asyncio.gather(ledger, return_exceptions=True)
    failures = [error for error in ended if isinstance(error, BaseException)]
    failures += [worker.failed for worker in workers.values() if worker.failed is not None]
    for failure in failures:
        log.error("stopped by a failure", error=repr(failure))
    return 1 if failures or not services.stopping.is_set() else 0


async def serve_all(workers: Iterable[Worker], stop: Callable[[], None]) -> list[BaseException | None]:
    """Serve each queue until all have stopped, and return what each ended with.

    One that fails stops the others: a process that serves some of its queues looks alive and is not, so it ends and is
    started again. Seen when PostgreSQL restarted between the start of the process and the registration of its workers.
    """

    async def serve(worker: Worker) -> None:
        try:
            await worker.run()
        except BaseException:
            stop()
            raise

    return await asyncio.gather(*(serve(worker) for worker in workers), return_exceptions=True)


def _make_worker(app: procrastinate.App, queue: Queue, settings: Settings) -> PunctualWorker:
    return PunctualWorker(
        app,
        queues=[queue],
        name=f"mailtide-{queue}",
        concurrency=CONCURRENCY.get(queue, settings.worker_concurrency),
        delete_jobs="successful",
        install_signal_handlers=False,
        update_heartbeat_interval=HEARTBEAT_S,
        stalled_worker_timeout=float(clock_loop.STALLED_AFTER_S * 2),
        shutdown_graceful_timeout=float(GRACE_S),
    )


def _stop_on_failure(task: asyncio.Task[None], stop: Callable[[], None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a part of the worker failed", part=task.get_name(), error=repr(task.exception()))
        stop()


async def _warm_limiter(services: WorkerServices) -> None:
    """Have the rate counter ready before the first permit is needed."""
    while True:
        with suppress(LimiterDown):
            await services.limiter.warm()
            return
        await asyncio.sleep(0.5)


async def _keep_time(services: WorkerServices) -> None:
    while True:
        await asyncio.sleep(REFRESH_S)
        with suppress(psycopg.Error, OSError):
            await services.clock.refresh(services.pool)


if __name__ == "__main__":
    main()
