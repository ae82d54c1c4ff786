"""`make run` on this machine: it comes up, stays up, and leaves nothing behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.embedded import free_port
from tests.acceptance.installation import Run, command_of, get, is_ready, make, pids_of, wait_until


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("run"), free_port())
    try:
        run.wait_until_ready()
        yield run
    finally:
        run.stop()


def test_it_prints_ready_when_everything_is(run: Run) -> None:
    assert is_ready(run.port)


def test_the_doctor_finds_all_well(run: Run) -> None:
    done = make("doctor", run.data_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all is well" in done.stdout


def test_make_admin_prints_a_key_that_works_as_its_last_line(run: Run) -> None:
    done = make("admin", run.data_dir, "EMAIL=owner@example.test")
    assert done.returncode == 0, done.stderr
    key = done.stdout.splitlines()[-1]
    assert key.startswith("mt_")
    me = get(run.port, "/api/v1/me", key)
    assert me["demo"] is False


def test_make_queue_shows_the_queue(run: Run) -> None:
    done = make("queue", run.data_dir)
    assert done.returncode == 0, done.stderr


def test_run_env_is_for_its_owner_only(run: Run) -> None:
    assert ((run.data_dir / "run.env").stat().st_mode & 0o077) == 0


def test_a_second_run_in_the_same_folder_is_refused(run: Run) -> None:
    done = make("run", run.data_dir, f"PORT={free_port()}")
    assert done.returncode != 0
    assert "already runs" in done.stderr
    assert is_ready(run.port)


def test_a_port_that_is_taken_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    done = make("run", tmp_path, f"PORT={run.port}")
    assert done.returncode != 0
    mine = [line for line in done.stderr.splitlines() if line.startswith("mailtide")]
    assert len(mine) == 1
    assert f"PORT {run.port} cannot be opened" in mine[0]
    assert pids_of(tmp_path) == []


@pytest.mark.parametrize("part", ["worker.main", "granian", "worker.sandbox", "valkey-server", "postgres"])
def test_what_is_killed_comes_back(run: Run, part: str) -> None:
    before = run.pid(part)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: any(part in command_of(pid) for pid in pids_of(run.data_dir) if pid != before))
    wait_until(lambda: is_ready(run.port), 60)
    wait_until(lambda: any("starting it again" in line for line in run.errors))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_and_the_data_is_there_next_time(tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path, free_port())
    try:
        run.wait_until_ready()
        key = make("admin", tmp_path, "EMAIL=owner@example.test").stdout.splitlines()[-1]
    finally:
        # Ctrl-C reaches the whole foreground group, `kill` only make.
        os.killpg(run.process.pid, number) if number is signal.SIGINT else run.stop()
        run.process.wait(timeout=60)
    wait_until(lambda: pids_of(tmp_path) == [])
    assert "DATABASE_URL" not in (tmp_path / "run.env").read_text()
    again = Run(tmp_path, free_port())
    try:
        again.wait_until_ready()
        assert get(again.port, "/api/v1/me", key)["demo"] is False
    finally:
        again.stop()


@pytest.mark.parametrize("victim", ["make", "supervisor"])
def test_kill_9_leaves_no_process_and_no_broken_database(tmp_path: Path, victim: str) -> None:
    run = Run(tmp_path, free_port())
    run.wait_until_ready()
    os.kill(run.process.pid if victim == "make" else run.supervisor_pid(), signal.SIGKILL)
    run.process.wait(timeout=60)
    wait_until(lambda: pids_of(tmp_path) == [])
    again = Run(tmp_path, free_port())
    try:
        again.wait_until_ready()
    finally:
        again.stop()


def test_make_admin_works_when_nothing_runs(tmp_path: Path) -> None:
    done = make("admin", tmp_path, "EMAIL=owner@example.test")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("mt_")
    assert pids_of(tmp_path) == []


def test_two_start_side_by_side_at_the_same_moment(tmp_path: Path) -> None:
    runs = [Run(tmp_path / name, free_port()) for name in ("a", "b")]
    try:
        for run in runs:
            run.wait_until_ready()
        ports = {(run.data_dir / "run.env").read_text().split("SANDBOX_PORT='")[1].split("'")[0] for run in runs}
        assert len(ports) == 2
    finally:
        for run in runs:
            run.stop()


def test_a_weak_secret_stops_the_start_with_one_line(tmp_path: Path) -> None:
    done = make("run", tmp_path, f"PORT={free_port()}", "SECRET_KEY=changeme")
    assert done.returncode != 0
    assert "SECRET_KEY is missing or shorter than 32 characters" in done.stderr
    assert pids_of(tmp_path) == []
