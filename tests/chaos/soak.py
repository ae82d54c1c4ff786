"""`python -m tests.chaos.soak [--minutes 10] [--seed …]`: a day of sends in minutes, with faults all day long.

An hour of the day is the window of a limit. At the end what the rows say is what the relay's log says, `make doctor` finds
nothing, and neither memory nor the tables that hold what is under way have grown with the day. One JSON line on standard
output; exit code 1 when something does not hold.
"""

import argparse
import json
import secrets
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from app.db import Conn
from tests.bench.proc import family, rss_mb
from tests.chaos.plan import WORKERS, make_day
from tests.chaos.play import Outcome, Round
from tests.chaos.stack import Stack, leave_on_signals, running_stack

SAMPLE_EVERY_S = 1.0
WARM_S = 15.0  # by then a process has imported everything and used each of its parts
GROWTH_MAX_MB = 15.0  # of one process after that
#: What holds work under way, not its record: as large at the end of the day as in its first half.
WORK_TABLES = ("procrastinate_jobs", "procrastinate_events", "procrastinate_workers", "due_messages", "wakeups")
TABLE_GROWTH_MAX = 1.5
TABLE_SIZE_FREE_KB = 2_000  # below that a table may do as it likes
BYTES_PER_MESSAGE_MAX = 2_000

_SIZES = "SELECT relname, pg_total_relation_size(oid) / 1000 AS kb FROM pg_class WHERE relname = ANY(%s)"
_LEDGER = """
SELECT sum(pg_total_relation_size(c.oid))::bigint AS bytes
FROM pg_class c
WHERE c.relkind = 'r' AND c.relname ~ '^(messages|batches|attempts|message_contents|throughput)'
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """`age_s` of the process, whose memory it is."""

    pid: int
    age_s: float
    mb: float


@dataclass(slots=True)
class Samples:
    """What was seen during the day, in the order of time."""

    memory: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))  # by place
    table_kb: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


class Sampler:
    """Looks at processes and tables once a second, on a thread of its own."""

    def __init__(self, stack: Stack) -> None:
        self.samples = Samples()
        self._stack = stack
        self._born: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> Samples:
        self._thread.start()
        return self.samples

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            self._look_at_processes()
            try:
                with self._stack.connect() as conn:
                    self._look_at_tables(conn)
            except psycopg.Error:
                continue  # it is away: that is what the day is about

    def _look_at_processes(self) -> None:
        now = time.monotonic()
        web = [self._stack.web] if self._stack.web is not None else []
        for place in [*self._stack.workers, *web]:
            process = place.process
            if process is not None and process.poll() is None:
                age_s = now - self._born.setdefault(process.pid, now)
                mb = rss_mb(family(process.pid))
                name = "web" if place is self._stack.web else f"worker {place.number}"
                self.samples.memory[name].append(Sample(process.pid, age_s, mb))

    def _look_at_tables(self, conn: Conn) -> None:
        for row in conn.execute(_SIZES.encode(), (list(WORK_TABLES),)).fetchall():
            self.samples.table_kb[row["relname"]].append(int(row["kb"]))


def find_growth(samples: Samples) -> list[str]:
    """What has grown though it should not have."""
    found = []
    for place, seen in samples.memory.items():
        growth_mb = most_growth_mb(seen)
        if growth_mb > GROWTH_MAX_MB:
            found.append(f"a process of {place} grew by {growth_mb:.0f} MB, allowed {GROWTH_MAX_MB:.0f}")
    for table, sizes in samples.table_kb.items():
        before, after = first_and_second_half(sizes)
        if after > max(TABLE_GROWTH_MAX * before, TABLE_SIZE_FREE_KB):
            found.append(f"{table} had {before} kB in the first half of the day and {after} kB in the second")
    return found


def most_growth_mb(seen: Sequence[Sample]) -> float:
    """The most that any one process has grown since it was warm."""
    lives: dict[int, list[float]] = defaultdict(list)
    for sample in seen:
        if sample.age_s >= WARM_S:
            lives[sample.pid].append(sample.mb)
    return max((life[-1] - life[0] for life in lives.values()), default=0.0)


def first_and_second_half(sizes: Sequence[int]) -> tuple[int, int]:
    """The most in each half."""
    middle = (len(sizes) + 1) // 2
    return max(sizes[:middle], default=0), max(sizes[middle:], default=0)


@dataclass(frozen=True, slots=True)
class Day:
    outcome: Outcome
    samples: Samples
    doctor_exit: int
    doctor_says: str
    bytes_per_message: int

    @property
    def breaches(self) -> list[str]:
        found = [*self.outcome.verdict.breaches, *find_growth(self.samples)]
        if self.doctor_exit:
            ill = "; ".join(line.strip() for line in self.doctor_says.splitlines() if line.startswith("FAIL"))
            found.append(f"make doctor ended with {self.doctor_exit}: {ill or self.doctor_says[-500:]}")
        if self.bytes_per_message > BYTES_PER_MESSAGE_MAX:
            found.append(f"the ledger takes {self.bytes_per_message} bytes a message, allowed {BYTES_PER_MESSAGE_MAX}")
        return found

    def as_json(self) -> dict[str, Any]:
        memory = self.samples.memory.items()
        return {
            **self.outcome.as_json(), "ok": not self.breaches, "doctor": self.doctor_exit,
            "bytes_per_message": self.bytes_per_message,
            "rss_max_mb": {place: round(max(sample.mb for sample in seen)) for place, seen in memory},
            "rss_growth_mb": {place: round(most_growth_mb(seen), 1) for place, seen in memory},
            "table_kb": {table: first_and_second_half(sizes) for table, sizes in self.samples.table_kb.items()},
            "breaches": self.breaches,
        }  # fmt: skip


def live_a_day(stack: Stack, seed: str, *, lasts_s: float) -> Day:
    """Play the day on a stack with workers and a web."""
    with Sampler(stack) as samples:
        outcome = Round(stack, make_day(seed, lasts_s=lasts_s), note=say).run()
    doctor = stack.make_doctor()
    ledger = stack.ask(lambda conn: conn.execute(_LEDGER.encode()).fetchone())
    assert ledger is not None
    return Day(
        outcome, samples, doctor.returncode, doctor.stdout + doctor.stderr,
        int(ledger["bytes"]) // max(1, outcome.messages),
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", default="")
    given = parser.parse_args()
    seed = given.seed or secrets.token_hex(4)
    leave_on_signals()
    breaches: list[str] = []
    with running_stack(seed, keep=lambda: bool(breaches)) as stack:
        stack.add_workers(WORKERS)
        stack.add_web()
        day = live_a_day(stack, seed, lasts_s=given.minutes * 60)
        print(json.dumps(day.as_json()), flush=True)
        breaches += day.breaches
        for breach in breaches:
            say(f"BREACH  seed {seed}  {breach}")
        if breaches:
            say(f"logs are in {stack.folder}")
    return 1 if breaches else 0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
