"""Processor time and memory of processes, from /proc."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_TELLS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
_UTIME, _STIME, _CUTIME, _CSTIME = 11, 12, 13, 14  # in proc(5) counted after the command's name


def _stat(pid: int) -> list[str]:
    """The fields behind the name of the command, which may hold anything; empty when the process is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
    return []


def cpu_s(pid: int) -> float:
    """User and system time that one process has used."""
    fields = _stat(pid)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS if fields else 0.0


def children(pid: int) -> list[int]:
    """What its threads have started. To read every process of the machine instead is dear where it is done many times a second.

    Raises OSError where the kernel does not tell: a family would be measured without its members.
    """
    if not _TELLS_CHILDREN:
        raise OSError(
            "this kernel has no /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN): nothing can be measured here"
        )
    found: list[int] = []
    with suppress(OSError):  # the process has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # this thread has
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def family(pid: int) -> list[int]:
    """The process and all that it has started."""
    return [pid, *(member for child in children(pid) for member in family(child))]


def family_cpu_s(pid: int) -> float:
    """Of the process, its living children, and those that it has waited for: a PostgreSQL with all its backends."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    waited_for = (int(fields[_CUTIME]) + int(fields[_CSTIME])) / _TICKS
    return cpu_s(pid) + waited_for + sum(cpu_s(child) for child in children(pid))


def rss_mb(pids: Iterable[int]) -> float:
    """Resident memory. Pages that two processes share count twice."""
    pages = 0
    for pid in pids:
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * _PAGE_SIZE / 1_000_000


class Peak:
    """The most memory that a family of processes had while it was watched, and what it had before."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.before_mb = self.peak_mb = rss_mb(family(pid))

    @property
    def growth_mb(self) -> float:
        return self.peak_mb - self.before_mb

    def look(self) -> None:
        self.peak_mb = max(self.peak_mb, rss_mb(family(self.pid)))


@contextmanager
def watching(*pids: int) -> Iterator[list[Peak]]:
    """Look at each family's memory twenty times a second."""
    peaks = [Peak(pid) for pid in pids]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            for peak in peaks:
                peak.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()
