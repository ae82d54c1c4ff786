"""Import one uploaded CSV file, in a process of its own, which this task starts, watches and ends."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from app.clock import utc_now
from sql import queries

if TYPE_CHECKING:
    from worker.services import WorkerServices

_ERROR_SIZE_MAX = 2000  # bytes of the end of its stderr


class ImportStopped(Exception):
    """The process ended before the import did, killed or by the machine's trouble: the job is to be tried again."""


async def run(services: "WorkerServices", *, id: int, epoch: int) -> None:
    """Run the import to its end. Safe to run again: it goes on after the last committed slice, or does nothing.

    Raises ImportStopped when its process was killed; CancelledError after the process is gone.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker.importing", str(id), str(epoch), "--with-parent",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "DATABASE_URL": services.settings.postgres_direct_url},
    )  # fmt: skip
    try:
        stderr = await _read_end(process)
        code = await process.wait()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if code == 0:
        return
    if code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT) or "OperationalError" in stderr:
        raise ImportStopped(f"import {id} ended with {code}: {stderr[-300:]}")
    await _fail(services, import_id=id, epoch=epoch)
    raise RuntimeError(f"import {id} failed: {stderr}")


async def _read_end(process: asyncio.subprocess.Process) -> str:
    """All of stderr passes by; its end is kept."""
    assert process.stderr is not None
    end = b""
    while piece := await process.stderr.read(65536):
        end = (end + piece)[-_ERROR_SIZE_MAX:]
    return end.decode("utf-8", "replace")


async def _fail(services: "WorkerServices", *, import_id: int, epoch: int) -> None:
    """A bug or a file that the database refuses: say so on the page instead of trying for ever."""
    error = "The import stopped on an error of ours; what was read until then is in. The worker's log says more."
    async with services.pool.connection() as conn:
        await conn.execute(
            queries.imports.fail.text, {"import_id": import_id, "epoch": epoch, "error": error, "now": utc_now()}
        )
