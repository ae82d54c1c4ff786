"""What a chaos round runs against: PostgreSQL with fsync on, Valkey, the relay of `sink.py`, worker processes and a web.

Worker 0 reaches PostgreSQL and Redis through fault proxies and the web reaches PostgreSQL through the same one, the others
directly; all reach the relay through one.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import redis
from psycopg.rows import dict_row

from app.db import Conn
from app.dev import web_arguments
from app.embedded import EmbeddedPostgres, EmbeddedValkey, ending_with_us, free_port
from app.settings import Settings
from sql.migrate import migrate
from tests.chaos.judge import Accept
from tests.chaos.proxy import FaultProxy, ProxyThread

ROOT = Path(__file__).parent.parent.parent
SECRET = "chaos-0123456789-abcdefghijklmnopqrstuvwxyz"
CONCURRENCY = 4
#: Batches, and as many for API messages, which go out on connections of their own.
CONNECTIONS = 2 * CONCURRENCY
#: Messages under way on one connection of each worker in turn, when the relay offers CHUNKING.
IN_FLIGHT = (6, 8, 1)
DATABASE_PATIENCE_S = 40.0
EXIT_PATIENCE_S = 15.0
START_PATIENCE_S = 60.0
T = TypeVar("T")


def leave_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process by SystemExit, once: everything is stopped and removed on the way out."""

    def leave(*_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        sys.exit(1)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


class Sink:
    """The relay process, and what its log says."""

    def __init__(self, folder: Path, seed: str, *, host: str = "127.0.0.1") -> None:
        self.port, self._control, self.log = free_port(), free_port(), folder / "accepted.jsonl"
        command = [
            sys.executable, "-m", "tests.chaos.sink", "--host", host, "--port", str(self.port), "--control", str(self._control),
            "--log", str(self.log), "--seed", seed,
        ]  # fmt: skip
        self._process = subprocess.Popen(ending_with_us(command, signal.SIGKILL), cwd=ROOT, stdout=sys.stderr)
        self._link = _connect(self._control)
        self._answers = self._link.makefile("rb")

    def ask(self, *, cut: bool = False, **changes: Any) -> dict[str, Any]:
        self._link.sendall(json.dumps({"set": changes, "cut": cut}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer

    def accepted(self, decode: Callable[[str], int | None], *, since: int) -> list[Accept]:
        """Everything accepted after byte `since` of the log. An id that is none of ours becomes -1."""
        with self.log.open("rb") as lines:
            lines.seek(since)
            found = [json.loads(line) for line in lines]
        numbers = [decode(line["id"].partition("@")[0]) for line in found]
        return [
            Accept(-1 if number is None else number, line["to"], line["at"])
            for line, number in zip(found, numbers, strict=True)
        ]

    def stop(self) -> None:
        self._link.close()
        self._process.kill()
        self._process.wait()


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + START_PATIENCE_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@dataclass(slots=True)
class Worker:
    """One place for a worker process: it dies and another takes it."""

    number: int
    environment: dict[str, str]
    log: Path
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    is_frozen: bool = False
    is_wanted: bool = True

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        if self.is_up:
            return
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                ending_with_us(self.command, signal.SIGKILL), cwd=ROOT, env=self.environment, stdout=output,
                stderr=output, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.is_frozen, self.is_wanted = False, True

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill(self) -> None:
        self.is_wanted = False
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()

    def end(self) -> bool:
        """Wait for a worker that was told to end. False: it would not, and was killed."""
        assert self.process is not None
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_PATIENCE_S)
            return self.process.returncode == 0
        self.kill()
        return False


@dataclass(slots=True)
class Web(Worker):
    """The web's place: a leader with children of its own, in a process group of its own, as `make run` starts it."""

    port: int = 0

    def start(self) -> None:
        if self.is_up:
            return
        self._sweep()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                ending_with_us(self.command, signal.SIGTERM), cwd=ROOT, env=self.environment, stdout=output,
                stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.is_wanted = True

    def kill(self) -> None:
        self.is_wanted = False
        self._sweep()

    def _sweep(self) -> None:
        """Kill the whole group: a leader that was killed leaves its own children behind."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass(slots=True)
class Stack:
    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    sink: Sink
    proxies: ProxyThread
    smtp_proxy: FaultProxy
    postgres_proxy: FaultProxy
    redis_proxy: FaultProxy
    workers: list[Worker] = field(default_factory=list)
    web: Web | None = None
    in_flight_max: int = 1  # of any worker's relay

    @property
    def redis(self) -> "redis.Redis[Any]":
        return redis.Redis.from_url(self.valkey.url, socket_timeout=5)

    @property
    def struck(self) -> int:
        """Conversations with the relay that the proxy has ended or robbed."""
        return self.proxies.do(lambda: self.smtp_proxy.struck)

    def add_workers(self, count: int, *, mutant: str | None = None, in_flight: tuple[int, ...] = IN_FLIGHT) -> None:
        module = ["tests.chaos.mutants", mutant] if mutant else ["worker.main"]
        for number in range(count):
            own = in_flight[number % len(in_flight)]
            self.in_flight_max = max(self.in_flight_max, own)
            environment = {
                **self._environment(), "WORKER_CONCURRENCY": str(CONCURRENCY),
                "SMTP_URL": f"smtp://127.0.0.1:{self.smtp_proxy.port}?tls=none&in_flight={own}",
            }  # fmt: skip
            if number == 0:
                environment["DATABASE_URL"] = self._proxied_database_url
                environment["REDIS_URL"] = f"redis://127.0.0.1:{self.redis_proxy.port}/0"
            self.workers.append(
                Worker(number, environment, self.folder / f"worker-{number}.log", [sys.executable, "-m", *module])
            )

    def add_web(self) -> Web:
        """A place for the web process; it is not started."""
        port = free_port()
        environment = {**self._environment(), "DATABASE_URL": self._proxied_database_url, "PORT": str(port)}
        command = [sys.executable, "-m", *web_arguments(Settings(_env_file=None), port)]
        self.web = Web(0, environment, self.folder / "web.log", command, port=port)
        return self.web

    def make_doctor(self) -> subprocess.CompletedProcess[str]:
        """`make doctor` of this installation."""
        environment = {**self._environment(), "SMTP_URL": f"smtp://127.0.0.1:{self.smtp_proxy.port}?tls=none"}
        return subprocess.run(
            [sys.executable, "-m", "app.cli", "doctor"], cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ, "DATABASE_URL": self.postgres.url, "REDIS_URL": self.valkey.url, "SECRET_KEY": SECRET,
            "DATA_DIR": str(self.folder), "BASE_URL": "https://mail.example.test", "LOG_LEVEL": "info",
            "PYTHONUNBUFFERED": "1",
        }  # fmt: skip

    @property
    def _proxied_database_url(self) -> str:
        return self.postgres.url.replace(f":{self.postgres.port}/", f":{self.postgres_proxy.port}/")

    def connect(self) -> Conn:
        return psycopg.connect(
            self.postgres.url, autocommit=True, row_factory=dict_row, connect_timeout=3,
            options="-c timezone=UTC -c statement_timeout=20s",
        )  # fmt: skip

    def ask(self, work: Callable[[Conn], T]) -> T:
        """Do something in one transaction, again and again while the database is away or others are in the way."""
        deadline = time.monotonic() + DATABASE_PATIENCE_S
        while True:
            try:
                with self.connect() as conn, conn.transaction():
                    return work(conn)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def restart_postgres(self, pause_s: float) -> None:
        self.postgres.stop(mode="immediate")
        time.sleep(pause_s)
        self.postgres.start()

    def stop_workers(self) -> None:
        """End the workers, and the web."""
        if self.web is not None:
            self.web.kill()
            self.web = None
        for worker in self.workers:
            worker.is_wanted = False
            worker.signal(signal.SIGCONT)
            worker.signal(signal.SIGTERM)
        for worker in self.workers:
            if worker.process is not None:
                worker.end()
        self.workers.clear()


@contextmanager
def running_stack(seed: str, *, keep: Callable[[], bool] = lambda: False) -> Iterator[Stack]:
    """Everything but the workers and the web. The folder with all logs stays when `keep` says so."""
    folder = Path(tempfile.mkdtemp(prefix="mailtide-chaos-"))
    folder.chmod(0o755)
    postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
    proxies = ProxyThread()
    sink: Sink | None = None
    stack: Stack | None = None
    try:
        postgres.start()
        migrate(postgres.url)
        valkey.start()
        sink = Sink(folder, seed)
        stack = Stack(
            folder, postgres, valkey, sink, proxies,
            proxies.open(sink.port), proxies.open(postgres.port), proxies.open(valkey.port),
        )  # fmt: skip
        yield stack
    finally:
        if stack is not None:
            stack.stop_workers()
        proxies.close()
        if sink is not None:
            sink.stop()
        valkey.stop()
        postgres.stop(mode="immediate")
        if not keep():
            shutil.rmtree(folder, ignore_errors=True)
