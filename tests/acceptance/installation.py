"""A whole installation for a test: `make run` in a process group of its own, and how to talk to it.

The dashboard's build is left out (`--no-dashboard`): the browser tests have it.
"""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
START_TIMEOUT_S = 120.0


class Run:
    """One `make run` of its own, in a process group of its own."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir, self.port = data_dir, port
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            ["make", "run", f"PORT={port}", f"DATA_DIR={data_dir}", "ARGS=--no-dashboard"],
            cwd=ROOT,
            env=environment(data_dir),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))

    def wait_until_ready(self) -> None:
        wait_until(lambda: bool(self.lines) or self.process.poll() is not None, START_TIMEOUT_S)
        assert self.lines == [f"ready http://127.0.0.1:{self.port}"], "\n".join(self.errors[-60:])

    def supervisor_pid(self) -> int:
        found = [pid for pid in pids_of(self.data_dir) if "app.dev" in command_of(pid)]
        assert len(found) == 1, found
        return found[0]

    def pid(self, part: str) -> int:
        """The process of one child of the supervisor, by a part of its command."""
        supervisor = self.supervisor_pid()
        found = [pid for pid in pids_of(self.data_dir) if part in command_of(pid) and parent_of(pid) == supervisor]
        assert found, part
        return found[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it as `kill` does, and return make's exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(timeout=60)


def environment(data_dir: Path) -> dict[str, str]:
    return {**os.environ, "DATA_DIR": str(data_dir)}


def pids_of(data_dir: Path) -> list[int]:
    """Every process of this DATA_DIR: started with the variable, or at work in the folder.

    Servers write their title over their environment, so the variable alone would miss them.
    """
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and belongs_to(entry, data_dir)
    ]


def belongs_to(entry: Path, data_dir: Path) -> bool:
    with suppress(OSError):
        if int(entry.name) == os.getpid() or not (entry / "cmdline").read_bytes():
            return False  # ourselves, or a zombie
        if (entry / "cwd").readlink().is_relative_to(data_dir):
            return True
        return f"DATA_DIR={data_dir}".encode() in (entry / "environ").read_bytes().split(b"\0")
    return False


def command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def parent_of(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


def wait_until(fact: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.05)


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def make(target: str, data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", target, *arguments],
        cwd=ROOT,
        env=environment(data_dir),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def get(port: int, path: str, key: str) -> dict[str, object]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        loaded: dict[str, object] = json.load(answer)
        return loaded
