"""`make run`: bring up everything on one machine, keep it up, and leave nothing behind.

    1  take DATA_DIR's lock            4  build the dashboard, seed the demo account
    2  PostgreSQL, Valkey, if not given    5  web, worker, SMTP sandbox
    3  migrate                         6  wait for /readyz, print `ready http://127.0.0.1:PORT`

Then a loop starts again whatever dies, until a signal comes, or one child has died five times in a minute. Every child
leads a process group of its own and is told by the kernel to end with us, so no end of ours leaves a process.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from app import frontend_build
from app.child import end_with_parent
from app.data_dir import DataDir, DataDirBusy, DataDirError
from app.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedValkey, ending_with_us, free_port
from app.settings import ConfigError, Settings, load_settings
from sql.migrate import MigrationError, migrate

READY_TIMEOUT_S = 120.0
#: A worker finishes the messages in flight within ten seconds.
GRACE_S = 15.0
DEATHS_MAX, DEATHS_WINDOW_S = 5, 60.0
LOG_SIZE_MAX_BYTES = 20_000_000
_POLL_S = 0.2


class Stop(BaseException):
    """A signal asked us to end. Raised in the main thread, wherever it is."""


class Failure(Exception):
    """The run cannot go on. The message says why and what to do."""


def main(arguments: list[str]) -> int:
    # From make: end with it, even when it is killed.
    if "--end-with-parent" in arguments:
        end_with_parent(signal.SIGTERM, os.getppid())
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _on_signal)
        run(with_dashboard="--no-dashboard" not in arguments)
    except Stop:
        return 0
    except (Failure, ConfigError, EmbeddedError, MigrationError, DataDirError) as error:
        say(f"error: {error}")
        return 1
    return 0


def _on_signal(number: int, frame: FrameType | None) -> None:
    raise Stop


def run(*, with_dashboard: bool) -> None:
    """Run until a signal comes (Stop) or something cannot be mended (Failure)."""
    settings = load_settings()
    data = DataDir(settings.data_dir)
    try:
        with data.locked():
            data.forget_servers()
            _run_in(data, load_settings(), with_dashboard=with_dashboard)
    except DataDirBusy:
        raise Failure(
            f"`make run` already runs in {data.path}: stop it, or give this one DATA_DIR=… and PORT=… of its own"
        ) from None


def _run_in(data: DataDir, settings: Settings, *, with_dashboard: bool) -> None:
    if settings.secret_key:
        settings.require_secret()
    port = _check_port(settings)
    supervisor = Supervisor()
    try:
        with _sandbox_port(settings) as sandbox_port:
            servers = _start_servers(supervisor, data, settings)
            environment = {
                **servers,
                "PORT": str(port),
                "SANDBOX_PORT": str(sandbox_port),
                "SECRET_KEY": settings.secret_key or data.secret_key(),
                "DEMO_MODE": "true" if _is_demo(settings) else "false",
                "DATA_DIR": str(data.path),
            }
            data.write_env({name: value for name, value in environment.items() if name != "DATA_DIR"})
            _prepare(environment, with_dashboard=with_dashboard)
            for name, command in _commands(settings, port).items():
                supervisor.add(Program(name, command, environment, data.path / "logs" / f"{name}.log"))
            _wait_until_ready(supervisor, settings, port)
            with suppress(BrokenPipeError):
                print(f"ready http://127.0.0.1:{port}", flush=True)
            supervisor.watch()
    finally:
        _ignore_signals()
        supervisor.stop()
        data.forget_servers()


def _is_demo(settings: Settings) -> bool:
    return settings.demo_mode if "demo_mode" in settings.model_fields_set else True


def _commands(settings: Settings, port: int) -> dict[str, list[str]]:
    """What runs beside the servers, in the order in which it starts; it stops the other way round."""
    modules = {"sandbox": ["worker.sandbox"], "worker": ["worker.main"], "web": web_arguments(settings, port)}
    return {name: [sys.executable, "-m", *arguments] for name, arguments in modules.items()}


def web_arguments(settings: Settings, port: int) -> list[str]:
    """What `python -m` runs for the web."""
    return [
        "granian", "--interface", "wsgi", "--host", settings.host, "--port", str(port), "--no-ws",
        # A proxy speaks HTTP/1.1 to us, and looking for more in each connection takes time.
        "--http", "1",
        "--workers", str(settings.web_concurrency), "--blocking-threads", str(settings.web_threads),
        # As many requests may wait for a thread. At granian's own 1,024, whoever comes next is not even read from until
        # another client leaves: with 2,000 clients some waited for a minute.
        "--backlog", "4096", "--backpressure", "4096",
        # Seen on a busy machine: asked to end in the moment after its start, a web process waits for itself for ever.
        "--workers-kill-timeout", "5",
        "--log-level", "error", "app.wsgi:app",
    ]  # fmt: skip


def _start_servers(supervisor: "Supervisor", data: DataDir, settings: Settings) -> dict[str, str]:
    """Start what is not given, and return DATABASE_URL and REDIS_URL."""
    urls = {}
    if settings.database_url or settings.db_host:
        urls["DATABASE_URL"] = settings.postgres_url
    else:
        postgres = EmbeddedPostgres(data.path / "postgres")
        say("starting PostgreSQL")
        supervisor.add(Server("postgres", postgres))
        urls["DATABASE_URL"] = postgres.url
    if settings.redis_url or settings.redis_host:
        urls["REDIS_URL"] = settings.valkey_url
    else:
        valkey = EmbeddedValkey(data.path / "valkey")
        say("starting Valkey")
        supervisor.add(Server("valkey", valkey))
        urls["REDIS_URL"] = valkey.url
    return urls


def _prepare(environment: Mapping[str, str], *, with_dashboard: bool) -> None:
    """Bring the database and the dashboard to this code. Only the dashboard may fail."""
    if migrate(environment["DATABASE_URL"], say=lambda line: None):
        say("migrated the database")
    if with_dashboard:
        try:
            frontend_build.build(say)
        except (frontend_build.BuildError, OSError) as error:
            kept = (
                "the previous build stays"
                if (frontend_build.FRONTEND / "dist" / "index.html").is_file()
                else "/ is plain"
            )
            say(f"the dashboard was not built, {kept}: {error}")
    if environment["DEMO_MODE"] == "true":
        seeded = subprocess.run(
            [sys.executable, "-m", "app.cli", "seed"], env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if seeded.returncode != 0:
            say(f"the demo account was not made: {seeded.stderr.strip()[-600:]}")


# -- what is watched --------------------------------------------------------------------------------------------------


class Child(ABC):
    """Something that runs and is started again when it dies."""

    name: str

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def exit_code(self) -> int | None:
        """None while it runs."""

    def ask_to_stop(self) -> None:  # noqa: B027  # what cannot be told ends in `stop`
        """Tell it to end, without waiting."""

    @abstractmethod
    def stop(self) -> None:
        """End it, whatever it takes, and wait."""


class Server(Child):
    """An embedded server. It comes back on the same port, so the others only have to reconnect."""

    def __init__(self, name: str, server: EmbeddedPostgres | EmbeddedValkey) -> None:
        self.name = name
        self.server = server

    def start(self) -> None:
        self.server.start()

    def exit_code(self) -> int | None:
        return self.server.process.poll() if self.server.process else 0

    def stop(self) -> None:
        self.server.stop()


@dataclass
class Program(Child):
    """One of our own processes, leader of its own group; its output goes to our stderr and to a file."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._sweep()
        if self.log.exists() and self.log.stat().st_size > LOG_SIZE_MAX_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.process = subprocess.Popen(
            ending_with_us(self.command, signal.SIGTERM),
            env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=_copy_output, args=(self.process, self.name, self.log), daemon=True).start()

    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else 0

    def ask_to_stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def stop(self) -> None:
        if self.process is None:
            return
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_S)
        self._sweep()
        self.process.wait()

    def _sweep(self) -> None:
        """Kill what is left of the group: a leader that was killed leaves its own children behind."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


def _copy_output(process: subprocess.Popen[bytes], name: str, log: Path) -> None:
    assert process.stdout is not None
    with log.open("ab") as file, suppress(ValueError):
        for line in process.stdout:
            file.write(line)
            file.flush()
            say(line.decode(errors="replace").rstrip(), name=name)


@dataclass
class Supervisor:
    """Keeps children running, and stops them in the opposite order."""

    children: list[Child] = field(default_factory=list)
    deaths: dict[str, deque[float]] = field(default_factory=dict)
    start_at: dict[str, float] = field(default_factory=dict)

    def add(self, child: Child) -> None:
        self.children.append(child)  # before the start, so that a signal in the middle still stops it
        child.start()

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Start again what dies, until `until` holds. Raises Failure when one dies too often."""
        while not until():
            for child in self.children:
                self._revive(child)
            time.sleep(_POLL_S)

    def _revive(self, child: Child) -> None:
        now = time.monotonic()
        due = self.start_at.get(child.name)
        if due is None:
            code = child.exit_code()
            if code is None:
                return
            self.start_at[child.name] = now + self._count_death(child, code, now)
        elif now >= due:
            del self.start_at[child.name]
            child.start()

    def _count_death(self, child: Child, code: int, now: float) -> float:
        """Note one death and return how long to wait before the next start: nothing, then a second more each time."""
        deaths = self.deaths.setdefault(child.name, deque(maxlen=DEATHS_MAX))
        deaths.append(now)
        if len(deaths) == DEATHS_MAX and now - deaths[0] < DEATHS_WINDOW_S:
            raise Failure(f"{child.name} ended {DEATHS_MAX} times within a minute, the last time {_describe(code)}")
        say(f"{child.name} ended {_describe(code)}: starting it again")
        return self._pause_s(sum(now - death < DEATHS_WINDOW_S for death in deaths))

    @staticmethod
    def _pause_s(recent: int) -> float:
        return float(recent - 1)

    def stop(self) -> None:
        """Web and worker first, so that they can finish; the servers last."""
        for child in self.children:
            if child.name in ("web", "worker"):
                child.ask_to_stop()
        for child in reversed(self.children):
            child.stop()


