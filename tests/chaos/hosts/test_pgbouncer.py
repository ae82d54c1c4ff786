"""The web behind a PgBouncer in transaction mode, which has fewer connections than the web has clients; workers past it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
import requests

from app.embedded import EmbeddedPostgres, EmbeddedValkey, ending_with_us, free_port
from tests.acceptance.stack import ROOT, Client, Stack, addresses, in_s, wait_for

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed: `apt-get install pgbouncer`"),
    pytest.mark.slow,
]

#: Fewer than there are clients, so that each transaction may be on another connection than the one before.
POOL_SIZE = 3
CLIENTS = 8


@dataclass
class PooledStack(Stack):
    pooler_port: int = field(default_factory=free_port)

    @property
    def environment(self) -> dict[str, str]:
        direct = self.postgres.url
        pooled = direct.replace(f":{self.postgres.port}/", f":{self.pooler_port}/")
        return {**super().environment, "DATABASE_URL": pooled, "DATABASE_DIRECT_URL": direct}

    def start(self) -> None:
        self.postgres.start()
        with psycopg.connect(self.postgres.url, autocommit=True) as conn:
            # What the connection does not say for itself would show.
            conn.execute("ALTER DATABASE mailtide SET timezone = 'Asia/Kolkata'")
        self._start_pooler()
        super().start()

    def _start_pooler(self) -> None:
        """With `deploy/pgbouncer.ini`, so that the file is known to work."""
        folder = self.folder / "pgbouncer"
        folder.mkdir()
        users = folder / "userlist.txt"
        users.write_text(f'"mailtide" "{unquote(urlsplit(self.postgres.url).password or "")}"\n')
        text = (ROOT / "deploy/pgbouncer.ini").read_text()
        for setting, value in {
            "listen_port": self.pooler_port, "auth_file": users, "default_pool_size": POOL_SIZE,
        }.items():  # fmt: skip
            text, count = re.subn(rf"^{setting} = .*$", f"{setting} = {value}", text, flags=re.MULTILINE)
            assert count == 1, setting
        config = folder / "pgbouncer.ini"
        config.write_text(text.replace("port=5432", f"port={self.postgres.port}") + "unix_socket_dir =\n")
        for path in (self.folder, folder, users, config):
            path.chmod(0o755)
        command = [str(PROGRAM), str(config)]
        if os.geteuid() == 0:  # it refuses to be root
            command = [
                "setpriv",
                "--reuid=nobody",
                "--regid=nogroup",
                "--clear-groups",
                "--pdeathsig",
                "KILL",
                "--",
                *command,
            ]
        with (folder / "log").open("wb") as output:
            self.pooler = subprocess.Popen(
                command if os.geteuid() == 0 else ending_with_us(command, signal.SIGKILL), stdout=output, stderr=output
            )
        wait_for(self._pooler_listens)

    def _pooler_listens(self) -> bool:
        assert self.pooler.poll() is None, (self.folder / "pgbouncer/log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.pooler_port)) == 0

    def end(self) -> None:
        self.pooler.kill()
        self.pooler.wait()
        super().end()


@pytest.fixture(scope="module")
def stack() -> Iterator[PooledStack]:
    folder = Path(tempfile.mkdtemp(prefix="mailtide-pooled-"))
    postgres = EmbeddedPostgres(folder / "postgres", options=("fsync=off", "full_page_writes=off"))
    made = PooledStack(folder, postgres, EmbeddedValkey(folder / "valkey"))
    try:
        made.start()
        made.start_worker()
        yield made
    finally:
        print(made.logs())
        print((folder / "pgbouncer/log").read_text()[-2000:])
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


def post_message(client: Client, number: int, at: str) -> requests.Response:
    """An API message that is due at `at`, under an idempotency key."""
    return client.session.post(
        f"{client.stack.url}/api/v1/messages",
        json={"to": f"m{number}@people.test", "subject": "Hello", "text": "Hello", "scheduled_at": at},
        headers={"Idempotency-Key": f"key-{number}"},
        timeout=60,
    )


def test_eight_clients_at_once_get_each_message_once_however_often_they_ask(stack: PooledStack) -> None:
    client, at = stack.visitor(), in_s(3600)

    def one_client(number: int) -> list[int]:
        # Each two clients ask for the same messages at about the same time.
        answers = [post_message(client, number // 2 * 100 + n, at) for n in range(30)]
        answers += [client.session.get(f"{stack.url}/api/v1/messages?limit=20", timeout=60) for _ in range(10)]
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(CLIENTS) as together:
        codes = {code for answers in together.map(one_client, range(CLIENTS)) for code in answers}
    assert codes <= {200, 201, 202, 409}, codes
    made = stack.value(
        "SELECT count(*) FROM messages WHERE account_id = %(account)s AND recipient ~ '^m[0-9]+@'",
        account=client.account_id,
    )
    assert made == CLIENTS // 2 * 30


def test_an_import_and_a_campaign_go_through_and_times_are_in_utc(stack: PooledStack) -> None:
    client = stack.visitor()
    people = addresses(400, "pooled.test")
    done = client.import_csv(("email\n" + "\n".join(people)).encode(), {"email": "email"})
    assert done["status"] == "done"
    campaign = client.draft(people)
    at = client.get(f"/api/v1/campaigns/{campaign}")["created_at"]
    assert at.endswith(("Z", "+00:00")), at
    client.act(campaign, "launch")
    assert client.wait_until_final(campaign)["sent"] == 400
    arrived = [mail["rcpt_to"] for mail in client.arrivals() if mail["rcpt_to"].endswith("@pooled.test")]
    assert sorted(arrived) == sorted(people)


def test_two_launches_at_once_make_one(stack: PooledStack) -> None:
    client = stack.visitor()
    campaign = client.draft(addresses(50, "twice.test"))

    def launch(_: int) -> int:
        return client.session.post(f"{stack.url}/api/v1/campaigns/{campaign}/launch", json={}, timeout=60).status_code

    with ThreadPoolExecutor(CLIENTS) as together:
        codes = list(together.map(launch, range(CLIENTS)))
    assert codes.count(200) >= 1 and set(codes) <= {200, 202, 409}, codes
    assert client.wait_until_final(campaign)["total"] == 50
    assert len([mail for mail in client.arrivals() if mail["rcpt_to"].endswith("@twice.test")]) == 50


def test_a_request_that_takes_too_long_is_ended_by_the_poolers_own_limit(stack: PooledStack) -> None:
    url = stack.environment["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
        limits = [conn.execute(f"SHOW {name}").fetchone() for name in (
            "statement_timeout", "idle_in_transaction_session_timeout")]  # fmt: skip
    assert limits == [("20s",), ("30s",)]


def test_the_operators_commands_go_past_it(stack: PooledStack) -> None:
    for command in ("migrate", "doctor"):
        done = stack.run(command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "answers, statement_timeout 20s" in done.stdout


def test_when_it_loses_its_database_the_web_says_so_and_is_back_by_itself(stack: PooledStack) -> None:
    client = stack.visitor()
    stack.postgres.stop(mode="immediate")
    answer = client.session.get(f"{stack.url}/api/v1/campaigns", timeout=60)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    stack.postgres.start()
    wait_for(lambda: client.session.get(f"{stack.url}/api/v1/campaigns", timeout=60).ok, 40)
