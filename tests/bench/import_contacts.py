"""How fast a CSV becomes contacts: from the first byte of the upload to `done`, through the web and a worker."""

import http.client
import json
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any

from app.commands.api_keys import create_api_key
from tests.bench.figures import combine, figure
from tests.bench.options import Line, Lines, Options, say, wait_for
from tests.bench.proc import watching
from tests.bench.rows import relayed_account
from tests.bench.stack import Child, Stack, running_stack

DEFAULT_SIZES = (100_000, 1_000_000)
SECONDS_AT_MOST = 15
GROWTH_AT_MOST_MB = 100
_ASKED_EVERY_S = 0.1  # ten times as often as the dashboard; each question takes time from the cores that import
_MAPPING = {"email": "E-Mail", "first_name": "First name", "last_name": "Last name", "city": "City", "plan": "Plan"}


def run(options: Options) -> Lines:
    sizes = (options.n,) if options.n is not None else DEFAULT_SIZES
    with running_stack() as stack:
        web, port = stack.start_web()
        (worker,) = stack.start_workers(1)
        line: Line = {}
        growth_mb = 0.0
        for rows in sizes:
            found: list[Line] = []
            with tempfile.TemporaryFile() as file:
                for piece in generate(rows):
                    file.write(piece)
                for turn in range(options.repeats):
                    say(f"import: {rows} rows, turn {turn + 1} of {options.repeats}")
                    found.append(_measure(stack, port, web, worker, file, rows))
            growth_mb = max(growth_mb, *(line["web_growth_mb"] + line["worker_growth_mb"] for line in found))
            line = {**combine(found), "total_s_each": [line["total_s"] for line in found]}
            yield line
        yield figure("import of a million", line["total_s"], unit="s", at_most=SECONDS_AT_MOST, n=sizes[-1])
        # Of all turns the most: a later one finds a process that has grown already.
        yield figure("import, memory of web and worker +", growth_mb, unit="MB", at_most=GROWTH_AT_MOST_MB, n=sizes[-1])


def generate(rows: int) -> Iterator[bytes]:
    """The file, in pieces of a few thousand rows."""
    yield b"E-Mail,First name,Last name,City,Plan\r\n"
    for start in range(0, rows, 5000):
        lines = (
            f"user{n}@example{n % 97}.test,First{n % 1000},Last{n % 5000},City {n % 300},{'pro' if n % 3 else 'free'}\r\n"
            for n in range(start, min(rows, start + 5000))
        )
        yield "".join(lines).encode()


def _measure(stack: Stack, port: int, web: Child, worker: Child, file: IO[bytes], rows: int) -> Line:
    client = _Client(port, _make_key(stack))
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    stack.rest()
    with watching(web.pid, worker.pid) as (web_memory, worker_memory):
        began = time.perf_counter()
        uploaded = client.call("POST", "/api/v1/imports?filename=bench.csv", file, "text/csv", size)
        uploaded_at = time.perf_counter()
        path = f"/api/v1/imports/{uploaded['id']}"
        body = json.dumps({"mapping": _MAPPING}).encode()
        client.call("POST", f"{path}/start", body, "application/json", len(body))

        def ended() -> Line | None:
            found = client.call("GET", path)
            return found if found["status"] in ("done", "failed") else None

        found = wait_for(ended, "the import is done", 60 + rows / 5000, every_s=_ASKED_EVERY_S)
        done_at = time.perf_counter()
    assert found is not None and found["contacts_created"] == rows, found
    return {
        "bench": "import", "n": rows, "file_mb": round(size / 1e6, 1), "upload_s": round(uploaded_at - began, 2),
        "import_s": round(done_at - uploaded_at, 2), "total_s": round(done_at - began, 2),
        "per_s": round(rows / (done_at - began)), "web_growth_mb": round(web_memory.growth_mb, 1),
        "web_peak_mb": round(web_memory.peak_mb, 1), "worker_growth_mb": round(worker_memory.growth_mb, 1),
        "worker_peak_mb": round(worker_memory.peak_mb, 1),
    }  # fmt: skip


def _make_key(stack: Stack) -> str:
    with stack.connect() as conn:
        account_id = relayed_account(conn)
    with stack.connect_dict() as conn:
        made = create_api_key(
            conn, account_id=account_id, name="Bench", scopes=("read", "send"), expires_at=None, now=datetime.now(UTC)
        )
    return made.secret


class _Client:
    def __init__(self, port: int, secret: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300, blocksize=256 * 1024)
        self._authorization = f"Bearer {secret}"

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json", size: int = 0
    ) -> Line:
        headers = {"Authorization": self._authorization}
        if body is not None:
            headers |= {"Content-Type": content_type, "Content-Length": str(size)}
        self._connection.request(method, path, body=body, headers=headers)
        response = self._connection.getresponse()
        said = response.read()
        assert response.status in (200, 201, 202), said[:2000]
        found: Line = json.loads(said)
        return found
