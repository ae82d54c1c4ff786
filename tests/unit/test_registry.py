"""A job is a wake-up: when the database goes away under it, the rows know, and no failed job is left for people."""

import asyncio
from types import SimpleNamespace
from typing import Any

import psycopg
import psycopg_pool
import pytest

from app.jobs import Task
from worker.registry import _as_task


def run_job(error: Exception | None) -> list[dict[str, Any]]:
    calls = []

    async def run(services: Any, **arguments: Any) -> None:
        calls.append(arguments)
        if error is not None:
            raise error

    task = _as_task(SimpleNamespace(), Task.SEND_DUE, run)  # type: ignore[arg-type]
    asyncio.run(task(SimpleNamespace(job=SimpleNamespace(id=7)), id=3, epoch=5))  # type: ignore[arg-type]
    return calls


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError("terminating connection"), psycopg_pool.PoolTimeout("no connection in 10 s")]
)
def test_row_05_a_job_that_loses_its_database_ends_quietly_and_is_made_again_from_the_rows(error: Exception) -> None:
    assert run_job(error) == [{"id": 3, "epoch": 5, "job_id": 7}]


def test_a_job_that_fails_for_another_reason_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        run_job(ZeroDivisionError())


def test_a_job_gets_its_arguments() -> None:
    assert run_job(None) == [{"id": 3, "epoch": 5, "job_id": 7}]
