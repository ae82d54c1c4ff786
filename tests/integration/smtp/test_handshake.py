"""Connecting, encrypting and signing in: nothing secret leaves in the clear, and every refusal says what it is."""

import asyncio
import base64
import socket
import ssl
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from aiosmtpd.smtp import Envelope as ReceivedEnvelope

from app.embedded import free_port
from app.settings import RelayAddress
from tests.integration.smtp.scripted import SHORT, Peer, Server, make_certificate, run, serving
from worker.smtp import handshake
from worker.smtp.connection import Envelope, RelayUnavailable, SmtpConnection, Stage

SECRET = "correct horse"
SIGN_IN = {"username": "someone", "password": SECRET}


async def open_to(server: Server) -> SmtpConnection:
    return await SmtpConnection.open(server.address, helo_name="us.test", timeouts=SHORT)


async def refused(server: Server) -> RelayUnavailable:
    with pytest.raises(RelayUnavailable) as caught:
        await open_to(server)
    assert SECRET not in caught.value.reason
    return caught.value


@pytest.mark.parametrize(
    ("replies", "stage", "code"),
    [
        (["421 4.3.2 busy"], Stage.CONNECT, 421),
        (["554 5.7.1 go away"], Stage.CONNECT, 554),
        (["HTTP/1.1 400 Bad Request"], Stage.CONNECT, None),
        (["x" * 10_000_000], Stage.CONNECT, None),
        (["220 hi", "421 4.3.2 busy"], Stage.EHLO, 421),
        (["220 hi", "550 no", "550 no"], Stage.EHLO, 550),
        (["220 hi", "451 later"], Stage.EHLO, 451),
        (["220 hi", "\x00\x01\x02"], Stage.EHLO, None),
        (["220 hi", *["250-more"] * 1_000], Stage.EHLO, None),
    ],
    ids=range(9),
)
def test_a_relay_that_does_not_want_us_is_unavailable(replies: list[str], stage: Stage, code: int | None) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.write(f"{replies[0]}\r\n".encode())  # no drain: the client may hang up in the middle
        for number, reply in enumerate(replies[1:]):
            if number == 0 or not reply.startswith("250-"):
                await peer.line()
            peer.writer.write(f"{reply}\r\n".encode())
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            fault = await refused(server)
            assert (fault.stage, fault.reply and fault.reply.code) == (stage, code)

    run(scenario())


@pytest.mark.parametrize("say", [(), ("220 hi",)], ids=["no greeting", "no answer to EHLO"])
def test_a_silent_relay_is_given_up(say: tuple[str, ...]) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(*say)
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            fault = await refused(server)
            assert fault.stage is (Stage.EHLO if say else Stage.CONNECT) and "in time" in fault.reason

    run(scenario())


def test_a_relay_cut_while_saying_hello_is_unavailable() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("220 hi")
        await peer.line()
        peer.cut()

    async def scenario() -> None:
        async with serving(script) as server:
            assert (await refused(server)).stage is Stage.EHLO

    run(scenario())


def test_an_old_server_that_knows_only_helo_is_spoken_to_step_by_step() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("220 hi")
        await peer.expect("EHLO us.test")
        await peer.say("502 what?")
        await peer.expect("HELO us.test")
        await peer.say("250 hello")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            assert not connection.pipelining and connection.size_max is None
            connection.abort()

    run(scenario())


# -- TLS --


async def _wait(peer: Peer) -> None:
    await peer.until_closed()


def test_starttls_stripped_from_the_offer_ends_the_connection_before_anything_secret() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING", "AUTH PLAIN LOGIN")
        assert await peer.until_closed() == b""

    async def scenario() -> None:
        async with serving(script, tls="starttls", **SIGN_IN) as server:
            fault = await refused(server)
            assert fault.stage is Stage.STARTTLS and "does not offer STARTTLS" in fault.reason

    run(scenario())


