"""A Procrastinate worker that is on time and survives its database.

The stock worker of 3.10 (a) notices a scheduled job only at its next poll, 5 s by default; (b) forgets a NOTIFY that
lands while a fetch is in flight; (c) loses its listener or heartbeat when PostgreSQL restarts, then stops or goes on half
dead, and misses what came while it did not listen; (d) stops its heartbeat before it drains; (e) gives up when a job's
result cannot be written; (f) beats for a job for ever whose fetch was committed while its answer was lost; (g) fails a
job whose task it does not know, which the next release beside it would. Private hooks are overridden for these seven, so
the version is pinned and `tests/integration/worker/test_queue.py` and `test_releases.py` hold each of them.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from procrastinate import JobContext, exceptions, utils
from procrastinate.worker import Worker

from app.jobs import AHEAD_S, Queue

log = logging.getLogger("mailtide.queue")

# The interval is written into it: of a parameter PostgreSQL's lasting plan cannot know how little it lets through.
_NEXT_DUE = """
/* queue.next_due */ SELECT
    (
        SELECT extract(epoch FROM min(scheduled_at) - interval '{ahead_s} s' - clock_timestamp())::float8
        FROM procrastinate_jobs
        WHERE status = 'todo' AND scheduled_at > now() + interval '{ahead_s} s'
            AND queue_name = ANY(%(queues)s::varchar[])
    ) AS delay_s,
    EXISTS (
        SELECT 1 FROM procrastinate_jobs
        WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now() + interval '{ahead_s} s')
            AND queue_name = ANY(%(queues)s::varchar[])
    ) AS is_due
