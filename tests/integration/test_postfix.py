"""A real Postfix as the relay, and its smtp-sink with faults: outcomes are told apart by their own reply texts."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.domain.outcome import Accepted, Bounced, NotSent, Outcome, Refused, TryLater, Uncertain, decide_outcome
from app.domain.tls import client_context
from app.embedded import free_port
from app.settings import RelayAddress, TlsMode
from tests.integration.postfix_relay import SINK, SIZE_LIMIT, needs_postfix, needs_sink, running_postfix, wait_for_port
from tests.integration.smtp.scripted import run
from worker.smtp.connection import DeliveryResult, Envelope, RelayUnavailable, SmtpConnection, Timeouts

TIMEOUTS = Timeouts(greeting_s=20, ehlo_s=20, mail_s=20, rcpt_s=20, data_s=20, end_s=20)
DATA = b"Message-ID: <one@us.test>\r\nSubject: hello\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def postfix() -> Iterator[tuple[int, Path]]:
    with running_postfix() as found:
        yield found


@contextmanager
def sink(*options: str) -> Iterator[int]:
    """smtp-sink with these faults, on a free port."""
    assert SINK is not None
    port = free_port()
    identity = ("-u", "nobody") if os.geteuid() == 0 else ()
    process = subprocess.Popen([SINK, *identity, *options, f"127.0.0.1:{port}", "100"], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.kill()
        process.wait()


async def open_to(port: int, *, tls: TlsMode = "none") -> SmtpConnection:
    return await SmtpConnection.open(RelayAddress("127.0.0.1", port, tls=tls), helo_name="us.test", timeouts=TIMEOUTS)


def outcome_of(result: DeliveryResult) -> Outcome:
    reply = result.reply
    return decide_outcome(
        state=result.state, stage=result.stage, code=reply and reply.code, enhanced=reply and reply.enhanced
    )


CASES = [
    ("ada@accept.test", "from@us.test", DATA, Accepted(), "250 2.0.0 Ok: queued as"),
    ("nobody@accept.test", "from@us.test", DATA, Bounced(suppress=True), "550 5.1.1"),
    ("ada@elsewhere.test", "from@us.test", DATA, Refused(), "554 5.7.1"),
    ("grey@accept.test", "from@us.test", DATA, TryLater("recipient"), "450 4.7.1"),
    ("full@accept.test", "from@us.test", DATA, TryLater("recipient"), "452 4.2.2"),
    ("ada@accept.test", "blocked@us.test", DATA, Refused(), "554 5.7.1"),
    ("ada@accept.test", "from@us.test", DATA.replace(b"hello\r\n\r\n", b"viagra\r\n\r\n"), Refused(), "550 5.7.1"),
    ("ada@accept.test", "from@us.test", DATA + b"x\r\n" * SIZE_LIMIT, Bounced(suppress=False), "552 5.3.4"),
    ("bob@accept.test", "from@us.test", DATA + (b"y" * 70 + b"\r\n") * 4_000, Accepted(), "250 2.0.0 Ok: queued as"),
    ("bob@accept.test", "", DATA, Accepted(), "250 2.0.0 Ok: queued as"),
]


@needs_postfix
@pytest.mark.parametrize("ahead", [True, False], ids=["one ahead", "one at a time"])
@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_each_answer_of_postfix_is_told_apart_on_one_connection(
    postfix: tuple[int, Path], monkeypatch: pytest.MonkeyPatch, tls: TlsMode, ahead: bool
) -> None:
    port, folder = postfix
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "certificate.pem"))
    client_context.cache_clear()
    envelopes = [Envelope(mail_from, rcpt_to) for rcpt_to, mail_from, *_ in CASES] * 2

    async def scenario() -> None:
        connection = await open_to(port, tls=tls)
        assert connection.pipelining and connection.eight_bit_mime and connection.size_max == SIZE_LIMIT
        for number, (_, _, data, expected, start) in enumerate(CASES * 2):
            if len(data) > SIZE_LIMIT and connection.has_ahead:
                connection = await _open_again(connection)  # Refused here, before Postfix would have to.
            following = envelopes[number + 1] if ahead and number + 1 < len(envelopes) else None
            result = await connection.deliver(envelopes[number], data, ahead=following)
            assert result.reply is not None, result
            assert outcome_of(result) == expected, (number, result)
            assert result.reply.line.startswith(start), result
            assert connection.usable
        await connection.close()

    async def _open_again(connection: SmtpConnection) -> SmtpConnection:
        connection.abort()
        return await open_to(port, tls=tls)

    run(scenario())
    client_context.cache_clear()


@needs_postfix
def test_postfix_that_is_not_there_any_more_is_unavailable() -> None:
    async def scenario() -> None:
        with pytest.raises(RelayUnavailable):
            await open_to(free_port())

    run(scenario())


async def deliver_two(port: int) -> list[Outcome]:
    """Two messages, the second announced with the first, on as many connections as it takes."""
    outcomes: list[Outcome] = []
    envelopes = [Envelope("from@us.test", "a@sink.test"), Envelope("from@us.test", "b@sink.test")]
    try:
        connection = await open_to(port)
        for number, envelope in enumerate(envelopes):
            if not connection.usable:
                connection = await open_to(port)
            following = envelopes[1] if number == 0 else None
            outcomes.append(outcome_of(await connection.deliver(envelope, DATA, ahead=following)))
        await connection.close()
    except RelayUnavailable as fault:
        reply = fault.reply
        outcomes.append(
            decide_outcome(
                state="not_sent", stage=fault.stage, code=reply and reply.code, enhanced=reply and reply.enhanced
            )
        )
    return outcomes


RELAY, RECIPIENT = TryLater("relay"), TryLater("recipient")


@needs_sink
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [Accepted(), Accepted()]),
        (("-p",), [Accepted(), Accepted()]),  # PIPELINING is not offered
        (("-q", "."), [Uncertain(), Uncertain()]),
        (("-q", "data"), [NotSent(), NotSent()]),
        (("-q", "rcpt"), [NotSent(), NotSent()]),
        (("-q", "mail"), [NotSent(), NotSent()]),
        (("-q", "ehlo"), [NotSent()]),
        (("-q", "connect"), [NotSent()]),
        (("-q", "quit"), [Accepted(), Accepted()]),
        (("-Q", "."), [RELAY, RELAY]),
        (("-Q", "data"), [RELAY, RELAY]),
        (("-Q", "rcpt"), [RELAY, RELAY]),
        (("-Q", "mail"), [RELAY, RELAY]),
        (("-Q", "ehlo"), [RELAY]),
        (("-Q", "connect"), [RELAY]),
        (("-Q", "quit"), [Accepted(), Accepted()]),
        (("-r", "rcpt", "-b", "451 4.7.1 greylisted"), [RECIPIENT, RECIPIENT]),
        (("-r", ".", "-b", "451 4.3.0 disk"), [RELAY, RELAY]),
        (("-f", "rcpt", "-B", "550 5.1.1 unknown"), [Bounced(suppress=True)] * 2),
        (("-f", "rcpt", "-B", "550 5.7.1 not you"), [Refused(), Refused()]),
        (("-f", ".", "-B", "550 5.4.5 daily quota"), [Refused(), Refused()]),
        (("-f", ".", "-B", "554 5.6.0 what is this"), [Bounced(suppress=False)] * 2),
    ],
    ids=lambda value: " ".join(value) or "no fault" if isinstance(value, tuple) else "",
)
def test_each_fault_of_the_sink_has_its_outcome(options: tuple[str, ...], expected: list[Outcome]) -> None:
    with sink(*options) as port:

        async def scenario() -> None:
            assert await deliver_two(port) == expected

        run(scenario())


@needs_sink
def test_an_answer_to_the_dot_after_a_second_is_waited_for_and_sent_once() -> None:
    # -p: with PIPELINING the sink lets the answers to later commands overtake the delayed one, which no real server may.
    with sink("-p", "-W", ".:1") as port:

        async def scenario() -> None:
            began = asyncio.get_running_loop().time()
            assert await deliver_two(port) == [Accepted(), Accepted()]
            assert asyncio.get_running_loop().time() - began >= 1

        run(scenario())
