"""Row 42: every way to write an address that leads inside. Refused when it is typed in, and again by whoever connects."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.domain import egress
from app.relay_probe import probe_relay
from app.settings import RelayAddress
from tests.integration.conftest import Api
from tests.integration.smtp.scripted import SHORT
from worker.smtp.connection import RelayUnavailable, SmtpConnection

LOOPBACK = (
    "127.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "0",
    "0.0.0.0", "127.255.255.254", "localhost", "LocalHost", "localhost.", "::1", "::", "::ffff:127.0.0.1",
    "::ffff:7f00:1", "::127.0.0.1", "0:0:0:0:0:0:0:1",
)  # fmt: skip
ELSEWHERE_INSIDE = (
    "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "fe80::1", "fe80::1%lo", "fec0::1", "fc00::1", "fd00:ec2::254",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "100.100.100.200", "192.0.0.1", "198.18.0.1", "224.0.0.1",
    "240.0.0.1", "255.255.255.255", "3232235521", "0xc0a80001", "metadata.google.internal", "a.localhost", "x.local",
)  # fmt: skip
ODD = (*LOOPBACK, *ELSEWHERE_INSIDE)


def refuses_inside(address: RelayAddress, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the relay's test stops at the address, not already at the port that the listener happens to have."""
    monkeypatch.setattr(egress, "SMTP_PORTS", egress.SMTP_PORTS | {address.port})
    found = probe_relay(address, helo_name="us.test", allow_private=False, deadline_s=5)
    return not found.ok and found.step == "resolve" and "port" not in found.detail


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A listener on every address of this machine, both families. `accept` fails at once when nobody came."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        server.setblocking(False)
        yield server


def nobody_came(server: socket.socket) -> bool:
    try:
        server.accept()
    except BlockingIOError:
        return True
    return False


def test_row_42_no_odd_way_to_write_an_inside_address_makes_a_relay_and_none_says_who_is_there(api: Api) -> None:
    said = set()
    for host in (*ODD, *(f"[{host}]" for host in ODD if ":" in host)):
        answer = api.post("/relays", {"name": "R", "host": host, "port": 587, "tls": "starttls"})
        assert answer.status_code == 422, host
        said.update(fault["detail"] for fault in answer.json["errors"])
    # It is inside; its name is inside; it is no name. None says whether anybody is there.
    assert len(said) == 3, said
    assert api.value("SELECT count(*) FROM relays") == 0


@pytest.mark.parametrize("host", ODD)
def test_row_42_whoever_connects_refuses_it_again_and_no_packet_arrives(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had been stored before the rules were there."""

    async def connect(address: RelayAddress) -> None:
        with pytest.raises(RelayUnavailable):
            await SmtpConnection.open(address, helo_name="us.test", timeouts=SHORT, public_only=True)

    with listening() as server:
        address = RelayAddress(host, server.getsockname()[1], tls="none")
        asyncio.run(connect(address))
        assert refuses_inside(address, monkeypatch), host
        assert nobody_came(server), host


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["203.0.113.7", "127.0.0.1"], ["2606:4700:4700::1111", "::1"], ["8.8.8.8", "::ffff:127.0.0.1"]],
)
def test_row_42_a_public_name_that_resolves_to_an_inside_address_too_is_refused(
    answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6 if ":" in found else socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))
            for found in answers
        ]

    with listening() as server:
        address = RelayAddress("mail.example.com", server.getsockname()[1], tls="none")
        monkeypatch.setattr(socket, "getaddrinfo", resolve)

        async def connect() -> None:
            with pytest.raises(RelayUnavailable, match="private network"):
                await SmtpConnection.open(address, helo_name="us.test", timeouts=SHORT, public_only=True)

        asyncio.run(connect())
        assert refuses_inside(address, monkeypatch)
        assert nobody_came(server)