@pytest.mark.parametrize("injected", ["250 extra", "25"], ids=["a whole reply", "half a reply"])
def test_what_comes_in_the_clear_behind_starttls_ends_the_connection(injected: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("STARTTLS", "AUTH PLAIN")
        await peer.expect("STARTTLS")
        peer.writer.write(f"220 go\r\n{injected}".encode() + (b"\r\n" if len(injected) > 2 else b""))
        assert await peer.until_closed() == b""

    async def scenario() -> None:
        async with serving(script, tls="starttls", **SIGN_IN) as server:
            assert (await refused(server)).stage is Stage.STARTTLS

    run(scenario())


def test_a_refused_starttls_is_not_followed_by_plain_text() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("STARTTLS", "AUTH PLAIN")
        await peer.expect("STARTTLS")
        await peer.say("454 4.7.0 TLS not available")
        assert await peer.until_closed() == b""

    async def scenario() -> None:
        async with serving(script, tls="starttls", **SIGN_IN) as server:
            fault = await refused(server)
            assert fault.stage is Stage.STARTTLS and fault.reply is not None and fault.reply.code == 454

    run(scenario())


async def _script_in_tls(peer: Peer, context: ssl.SSLContext | None) -> None:
    await peer.open(*(["STARTTLS"] if context else []), "PIPELINING", "AUTH PLAIN")
    if context is not None:
        await peer.expect("STARTTLS")
        await peer.say("220 go")
        await peer.writer.start_tls(context)
        await peer.hello("AUTH PLAIN")  # Pipelining is offered in the clear only: it does not count.
    line = await peer.expect("AUTH PLAIN ")
    assert base64.b64decode(line.split()[2]) == f"\0someone\0{SECRET}".encode()
    await peer.say("235 2.7.0 welcome")
    await peer.until_closed()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_starttls_then_sign_in(server_tls: ssl.SSLContext, loop: str) -> None:
    async def scenario() -> None:
        async with serving(lambda peer: _script_in_tls(peer, server_tls), tls="starttls", **SIGN_IN) as server:
            connection = await open_to(server)
            assert connection.usable and not connection.pipelining
            connection.abort()

    # The scripted server's own start_tls needs asyncio's streams, which Python 3.11 has on both loops.
    run(scenario(), loop=loop)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_implicit_tls_then_sign_in(server_tls: ssl.SSLContext, loop: str) -> None:
    async def scenario() -> None:
        async with serving(
            lambda peer: _script_in_tls(peer, None), tls="implicit", server_tls=server_tls, **SIGN_IN
        ) as server:
            connection = await open_to(server)
            assert connection.usable and connection.pipelining
            connection.abort()

    run(scenario(), loop=loop)


@pytest.mark.parametrize(("verify", "accepted"), [(True, False), (False, True)])
def test_a_certificate_nobody_vouches_for_is_refused_unless_allowed(
    tmp_path: Path, verify: bool, accepted: bool
) -> None:
    context, _ = make_certificate(tmp_path)

    async def script(peer: Peer) -> None:
        await peer.open()
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script, tls="implicit", server_tls=context, verify=verify) as server:
            if accepted:
                (await open_to(server)).abort()
            else:
                fault = await refused(server)
                assert fault.stage is Stage.CONNECT and "certificate" in fault.reason

    run(scenario())


def test_a_certificate_for_another_name_is_refused(server_tls: ssl.SSLContext) -> None:
    async def scenario() -> None:
        async with serving(_wait, tls="implicit", server_tls=server_tls) as server:
            server.address.host = "localhost"  # The certificate is for 127.0.0.1.
            fault = await refused(server)
            assert fault.stage is Stage.CONNECT and "certificate" in fault.reason

    run(scenario())


def test_plain_smtp_where_tls_was_expected_says_so() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("220 plain")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            server.address.tls = "implicit"
            fault = await refused(server)
            assert fault.stage is Stage.CONNECT and "starttls" in fault.reason

    run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_host_that_an_account_named_must_not_lead_back_inside(host: str) -> None:
    async def script(peer: Peer) -> None:
        raise AssertionError("it connected")

    async def scenario() -> None:
        async with serving(script) as server:
            server.address.host = host
            with pytest.raises(RelayUnavailable) as caught:
                await SmtpConnection.open(server.address, helo_name="us.test", timeouts=SHORT, public_only=True)
            assert caught.value.stage is Stage.CONNECT and "private network" in caught.value.reason

    run(scenario())