"""

_LIST_MISSING = """
/* queue.list_missing */ SELECT id FROM procrastinate_jobs
WHERE worker_id = %(worker_id)s AND status = 'doing' AND NOT (id = ANY(%(running)s::bigint[]))
"""
_GIVE_BACK = "/* queue.give_back */ SELECT procrastinate_retry_job_v2(%(job_id)s, now(), NULL, NULL, NULL)"
_LEAVE = """
/* queue.leave */
SELECT procrastinate_retry_job_v2(%(job_id)s, now() + %(pause_s)s::float8 * interval '1 s', NULL, NULL, NULL)
"""

MISSING_LOOK_EVERY_S = 2.0
UNKNOWN_PAUSE_S = 5.0  # between two looks at a job that another release must do
ALARM_MAX_S = 0.5  # re-read the next due time at least this often
ALARM_EARLY_S = 0.0003  # the fetch that it causes is longer than this on its way to the database
ALARM_PAUSE_S = 0.001  # after which the alarm looks again: that fetch goes first
DEBOUNCE_S = 0.005  # a burst of NOTIFY makes one look
DATABASE_PATIENCE_S = 120.0  # of continuous trouble, before the process gives up and is started again


class PunctualWorker(Worker):
    """Runs the jobs of its queues. `failed` holds what ended it, when it did not end by request."""

    failed: BaseException | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wakeups = 0
        self._rearm = asyncio.Event()
        is_sending = set(self.queues or ()) <= {Queue.BATCHES, Queue.MESSAGES}
        self._next_due = _NEXT_DUE.format(ahead_s=AHEAD_S if is_sending else 0)
        #: When a slot last became free after all had been taken; monotonic seconds, 0 when never.
        self.slot_freed_at = 0.0
        #: At the last look, ALARM_MAX_S ago at the most, something was due and no slot was free for it.
        self.has_waiting = False

    def note_slot_freed(self) -> None:
        """Called when a job ends: from here on, lateness is nobody's excuse."""
        if len(self._running_jobs) >= self.concurrency:
            self.slot_freed_at = time.monotonic()

    def _wake(self) -> None:
        self._wakeups += 1
        self._new_job_event.set()

    # (b) A wake-up that comes while a fetch is in flight is counted, and the fetch is repeated.
    async def _handle_notification(self, *, channel: str, notification: Any) -> None:
        if notification["type"] == "job_inserted":
            self._wakeups += 1
            self._rearm.set()
        await super()._handle_notification(channel=channel, notification=notification)

    async def _fetch_and_process_jobs(self) -> None:
        pause_s = 0.05
        trouble_since: float | None = None
        while not self._stop_event.is_set():
            seen = self._wakeups
            try:
                await super()._fetch_and_process_jobs()
                trouble_since = None
            except exceptions.ConnectorException as error:
                trouble_since = trouble_since or time.monotonic()
                if time.monotonic() - trouble_since > DATABASE_PATIENCE_S:
                    self.failed = error
                    self.stop()
                    return
                log.warning("cannot fetch jobs, trying again: %r", error.__cause__)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311
                pause_s = min(pause_s * 2, 1.0)
                continue
            if self._wakeups == seen:
                return

    # (g) During a deploy two releases run side by side, and one has tasks that the other lacks. What cannot be written here
    # leaves the job as ours without our having it: (f).
    async def _process_job(self, context: JobContext) -> None:
        if context.job.task_name in self.app.tasks:
            await super()._process_job(context)
            return
        log.warning("job %s is for another release: %s is no task here", context.job.id, context.job.task_name)
        with suppress(exceptions.ConnectorException):
            await self.app.connector.execute_query_async(_LEAVE, job_id=context.job.id, pause_s=UNKNOWN_PAUSE_S)

    # (a) An alarm at the exact instant of the next scheduled job.
    async def _alarm(self) -> None:
        while True:
            self._rearm.clear()
            delay_s = await self._next_delay_s()
            if delay_s is not None and delay_s <= ALARM_MAX_S:
                await asyncio.sleep(max(delay_s - ALARM_EARLY_S, 0))
                self._wake()
                await asyncio.sleep(ALARM_PAUSE_S)
                continue
            try:
                await asyncio.wait_for(self._rearm.wait(), ALARM_MAX_S)
                await asyncio.sleep(DEBOUNCE_S)
            except TimeoutError:
                pass

    async def _next_delay_s(self) -> float | None:
        try:
            row = await self.app.connector.execute_query_one_async(self._next_due, queues=list(self.queues or ()))
        except exceptions.ConnectorException:
            return None
        self.has_waiting = row["is_due"] and len(self._running_jobs) >= self.concurrency
        if row["is_due"]:
            # Its NOTIFY may have come while nobody listened: the listener reconnects by itself, and tells nobody.
            self._wake()
        delay_s: float | None = row["delay_s"]
        return delay_s

    # (c) Side tasks are started again, not mourned.
    async def _forever(self, name: str, run: Callable[[], Awaitable[Any]], pause_s: float = 0.5) -> None:
        while True:
            try:
                await run()
            except Exception as error:
                log.warning("%s stopped, starting it again: %r", name, error)
            # What happened while nobody listened is found by looking.
            self._wake()
            await asyncio.sleep(pause_s)

    def _start_side_tasks(self) -> list[asyncio.Task[Any]]:
        async def listen() -> None:
            await self.app.job_manager.listen_for_jobs(on_notification=self._handle_notification, queues=self.queues)

        sides: dict[str, Callable[[], Awaitable[Any]]] = {
            "heartbeat": self._update_heartbeat,
            "alarm": self._alarm,
            "missing jobs": self._give_back_missing,
            "listener": listen,
        }
        return [asyncio.create_task(self._forever(name, run), name=name) for name, run in sides.items()]

    # (f) A job whose fetch was committed while its answer was lost is ours by the row, and we beat for it; yet we do not
    # have it. Seen in two looks in a row, it is given back: to run it twice would do no harm, never to run it does.
    async def _give_back_missing(self) -> None:
        suspects: set[int] = set()
        while True:
            await asyncio.sleep(MISSING_LOOK_EVERY_S)
            rows = await self.app.connector.execute_query_all_async(
                _LIST_MISSING, worker_id=self.worker_id, running=self._running_ids()
            )
            missing = {row["id"] for row in rows}.difference(self._running_ids())
            for job_id in suspects & missing:
                log.warning("job %d was taken for this worker and never arrived: given back", job_id)
                await self.app.connector.execute_query_async(_GIVE_BACK, job_id=job_id)
                self._wake()
            suspects = missing - suspects

    def _running_ids(self) -> list[int]:
        return [context.job.id for context in self._running_jobs.values() if context.job.id is not None]

    async def _monitor_side_tasks(self, side_tasks: list[asyncio.Task[Any]]) -> None:
        await asyncio.wait(side_tasks)

    # (d) The heartbeat goes on until the last job has ended.
    async def _shutdown(self, side_tasks: list[asyncio.Task[Any]]) -> None:
        heartbeat = [task for task in side_tasks if task.get_name() == "heartbeat"]
        await utils.cancel_and_capture_errors([task for task in side_tasks if task not in heartbeat])
        try:
            await super()._shutdown(side_tasks=[])
        finally:
            await utils.cancel_and_capture_errors(heartbeat)

    # (e) A result that cannot be written now is written later.
    async def _persist_job_status(self, *args: Any, **kwargs: Any) -> None:
        pause_s = 0.1
        deadline = time.monotonic() + DATABASE_PATIENCE_S
        while True:
            try:
                await super()._persist_job_status(*args, **kwargs)
                return
            except exceptions.ConnectorException as error:
                cause = error.__cause__
                if getattr(cause, "sqlstate", None) == "P0001":  # RAISE: the row is no longer ours. The rows know.
                    log.info("the job was taken back before it ended: %s", cause)
                    return
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 2.0)
