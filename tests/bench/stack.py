"""The servers that a measurement runs against: PostgreSQL with fsync on, Valkey, and an SMTP sink that keeps nothing."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection
from typing import Any

import psycopg
import redis
from psycopg.rows import dict_row

from app.dev import web_arguments
from app.embedded import EmbeddedPostgres, EmbeddedValkey, ending_with_us, free_port
from app.settings import Settings
from sql.migrate import migrate
from tests.bench.options import wait_for
from tests.bench.proc import family_cpu_s

ROOT = Path(__file__).parent.parent.parent
SECRET = "bench-0123456789-abcdefghijklmnopqrstuvwxyz"
_PATH = "/usr/sbin:/usr/local/sbin:/usr/lib/postfix/sbin:/usr/bin"
_SINK = shutil.which("smtp-sink", path=_PATH)
_START_S = 60.0

Child = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Sink:
    name: str
    port: int
    process: Child


@dataclass(slots=True)
class Stack:
    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    sinks: list[Sink] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)

    @property
    def sink(self) -> Sink:
        """Postfix's, where it is installed, else our own."""
        return self.sinks[0]

    @property
    def chunking_sink(self) -> Sink:
        """Our own, which offers CHUNKING, as smtp-sink does not."""
        return self.sinks[-1]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            **({"SMTP_URL": smtp_url(self.sink.port)} if self.sinks else {}),
            "SECRET_KEY": SECRET,
            "DATA_DIR": str(self.folder),
            "BASE_URL": "https://mail.example.test",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "warning"),
        }

    # -- processes --

    def start_workers(self, count: int, *, module: str = "worker.main", **settings: str) -> list[Child]:
        """Start worker processes, and wait until each works and the rate counter is ready."""
        ports = [free_port() for _ in range(count)]
        workers = [self.start([sys.executable, "-m", module], WORKER_PORT=str(port), **settings) for port in ports]
        for worker, port in zip(workers, ports, strict=True):
            self.wait_for_port(worker, port)
        with redis.Redis.from_url(self.valkey.url) as client:
            wait_for(lambda: client.exists("mt:gen"), "the rate counter is ready", _START_S)
        return workers

    def start_web(self) -> tuple[Child, int]:
        """Start the web as `make run` does, and wait until it answers."""
        port = free_port()
        arguments = web_arguments(Settings(_env_file=None), port)
        web = self.start([sys.executable, "-m", *arguments], PORT=str(port))
        self.wait_for_port(web, port)
        return web, port

    def start(self, command: list[str], **settings: str) -> Child:
        """Start a process that ends with us, however we end. What it says goes to stderr."""
        child = subprocess.Popen(
            ending_with_us(command, signal.SIGTERM),
            cwd=ROOT,
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
        )
        self.children.append(child)
        return child

    def start_sinks(self) -> None:
        """Postfix's, where it is installed, and our own."""
        for make in (sink_command, own_sink_command):
            port = free_port()
            command, name = make(port)
            if name not in [sink.name for sink in self.sinks]:
                process = self.start(command)
                self.wait_for_port(process, port)
                self.sinks.append(Sink(name, port, process))

    def start_proxy(self, target_port: int, *, round_trip_ms: float) -> tuple[Child, int]:
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.proxy", str(port), str(target_port), str(round_trip_ms / 2)]
        proxy = self.start(command)
        self.wait_for_port(proxy, port)
        return proxy, port

    def stop(self, *children: Child) -> None:
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child in self.children:
                self.children.remove(child)

    def wait_for_port(self, child: Child, port: int) -> None:
        def is_open() -> bool:
            if child.poll() is not None:
                raise RuntimeError(f"{child.args!r} ended with {child.returncode} instead of listening")
            return answers(port)

        wait_for(is_open, f"port {port} is open", _START_S, every_s=0.05)

    # -- the database --

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.postgres.url, autocommit=True)

    def connect_dict(self) -> psycopg.Connection[Any]:
        """As the product's commands want it."""
        return psycopg.connect(self.postgres.url, row_factory=dict_row, options="-c timezone=UTC")

    def rest(self) -> None:
        """Let what earlier measurements left to be written be written now."""
        with self.connect() as conn:
            conn.execute("CHECKPOINT")

    def postgres_cpu_s(self) -> float:
        assert self.postgres.process is not None
        return family_cpu_s(self.postgres.process.pid)


def sink_command(port: int) -> tuple[list[str], str]:
    """Postfix's `smtp-sink`, which everybody can get; else our own."""
    if _SINK is None:
        return own_sink_command(port)
    command = [_SINK, f"127.0.0.1:{port}", "1000"]
    if os.geteuid() == 0:
        # It refuses to run as root; a change of user clears the parent-death signal, so setpriv sets it afterwards.
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=TERM", "--", *command]
    return command, "smtp-sink"


def own_sink_command(port: int) -> tuple[list[str], str]:
    return [sys.executable, "-m", "tests.bench.sink", str(port)], "own sink"


@contextmanager
def running_sink() -> Iterator[tuple[int, str]]:
    """A sink alone: its port and its name."""
    port = free_port()
    command, name = sink_command(port)
    sink = subprocess.Popen(
        ending_with_us(command, signal.SIGTERM),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
    )
    try:
        wait_for(lambda: answers(port), "the sink listens", _START_S, every_s=0.05)
        yield port, name
    finally:
        sink.kill()
        sink.wait()


def smtp_url(port: int, *, in_flight: int = 1) -> str:
    return f"smtp://127.0.0.1:{port}?tls=none&in_flight={in_flight}"


def answers(port: int) -> bool:
    with suppress(OSError), closing(create_connection(("127.0.0.1", port), timeout=1)):
        return True
    return False


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Fresh servers; all that was started on them has ended when this returns."""
    folder = Path(tempfile.mkdtemp(prefix="mailtide-bench-", dir=os.environ.get("BENCH_DIR")))
    folder.chmod(0o755)
    stack = Stack(folder, EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey"))
    try:
        stack.postgres.start()
        migrate(stack.postgres.url)
        stack.valkey.start()
        stack.start_sinks()
        yield stack
    finally:
        with suppress(Exception):
            stack.stop(*stack.children)
        stack.valkey.stop()
        stack.postgres.stop(mode="immediate")
        time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)
