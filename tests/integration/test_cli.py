"""The operations commands, run as `make` runs them, against a real database."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def cli(database_url: str, python: str, tmp_path: Path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DATABASE_URL": database_url, "DATA_DIR": str(tmp_path)}
        command = [python, "-m", "app.cli", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


def insert_job(database_url: str, *, status: str = "todo", live: bool | None = None) -> int:
    """A job that waits a day, or is run by a worker that is alive, or silent."""
    with psycopg.connect(database_url) as conn:
        worker = None
        if live is not None:
            seen = "now()" if live else "now() - interval '1 hour'"
            text = f"INSERT INTO procrastinate_workers (last_heartbeat) VALUES ({seen}) RETURNING id"
            worker = conn.execute(text.encode()).fetchone()[0]
        row = conn.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, worker_id, scheduled_at) "
            """VALUES ('control', 'launch_campaign', '{"id": 1, "epoch": 1}', %s::procrastinate_job_status, %s, """
            "now() + interval '1 day') RETURNING id",
            (status, worker),
        ).fetchone()
        return int(row[0])


def status_of(database_url: str, job_id: int) -> str | None:
    with psycopg.connect(database_url) as conn:
        row = conn.execute("SELECT status::text FROM procrastinate_jobs WHERE id = %s", (job_id,)).fetchone()
    return row[0] if row else None


def test_the_queue_is_shown_by_task(cli, database_url: str) -> None:
    assert "the queue is empty" in cli("queue").stdout
    insert_job(database_url)
    insert_job(database_url, status="doing", live=False)
    header, row = (line.split() for line in cli("queue").stdout.splitlines())
    shown = dict(zip(header, row, strict=True))
    assert (shown["task_name"], shown["waiting"], shown["stalled"], shown["running"]) == (
        "launch_campaign",
        "1",
        "1",
        "0",
    )


def test_a_waiting_job_can_be_cancelled_and_a_running_one_cannot(cli, database_url: str) -> None:
    waiting, running = insert_job(database_url), insert_job(database_url, status="doing", live=True)
    assert cli("cancel", str(waiting)).returncode == 0
    assert status_of(database_url, waiting) is None
    refused = cli("cancel", str(running))
    assert refused.returncode == 1
    assert "only a waiting job" in refused.stderr


@pytest.mark.parametrize(("status", "live"), [("failed", None), ("doing", False)], ids=["failed", "stalled"])
def test_a_failed_or_stalled_job_can_be_retried(cli, database_url: str, status: str, live: bool | None) -> None:
    job = insert_job(database_url, status=status, live=live)
    assert f" {job} " in cli("stalled").stdout or cli("stalled").stdout.splitlines()[-1].startswith(str(job))
    assert cli("retry", str(job)).returncode == 0
    assert status_of(database_url, job) == "todo"


def test_a_job_of_a_living_worker_is_not_retried(cli, database_url: str) -> None:
    job = insert_job(database_url, status="doing", live=True)
    refused = cli("retry", str(job))
    assert refused.returncode == 1
    assert "alive" in refused.stderr
    assert status_of(database_url, job) == "doing"


def test_an_unknown_job_says_where_to_look(cli) -> None:
    assert "`make queue`" in cli("retry", "999").stderr


def test_make_admin_twice_is_one_account_and_two_keys(cli, database_url: str) -> None:
    keys = {cli("admin", "owner@example.test").stdout.splitlines()[-1] for _ in range(2)}
    assert len(keys) == 2
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM accounts").fetchone() == (1,)


def test_a_bad_address_makes_no_account(cli, database_url: str) -> None:
    refused = cli("admin", "nobody")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: EMAIL")
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM accounts").fetchone() == (0,)


def test_a_restore_brings_everything_back_and_pauses_what_was_on_its_way(
    cli, database_url: str, tmp_path: Path
) -> None:
    assert cli("seed").returncode == 0
    done = cli("backup", str(tmp_path / "all.dump"))
    assert done.returncode == 0, done.stderr
    with psycopg.connect(database_url) as conn:
        before = conn.execute("SELECT count(*), (SELECT count(*) FROM contacts) FROM messages").fetchone()
        conn.execute("DELETE FROM accounts")
        conn.execute("DELETE FROM messages")
    done = cli("restore", str(tmp_path / "all.dump"))
    assert done.returncode == 0, done.stderr
    with psycopg.connect(database_url) as conn:
        after = conn.execute("SELECT count(*), (SELECT count(*) FROM contacts) FROM messages").fetchone()
        moving = conn.execute("SELECT count(*) FROM campaigns WHERE status IN ('scheduled', 'sending')").fetchone()
        paused = conn.execute("SELECT count(*) FROM campaigns WHERE status = 'paused'").fetchone()
    assert after == before
    assert (moving, paused) == ((0,), (2,))


def test_a_file_that_is_no_backup_changes_nothing(cli, database_url: str, tmp_path: Path) -> None:
    insert_job(database_url)
    (tmp_path / "bad.dump").write_text("not a dump")
    refused = cli("restore", str(tmp_path / "bad.dump"))
    assert refused.returncode == 1
    assert "the database is as it was" in refused.stderr
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (1,)


def test_a_backup_is_for_its_owner_only(cli, tmp_path: Path) -> None:
    file = Path(cli("backup").stdout.splitlines()[-1])
    assert (file.stat().st_mode & 0o077) == 0


def test_an_unreachable_database_is_one_line(cli, monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    environment = {**os.environ, "DATABASE_URL": "postgresql://127.0.0.1:1/none"}
    done = subprocess.run(
        [python, "-m", "app.cli", "queue"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the database cannot be reached")
    assert len(done.stderr.splitlines()) == 1
