"""Delivery on one connection: what each thing that a relay can do means for the message."""

import asyncio
import socket

import pytest

from tests.integration.smtp.scripted import SHORT, Peer, run, serving
from worker.smtp.connection import DeliveryResult, Envelope, RelayUnavailable, SmtpConnection, Stage

DATA = b"Subject: hello\r\n\r\n.dots\r\n..\r\nbye\r\n"
BIG = b"Subject: big\r\n\r\n" + (b"x" * 70 + b"\r\n") * 300_000  # 21 MB: more than the system takes at once
OK3 = ("250 2.1.0 OK", "250 2.1.5 OK", "354 go on")
OFFERS = [pytest.param(("PIPELINING",), id="pipelining"), pytest.param((), id="step by step")]
LOOPS = ["uvloop", "asyncio"]


def to(name: str) -> Envelope:
    return Envelope("from@example.test", f"{name}@example.test")


async def open_to(server: object) -> SmtpConnection:
    return await SmtpConnection.open(server.address, helo_name="us.test", timeouts=SHORT)  # type: ignore[attr-defined]


async def answer_envelope(peer: Peer, offers: tuple[str, ...], replies: tuple[str, ...] = OK3) -> None:
    """Read the envelope as it has to come with these offers, and answer it."""
    commands = ("MAIL FROM:", "RCPT TO:", "DATA")
    if "PIPELINING" in offers:
        for command in commands:
            await peer.expect(command)
        await peer.say(*replies)
    else:
        for command, reply in zip(commands, replies, strict=False):
            await peer.expect(command)
            await peer.say(reply)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("offers", OFFERS)
