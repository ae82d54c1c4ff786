"""What a chaos round runs against: PostgreSQL with fsync on, Valkey, the relay of `sink.py`, and worker processes.

Worker 0 reaches PostgreSQL and Redis through fault proxies, the others directly; all reach the relay through one.
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
from app.embedded import EmbeddedPostgres, EmbeddedValkey, ending_with_us, free_port
from sql.migrate import migrate
from tests.chaos.judge import Accept
from tests.chaos.proxy import FaultProxy, ProxyThread

ROOT = Path(__file__).parent.parent.parent
SECRET = "chaos-0123456789-abcdefghijklmnopqrstuvwxyz"
CONCURRENCY = 4
#: Batches, and as many for API messages, which go out on connections of their own.
CONNECTIONS = 2 * CONCURRENCY
DATABASE_PATIENCE_S = 40.0
EXIT_PATIENCE_S = 15.0
START_PATIENCE_S = 60.0
T = TypeVar("T")


class Sink:
    """The relay process, and what its log says."""

    def __init__(self, folder: Path, seed: str) -> None:
        self.port, self._control, self.log = free_port(), free_port(), folder / "accepted.jsonl"
        command = [
            sys.executable, "-m", "tests.chaos.sink", "--port", str(self.port), "--control", str(self._control),
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

    @property
    def redis(self) -> "redis.Redis[Any]":
        return redis.Redis.from_url(self.valkey.url, socket_timeout=5)

    @property
    def struck(self) -> int:
        """Conversations with the relay that the proxy has ended or robbed."""
        return self.proxies.do(lambda: self.smtp_proxy.struck)

    def add_workers(self, count: int, *, mutant: str | None = None) -> None:
        module = ["tests.chaos.mutants", mutant] if mutant else ["worker.main"]
        for number in range(count):
            environment = {
                **os.environ, "DATABASE_URL": self.postgres.url, "REDIS_URL": self.valkey.url,
                "SMTP_URL": f"smtp://127.0.0.1:{self.smtp_proxy.port}?tls=none", "SECRET_KEY": SECRET,
                "DATA_DIR": str(self.folder), "BASE_URL": "https://mail.example.test", "LOG_LEVEL": "info",
                "WORKER_CONCURRENCY": str(CONCURRENCY), "PYTHONUNBUFFERED": "1",
            }  # fmt: skip
            if number == 0:
                environment["DATABASE_URL"] = self.postgres.url.replace(
                    f":{self.postgres.port}/", f":{self.postgres_proxy.port}/"
                )
                environment["REDIS_URL"] = f"redis://127.0.0.1:{self.redis_proxy.port}/0"
            self.workers.append(
                Worker(number, environment, self.folder / f"worker-{number}.log", [sys.executable, "-m", *module])
            )

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
    """Everything but the workers. The folder with all logs stays when `keep` says so."""
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
