"""Several messages in flight on one connection, into a real Postfix: each reply is matched to its message."""

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from app.settings import RelayAddress
from tests.integration.postfix_relay import needs_postfix, running_postfix
from worker.smtp.chunked import ChunkedStream
from worker.smtp.connection import DeliveryResult, Envelope, SmtpConnection, Timeouts
from worker.smtp.wire import Wire

Answer = TypeVar("Answer")
TIMEOUTS = Timeouts(greeting_s=20, ehlo_s=20, mail_s=20, rcpt_s=20, data_s=20, end_s=20)
DATA = b"Message-ID: <one@us.test>\r\nSubject: hello\r\n\r\n.a line with a dot\r\n..\r\n.\r\nhello\r\n"


@pytest.fixture(scope="module")
def postfix() -> Iterator[tuple[int, Path]]:
    with running_postfix() as found:
        yield found


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(asyncio.wait_for(work, 20))


async def open_to(port: int, *, in_flight: int = 10) -> SmtpConnection:
    address = RelayAddress("127.0.0.1", port, tls="none", in_flight=in_flight)
    return await SmtpConnection.open(address, helo_name="us.test", timeouts=TIMEOUTS)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, offered: bytes) -> None:
    """As a relay of our own does; what it is told after that is the test's."""
    writer.write(b"220 relay\r\n")
    await reader.readuntil(b"\r\n")
    writer.write(b"250-relay\r\n" + offered)


async def deliver_all(connection: SmtpConnection, recipients: list[str]) -> list[DeliveryResult]:
    """Write all before reading any reply."""
    stream = ChunkedStream(connection)
    assert stream.submit([(Envelope("news@us.test", recipient), DATA) for recipient in recipients]) == [None] * len(
        recipients
    )
    return [await stream.next_delivery() for _ in recipients]


@needs_postfix
def test_replies_are_matched_in_order_and_a_refusal_spoils_no_other_message(postfix: tuple[int, Path]) -> None:
    recipients = [
        "ada@accept.test",
        "x@elsewhere.test",
        "grey@accept.test",
        "nobody@accept.test",
        "bob@accept.test",
    ] * 3

    async def work() -> list[DeliveryResult]:
        connection = await open_to(postfix[0])
        assert connection.in_flight_max == 10
        results = await deliver_all(connection, recipients)
        assert connection.usable
        await connection.close()
        return results

    results = run(work())
    words = [(result.state, str(result.stage), result.reply.code if result.reply else 0) for result in results]
    accepted, refused, later = ("replied", "body", 250), ("replied", "rcpt", 554), ("replied", "rcpt", 450)
    unknown = ("replied", "rcpt", 550)
    assert words == [accepted, refused, later, unknown, accepted] * 3


@needs_postfix
def test_a_connection_with_messages_in_flight_goes_on_with_data_afterwards(postfix: tuple[int, Path]) -> None:
    async def work() -> DeliveryResult:
        connection = await open_to(postfix[0])
        await deliver_all(connection, ["ada@accept.test", "x@elsewhere.test"])
        result = await connection.deliver(Envelope("news@us.test", "bob@accept.test"), DATA)
        await connection.close()
        return result

    result = run(work())
    assert (result.state, result.reply.code if result.reply else 0) == ("replied", 250)


def test_when_the_connection_breaks_what_is_in_flight_is_uncertain_and_after_a_421_not_sent() -> None:
    async def work(last_words: bytes) -> list[str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer, b"250-PIPELINING\r\n250 CHUNKING\r\n")
            for _ in range(3):
                await reader.readuntil(b"LAST\r\n")
            writer.write(b"250 reset\r\n250 mail\r\n250 rcpt\r\n250 accepted\r\n" + last_words)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            connection = await open_to(server.sockets[0].getsockname()[1])
            results = await deliver_all(connection, ["ada@accept.test", "bob@accept.test", "c@accept.test"])
            assert not connection.usable
            return [result.state for result in results]

    assert run(work(b"")) == ["replied", "uncertain", "uncertain"]
    assert run(work(b"421 4.3.2 closing\r\n")) == ["replied", "not_sent", "not_sent"]


