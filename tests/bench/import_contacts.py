"""How fast a CSV becomes contacts: `python tests/bench/import_contacts.py [ROWS]`. One JSON line on stdout.

Uploads a generated file through the upload's own code, into an embedded Postgres with fsync on, then runs the importing
process and reads its peak memory.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from app.commands.imports import begin_upload, finish_upload, start_import, store_chunk  # noqa: E402
from app.content.csv_intake import Intake  # noqa: E402
from app.embedded import EmbeddedPostgres  # noqa: E402
from sql.migrate import migrate  # noqa: E402

PIECE_SIZE = 256 * 1024


def generate(rows: int) -> Iterator[bytes]:
    """The file, in pieces of a few thousand rows."""
    yield b"E-Mail,First name,Last name,City,Plan\r\n"
    for start in range(0, rows, 5000):
        lines = (
            f"user{n}@example{n % 97}.test,First{n % 1000},Last{n % 5000},City {n % 300},{'pro' if n % 3 else 'free'}\r\n"
            for n in range(start, min(rows, start + 5000))
        )
        yield "".join(lines).encode()


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    pieces = list(generate(rows))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "pg")
        server.start()
        try:
            migrate(server.url)
            print(json.dumps(measure(server.url, pieces, rows)))
        finally:
            server.stop()


def measure(url: str, pieces: list[bytes], rows: int) -> dict[str, object]:
    now = datetime.now(UTC)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
        conn.execute("INSERT INTO accounts (name) VALUES ('Bench')")
        conn.execute("INSERT INTO lists (account_id, name) VALUES (1, 'Bench')")
        began = time.perf_counter()
        import_id = begin_upload(conn, account_id=1, filename="bench.csv", now=now)
        intake, ordinal = Intake(), 0
        for piece in pieces:
            for chunk in intake.feed(piece):
                store_chunk(conn, import_id=import_id, ordinal=ordinal, data=chunk)
                ordinal += 1
        last, facts = intake.finish()
        for chunk in last:
            store_chunk(conn, import_id=import_id, ordinal=ordinal, data=chunk)
            ordinal += 1
        with conn.transaction():
            finish_upload(conn, account_id=1, import_id=import_id, facts=facts)
            start_import(
                conn,
                account_id=1,
                import_id=import_id,
                mapping=facts.shape.mapping,
                list_id=1,
                on_conflict="update",
                now=now,
            )
        uploaded = time.perf_counter()
        peak_mib = run_import(url, import_id)
        done = time.perf_counter()
        row = conn.execute("SELECT * FROM imports").fetchone()
        assert row is not None and row["status"] == "done" and row["contacts_created"] == rows, row
    return {
        "bench": "import", "rows": rows, "upload_s": round(uploaded - began, 2), "import_s": round(done - uploaded, 2),
        "total_s": round(done - began, 2), "rows_per_s": round(rows / (done - began)), "import_peak_rss_mib": peak_mib,
    }  # fmt: skip


def run_import(url: str, import_id: int) -> float:
    """Run the importing process to its end and return its peak memory in MiB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.importing", str(import_id), "1"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
    )
    peak_mib = 0.0
    while process.poll() is None:  # not wait4's figure, which begins at the size of the process that forked
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
            high = next(line for line in lines if line.startswith("VmHWM"))
            peak_mib = max(peak_mib, int(high.split()[1]) / 1024)
        time.sleep(0.05)
    assert process.returncode == 0, process.returncode
    return round(peak_mib, 1)


if __name__ == "__main__":
    main()
