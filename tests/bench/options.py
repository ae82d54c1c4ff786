"""What a measurement was asked for, and how it speaks: results on stdout as JSON lines, everything else on stderr."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Line = dict[str, Any]
Lines = Iterator[Line]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """`n` is the benchmark's own measure of size; None means its default."""

    n: int | None = None
    repeats: int = 3
    old_rows: int = 5_000_000
    span_s: float = 60.0

    def size(self, default: int) -> int:
        return self.n if self.n is not None else default


def emit(line: Line) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def wait_for(fact: Callable[[], T], what: str, timeout_s: float, *, every_s: float = 0.02) -> T:
    """Ask until the answer is true, and return it. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not (answer := fact()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(every_s)
    return answer