def test_small_messages_leave_in_one_write_and_what_cannot_leave_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = Wire.send

    def watched(self: Wire, data: bytes, *, replies: int) -> bool:
        written.append(data)
        return write(self, data, replies=replies)

    async def work() -> list[str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer, b"250-PIPELINING\r\n250-SIZE 100000\r\n250 CHUNKING\r\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            connection = await open_to(server.sockets[0].getsockname()[1])
            stream = ChunkedStream(connection)
            monkeypatch.setattr(Wire, "send", watched)
            sizes = [2_000, 200_000, 3_000, 40_000, 40_000, 1_000]  # the second is more than the relay takes
            small = [(Envelope("news@us.test", f"{size}@accept.test"), b"x\r\n" * (size // 3)) for size in sizes]
            words = [decided and decided.reply and decided.reply.code for decided in stream.submit(small)]
            assert words == [None, 552, None, None, None, None]
            assert [data.count(b" LAST\r\n") for data in written] == [4, 1]
            assert stream.in_flight == 5
            connection.abort()
            return [decided.state if decided else "" for decided in stream.submit(small)]

    assert run(work()) == ["not_sent"] * 6


def test_waiting_for_answers_ends_with_so_many_of_them_when_told_or_with_the_connection() -> None:
    accepted = b"250 reset\r\n250 mail\r\n250 rcpt\r\n250 accepted\r\n"

    async def work() -> None:
        go_on = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer, b"250-PIPELINING\r\n250 CHUNKING\r\n")
            for _ in range(3):
                await reader.readuntil(b"LAST\r\n")
            writer.write(accepted)
            await go_on.wait()
            go_on.clear()
            writer.write(accepted)
            await go_on.wait()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            connection = await open_to(server.sockets[0].getsockname()[1])
            stream = ChunkedStream(connection)
            assert (
                stream.submit([(Envelope("news@us.test", f"{name}@accept.test"), DATA) for name in "abc"]) == [None] * 3
            )
            never, soon = asyncio.Future[None](), asyncio.Future[None]()
            await stream.until_answers(1, or_until=never)
            assert stream.has_answer
            asyncio.get_running_loop().call_soon(soon.set_result, None)
            await stream.until_answers(2, or_until=soon)
            assert connection.wire.unread == 4
            waiting = asyncio.create_task(stream.until_answers(2, or_until=never))
            await asyncio.sleep(0)
            go_on.set()
            await waiting
            assert connection.wire.unread == 8
            go_on.set()
            await stream.until_answers(3, or_until=never)
            assert not connection.usable
            assert [(await stream.next_delivery()).state for _ in range(3)] == ["replied", "replied", "uncertain"]

    run(work())


def test_without_chunking_or_without_being_asked_one_message_is_under_way_at_a_time() -> None:
    async def work(offered: bytes, in_flight: int) -> tuple[int, bool]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer, offered)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            connection = await open_to(server.sockets[0].getsockname()[1], in_flight=in_flight)
            connection.abort()
            return connection.in_flight_max, connection.records_behind

    # With PIPELINING alone a connection that may have four in doubt records one while the next is under way.
    assert run(work(b"250 PIPELINING\r\n", 10)) == (1, True)
    assert run(work(b"250 PIPELINING\r\n", 4)) == (1, True)
    assert run(work(b"250 PIPELINING\r\n", 3)) == (1, False)
    assert run(work(b"250 CHUNKING\r\n", 10)) == (1, False)
    assert run(work(b"250-PIPELINING\r\n250 CHUNKING\r\n", 1)) == (1, False)
    assert run(work(b"250-PIPELINING\r\n250 CHUNKING\r\n", 10)) == (10, False)
