"""Row 46: a demo visitor tries every way out. The host's only way out is a cable that leads nowhere, and is counted."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.acceptance.stack import Client, Stack, wait_for
from tests.chaos.hosts import network

pytestmark = [
    pytest.mark.skipif(network.why_not() is not None, reason=str(network.why_not())),
    pytest.mark.slow,
]

#: RFC 5737: addresses that are nobody's.
NOBODY = "203.0.113.25"
REAL_ADDRESSES = ["someone@gmail.com", "someone@outlook.com", f"someone@[{NOBODY}]", "someone@example.com"]


class WayOut:
    """A cable with a default route. What goes into it is lost, and counted."""

    def __init__(self) -> None:
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")  # or it would greet its neighbours
        for words in (
            "link add out type veth peer name nowhere", "link set nowhere up", "address add 198.51.100.2/24 dev out", "link set out up",
            "route add default via 198.51.100.1 dev out", "neigh add 198.51.100.1 lladdr 02:00:00:00:00:01 dev out",
        ):  # fmt: skip
            subprocess.run(["ip", *words.split()], check=True)

    def packets(self) -> int:
        """Those that have left so far, of any kind."""
        line = next(
            line
            for line in Path("/proc/thread-self/net/dev").read_text().splitlines()
            if line.strip().startswith("out:")
        )
        return int(line.split(":")[1].split()[9])


class Lonely(Stack):
    """The installation has a real mail server of its own, far away. It is not for demo visitors."""

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment, "SMTP_URL": f"smtp://user:secret@{NOBODY}:587?tls=starttls",
            "ACCOUNT_LIMIT_PER_HOUR": "1000",
        }  # fmt: skip


@pytest.fixture
def way_out() -> Iterator[WayOut]:
    with network.alone():
        yield WayOut()


@pytest.fixture
def stack(way_out: WayOut) -> Iterator[Lonely]:
    folder = Path(tempfile.mkdtemp(prefix="mailtide-alone-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres", options=("fsync=off", "full_page_writes=off"))
    made = Lonely(folder, postgres, EmbeddedValkey(folder / "valkey"))
    try:
        made.start()
        made.start_worker()
        yield made
    finally:
        print(made.logs())
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


def attempt(client: Client, method: str, path: str, json: Any = None) -> int:
    return client.session.request(method, f"{client.stack.url}/api/v1{path}", json=json, timeout=30).status_code


def test_row_46_the_counter_counts(way_out: WayOut) -> None:
    assert way_out.packets() == 0
    with socket.socket() as probe:
        probe.setblocking(False)
        with suppress(BlockingIOError):
            probe.connect((NOBODY, 587))
    wait_for(lambda: way_out.packets() > 0, 5)


def test_row_46_whatever_a_demo_visitor_tries_no_packet_leaves_the_host(way_out: WayOut, stack: Lonely) -> None:
    client = stack.visitor()
    server = {"name": "R", "port": 587, "tls": "starttls", "username": "u", "password": "p"}
    refused = {
        # a mail server of one's own, under every kind of name
        **{("POST", "/relays", host): {**server, "host": host} for host in (NOBODY, "smtp.gmail.com", "127.0.0.1")},
        # more than the demo's limits
        **{
            ("PATCH", f"/limits/{each['id']}", "raise"): {"limit": 10**9}
            for each in client.get("/api/v1/limits")["data"]
        },
        **{
            ("PATCH", f"/limits/{each['id']}", "lift"): {"limit": None} for each in client.get("/api/v1/limits")["data"]
        },
        # the administrator's
        ("PATCH", "/me/account", "transport"): {"transport": "relay"},
        ("POST", "/me/account", "transport"): {"transport": "relay"},
        ("POST", "/team", "invite"): {"email": "friend@example.com", "role": "owner"},
    }
    answers = {key: attempt(client, key[0], key[1], body) for key, body in refused.items()}
    assert {code for code in answers.values() if not 400 <= code < 500} == set(), answers

    # What it may do: each of these sends something to people in the world.
    campaign = client.draft(
        REAL_ADDRESSES[:2] + REAL_ADDRESSES[3:], html='<p>x <img src="http://203.0.113.9/x.png"></p>'
    )
    client.post(f"/api/v1/campaigns/{campaign}/test", {"to": REAL_ADDRESSES[0]})
    client.act(campaign, "launch")
    single = client.post("/api/v1/messages", {"to": REAL_ADDRESSES[1], "subject": "Hello", "text": "Hello"})
    attempt(client, "POST", "/messages", {"to": REAL_ADDRESSES[2], "subject": "Hello", "text": "Hello"})
    attempt(client, "POST", "/senders", {"name": "Boss", "email": "boss@bank.example.com"})
    assert client.wait_until_final(campaign)["sent"] == 3
    client.wait_for_message(single["id"], "sent")
    arrived = {mail["rcpt_to"] for mail in client.arrivals()}
    assert {REAL_ADDRESSES[0], REAL_ADDRESSES[1], REAL_ADDRESSES[3]} <= arrived

    # Nobody had a name looked up, a connection tried, or a picture fetched.
    assert way_out.packets() == 0
