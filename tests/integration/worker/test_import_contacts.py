"""The task that runs an import in a process of its own."""

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from app.commands.imports import begin_upload, finish_upload, start_import, store_chunk
from app.content.csv_intake import Intake
from app.settings import Settings
from worker.tasks import import_contacts

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Services:
    """What the task takes of the worker's services."""

    settings: Settings
    pool: AsyncConnectionPool[Any]


def prepare(database_url: str, data: bytes) -> int:
    """A started import of `data`; returns its id."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
        account = conn.execute("INSERT INTO accounts (name) VALUES ('Test') RETURNING account_id").fetchone()
        assert account is not None
        account_id = account["account_id"]
        import_id = begin_upload(conn, account_id=account_id, filename="x.csv", now=NOW)
        intake = Intake()
        chunks = [*intake.feed(data)]
        last, facts = intake.finish()
        for ordinal, chunk in enumerate([*chunks, *last]):
            store_chunk(conn, import_id=import_id, ordinal=ordinal, data=chunk)
        finish_upload(conn, account_id=account_id, import_id=import_id, facts=facts)
        start_import(
            conn, account_id=account_id, import_id=import_id, mapping=facts.shape.mapping, list_id=None,
            on_conflict="update", now=NOW,
        )  # fmt: skip
    return import_id


def get_import(database_url: str) -> dict[str, Any]:
    with psycopg.connect(database_url, row_factory=dict_row) as conn:
        row = conn.execute("SELECT * FROM imports").fetchone()
        assert row is not None
        return row


def people(rows: int) -> bytes:
    return b"email,name\n" + b"".join(b"p%d@x.test,N\n" % number for number in range(rows))


def run(database_url: str, work: Any) -> None:
    async def main() -> None:
        settings = Settings(_env_file=None, database_url=database_url)
        async with AsyncConnectionPool(database_url, min_size=1, open=False) as pool:
            await work(Services(settings, pool))

    asyncio.run(main())


def test_the_task_imports_the_file(database_url: str) -> None:
    import_id = prepare(database_url, people(100))
    run(database_url, lambda services: import_contacts.run(services, id=import_id, epoch=1))
    row = get_import(database_url)
    assert (row["status"], row["contacts_created"]) == ("done", 100)


def test_a_second_run_of_the_same_job_does_nothing(database_url: str) -> None:
    import_id = prepare(database_url, people(10))
    for _ in range(2):
        run(database_url, lambda services: import_contacts.run(services, id=import_id, epoch=1))
    assert get_import(database_url)["rows_read"] == 10


def test_a_cancelled_task_leaves_no_process_and_the_next_run_ends_with_exact_counts(database_url: str) -> None:
    import_id = prepare(database_url, people(300_000))

    async def cancel_in_the_middle(services: Services) -> None:
        task = asyncio.create_task(import_contacts.run(services, id=import_id, epoch=1))
        async with services.pool.connection() as conn:
            while True:
                row = await (await conn.execute("SELECT rows_read FROM imports")).fetchone()
                await conn.commit()
                if row is not None and row[0] > 0:
                    break
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert importing_processes(import_id) == []

    run(database_url, cancel_in_the_middle)
    assert 0 < get_import(database_url)["rows_read"] < 300_000
    run(database_url, lambda services: import_contacts.run(services, id=import_id, epoch=1))
    row = get_import(database_url)
    assert (row["status"], row["rows_read"], row["contacts_created"]) == ("done", 300_000, 300_000)


def test_a_bug_in_the_process_is_said_on_the_page(database_url: str) -> None:
    import_id = prepare(database_url, people(10))
    with psycopg.connect(database_url) as conn:
        conn.execute("UPDATE imports SET mapping = '{}'")
    with pytest.raises(RuntimeError, match="KeyError"):
        run(database_url, lambda services: import_contacts.run(services, id=import_id, epoch=1))
    row = get_import(database_url)
    assert row["status"] == "failed"
    assert row["error"]


def importing_processes(import_id: int) -> list[Path]:
    wanted = [sys.executable, "-m", "worker.importing", str(import_id)]
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if arguments[: len(wanted)] == wanted:
            found.append(path)
    return found
