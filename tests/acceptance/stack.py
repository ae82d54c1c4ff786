"""An installation of real processes that a test may kill one by one: PostgreSQL, Valkey, web, sandbox, and workers.

`make run` would start again what a test kills; here nothing comes back unless the test says so. The servers, the web and
the sandbox live as long as the test session; a test starts the workers that it wants and they end with it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import requests
from psycopg.rows import dict_row

from app.dev import web_arguments
from app.embedded import EmbeddedPostgres, EmbeddedValkey, ending_with_us, free_port
from app.settings import Settings
from sql.migrate import migrate

ROOT = Path(__file__).parent.parent.parent
SECRET = "acceptance-0123456789-abcdefghijklmnopqrstuvwxyz"
FINAL = ("sent", "cancelled", "failed")
COUNTS = ("queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired")
#: SMTP connections of one worker that may be in the middle of something: WORKER_CONCURRENCY.
CONNECTIONS = 5


T = TypeVar("T")


def wait_for(fact: Callable[[], T], timeout_s: float = 60.0, *, every_s: float = 0.05) -> T:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (answer := fact()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(every_s)
    return answer


@dataclass
class Child:
    """One of our own processes, leader of its own group; its output goes to a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it as a crash does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout_s: float = 30.0) -> int:
        """Ask it to end, and return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout_s)
        finally:
            self.kill()

    def cpu_s(self) -> float:
        """The processor time that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def says(self, size: int = 3000) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-size:] if self.log.exists() else ""


