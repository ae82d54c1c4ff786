"""Trying a relay: each way in which one is set up wrongly has a step, and a sentence that says what to change."""

import asyncio
import base64
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app import relay_probe
from app.relay_probe import Probe, choose_helo_name, probe_relay
from app.settings import RelayAddress
from tests.integration.smtp.scripted import Peer, Script, make_certificate, run, serving

SECRET = "correct horse"
SIGN_IN = {"username": "someone", "password": SECRET}


def probe(script: Script, *, deadline_s: float = 5, **options: Any) -> Probe:
    """Probe a server that plays `script`; the password never comes back, whatever it did."""
    found: list[Probe] = []

    async def scenario() -> None:
        async with serving(script, **options) as server:
            found.append(
                await asyncio.to_thread(
                    probe_relay, server.address, helo_name="us.test", allow_private=True, deadline_s=deadline_s
                )
            )

    run(scenario())
    assert SECRET not in repr(found[0])
    assert base64.b64encode(SECRET.encode()).decode() not in repr(found[0])
    return found[0]


async def leave(peer: Peer) -> None:
    await peer.expect("QUIT")
    await peer.say("221 bye")


def test_a_relay_that_works_tells_what_it_offers_and_nothing_is_sent() -> None:
    commands: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING", "SIZE 1000", "AUTH PLAIN LOGIN")
        await peer.expect("AUTH PLAIN ")
        await peer.say("235 2.7.0 welcome")
        await leave(peer)
        commands.extend(line.split()[0] for line in peer.lines)

    found = probe(script, **SIGN_IN, allow_plain_auth=True)
    assert (found.ok, found.step, found.reply, found.tls_version) == (True, "done", "235 2.7.0 welcome", None)
    assert found.extensions == ["PIPELINING", "SIZE 1000", "AUTH PLAIN LOGIN"]
    assert found.detail == "It works: connected without encryption, signed in. Nothing was sent."
    assert commands == ["EHLO", "AUTH", "QUIT"]


async def upgrade(peer: Peer, context: ssl.SSLContext) -> None:
    await peer.expect("STARTTLS")
    await peer.say("220 go")
    await peer.writer.start_tls(context)


def test_starttls_counts_what_is_offered_after_it(server_tls: ssl.SSLContext) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("STARTTLS", "AUTH LOGIN")
        await upgrade(peer, server_tls)
        await peer.hello("AUTH LOGIN", "8BITMIME")
        await peer.expect("AUTH LOGIN")
        await peer.say("334 VXNlcm5hbWU6")
        assert base64.b64decode(await peer.line()).decode() == "someone"
        await peer.say("334 UGFzc3dvcmQ6")
        assert base64.b64decode(await peer.line()).decode() == SECRET
        await peer.say("235 ok")
        await leave(peer)

    found = probe(script, tls="starttls", **SIGN_IN)
    assert (found.ok, found.extensions) == (True, ["AUTH LOGIN", "8BITMIME"])
    assert (found.tls_version or "").startswith("TLSv1.")


def test_implicit_tls(server_tls: ssl.SSLContext) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("8BITMIME")
        await leave(peer)

    found = probe(script, tls="implicit", server_tls=server_tls)
    assert (found.ok, found.detail.startswith("It works: connected over TLSv1.")) == (True, True)


def says(*replies: str) -> Script:
    """Greet with the first reply, answer each command with the next, then wait until the client has gone."""

    async def script(peer: Peer) -> None:
        await peer.say(replies[0])
        for reply in replies[1:]:
            await peer.line()
            await peer.say(reply)
        await peer.until_closed()

    return script


def closes_after(*replies: str) -> Script:
    async def script(peer: Peer) -> None:
        for reply in replies:
            await peer.say(reply)

    return script