def test_the_address_that_was_looked_at_is_the_one_connected_to(
    server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolved once; TLS still checks the certificate against the name, which here is another one."""
    monkeypatch.setattr(handshake, "is_public_address", lambda host: host == "127.0.0.1")

    async def scenario() -> None:
        async with serving(_wait, tls="implicit", server_tls=server_tls) as server:
            loop = asyncio.get_running_loop()
            lookups = []

            async def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
                lookups.append(host)
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

            monkeypatch.setattr(loop, "getaddrinfo", resolve)
            server.address.host = "mail.example.test"
            with pytest.raises(RelayUnavailable, match=r"certificate of mail\.example\.test"):
                await SmtpConnection.open(server.address, helo_name="us.test", timeouts=SHORT, public_only=True)
            assert lookups[0] == "mail.example.test" and "mail.example.test" not in lookups[1:]

    run(scenario(), loop="asyncio")


# -- AUTH --


def test_no_password_without_tls() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("AUTH PLAIN LOGIN")
        assert await peer.until_closed() == b""

    async def scenario() -> None:
        async with serving(script, **SIGN_IN) as server:
            fault = await refused(server)
            assert fault.stage is Stage.AUTH and "plain_auth=yes" in fault.reason

    run(scenario())


@pytest.mark.parametrize(
    ("replies", "code"),
    [(["535 5.7.8 wrong"], 535), (["421 4.7.0 too many"], 421), (["454 4.7.0 later"], 454), (["334 "], 334)],
)
def test_a_refused_sign_in_carries_the_answer(replies: list[str], code: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("AUTH PLAIN")
        await peer.expect("AUTH PLAIN ")
        await peer.say(*replies)
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script, allow_plain_auth=True, **SIGN_IN) as server:
            fault = await refused(server)
            assert fault.stage is Stage.AUTH and fault.reply is not None and fault.reply.code == code

    run(scenario())


def test_a_relay_with_no_way_of_signing_in_that_we_know_is_told_apart() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("AUTH CRAM-MD5 GSSAPI")
        assert await peer.until_closed() == b""

    async def scenario() -> None:
        async with serving(script, allow_plain_auth=True, **SIGN_IN) as server:
            fault = await refused(server)
            assert fault.stage is Stage.AUTH and "CRAM-MD5" in fault.reason

    run(scenario())


class _Mailbox:
    """An aiosmtpd handler that keeps what it got."""

    def __init__(self) -> None:
        self.got: list[tuple[str | None, list[str], bytes]] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: ReceivedEnvelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.got.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 2.0.0 kept"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_another_implementation_takes_our_tls_sign_in_and_messages(server_tls: ssl.SSLContext, mechanism: str) -> None:
    """aiosmtpd as the judge: STARTTLS required, then AUTH, then messages with dots and 8-bit characters."""

    def authenticate(_s: object, _session: object, _e: object, _mechanism: str, data: LoginPassword) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"someone", SECRET.encode()), handled=False)

    mailbox = _Mailbox()
    controller = Controller(
        mailbox, hostname="127.0.0.1", port=free_port(), tls_context=server_tls, require_starttls=True, auth_required=True,
        authenticator=authenticate, auth_exclude_mechanism=["LOGIN" if mechanism == "PLAIN" else "PLAIN"],
    )  # fmt: skip
    controller.start()
    data = "Subject: grüße\r\n\r\n.\r\n..x\r\nbye\r\n".encode()

    async def scenario() -> None:
        address = RelayAddress("127.0.0.1", controller.port, tls="starttls", **SIGN_IN)  # type: ignore[arg-type]
        connection = await SmtpConnection.open(address, helo_name="us.test", timeouts=SHORT)
        for name in ("a", "b"):
            envelope = Envelope("from@example.test", f"{name}@example.test", eight_bit=True)
            result = await connection.deliver(envelope, data)
            assert result.reply is not None and result.reply.line == "250 2.0.0 kept"
        await connection.close()

    try:
        run(scenario())
    finally:
        controller.stop()
    assert mailbox.got == [("from@example.test", [f"{name}@example.test"], data) for name in ("a", "b")]
