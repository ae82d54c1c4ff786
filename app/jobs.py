"""The queue's vocabulary: which tasks exist, in which queue each runs, and the one way to defer a job.

A job is a wake-up, never the truth: its arguments are {id, epoch}, its rows hold the state, and a job whose epoch is old
does nothing. Jobs are deferred on the caller's connection, so they commit with its rows or not at all. No `lock` and
no `queueing_lock` (a future job would block the lock; a stalled twin could not be retried).

SQL that defers by itself writes the same shape:
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, scheduled_at) SELECT …
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb


class Queue(StrEnum):
    BATCHES = "batches"  # a campaign's slices; WORKER_CONCURRENCY at once in a process
    MESSAGES = "messages"  # API messages: never behind a campaign
    CONTROL = "control"  # launching, resuming, closing: short and decisive
    IMPORTS = "imports"  # CSV files: long


class Task(StrEnum):
    LAUNCH_CAMPAIGN = "launch_campaign"  # {id: campaign_id, epoch}
    SEND_BATCH = "send_batch"  # {id: batch_id, epoch: the campaign's}
    SEND_DUE = "send_due"  # {id: account_id, epoch: the bucket as Unix seconds}
    RESUME_LIMIT = "resume_limit"  # {id: limit_id, epoch: the limit's resume_epoch}
    CLOSE_CAMPAIGN = "close_campaign"  # {id: campaign_id, epoch}: move what is queued to 'cancelled'
    IMPORT_CONTACTS = "import_contacts"  # {id: import_id, epoch}


QUEUES: dict[Task, Queue] = {
    Task.LAUNCH_CAMPAIGN: Queue.CONTROL,
    Task.SEND_BATCH: Queue.BATCHES,
    Task.SEND_DUE: Queue.MESSAGES,
    Task.RESUME_LIMIT: Queue.CONTROL,
    Task.CLOSE_CAMPAIGN: Queue.CONTROL,
    Task.IMPORT_CONTACTS: Queue.IMPORTS,
}

#: The job of a batch or of API messages is given so long before its time: it reads what to send, takes a connection and permits, and
#: makes the first message, so that at the instant a mark is all that is left. Migration 0002 has the same.
AHEAD_S = 0.02

_DEFER = """
/* jobs.defer */ INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
VALUES (%(queue)s, %(task)s, %(args)s, %(at)s) RETURNING id
"""


def defer(conn: psycopg.Connection[Any], task: Task, *, id: int, epoch: int, at: datetime | None = None) -> int:
    """Add a job on the caller's connection, in its transaction, and return its id. `at` None means now."""
    params = {"queue": QUEUES[task], "task": task, "args": Jsonb({"id": id, "epoch": epoch}), "at": at}
    row = conn.cursor(row_factory=scalar_row).execute(_DEFER, params).fetchone()
    assert row is not None
    return int(row)


async def defer_async(
    conn: psycopg.AsyncConnection[Any], task: Task, *, id: int, epoch: int, at: datetime | None = None
) -> int:
    """`defer` for the worker's connections."""
    params = {"queue": QUEUES[task], "task": task, "args": Jsonb({"id": id, "epoch": epoch}), "at": at}
    row = await (await conn.cursor(row_factory=scalar_row).execute(_DEFER, params)).fetchone()
    assert row is not None
    return int(row)
