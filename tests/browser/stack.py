"""The real thing in one process group: `python -m app.dev` with the dashboard, on a free port, in a folder of its own.

Google's place is taken by the test identity provider of the acceptance tests, so both ways to sign in are there.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.acceptance.installation import ROOT, wait_until

#: The first start on a machine installs the dashboard's packages and builds it.
START_TIMEOUT_S = 240.0


class Stack:
    """One installation. `log` holds the last lines of everything that runs in it."""

    def __init__(self, data_dir: Path, port: int, settings: Mapping[str, str]) -> None:
        self.data_dir, self.port, self.url = data_dir, port, f"http://127.0.0.1:{port}"
        self.log: list[str] = []
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.dev", "--end-with-parent"],
            cwd=ROOT,
            env={**os.environ, **settings, "PORT": str(port), "DATA_DIR": str(data_dir), "BASE_URL": self.url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        for stream, lines in ((self._process.stdout, self._lines), (self._process.stderr, self.log)):
            threading.Thread(target=_read, args=(stream, lines), daemon=True).start()

    def wait_until_ready(self) -> None:
        wait_until(lambda: bool(self._lines) or self._process.poll() is not None, START_TIMEOUT_S)
        assert self._lines == [f"ready {self.url}"], "\n".join(self.log[-60:])

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def sql(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Run one statement on the installation's database, committed; returns its rows."""
        lines = (self.data_dir / "run.env").read_text(encoding="utf-8").splitlines()
        settings = dict(line.split("=", 1) for line in lines if "=" in line)
        with psycopg.connect(settings["DATABASE_URL"].strip("'"), row_factory=dict_row) as conn:
            cursor = conn.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []


def _read(stream: Iterator[str], lines: list[str]) -> None:
    for line in stream:
        lines.append(line.rstrip("\n"))
        del lines[:-4000]
