"""What `make run` does with its children: starts them again, gives up, and leaves none behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.dev import DEATHS_MAX, Failure, Program, Supervisor

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
#: Starts a process of its own, writes that one's number, and sleeps.
PARENT = [
    sys.executable, "-S", "-c",
    "import subprocess, sys, time, pathlib; "
    "p = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)']); "
    "pathlib.Path(sys.argv[1]).write_text(str(p.pid)); time.sleep(600)",
]  # fmt: skip


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.stop()


def program(tmp_path: Path, command: list[str], name: str = "web") -> Program:
    return Program(name, command, {}, tmp_path / f"{name}.log")


def wait_until(fact: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def pid_of(child: Program) -> int:
    assert child.process is not None
    return child.process.pid


def test_a_child_that_was_killed_is_started_again_with_a_line_that_says_so(
    supervisor: Supervisor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    child = program(tmp_path, SLEEP)
    supervisor.add(child)
    first = pid_of(child)
    os.kill(first, signal.SIGKILL)
    supervisor.watch(until=lambda: pid_of(child) != first)
    assert is_alive(pid_of(child))
    assert "web ended by SIGKILL: starting it again" in capfd.readouterr().err


def test_a_child_that_dies_five_times_within_a_minute_ends_the_run(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Supervisor, "_pause_s", staticmethod(lambda recent: 0.0))
    log = tmp_path / "starts"
    code = f"import pathlib; f = pathlib.Path({str(log)!r}).open('a'); f.write('x'); f.close(); raise SystemExit(3)"
    supervisor.add(program(tmp_path, [sys.executable, "-S", "-c", code]))
    with pytest.raises(Failure, match="web ended 5 times within a minute, the last time with exit code 3"):
        supervisor.watch()
    assert len(log.read_text()) == DEATHS_MAX


def test_the_pause_before_a_start_grows_with_recent_deaths() -> None:
    assert [Supervisor._pause_s(recent) for recent in (1, 2, 3)] == [0.0, 1.0, 2.0]


def test_what_a_killed_child_left_behind_is_gone_before_it_starts_again(supervisor: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    child = program(tmp_path, [*PARENT, str(note)])
    supervisor.add(child)
    wait_until(lambda: note.exists() and bool(note.read_text()))
    grandchild, first = int(note.read_text()), pid_of(child)
    os.kill(first, signal.SIGKILL)
    supervisor.watch(until=lambda: pid_of(child) != first)
    wait_until(lambda: not is_alive(grandchild))


def test_a_child_that_ignores_sigterm_is_killed_with_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.dev.GRACE_S", 0.2)
    note = tmp_path / "up"
    code = f"import signal, time, pathlib; signal.signal(15, signal.SIG_IGN); pathlib.Path({str(note)!r}).touch(); time.sleep(600)"
    child = program(tmp_path, [sys.executable, "-S", "-c", code])
    child.start()
    wait_until(note.exists)
    child.stop()
    assert child.exit_code() == -signal.SIGKILL


def test_no_child_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from app.dev import Program; "
        f"p = Program('web', {SLEEP!r}, {{}}, pathlib.Path({str(tmp_path / 'web.log')!r})); p.start(); "
        "print(p.process.pid, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    wait_until(lambda: b"app/child.py" not in Path(f"/proc/{child}/cmdline").read_bytes())
    owner.kill()
    owner.wait()
    wait_until(lambda: not is_alive(child))


def test_output_of_a_child_reaches_stderr_with_its_name_and_its_log(
    supervisor: Supervisor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    child = program(tmp_path, [sys.executable, "-S", "-c", "print('hello'); import time; time.sleep(600)"])
    supervisor.add(child)
    wait_until(lambda: child.log.exists() and child.log.read_text() == "hello\n")
    wait_until(lambda: "web      | hello" in capfd.readouterr().err)