def _describe(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    with suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"


# -- ports ------------------------------------------------------------------------------------------------------------


def _check_port(settings: Settings) -> int:
    """PORT, or a free one for 0. Raises Failure when it is taken, before anything is started."""
    if settings.port == 0:
        return free_port()
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are no obstacle
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Failure(
                f"PORT {settings.port} cannot be opened on {settings.host} ({error.strerror}): "
                "choose another, as in `make run PORT=3001`"
            ) from error
    return settings.port


@contextmanager
def _sandbox_port(settings: Settings) -> Iterator[int]:
    """SANDBOX_PORT, or a free one, kept ours while we run: two instances may start at the same moment.

    A bound socket that never listens holds the number; SO_REUSEADDR, set after the bind, lets only a socket with the same
    option listen beside it, which is the sandbox and not another instance's bind here.
    """
    with socket.socket() as holder:
        try:
            holder.bind((settings.sandbox_host, settings.sandbox_port))
        except OSError:
            holder.bind((settings.sandbox_host, 0))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield int(holder.getsockname()[1])


def _wait_until_ready(supervisor: Supervisor, settings: Settings, port: int) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    deadline = time.monotonic() + READY_TIMEOUT_S
    last = "no answer"

    def is_ready() -> bool:
        nonlocal last
        if time.monotonic() > deadline:
            raise Failure(f"not ready after {READY_TIMEOUT_S:.0f} s: {last}")
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            last = _problem(error)
        except OSError as error:
            last = str(error)
        return False

    supervisor.watch(until=is_ready)


def _problem(error: urllib.error.HTTPError) -> str:
    body = error.read(4000).decode(errors="replace")
    with suppress(ValueError, AttributeError):
        return f"{error.code} {json.loads(body).get('detail') or body}"
    return f"{error.code} {body}"


def _ignore_signals() -> None:
    """From here on we are ending anyway; a second Ctrl-C must not leave half of it running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def say(line: str, *, name: str = "mailtide") -> None:
    with suppress(OSError, ValueError):  # whoever read our stderr may be gone
        print(f"{name:8} | {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