@dataclass
class Stack:
    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    port: int = field(default_factory=free_port)
    sandbox_port: int = field(default_factory=free_port)
    children: list[Child] = field(default_factory=list)
    started: int = 0

    # -- processes --

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "PORT": str(self.port),
            "SANDBOX_PORT": str(self.sandbox_port),
            "SECRET_KEY": SECRET,
            "DEMO_MODE": "true",
            "ACCOUNT_LIMIT_PER_HOUR": "0",
            "DATA_DIR": str(self.folder),
            "WORKER_CONCURRENCY": str(CONNECTIONS),
            "PYTHONUNBUFFERED": "1",
        }

    def start(self) -> None:
        """Start the servers, the web and the sandbox, and wait until they answer."""
        with ThreadPoolExecutor() as together:
            # Not PostgreSQL: it ends with the thread that started it.
            migrating = None
            self.postgres.start()
            migrating = together.submit(migrate, self.postgres.url)
            self.valkey.start()
            migrating.result()
        self.start_child("sandbox", ["worker.sandbox"])
        settings = Settings(_env_file=None, port=self.port, web_threads=8)
        self.start_child("web", web_arguments(settings, self.port))
        wait_for(self._web_answers, 60)

    def _web_answers(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        return False

    def start_child(self, name: str, arguments: Sequence[str], **settings: str) -> Child:
        self.started += 1
        log = self.folder / f"{name}-{self.started}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ending_with_us([sys.executable, "-m", *arguments], signal.SIGKILL),
                cwd=ROOT,
                env={**self.environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def start_worker(self, **settings: str) -> Child:
        """Start one more worker, and wait until it works."""
        worker = self.start_child("worker", ["worker.main"], **settings)
        wait_for(lambda: "working" in worker.says() or not worker.is_running)
        assert worker.is_running, worker.says()
        return worker

    def stop_workers(self) -> None:
        workers = [child for child in self.children if child.name == "worker"]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(15)
            worker.kill()
            self.children.remove(worker)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of the operator's commands, as `make` runs it."""
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def end(self) -> None:
        for child in self.children:
            child.kill()
        self.valkey.stop()
        self.postgres.stop(mode="immediate")

    def logs(self) -> str:
        return "\n".join(f"--- {child.log.name}\n{child.says()}" for child in self.children)

    # -- what is so --

    def rows(self, statement: str, **params: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.postgres.url, row_factory=dict_row, options="-c timezone=UTC") as conn:
            return conn.execute(statement.encode(), params).fetchall()

    def value(self, statement: str, **params: Any) -> Any:
        (row,) = self.rows(statement, **params)
        return next(iter(row.values()))

    # -- people --

    def visitor(self) -> "Client":
        """A demo visitor, alone with an account in which nothing is under way."""
        client = Client(self)
        client.post("/auth/demo", expected=201)
        for campaign in client.get("/api/v1/campaigns?status=scheduled,sending")["data"]:
            client.post(f"/api/v1/campaigns/{campaign['id']}/cancel")
        client.account_id = self.value("SELECT max(account_id) FROM accounts")
        # The demo's campaign may have begun before that: what was on the wire arrives, and is not the test's.
        under_way = "SELECT count(*) FROM messages WHERE account_id = %(account)s AND status = 'sending'"
        wait_for(lambda: self.value(under_way, account=client.account_id) == 0)
        self.rows("DELETE FROM inbox WHERE account_id = %(account)s RETURNING inbox_id", account=client.account_id)
        return client

    def owner(self, email: str) -> "Client":
        """The owner of a real account, with an API key."""
        made = self.run("admin", email)
        assert made.returncode == 0, made.stderr
        client = Client(self)
        client.session.headers["Authorization"] = f"Bearer {made.stdout.splitlines()[-1]}"
        client.account_id = self.value("SELECT max(account_id) FROM accounts")
        return client


class Client:
    """A person with curl. Paths are from the root; an answer that was not expected fails the test."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.session = requests.Session()
        self.account_id = 0

    def call(
        self, method: str, path: str, json: Any = None, *, expected: int | None = None, **options: Any
    ) -> dict[str, Any]:
        answer = self.session.request(method, self.stack.url + path, json=json, timeout=60, **options)
        assert answer.status_code == expected if expected else answer.ok, f"{method} {path}: {answer.text[:2000]}"
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def get(self, path: str, **options: Any) -> dict[str, Any]:
        return self.call("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> dict[str, Any]:
        return self.call("POST", path, json, **options)

    # -- contacts --

    def import_csv(self, data: bytes, mapping: dict[str, str]) -> dict[str, Any]:
        """Upload, map, and wait until it is in."""
        uploaded = self.post(
            "/api/v1/imports?filename=people.csv", data=data, headers={"Content-Type": "text/csv"}, expected=201
        )
        path = f"/api/v1/imports/{uploaded['id']}"
        self.post(f"{path}/start", {"mapping": mapping, "on_conflict": "update"}, expected=202)

        def done() -> dict[str, Any] | None:
            found = self.get(path)
            return found if found["status"] in ("done", "failed") else None

        return {**uploaded, **wait_for(done)}

    # -- campaigns --

    def draft(self, recipients: Iterable[str], **fields: Any) -> str:
        """A campaign for these addresses; its id."""
        body = {
            "name": "Campaign",
            "subject": "Hello {{ email }}",
            "html": "<p>Hello {{ email }}</p>",
            "audience": {"contacts": [{"email": email} for email in recipients]},
            **fields,
        }
        made: str = self.post("/api/v1/campaigns", body, expected=201)["id"]
        return made

    def act(self, campaign: str, action: str, json: Any = None) -> dict[str, Any]:
        return self.post(f"/api/v1/campaigns/{campaign}/{action}", json or ({} if action == "launch" else None))

    def progress(self, campaign: str) -> dict[str, Any]:
        found = self.get(f"/api/v1/campaigns/{campaign}/progress")
        if found["total"]:
            assert sum(found[name] for name in COUNTS) == found["total"], found
        return found

    def wait_until_sent(self, campaign: str, count: int) -> dict[str, Any]:
        """Until at least so many were accepted."""

        def enough() -> dict[str, Any] | None:
            found = self.progress(campaign)
            return found if found["sent"] >= count else None

        return wait_for(enough, every_s=0.01)

    def wait_until_final(self, campaign: str, timeout_s: float = 90.0) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            found = self.progress(campaign)
            return found if found["status"] in FINAL else None

        return wait_for(final, timeout_s)

    # -- what arrived --

    def arrivals(self) -> list[dict[str, Any]]:
        """The sandbox's record of this account, in the order of arrival: message_id, rcpt_to, subject, received_at."""
        return self.stack.rows(
            "SELECT message_id, rcpt_to, subject, received_at FROM inbox WHERE account_id = %(account)s"
            " ORDER BY received_at, inbox_id",
            account=self.account_id,
        )

    def message(self, message_id: str) -> dict[str, Any]:
        return self.get(f"/api/v1/messages/{message_id}")

    def wait_for_message(self, message_id: str, *statuses: str) -> dict[str, Any]:
        def settled() -> dict[str, Any] | None:
            found = self.message(message_id)
            return found if found["status"] in statuses else None

        return wait_for(settled)


def addresses(count: int, domain: str = "people.test") -> list[str]:
    return [f"p{n}@{domain}" for n in range(1, count + 1)]


def in_s(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def read_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def worst_window(times: Sequence[datetime], window_s: float) -> int:
    """The most that any window of this length holds."""
    times = sorted(times)
    worst = first = 0
    for last, at in enumerate(times):
        while (at - times[first]).total_seconds() >= window_s:
            first += 1
        worst = max(worst, last - first + 1)
    return worst
