"""The README's flow does what the README says: its own lines are run."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.embedded import free_port
from tests.acceptance.installation import ROOT, Run, make

FLOW = re.compile(r"<!-- flow: begin -->\n```sh\n(.*?)```\n<!-- flow: end -->", re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("flow"), free_port())
    try:
        run.wait_until_ready()
        yield run
    finally:
        run.stop()


def test_a_csv_becomes_a_campaign_that_everybody_gets_once_and_on_time(run: Run, tmp_path: Path) -> None:
    found = FLOW.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", found[1]],
        cwd=tmp_path,
        env={**os.environ, "PORT": str(run.port)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    settings = dict(line.split("=", 1) for line in (run.data_dir / "run.env").read_text().splitlines() if "=" in line)
    with psycopg.connect(settings["DATABASE_URL"].strip("'")) as conn:
        received = conn.execute(
            "SELECT rcpt_to, subject FROM inbox WHERE rcpt_to ~ '^person[0-9]+@example.test$'"
        ).fetchall()
        lateness = conn.execute(
            "SELECT max(lateness_ms) FROM batches JOIN campaigns USING (campaign_id) WHERE campaigns.name = 'Hello'"
        ).fetchone()
    assert sorted(received) == sorted((f"person{n}@example.test", f"Hello Person {n}") for n in range(1, 1001))
    assert lateness is not None
    assert lateness[0] <= 1000  # on a busy machine; a few milliseconds on a free one
    assert make("doctor", run.data_dir).returncode == 0