def test_row_37_messages_arrive_byte_for_byte_in_order(offers: tuple[str, ...], loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open(*offers)
        for number in range(3):
            await answer_envelope(peer, offers)
            await peer.body()
            await peer.say(f"250 2.0.0 queued as {number}")
        await peer.expect("QUIT")
        await peer.say("221 bye")

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            for number in range(3):
                ahead = to(f"to{number + 1}") if number < 2 else None
                result = await connection.deliver(to(f"to{number}"), DATA, ahead=ahead)
                assert (result.state, result.stage) == ("replied", Stage.BODY)
                assert result.reply is not None and result.reply.line == f"250 2.0.0 queued as {number}"
            assert connection.usable and connection.answered == 3
            await connection.close()
            (peer,) = server.peers
            assert peer.bodies == [DATA.replace(b"\r\n.", b"\r\n..")] * 3
            assert [line for line in peer.lines if line.startswith("RCPT")] == [
                f"RCPT TO:<to{number}@example.test>" for number in range(3)
            ]

    run(scenario(), loop=loop)


def test_the_next_envelope_leaves_with_the_body_so_a_message_costs_one_round_trip() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.body()
        await peer.envelope()  # It is here before the body was answered.
        await peer.say("250 first", *OK3)
        await peer.body()
        await peer.say("250 second")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            first = await connection.deliver(to("a"), DATA, ahead=to("b"))
            assert first.reply is not None and first.reply.text == "first" and connection.has_ahead
            second = await connection.deliver(to("b"), DATA)
            assert second.reply is not None and second.reply.text == "second" and not connection.has_ahead
            connection.abort()

    run(scenario())


def test_a_recipient_refused_among_others_costs_only_itself() -> None:
    """RFC 2920: DATA was answered 354 although no recipient is left, so a lone dot ends it; replies stay in step."""

    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await peer.envelope()
        await peer.say(*OK3)
        await peer.body()
        await peer.envelope()
        await peer.say("250 one", "250 OK", "550 5.1.1 no such user", "354 go on")
        assert await peer.body() == b""
        await peer.envelope()
        await peer.say("554 5.5.1 no valid recipients", *OK3)
        assert await peer.body() == DATA.replace(b"\r\n.", b"\r\n..")
        await peer.say("250 three")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            results = [
                await connection.deliver(to("a"), DATA, ahead=to("b")),
                await connection.deliver(to("b"), DATA, ahead=to("c")),
                await connection.deliver(to("c"), DATA),
            ]
            assert [(result.stage, result.reply and result.reply.line) for result in results] == [
                (Stage.BODY, "250 one"), (Stage.RCPT, "550 5.1.1 no such user"), (Stage.BODY, "250 three"),
            ]  # fmt: skip
            connection.abort()

    run(scenario())


@pytest.mark.parametrize(
    ("replies", "stage", "line"),
    [
        (("250 OK", "550 5.1.1 no", "503 5.5.1 no valid recipients"), Stage.RCPT, "550 5.1.1 no"),
        (("250 OK", "451 4.7.1 later", "554 5.5.1 no valid recipients"), Stage.RCPT, "451 4.7.1 later"),
        (("550 5.7.1 not you", "503 MAIL first", "503 MAIL first"), Stage.MAIL, "550 5.7.1 not you"),
        (("250 OK", "250 OK", "451 4.3.0 disk"), Stage.DATA, "451 4.3.0 disk"),
    ],
)
@pytest.mark.parametrize("offers", OFFERS)
def test_a_refused_envelope_is_reset_and_the_next_goes_on(
    offers: tuple[str, ...], replies: tuple[str, ...], stage: Stage, line: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.open(*offers)
        if offers:
            await peer.envelope()
            await peer.say(*replies)
        else:
            for command, reply in zip(("MAIL", "RCPT", "DATA"), replies, strict=True):
                await peer.expect(command)
                await peer.say(reply)
                if reply[0] in "45":
                    break
        if offers or stage is not Stage.MAIL:
            await peer.expect("RSET")
            if not offers:
                await peer.say("250 reset")
        if offers:
            await peer.envelope()
            await peer.say("250 reset", *OK3)
        else:
            await answer_envelope(peer, offers)
        await peer.body()
        await peer.say("250 next")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            refused = await connection.deliver(to("a"), DATA, ahead=to("b"))
            assert refused == DeliveryResult("replied", stage, refused.reply)
            assert refused.reply is not None and refused.reply.line == line
            following = await connection.deliver(to("b"), DATA)
            assert following.reply is not None and following.reply.line == "250 next"
            connection.abort()

    run(scenario())


# -- the fault matrix --


@pytest.mark.parametrize("ahead", [None, to("b")], ids=["alone", "with the next envelope"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_cut_after_the_dot_is_uncertain(ahead: Envelope | None, loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.body()
        peer.cut()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(to("a"), DATA, ahead=ahead)
            assert (result.state, result.stage, result.reply) == ("uncertain", Stage.BODY, None)
            assert not connection.usable and connection.failed and result.reason
            if ahead is not None:  # Its envelope was under way, its data was not.
                assert (await connection.deliver(ahead, DATA)).state == "not_sent"

    run(scenario(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ahead", [None, to("b")], ids=["alone", "with the next envelope"])
def test_row_19_a_cut_in_the_middle_of_the_body_is_not_sent(ahead: Envelope | None, loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.reader.readexactly(100_000)
        peer.cut()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(to("a"), BIG, ahead=ahead)
            assert (result.state, result.stage) == ("not_sent", Stage.BODY)
            assert not connection.usable

    run(scenario(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_relay_that_stops_reading_times_out_and_is_not_sent(loop: str) -> None:
    async def scenario() -> None:
        has_given_up = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.open()
            await answer_envelope(peer, ())
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await has_given_up.wait()

        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(to("a"), BIG)
            assert (result.state, result.stage) == ("not_sent", Stage.BODY) and "in time" in result.reason
            has_given_up.set()

    run(scenario(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_dot_that_is_still_in_this_process_when_the_relay_goes_is_not_sent(loop: str) -> None:
    """All of the message is written, and its end waits behind a full socket: the relay cannot have seen it."""

    async def scenario() -> None:
        is_written = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.open("PIPELINING")
            await peer.envelope()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await peer.say(*OK3)
            await is_written.wait()
            peer.cut()

        async with serving(script) as server:
            connection = await open_to(server)
            wire = connection._wire
            for sock in (wire.transport.get_extra_info("socket"), server.peers[0].writer.get_extra_info("socket")):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            delivery = asyncio.create_task(connection.deliver(to("a"), BIG[:260_000] + b"\r\n", ahead=to("b")))
            while connection._dot != "watched":  # noqa: ASYNC110 - until the last write
                await asyncio.sleep(0)
            assert wire.is_held
            is_written.set()
            result = await delivery
            assert (result.state, result.stage) == ("not_sent", Stage.BODY)

    run(scenario(), loop=loop)


def test_a_long_body_arrives_whole_with_the_next_envelope_behind_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        assert await peer.reader.readexactly(len(BIG)) == BIG
        assert await peer.reader.readexactly(3) == b".\r\n"
        await peer.envelope()
        await peer.say("250 one", *OK3)
        await peer.body()
        await peer.say("250 two")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            assert (await connection.deliver(to("a"), BIG, ahead=to("b"))).state == "replied"
            assert (await connection.deliver(to("b"), DATA)).state == "replied"
            connection.abort()

    run(scenario())


@pytest.mark.parametrize("answer", ["552 5.3.4 too big", "421 4.3.2 stopping"])
def test_an_answer_in_the_middle_of_the_body_decides(answer: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.reader.readexactly(100_000)
        await peer.say(answer)
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(to("a"), BIG, ahead=to("b"))
            assert (result.state, result.stage) == ("replied", Stage.BODY)
            assert result.reply is not None and result.reply.line == answer
            assert not connection.usable and connection.was_told_to_go is answer.startswith("421")

    run(scenario())


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
@pytest.mark.parametrize("offers", OFFERS)
def test_row_20_a_cut_before_the_body_is_not_sent(offers: tuple[str, ...], stage: Stage) -> None:
    async def script(peer: Peer) -> None:
        await peer.open(*offers)
        answered = OK3[: [Stage.MAIL, Stage.RCPT, Stage.DATA].index(stage)]
        if offers:
            await peer.envelope()
            await peer.say(*answered)
            peer.writer.close()
        else:
            await answer_envelope(peer, offers, answered)
            await peer.line()
            peer.cut()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(to("a"), DATA)
            assert (result.state, result.stage) == ("not_sent", stage)
            assert not connection.usable

    run(scenario())


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BODY])
@pytest.mark.parametrize("offers", OFFERS)
def test_row_21_a_421_at_any_step_decides_and_ends_the_connection(offers: tuple[str, ...], stage: Stage) -> None:
    async def script(peer: Peer) -> None:
        await peer.open(*offers)
        order = [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BODY].index(stage)
        replies = (*OK3[:order], "421 4.3.2 stopping")
        await answer_envelope(peer, offers, replies[:3])
        if stage is Stage.BODY:
            await peer.body()
            await peer.say(replies[3])
        peer.writer.close()
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(to("a"), DATA, ahead=to("b"))
            assert (result.state, result.stage) == ("replied", stage)
            assert result.reply is not None and result.reply.line == "421 4.3.2 stopping"
            assert not connection.usable and connection.was_told_to_go
            assert (await connection.deliver(to("b"), DATA)).state == "not_sent"

    run(scenario())


def test_a_goodbye_between_messages_is_heard_before_the_next_is_tried() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.body()
        await peer.say("250 OK", "421 4.4.2 idle")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            assert (await connection.deliver(to("a"), DATA)).state == "replied"
            while connection.usable:  # noqa: ASYNC110 - until the event loop has read what came
                await asyncio.sleep(0)
            result = await connection.deliver(to("b"), DATA)
            assert result.state == "not_sent" and result.reply is not None and result.reply.code == 421

    run(scenario())


def test_row_25_a_slow_answer_is_waited_for() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.body()
        await asyncio.sleep(0.3)  # within the client's 0.5 s
        await peer.say("250 at last")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(to("a"), DATA)
            assert result.reply is not None and result.reply.text == "at last" and connection.usable
            connection.abort()

    run(scenario())


@pytest.mark.parametrize("loop", LOOPS)
def test_row_26_a_late_answer_is_never_credited_to_another_message(loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.body()
        await peer.until_closed()  # The client gives up …
        peer.writer.write(b"250 too late\r\n" * 5)  # … and hears nothing of this.

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            late = await connection.deliver(to("a"), DATA, ahead=to("b"))
            assert late.state == "uncertain" and "in time" in late.reason
            following = await connection.deliver(to("b"), DATA)
            assert following.state == "not_sent"

    run(scenario(), loop=loop)


@pytest.mark.parametrize(
    ("replies", "state"),
    [
        (("250 OK", "250 OK", "250 OK"), "not_sent"),  # DATA is answered 354 or not at all
        (("354 go on", "250 OK", "354 go on"), "not_sent"),
        (("250 OK", "250 OK", "354 go on", "250 extra"), "not_sent"),
        (("250 OK", "what?", "354 go on"), "not_sent"),
        (("250 OK", "250 OK", "354 go on", "", "354 go on"), "uncertain"),
        (("250 OK", "250 OK", "354 go on", "", "garbage"), "uncertain"),
        (("250 OK", "250 OK", "354 go on", "", "x" * 10_000_000), "uncertain"),
        (("250 OK", "250 OK", "354 go on", "", *["250-more"] * 500), "uncertain"),
    ],
    ids=["2xx to DATA", "354 to MAIL", "one too many", "garbage", "354 to the dot", "garbage to the dot", "10 MB",
         "500 lines"],
)  # fmt: skip
def test_answers_out_of_step_end_the_connection(replies: tuple[str, ...], state: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await peer.envelope()
        before, _, after = "\n".join(replies).partition("\n\n")
        await peer.say(*before.split("\n"))
        if after:
            await peer.body()
            peer.writer.write("\r\n".join([*after.split("\n"), ""]).encode())
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(to("a"), DATA)
            assert (result.state, connection.usable) == (state, False)

    run(scenario())


@pytest.mark.parametrize(("body_comes", "state"), [(True, "uncertain"), (False, "not_sent")])
def test_a_cancelled_delivery_leaves_the_truth_behind(body_comes: bool, state: str) -> None:
    async def scenario() -> None:
        has_come = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.open("PIPELINING")
            await peer.envelope()
            if body_comes:
                await peer.say(*OK3)
                await peer.body()
            has_come.set()
            await peer.until_closed()

        async with serving(script) as server:
            connection = await open_to(server)
            task = asyncio.create_task(connection.deliver(to("a"), DATA, ahead=to("b")))
            await has_come.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert connection.interrupted is not None and connection.interrupted.state == state
            assert not connection.usable and not connection.failed

    run(scenario())


def test_a_dropped_announcement_closes_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.body()
        await peer.envelope()
        await peer.say("250 OK", *OK3)
        assert await peer.until_closed() == b""

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            assert (await connection.deliver(to("a"), DATA, ahead=to("b"))).state == "replied"
            other = await connection.deliver(to("c"), DATA)
            assert other.state == "not_sent" and not connection.usable

    run(scenario())


@pytest.mark.parametrize(
    ("envelope", "data", "enhanced"),
    [
        (to("a@b.test>\r\nDATA\r\n"), DATA, "5.1.3"),
        (Envelope("f@example.test", "é@example.test", smtputf8=True), DATA, "5.6.7"),
        (Envelope("f@example.test", "a@example.test", eight_bit=True), DATA, "5.6.3"),
        (to("a"), b"a\nb\r\n", "5.6.0"),
        (to("a"), b"x\r\n" * 1_000, "5.3.4"),
    ],
)
def test_what_must_not_go_on_the_wire_is_refused_before_it(envelope: Envelope, data: bytes, enhanced: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING", "SIZE 2000")
        assert await peer.until_closed() == b""

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            result = await connection.deliver(envelope, data)
            assert result.state == "replied" and result.reply is not None and result.reply.enhanced == enhanced
            assert connection.usable
            connection.abort()

    run(scenario())


def test_extensions_are_used_when_they_are_offered() -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.body()
        await peer.say("250 OK")
        await peer.until_closed()

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            assert (connection.size_max, connection.eight_bit_mime, connection.smtputf8) == (1_000_000, True, True)
            envelope = Envelope("f@example.test", "é@example.test", eight_bit=True, smtputf8=True, size=len(DATA))
            assert (await connection.deliver(envelope, DATA)).state == "replied"
            connection.abort()
            assert server.peers[0].lines[1] == f"MAIL FROM:<f@example.test> SIZE={len(DATA)} BODY=8BITMIME SMTPUTF8"
            assert server.peers[0].lines[2] == "RCPT TO:<é@example.test>"

    run(scenario())


@pytest.mark.parametrize("ending", ["cut", "close", "silence", "500 what?"])
def test_how_quit_is_answered_changes_nothing(ending: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.open("PIPELINING")
        await answer_envelope(peer, ("PIPELINING",))
        await peer.body()
        await peer.say("250 OK")
        await peer.expect("QUIT")
        if ending == "cut":
            peer.cut()
        elif ending == "silence":
            await peer.until_closed()
        elif ending != "close":
            await peer.say(ending)

    async def scenario() -> None:
        async with serving(script) as server:
            connection = await open_to(server)
            assert (await connection.deliver(to("a"), DATA)).state == "replied"
            await connection.close()
            assert not connection.usable

    run(scenario())


def test_nobody_listening_is_a_relay_that_is_unavailable() -> None:
    async def scenario() -> None:
        async with serving(Peer.until_closed) as server:
            pass
        with pytest.raises(RelayUnavailable) as caught:
            await open_to(server)
        assert caught.value.stage is Stage.CONNECT and caught.value.reply is None

    run(scenario())
