"""Where there is a web process for each core, each keeps to its own, and leaves it to its successor."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux knows which core is whose")

#: Says which core it got and which it may use, and lives until its input ends.
_CHILD = """
import os, sys
from app.cores import keep_to_a_core
print(keep_to_a_core(int(sys.argv[1])), *sorted(os.sched_getaffinity(0)), flush=True)
sys.stdin.read()
"""

Process = subprocess.Popen[str]
Start = Callable[[int], tuple[Process, list[str]]]


@pytest.fixture
def start(python: str) -> Iterator[Start]:
    started: list[Process] = []

    def start(processes: int) -> tuple[Process, list[str]]:
        child = subprocess.Popen(
            [python, "-c", _CHILD, str(processes)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(child)
        assert child.stdout is not None
        return child, child.stdout.readline().split()

    yield start
    for child in started:
        child.kill()
        child.communicate()


def test_each_process_has_a_core_of_its_own_and_a_successor_has_that_of_the_one_that_ended(start: Start) -> None:
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))]
    children = [start(len(cores)) for _ in cores]
    assert [said for _, said in children] == [[core, core] for core in cores]
    assert start(len(cores))[1] == ["None", *cores], "one too many keeps to none"
    first, _ = children[0]
    first.kill()
    first.wait()
    assert start(len(cores))[1] == [cores[0], cores[0]]


@pytest.mark.parametrize("more", [-1, 1])
def test_fewer_or_more_processes_than_cores_keep_to_none(start: Start, more: int) -> None:
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))]
    assert start(len(cores) + more)[1] == ["None", *cores]