@pytest.mark.parametrize(
    ("script", "options", "step", "words", "reply"),
    [
        (says("554 5.7.1 not you"), {}, "connect", "takes no mail from us", "554 5.7.1 not you"),
        (says("HTTP/1.1 400 secret-page"), {}, "connect", "does not speak SMTP", None),
        (says("220 hi", "SSH-2.0-secret"), {}, "connect", "does not speak SMTP", None),
        (says("220 hi", "421 4.3.2 busy"), {}, "connect", "Try again later", "421 4.3.2 busy"),
        (says("220 hi", "550 no", "550 who"), {}, "connect", "did not take our name us.test", "550 who"),
        (closes_after(), {}, "connect", "closed the connection", None),
        (says("220 hi", "250 plain"), {"tls": "starttls"}, "tls", "does not offer STARTTLS", None),
        (says("220 hi", "250-a\r\n250 STARTTLS", "454 no"), {"tls": "starttls"}, "tls", "refused STARTTLS", "454 no"),
        (
            says("220 hi", "250-a\r\n250 STARTTLS", "220 go\r\n250 injected"), {"tls": "starttls"},
            "tls", "in the clear", None,
        ),
        (says("220 hi"), {"tls": "implicit"}, "tls", "choose STARTTLS", None),
        (says("220 hi", "250-a\r\n250 AUTH PLAIN"), SIGN_IN, "login", "never sent unencrypted", None),
        (
            says("220 hi", "250-a\r\n250 AUTH PLAIN", "535 5.7.8 bad"), {**SIGN_IN, "allow_plain_auth": True},
            "login", "refused the user name or password", "535 5.7.8 bad",
        ),
        (
            says("220 hi", "250-a\r\n250 AUTH PLAIN", "454 4.7.0 later"), {**SIGN_IN, "allow_plain_auth": True},
            "login", "Try again later", "454 4.7.0 later",
        ),
        (
            says("220 hi", "250 none"), {**SIGN_IN, "allow_plain_auth": True},
            "login", "offers no sign-in", None,
        ),
        (
            says("220 hi", "250-a\r\n250 AUTH CRAM-MD5"), {**SIGN_IN, "allow_plain_auth": True},
            "login", "knows only CRAM-MD5", None,
        ),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_wrong_has_its_step_and_says_what_to_change(
    script: Callable[[Peer], Awaitable[None]], options: dict[str, Any], step: str, words: str, reply: str | None
) -> None:
    async def forgiving(peer: Peer) -> None:
        try:
            await script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # The client has gone, which is what this case is about.

    found = probe(forgiving, **options)
    assert (found.ok, found.step, found.reply) == (False, step, reply), found
    assert words in found.detail
    assert "secret" not in repr(found)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    context, _ = make_certificate(tmp_path)

    async def script(peer: Peer) -> None:
        await peer.open("STARTTLS")
        await peer.expect("STARTTLS")
        await peer.say("220 go")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await peer.writer.start_tls(context)

    found = probe(script, tls="starttls")
    assert (found.step, "cannot be trusted" in found.detail) == ("tls", True), found


def test_endless_replies_are_cut_short() -> None:
    async def script(peer: Peer) -> None:
        peer.writer.write(b"220-more\r\n" * 100_000)
        await peer.until_closed()

    found = probe(script)
    assert (found.step, found.reply) == ("connect", None)
    assert "does not speak SMTP" in found.detail


def test_a_long_reply_is_shown_shortened_without_control_characters() -> None:
    found = probe(says("554 \x1b[2J" + "x" * 3000))
    assert found.reply is not None
    assert len(found.reply) == 300
    assert found.reply.isprintable()


@pytest.mark.parametrize(("tls", "words"), [("none", "choose implicit TLS"), ("implicit", "did not answer within")])
def test_a_silent_server_ends_with_the_deadline(tls: Any, words: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.until_closed()

    found = probe(script, tls=tls, deadline_s=0.3)
    assert not found.ok
    assert words in found.detail


def test_a_server_that_drips_is_held_to_the_same_deadline() -> None:
    """Each byte comes in time; all of them together do not."""

    async def script(peer: Peer) -> None:
        await peer.say("220 hi")
        while not peer.reader.at_eof() and not peer.writer.is_closing():
            try:
                peer.writer.write(b"2")
                await peer.writer.drain()
                await asyncio.sleep(0.02)
            except ConnectionError:
                return

    found = probe(script, deadline_s=0.5)
    assert not found.ok
    assert "was not done within 0.5 s" in found.detail


def test_nobody_listens() -> None:
    with socket.socket() as sock:  # bound and not listening: the port is ours, and refuses
        sock.bind(("127.0.0.1", 0))
        address = RelayAddress("127.0.0.1", sock.getsockname()[1], tls="none")
        found = probe_relay(address, helo_name="us.test", allow_private=True)
    assert (found.step, "refused the connection" in found.detail) == ("connect", True)


def look_up_as(*addresses: str) -> Callable[..., list[tuple[Any, ...]]]:
    return lambda host, port, **rest: [(2, 1, 6, "", (address, port)) for address in addresses]


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::ffff:127.0.0.1",)])
def test_a_public_name_that_leads_inside_is_not_connected_to(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_probe.socket, "getaddrinfo", look_up_as(*addresses))
    monkeypatch.setattr(relay_probe.socket, "create_connection", lambda *args, **rest: pytest.fail("connected"))
    found = probe_relay(RelayAddress("smtp.example.com", 587, tls="starttls"), helo_name="us.test", allow_private=False)
    assert (found.step, found.detail) == (
        "resolve", "smtp.example.com leads into a private network, which is not allowed.",
    )  # fmt: skip


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 25), ("localhost", 25), ("smtp.example.com", 6379)])
def test_what_may_not_be_a_relay_any_more_is_not_looked_up(
    host: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_probe.socket, "getaddrinfo", lambda *args, **rest: pytest.fail("looked up"))
    found = probe_relay(RelayAddress(host, port, tls="none"), helo_name="us.test", allow_private=False)
    assert (found.ok, found.step) == (False, "resolve")


