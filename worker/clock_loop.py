"""The clock: one worker of all, once a second, looks for work that nobody is going to do.

Rows are the truth and jobs are wake-ups, so whatever a crash, a frozen process or a lost job leaves behind can be seen in
the rows and mended by a new job. The leader holds an advisory lock on a connection of its own: when it dies, so does the
connection, and the next one takes over. In normal life every count here is 0 (metric `mailtide_repaired_jobs_total`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg
import structlog
from psycopg.sql import SQL, Identifier

from sql import Query, queries
from worker import metrics
from worker.db import connection_arguments, count, many, one, transaction
from worker.services import WorkerServices

log = structlog.get_logger("mailtide.clock")

TICK_S = 1.0
STALLED_AFTER_S = 15
RETRY_LEADERSHIP_S = 2.0
LEADER_SILENCE_MAX_S = 10
PRUNE_EVERY_S = 60.0
#: What one import or launch can make a hundred times larger.
GROWING = (
    "contacts", "list_contacts", "campaign_contacts", "campaigns", "messages", "batches", "message_contents", "due_messages",
    "attempts", "throughput", "waits", "suppressions", "procrastinate_jobs",
)  # fmt: skip
ANALYZE_MAX_MS = 5000
_left_to_autovacuum: set[str] = set()
_LEADER_LOCK = 7_245_011_904

REPAIRS: tuple[Query, ...] = (
    queries.recovery.settle_orphans,
    queries.recovery.redefer_launches,
    queries.recovery.redefer_batches,
    queries.recovery.redefer_due_messages,
    queries.recovery.replan_resumes,
    queries.recovery.redefer_closings,
    queries.recovery.redefer_imports,
)
PRUNINGS: tuple[Query, ...] = (
    queries.recovery.prune_throughput,
    queries.recovery.prune_idempotency_keys,
    queries.recovery.prune_sessions,
    queries.recovery.prune_wakeups,
    queries.recovery.prune_uploads,
    queries.recovery.prune_failed_jobs,
)


async def run(services: WorkerServices) -> None:
    """Lead when nobody else does. Runs until cancelled."""
    while True:
        try:
            await _lead(services)
        except psycopg.Error as error:
            log.warning("the clock lost its database, trying again", error=str(error))
        await asyncio.sleep(RETRY_LEADERSHIP_S)


async def _lead(services: WorkerServices) -> None:
    arguments = connection_arguments("mailtide-clock")
    # A frozen process keeps its connection, and with it the lock: the server ends a session that says nothing.
    arguments["options"] += f" -c idle_session_timeout={LEADER_SILENCE_MAX_S}s"
    conn = await psycopg.AsyncConnection.connect(services.settings.postgres_direct_url, autocommit=True, **arguments)
    async with conn:
        got = await (await conn.execute("SELECT pg_try_advisory_lock(%s) AS is_leader", (_LEADER_LOCK,))).fetchone()
        if got is None or not got["is_leader"]:
            return
        log.info("leading")
        pruned_at = 0.0
        while True:
            await conn.execute("SELECT 1")  # the lock lives as long as this connection
            await tick(services)
            if time.monotonic() - pruned_at > PRUNE_EVERY_S:
                pruned_at = time.monotonic()
                await _each(PRUNINGS, lambda query: count(services.pool, query, now=services.now()))
            await asyncio.sleep(TICK_S)


async def tick(services: WorkerServices) -> None:
    """Look once at everything."""
    await _retry_stalled(services)
    await _release_lost(services)
    await _each(REPAIRS, lambda query: _repair(services, query))
    for row in await many(services.pool, queries.recovery.finish_campaigns, now=services.now()):
        log.info("sent", campaign_id=row["campaign_id"])
    await _analyze_outgrown(services)


async def _analyze_outgrown(services: WorkerServices) -> None:
    """Tell the planner of tables that have grown, as autovacuum does, but not a minute later.

    Until then plans are kept that were made for a hundred rows: a batch would read all messages to find its own.
    """
    tables = [table for table in GROWING if table not in _left_to_autovacuum]
    for row in await many(services.pool, queries.recovery.list_outgrown, tables=tables):
        try:
            async with transaction(services.pool) as conn:
                await conn.execute(SQL("SET LOCAL statement_timeout = {}").format(ANALYZE_MAX_MS))
                await conn.execute(SQL("ANALYZE (SKIP_LOCKED) {}").format(Identifier(row["table_name"])))
        except psycopg.errors.QueryCanceled:
            # A slow disk: tried again each second, it would keep the repairs waiting.
            _left_to_autovacuum.add(row["table_name"])
            log.warning("a table takes too long to analyse: it is left to autovacuum", table=row["table_name"])


async def _retry_stalled(services: WorkerServices) -> None:
    """Give the jobs of silent workers to others. One bad row does not stop the rest."""
    for job in await many(services.pool, queries.recovery.list_stalled_jobs, silence_s=STALLED_AFTER_S):
        try:
            async with transaction(services.pool) as conn:
                released = await one(conn, queries.recovery.release_job, job_id=job["id"], now=services.now())
                await one(conn, queries.recovery.retry_job, job_id=job["id"], at=released["due_at"])
        except psycopg.Error as error:
            log.warning("a stalled job could not be taken back", job_id=job["id"], error=str(error))
            continue
        metrics.repaired.labels("retry_stalled").inc()
        log.warning("took back a stalled job", job_id=job["id"], task=job["task_name"], **released)


async def _release_lost(services: WorkerServices) -> None:
    """Free what a job holds that nobody is running. One bad row does not stop the rest."""
    for holder in await many(services.pool, queries.recovery.list_lost_holders):
        try:
            released = await one(
                services.pool, queries.recovery.release_job, job_id=holder["job_id"], now=services.now()
            )
        except psycopg.IntegrityError as error:  # it met a late commit of the job; the next look sees that
            log.warning("what a lost job held could not be taken back", job_id=holder["job_id"], error=str(error))
            continue
        metrics.repaired.labels("release_lost").inc()
        log.warning("released what a lost job held", job_id=holder["job_id"], **released)


async def _repair(services: WorkerServices, query: Query) -> None:
    repaired = await many(services.pool, query, now=services.now())
    if repaired:
        metrics.repaired.labels(query.name).inc(len(repaired))
        log.warning("work without a job was given one", what=query.name, jobs=len(repaired))


async def _each(queries_: tuple[Query, ...], do: Callable[[Query], Awaitable[object]]) -> None:
    """Run one after another; a failing one is reported and does not stop the others."""
    for query in queries_:
        try:
            await do(query)
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            log.exception("a repair failed", what=query.name, error=str(error))
