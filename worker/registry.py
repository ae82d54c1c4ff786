"""The tasks of the queue, each under its explicit name. Jobs name them, so a name is never changed."""

from collections.abc import Awaitable, Callable
from typing import Any

import procrastinate
import psycopg
import structlog
from procrastinate import JobContext

from app.jobs import QUEUES, Task
from worker.services import WorkerServices
from worker.tasks import close_campaign, import_contacts, launch_campaign, resume_limit, send_batch, send_due

log = structlog.get_logger("mailtide.worker")

_TASKS: dict[Task, Callable[..., Awaitable[None]]] = {
    Task.LAUNCH_CAMPAIGN: launch_campaign.run,
    Task.SEND_BATCH: send_batch.run,
    Task.SEND_DUE: send_due.run,
    Task.RESUME_LIMIT: resume_limit.run,
    Task.CLOSE_CAMPAIGN: close_campaign.run,
    Task.IMPORT_CONTACTS: import_contacts.run,
}
_HOLD_ROWS = {Task.SEND_BATCH, Task.SEND_DUE}  # they write their job's id on what they take


def build_queue(services: WorkerServices) -> procrastinate.App:
    """The Procrastinate app, with each task under its explicit name."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector())
    for name, run in _TASKS.items():
        app.task(name=name, queue=QUEUES[name], pass_context=True)(_as_task(services, name, run))
    return app


def _as_task(
    services: WorkerServices, name: Task, run: Callable[..., Awaitable[None]]
) -> Callable[..., Awaitable[None]]:
    async def task(context: JobContext, **arguments: Any) -> None:
        holder = {"job_id": context.job.id} if name in _HOLD_ROWS else {}
        try:
            id, epoch = int(arguments["id"]), int(arguments["epoch"])  # more of them, from another release: not for us
        except (KeyError, TypeError, ValueError):
            # The rows know what is left, and the clock loop makes a job for it in a shape that this release knows.
            log.error("a job has arguments that this release cannot read", task=name, arguments=arguments)
            return
        try:
            await run(services, id=id, epoch=epoch, **holder)
        except psycopg.OperationalError as error:
            # The database went away, or had no connection for us in time. A job is a wake-up: the rows know what is left,
            # and the clock loop makes a new one. A failed job would wait for a person who has nothing to do.
            log.warning("a job lost its database", task=name, id=id, error=str(error))

    return task