def test_the_address_that_was_looked_at_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is asked for once: a second answer could lead elsewhere."""
    asked: list[Any] = []

    def connect(where: tuple[str, int], **rest: Any) -> socket.socket:
        asked.append(where)
        raise ConnectionRefusedError

    monkeypatch.setattr(relay_probe.socket, "getaddrinfo", look_up_as("8.8.8.8", "9.9.9.9"))
    monkeypatch.setattr(relay_probe.socket, "create_connection", connect)
    probe_relay(RelayAddress("smtp.example.com", 587, tls="starttls"), helo_name="us.test", allow_private=False)
    assert asked == [("8.8.8.8", 587), ("9.9.9.9", 587)]


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*args: Any, **rest: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(relay_probe.socket, "getaddrinfo", look_up)
    found = probe_relay(RelayAddress("smtp.exmaple.com", 587, tls="starttls"), helo_name="us.test", allow_private=False)
    assert (found.step, "Check how it is spelt" in found.detail) == ("resolve", True)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://mail.example.com", "mail.example.com"),
        ("http://127.0.0.1:3000", socket.getfqdn()),
        ("http://localhost", socket.getfqdn()),
    ],
)
def test_we_greet_by_a_name_that_leads_to_us(url: str, name: str) -> None:
    assert choose_helo_name(url) == name


def test_an_address_that_never_answers_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, float]] = []

    def connect(address: tuple[str, int], timeout: float) -> Any:
        tried.append((address[0], timeout))
        raise TimeoutError if address[0] == "8.8.8.8" else ConnectionRefusedError

    monkeypatch.setattr(relay_probe.socket, "getaddrinfo", look_up_as("8.8.8.8", "9.9.9.9"))
    monkeypatch.setattr(relay_probe.socket, "create_connection", connect)
    found = probe_relay(
        RelayAddress("smtp.example.com", 587, tls="starttls"), helo_name="us.test", allow_private=False, deadline_s=4
    )
    assert [host for host, _ in tried] == ["8.8.8.8", "9.9.9.9"]
    assert tried[0][1] <= 2
    assert (found.step, "refused the connection" in found.detail) == ("connect", True)
