"""The servers that a measurement runs against: PostgreSQL with fsync on, Valkey, and an SMTP sink that keeps nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from app.embedded import EmbeddedPostgres, EmbeddedValkey, free_port
from sql.migrate import migrate

ROOT = Path(__file__).parent.parent.parent
SECRET = "bench-0123456789-abcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class Stack:
    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    sink_port: int
    sink_name: str
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "SMTP_URL": f"smtp://127.0.0.1:{self.sink_port}?tls=none",
            "SECRET_KEY": SECRET,
            "DATA_DIR": str(self.folder),
            "BASE_URL": "https://mail.example.test",
            "LOG_LEVEL": os.environ.get("LOG_LEVEL", "warning"),
        }

    def start_worker(self, **settings: str) -> subprocess.Popen[bytes]:
        return self.start([sys.executable, "-m", "worker.main"], **settings)

    def start(self, command: list[str], **settings: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            command, cwd=ROOT, env={**self.environment, **settings}, stdout=sys.stderr, stderr=sys.stderr
        )
        self.children.append(child)
        return child

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self.children.remove(child)

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.postgres.url, autocommit=True)


@contextmanager
def running_stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="mailtide-bench-"))
    folder.chmod(0o755)
    postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
    sink: subprocess.Popen[bytes] | None = None
    stack: Stack | None = None
    try:
        postgres.start()
        migrate(postgres.url)
        valkey.start()
        sink, port, name = start_sink()
        stack = Stack(folder, postgres, valkey, port, name)
        yield stack
    finally:
        for child in list(stack.children) if stack else []:
            with suppress(Exception):
                stack.stop(child)  # type: ignore[union-attr]
        if sink is not None:
            sink.kill()
            sink.wait()
        valkey.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def start_sink() -> tuple[subprocess.Popen[bytes], int, str]:
    """Postfix's `smtp-sink`, the fastest receiver there is; else our own, which bounds what can be measured."""
    port = free_port()
    program = shutil.which("smtp-sink") or next(
        (path for path in ("/usr/sbin/smtp-sink", "/usr/lib/postfix/sbin/smtp-sink") if Path(path).exists()), None
    )
    if program is not None:
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        command, name = [program, *user, "-c", f"127.0.0.1:{port}", "1000"], "smtp-sink"
    else:
        command, name = [sys.executable, "-m", "tests.bench.sink", str(port)], "own sink"
    sink = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    wait_for_port(port)
    return sink, port, name


def wait_for_port(port: int, timeout_s: float = 20.0) -> None:
    import socket

    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
