"""The send engine in a bottle: product code on one loop, with time, database, relay, Redis and death in our hands.

    product code   worker.tasks.send_batch, worker.sending, worker.ledger, worker.limiter, worker.smtp, worker.clock_loop
    doubles        the connection that runs SQL (store), the server behind the wire (relay), Redis' window, the clock

Every await that leaves a process stops at a *gate*. Gates are numbered in the order in which they open, so that "killed
at point 17" is a place that can be named and gone back to. One gate is open at a time: a run is a pure function of its
faults and of `choose`, which says whose turn is next.

A process that was killed does nothing more: its gates raise, its writes are dropped, its `finally` blocks reach nobody.
A frozen one stands still inside its gate until it is thawed, and then goes on as if nothing had happened.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
STEP_S = 0.001  # what one round trip takes
SILENCE_S = 15.0  # after which a worker counts as gone
SPINS_MAX = 200  # turns of the loop, after which everything that can run without a gate should have run
REPAIR_ROUNDS_MAX = 200

#: before   the process is gone, its request was never sent       after   the request took effect, its answer met nobody
#: freeze   it stops here, and is back as soon as others have its work      long freeze   … once they are done with it
#: cut      the database's connection is lost with the request     lost    … after the request took effect
Fault = Literal["before", "after", "freeze", "long freeze", "cut", "lost"]


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing in it gets to handle this."""


@dataclass(eq=False)
class Process:
    """A worker process. `gone_at`: since when its heartbeat has been missing."""

    name: str
    slots: int
    is_alive: bool = True
    gone_at: float | None = None
    is_frozen: bool = False
    jobs: set[int] = field(default_factory=set)
    services: Any = None
    background: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def works(self) -> bool:
        return self.is_alive and not self.is_frozen


@dataclass(eq=False)
class Gate:
    process: Process
    what: str
    opens: asyncio.Future[None]


class World:
    """Time, gates, processes and faults of one run."""

    def __init__(
        self, faults: dict[int, Fault] | None = None, *, choose: Callable[[int], int] = lambda _count: 0, seed: int = 1
    ) -> None:
        random.seed(seed)
        self.faults = dict(faults or {})
        self.choose = choose
        self.clock_s = 0.0
        self.points = 0  # gates opened so far
        self.trace: list[str] = []
        self.gates: list[Gate] = []
        self.processes: list[Process] = []
        self.kills = self.freezes = 0
        self.errors: list[str] = []
        self._frozen: list[tuple[Gate, Fault]] = []
        self._tasks: dict[asyncio.Task[Any], tuple[Process, int]] = {}
        self._names = iter(range(1, 1000))

    # -- time --

    def monotonic(self) -> float:
        return self.clock_s

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.clock_s)

    # -- gates --

    async def pass_gate(self, process: Process, what: str, effect: Callable[[], Any]) -> Any:
        """Wait for this process's turn, then do `effect`, unless something happens to the process."""
        self._check(process)
        gate = Gate(process, what, asyncio.get_running_loop().create_future())
        self.gates.append(gate)
        await gate.opens
        self._check(process)
        fault = self.faults.get(self.points)
        if fault is not None:
            self.trace.append(f"{self.points}: {fault} {process.name} at {what}")
        self.points += 1
        self.clock_s += STEP_S
        if fault == "before":
            self.kill(process)
            raise Killed
        if fault in ("freeze", "long freeze"):
            await self._freeze(gate, fault)
        if fault == "cut" and what.startswith("sql"):
            raise _connection_lost()
        answer = effect()
        if fault == "after":
            self.kill(process)
            raise Killed
        if fault == "lost" and what.startswith("sql"):
            raise _connection_lost()
        return answer

    def _check(self, process: Process) -> None:
        if not process.is_alive:
            raise Killed

    # -- faults --

    def kill(self, process: Process) -> None:
        process.is_alive, process.gone_at = False, self.clock_s
        self.kills += 1
        for gate in [gate for gate in self.gates if gate.process is process]:
            self.gates.remove(gate)
            gate.opens.set_exception(Killed())
        for task in process.background:
            task.cancel()

    async def _freeze(self, gate: Gate, fault: Fault) -> None:
        """Stand still. The other tasks of the process stand still too: `choose` leaves out their gates."""
        process = gate.process
        process.is_frozen, process.gone_at = True, self.clock_s
        self.freezes += 1
        gate.opens = asyncio.get_running_loop().create_future()
        self._frozen.append((gate, fault))
        await gate.opens

    def thaw(self, kinds: tuple[Fault, ...]) -> bool:
        thawed = [(gate, fault) for gate, fault in self._frozen if fault in kinds]
        for gate, fault in thawed:
            self._frozen.remove((gate, fault))
            gate.process.is_frozen, gate.process.gone_at = False, None
            gate.opens.set_result(None)
        return bool(thawed)

    # -- running --

    def start(self, process: Process, job_id: int, work: Coroutine[Any, Any, Any]) -> None:
        process.jobs.add(job_id)
        self._tasks[asyncio.get_running_loop().create_task(work)] = (process, job_id)

    async def settle(self) -> None:
        """Let everything run that needs no gate."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        for _ in range(SPINS_MAX):
            await _real_sleep(0)
            if not ready:  # nobody but us has anything to do
                return
        raise AssertionError("the engine spins without waiting for anything")

    async def step(self) -> bool:
        """Open one gate, and let what follows run. False: nobody stands at one."""
        waiting = [gate for gate in self.gates if gate.process.works]
        if not waiting:
            return False
        gate = waiting[self.choose(len(waiting)) % len(waiting)]
        self.gates.remove(gate)
        gate.opens.set_result(None)
        await self.settle()
        return True

    def take_finished(self) -> list[tuple[Process, int, BaseException | None]]:
        """Jobs whose task has ended: by whom, which, and with what error."""
        finished = []
        for task in [task for task in self._tasks if task.done()]:
            process, job_id = self._tasks.pop(task)
            process.jobs.discard(job_id)
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            finished.append((process, job_id, error))
        return finished

    @property
    def has_frozen(self) -> bool:
        return bool(self._frozen)

    def sleep_for(self, process: Process) -> Callable[[float], Awaitable[Any]]:
        """asyncio.sleep of a process: a gate, behind which that much time has passed."""

        async def sleep(delay_s: float, result: Any = None) -> Any:
            def passes() -> None:
                self.clock_s += delay_s

            await self.pass_gate(process, f"sleep {delay_s:.2f}", passes)
            return result

        return sleep


_real_sleep = asyncio.sleep


def _connection_lost() -> Exception:
    import psycopg

    return psycopg.OperationalError("the connection was cut")
