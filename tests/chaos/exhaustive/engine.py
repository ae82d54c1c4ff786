"""Run one campaign in the bottle, and judge what came of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from app.content.compiled import CompiledContent, ContentSource, compile_content
from app.public_ids import PublicIds
from app.settings import RelayAddress
from tests.chaos.exhaustive.relay import Accepted, Answer, Manner, Relay, open_connection
from tests.chaos.exhaustive.store import LIMIT, Job, Store, Undo
from tests.chaos.exhaustive.world import REPAIR_ROUNDS_MAX, SILENCE_S, Fault, Killed, Process, World
from worker import clock_loop, ledger, limiter, sending
from worker.db import AsyncConn
from worker.ledger import Ledger
from worker.limiter import SENTINEL, Lease, Limiter
from worker.smtp.pool import RelayPool
from worker.tasks import resume_limit, send_batch

EVENTS_MAX = 4000


@dataclass(frozen=True)
class Scenario:
    """What is run. Each slot sends one batch on one connection. limit: (messages, seconds)."""

    policy: str = "hold"
    manner: Manner = "pipelining"
    processes: int = 2
    slots: int = 1
    batches: int = 2
    each: int = 3
    limit: tuple[int, int] | None = None
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    faults: Mapping[int, Fault] = field(default_factory=dict)
    pause_at: int | None = None  # the gate before which a person pauses; resumed when all is quiet
    replaced: bool = True  # a killed process is started again


@dataclass
class Outcome:
    """What came of it. `breaches`: the broken invariants, by their names in architecture.md."""

    statuses: dict[str, str]
    accepted: list[Accepted]
    points: int
    kills: int
    freezes: int
    uncertain: int
    duplicates: int
    ended_at_s: float
    sent_while_paused: int
    breaches: list[str]
    trace: list[str]


# -- doubles --


class _Connection:
    """Runs SQL for one process: each statement is one gate, and one instant of the store."""

    closed = False

    def __init__(self, world: World, process: Process, store: Store, *, gated: bool = True) -> None:
        self._world, self._process, self._store, self._gated = world, process, store, gated
        self._undo: Undo | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["_Connection"]:
        yield self

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All or nothing: COMMIT is a gate of its own, and whoever dies before it has done nothing."""
        undo = self._undo = []
        try:
            yield
            if self._gated:
                await self._world.pass_gate(self._process, "sql COMMIT", undo.clear)
        except BaseException:
            self._store.roll_back(undo)
            raise
        finally:
            self._undo = None

    async def execute(self, text: bytes, params: Mapping[str, Any]) -> "_Cursor":
        if not self._gated:
            return _Cursor(self._store.execute(text, params))
        name = text[3:40].split(b" ")[0].decode()
        return _Cursor(await self._world.pass_gate(self._process, f"sql {name}", lambda: self._run(text, params)))

    def _run(self, text: bytes, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        self._store.undo = self._undo
        try:
            return self._store.execute(text, params)
        finally:
            self._store.undo = None

    async def close(self) -> None:
        """The next statement opens it again."""


@dataclass
class _Cursor:
    rows: list[dict[str, Any]]

    async def fetchall(self) -> list[dict[str, Any]]:
        return self.rows

    @property
    def rowcount(self) -> int:
        return len(self.rows)


class _Ledger(Ledger):
    """The product's, on a connection of ours."""

    def __init__(self, connection: _Connection, world: World) -> None:
        super().__init__("", writer_id=1, now=world.now)
        self._ours = connection

    async def _connection(self) -> AsyncConn:
        return cast(AsyncConn, self._ours)


@dataclass
class Redis:
    """The window of each limit: (release time, permits) by member; what the Lua of `worker.limiter` keeps."""

    run_id: str = "run"
    has_state: bool = True
    windows: dict[str, dict[str, tuple[float, int]]] = field(default_factory=dict)

    def flush(self) -> None:
        self.has_state = False
        self.windows.clear()


class _Limiter(Limiter):
    """The product's, with the scripts in Python. The Lua itself is tested against Valkey."""

    def __init__(self, world: World, process: Process, pool: Any, redis: Redis) -> None:
        super().__init__("", pool)
        self._world, self._process, self._redis = world, process, redis
        self._run_id = redis.run_id
        self._lost_since: float | None = None

    async def _call(self, name: str, keys: Any, arguments: Any) -> Any:
        work = {"exchange": self._exchange, "load": self._load_window}[name]
        return await self._world.pass_gate(self._process, f"redis {name}", lambda: work(keys, arguments))

    async def _restore(self) -> None:
        if self._lost_since is None:
            self._lost_since = self._world.clock_s
        remaining_s = self._lost_since + limiter.LEASE_S + limiter.LEASE_MARGIN_S - self._world.clock_s
        if remaining_s > 0:
            raise limiter.LimiterDown(f"{remaining_s:.1f} s to go")
        self._redis.has_state, self._lost_since = True, None

    def _exchange(self, keys: list[str], arguments: list[Any]) -> list[Any]:
        if not self._redis.has_state:
            return [-2, 0, 0]
        now = self._world.clock_s
        lease, lease_us, want, sent, keep = arguments[:5]
        grant, free_us = want if want >= 0 else 10**9, 0.0
        for i in range((len(keys) - 1) // 2):
            key = keys[1 + 2 * i]
            cap, window_us, bucket_us = arguments[5 + 3 * i : 8 + 3 * i]
            window = self._redis.windows.get(key)
            if window is None:
                return [-1, i + 1, 0]
            for member in [member for member, (at, _) in window.items() if at <= now]:
                del window[member]
            if want >= 0:
                if sent > 0:
                    edge = -(-(now * 1e6 + window_us) // bucket_us) * bucket_us / 1e6
                    window[f"b|{edge}"] = (edge, window.get(f"b|{edge}", (0, 0))[1] + sent)
                window[f"l|{lease}"] = (now + lease_us / 1e6 + window_us / 1e6, keep)
            free = cap - sum(n for _, n in window.values())
            grant = min(grant, max(free, 0))
            if free < 1 and want != 0:
                held = [at for at, n in window.values() if n]
                free_us = min([now * 1e6 + window_us + bucket_us, *(at * 1e6 for at in held)]) - now * 1e6
        for i in range((len(keys) - 1) // 2):
            window = self._redis.windows[keys[1 + 2 * i]]
            if want >= 0:
                at, _ = window.pop(f"l|{lease}")
                if keep + grant > 0:
                    window[f"l|{lease}"] = (at, keep + grant)
        return [grant, 1 if free_us else 0, str(int(free_us))]

    def _load_window(self, keys: list[str], arguments: list[Any]) -> int:
        if not self._redis.has_state or keys[1] in self._redis.windows:
            return 0
        now_us = self._world.clock_s * 1e6
        window_us, bucket_us, *pairs = arguments
        window: dict[str, tuple[float, int]] = {}
        for age_us, n in zip(pairs[::2], pairs[1::2], strict=True):
            edge = -(-(now_us + window_us - age_us) // bucket_us) * bucket_us / 1e6
            if n:
                window[f"b|{edge}"] = (edge, window.get(f"b|{edge}", (0, 0))[1] + n)
        self._redis.windows[keys[1]] = window
        return 1


class _Relays:
    def __init__(self, pool: RelayPool) -> None:
        self._pool = pool

    async def find(self, **_: Any) -> RelayPool:
        return self._pool

    def choose(self, _row: object, **_: Any) -> RelayPool:
        return self._pool


class _Contents:
    async def get(self, _key: object, _source: ContentSource) -> CompiledContent:
        return _compiled()


@cache
def _compiled() -> CompiledContent:
    return compile_content(
        ContentSource(
            subject="Hello", html=None, text_body="Hi {{ email }}", preview_text="", from_name="News",
            from_email="news@sender.test", reply_to=None, list_id="c.sender.test", is_bulk=True,
        )
    )  # fmt: skip


_IDS = PublicIds(bytes(16))
_ADDRESS = RelayAddress("relay.test", 25, tls="none")


# -- the run --


class Bottle:
    """One scenario under way."""

    def __init__(self, scenario: Scenario, *, choose: Callable[[int], int]) -> None:
        self.scenario = scenario
        self.world = World(dict(scenario.faults), choose=choose)
        self.store = Store(
            self.world, policy=scenario.policy, limit=scenario.limit, batches=scenario.batches, each=scenario.each
        )
        self.redis = Redis()
        self.relay = Relay({recipient: list(answers) for recipient, answers in scenario.answers.items()})
        self._clock = Process("clock", 0)
        self._connections = scenario.slots  # for each process
        self.paused_at_count: int | None = None  # how many the relay had when the pause was committed
        self.sent_while_paused = 0
        self._looks = 0  # of the clock loop, since anybody last did anything

    async def run(self) -> Outcome:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)  # the dead leave their tasks behind
        for number in range(self.scenario.processes):
            self._start_process(f"w{number + 1}")
        quiet = 0
        for _ in range(EVENTS_MAX):
            self._take_jobs()
            await self.world.settle()
            self._finish_jobs()
            self._replace_the_dead()
            if self.scenario.pause_at == self.world.points and self.store.status == "sending":
                self.store.pause()
                self.paused_at_count = len(self.relay.accepted)
            if await self.world.step():
                self._looks = 0
                continue
            if self._has_work():
                continue
            quiet += 1
            if quiet > REPAIR_ROUNDS_MAX or not await self._pass_time():
                break
        for process in self.world.processes:
            for task in process.background:
                if task.done() and process.is_alive:
                    self.world.errors.append(f"the ledger of {process.name} ended: {task!r}")
        outcome = judge(self)
        for process in self.world.processes:
            process.is_alive = False
            for task in process.background:
                task.cancel()
        for gate in self.world.gates:
            if not gate.opens.done():
                gate.opens.set_exception(Killed())
        await self.world.settle()
        return outcome

    def _start_process(self, name: str) -> None:
        world, store = self.world, self.store
        process = Process(name, self.scenario.slots)
        connection = _Connection(world, process, store)
        pool = RelayPool(
            _ADDRESS, helo_name="us.test", size_max=10, clock=world.monotonic,
            opener=lambda: open_connection(world, process, self.relay, self.scenario.manner),
        )  # fmt: skip
        our_ledger = _Ledger(_Connection(world, process, store), world)
        process.services = SimpleNamespace(
            pool=connection, ledger=our_ledger, limiter=_Limiter(world, process, connection, self.redis),
            relays=_Relays(pool), contents=_Contents(), ids=_IDS, link_key=bytes(32), stopping=asyncio.Event(),
            settings=SimpleNamespace(public_url="https://news.sender.test", worker_concurrency=1), now=world.now,
            note_slot_freed=lambda: None, slots_free_since=world.now, others_wait=lambda: True,
        )  # fmt: skip
        process.background.append(asyncio.get_running_loop().create_task(our_ledger.run()))
        world.processes.append(process)

    def _replace_the_dead(self) -> None:
        if not self.scenario.replaced:
            return
        alive = sum(process.is_alive for process in self.world.processes)
        for _ in range(self.scenario.processes - alive):
            self._start_process(f"w{len(self.world.processes) + 1}")

    # -- the queue --

    def _due(self) -> list[Job]:
        now = self.world.now()
        return [job for job in self.store.jobs.values() if job.status == "todo" and job.at <= now]

    def _has_work(self) -> bool:
        return bool(self._due()) and any(p.works and len(p.jobs) < p.slots for p in self.world.processes)

    def _take_jobs(self) -> None:
        for job in self._due():
            free = [p for p in self.world.processes if p.works and len(p.jobs) < p.slots]
            if not free:
                return
            process = min(free, key=lambda p: len(p.jobs))
            job.status = "doing"
            self.world.start(process, job.job_id, self._work(process, job))

    async def _work(self, process: Process, job: Job) -> None:
        if job.task == "send_batch":
            await send_batch.run(process.services, id=job.id, epoch=job.epoch, job_id=job.job_id)
        else:
            await resume_limit.run(process.services, id=job.id, epoch=job.epoch)

    def _finish_jobs(self) -> None:
        for process, job_id, error in self.world.take_finished():
            if not process.is_alive:
                continue
            if error is not None and not isinstance(error, psycopg.OperationalError):
                self.world.errors.append(f"job of {process.name} failed: {error!r}")
            self.store.finish_job(job_id)

    # -- quiet: time passes, the clock loop looks, the frozen come back --

    async def _pass_time(self) -> bool:
        """Go to the next moment at which anything can happen. False: nothing ever will again."""
        world, store = self.world, self.store
        silences = [p.gone_at + SILENCE_S for p in world.processes if p.gone_at is not None]
        moments = [(job.at - world.now()).total_seconds() + world.clock_s for job in store.jobs.values()]
        ahead = [at for at in (*silences, *moments) if at > world.clock_s]
        was_still = (len(store.jobs), [batch.status for batch in store.batches.values()], store.status)
        # A few looks soon, for what has no job; then straight to what is planned, which may be hours away.
        self._looks += 1
        soon = [world.clock_s + 3.0] if self._looks <= 3 or not ahead else []
        world.clock_s = min([*ahead, *soon]) + 0.001
        silent = [at for at in silences if at <= world.clock_s]
        await clock_loop.tick(self._clock_services())
        if world.has_frozen and silent and world.thaw(("freeze",)):
            return True
        if ahead or was_still != (len(store.jobs), [b.status for b in store.batches.values()], store.status):
            return True
        if world.thaw(("freeze", "long freeze")):
            return True
        if store.status == "paused" and self.scenario.pause_at is not None:
            self.sent_while_paused = len(self.relay.accepted) - (self.paused_at_count or 0)
            store.resume()
            return True
        return store.status == "sending"

    def _clock_services(self) -> Any:
        return SimpleNamespace(pool=_Connection(self.world, self._clock, self.store, gated=False), now=self.world.now)


def judge(bottle: Bottle) -> Outcome:
    """Hold the relay's log against the rows."""
    scenario, world, store = bottle.scenario, bottle.world, bottle.store
    log = bottle.relay.accepted
    times = Counter(line.recipient for line in log)
    breaches = list(world.errors)
    deaths = world.kills + world.freezes
    # A frozen process counts like a killed one: its successor may resend what it sends when it is back.
    for m in store.messages.values():
        accepted = times[m.recipient]
        if m.status in ("queued", "sending"):
            breaches.append(f"I1: {m.recipient} is {m.status} and nobody will send it")
        if m.status == "sent" and not accepted:
            breaches.append(f"I1: {m.recipient} counts as sent and was never accepted")
        if accepted and m.status not in ("sent", "uncertain") and scenario.policy != "resend":
            breaches.append(f"I8: {m.recipient} was accepted and is {m.status}")
        if accepted > len(m.marks):
            breaches.append(f"mark: {m.recipient} was accepted {accepted} times under {len(m.marks)} marks")
        first = min((line.at_s for line in log if line.recipient == m.recipient), default=None)
        if first is not None and m.marks and first < m.marks[0]:
            breaches.append(f"mark: {m.recipient} was accepted before its mark")
    duplicates = sum(n - 1 for n in times.values())
    open_bodies = 2 if scenario.manner == "records behind" else 1  # of one connection, accepted and not recorded
    allowed = open_bodies * deaths * scenario.slots + (bottle.relay.doubts if scenario.policy == "resend" else 0)
    if scenario.policy == "hold":
        allowed = 0
    if duplicates > allowed:
        breaches.append(f"I2: {duplicates} duplicates, {allowed} allowed")
    uncertain = sum(m.status == "uncertain" for m in store.messages.values())
    bound = 2 * open_bodies * scenario.slots * deaths + bottle.relay.doubts if scenario.policy == "hold" else 0
    if uncertain > bound:
        breaches.append(f"I8: {uncertain} uncertain, {bound} allowed")
    if len({(line.recipient, line.message_id) for line in log}) > len(times):
        breaches.append("I2: a message was sent again under another Message-ID")
    breaches += _judge_limit(scenario, log, deaths)
    if any(batch.status != "done" for batch in store.batches.values()) or store.status != "sent":
        breaches.append(f"I1: the campaign is {store.status}, batches {[b.status for b in store.batches.values()]}")
    statuses = {m.recipient: m.status for m in store.messages.values()}
    return Outcome(
        statuses, log, world.points, world.kills, world.freezes, uncertain, duplicates, world.clock_s,
        bottle.sent_while_paused, breaches, world.trace,
    )  # fmt: skip


def _judge_limit(scenario: Scenario, log: list[Accepted], _deaths: int) -> list[str]:
    if scenario.limit is None:
        return []
    most, window_s = scenario.limit
    at = sorted(line.at_s for line in log)
    worst = max((sum(start <= t < start + window_s for t in at) for start in at), default=0)
    return [f"I4: {worst} in one window of {window_s} s, {most} allowed"] if worst > most else []


def play(scenario: Scenario, monkeypatch: pytest.MonkeyPatch, *, choose: Callable[[int], int] | None = None) -> Outcome:
    """Run a scenario from beginning to end."""
    turns = iter(range(10**9))
    bottle = Bottle(scenario, choose=choose or (lambda count: next(turns) % count))

    async def go() -> Outcome:
        time_ = SimpleNamespace(monotonic=bottle.world.monotonic)
        with monkeypatch.context() as patch:
            for module in (sending, limiter, ledger):
                patch.setattr(module, "time", time_)
            for module in (ledger, send_batch, sending):
                patch.setattr(module, "asyncio", _Asyncio(bottle.world))
            patch.setattr(send_batch, "_refusals", {})
            return await bottle.run()

    return asyncio.run(go())


class _Asyncio:
    """asyncio for product code that sleeps: the time passes without anyone waiting for it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, delay_s: float) -> None:
        self._world.clock_s += delay_s
        await asyncio.sleep(0)


__all__ = ["LIMIT", "SENTINEL", "Lease", "Outcome", "Scenario", "play"]
