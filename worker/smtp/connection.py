"""One connection to a relay, and the delivery of messages on it, one round trip each.

With PIPELINING (RFC 2920) the body of message k and MAIL, RCPT, DATA of message k+1 go out in one write:

    us                                         relay
    MAIL RCPT DATA (k)                    ->
                                          <-   250 250 354
    body of k, dot, MAIL RCPT DATA (k+1)  ->
                                          <-   250 (k)  250 250 354
    body of k+1, dot, …                   ->

Measured: 4 round trips 3,228 messages/s on localhost, this 11,232/s. Without PIPELINING it is one command at a time.

A connection that broke is never used again. What a break means for the message depends on the final dot alone: a dot that
cannot have left this process is `not_sent`, one that may have is `uncertain`.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal, NamedTuple

from app.settings import RelayAddress
from worker.smtp.envelope import Envelope, find_address_fault, has_bare_line_end, write_body, write_mail, write_rcpt
from worker.smtp.handshake import Extensions, open_wire
from worker.smtp.reply import RawReply, Reply
from worker.smtp.stage import RelayUnavailable, Stage, Timeouts
from worker.smtp.wire import Wire, WireBroken

__all__ = ["DeliveryResult", "Envelope", "RelayUnavailable", "SmtpConnection", "Stage", "Timeouts"]

# bytes; a body up to this is written together with what follows it. Linux takes 16 KiB into an empty socket at once, so
# such a write does not stay behind in this process.
_ONE_WRITE_SIZE_MAX = 16_384
_PIECE_SIZE = 262_144  # bytes of a long body in one write, each of which may take `block_s`
_QUIT_TIMEOUT_S = 2.0

#: Where the relay may have so many messages in doubt and does not offer CHUNKING, `records_behind`: one is on the wire, the record of
#: the one before it is on its way, and two more may be marked.
BEHIND_IN_FLIGHT = 4

State = Literal["replied", "not_sent", "uncertain"]

# Where the end of the data is: not written yet; written last, so that it is here as long as the wire holds bytes; or
# perhaps on its way.
Dot = Literal["here", "watched", "gone"]


class DeliveryResult(NamedTuple):
    """How the conversation about one message ended.

    state   replied: the server's answer decided, whatever it was. not_sent: the end of the data never left this process.
            uncertain: the end of the data may have left, and no answer came.
    stage   where it was decided or broken off.
    reply   the deciding answer; with not_sent, what the server said on closing, if anything.
    reason  for people, when there is no deciding answer.
    """

    state: State
    stage: Stage
    reply: Reply | None = None
    reason: str = ""


class _Refused(Exception):
    """The server's answer to a command of the envelope decided about the message."""

    def __init__(self, stage: Stage, raw: RawReply) -> None:
        super().__init__(stage)
        self.stage = stage
        self.reply = Reply.from_wire(raw)


class SmtpConnection:
    """An open connection. One task at a time; `deliver` one message after another while `usable`."""

    @classmethod
    async def open(
        cls, address: RelayAddress, *, helo_name: str, timeouts: Timeouts | None = None, public_only: bool = False
    ) -> "SmtpConnection":
        """Connect, encrypt and sign in. Raises RelayUnavailable.

        public_only  for a host that an account named: see `open_wire`.
        """
        timeouts = timeouts or Timeouts()
        wire, offered = await open_wire(address, helo_name=helo_name, timeouts=timeouts, public_only=public_only)
        connection = cls(wire, offered, timeouts)
        if offered.chunking and offered.pipelining:
            connection.in_flight_max = address.in_flight
        elif offered.pipelining:
            connection.records_behind = address.in_flight >= BEHIND_IN_FLIGHT
        return connection

    def __init__(self, wire: Wire, offered: Extensions, timeouts: Timeouts) -> None:
        self._wire, self._offered, self._timeouts = wire, offered, timeouts
        self.pipelining = offered.pipelining
        self.eight_bit_mime = offered.eight_bit_mime
        self.smtputf8 = offered.smtputf8
        self.size_max = offered.size_max
        self.chunking = offered.chunking
        self.in_flight_max = 1  # more: `worker.smtp.chunked` may be used
        self.records_behind = False  # the next body may leave before the result of the one before it is recorded
        self._announced: Envelope | None = None  # its MAIL, RCPT and DATA are written
        self._unread = 0  # replies before the announced envelope's that decide nothing: to RSET, to a lone dot
        self._needs_reset = False  # the server holds a MAIL that came to nothing
        self._stage = Stage.MAIL  # where the message under way is
        self._dot: Dot = "here"
        self.interrupted: DeliveryResult | None = None  # how a cancelled `deliver` ended
        self.was_told_to_go = False  # a 421 was read: back off
        self.failed = False  # it broke under a message, by the server's doing
        self.answered = 0  # messages that an answer decided

    @property
    def usable(self) -> bool:
        return not self._wire.is_broken

    @property
    def why(self) -> str:
        """Why it is not usable any more, for people."""
        return self._wire.why

    @property
    def wire(self) -> Wire:
        return self._wire

    @property
    def timeouts(self) -> Timeouts:
        return self._timeouts

    @property
    def has_ahead(self) -> bool:
        """An envelope is announced: the next `deliver` must be for it, or `drop_ahead` be called."""
        return self._announced is not None

    async def deliver(
        self, envelope: Envelope, data: bytes, *, ahead: Envelope | None = None,
        may_send: Callable[[], bool] = lambda: True, meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> DeliveryResult:  # fmt: skip
        """Send one message.

        data    CRLF lines, not dot-stuffed.
        ahead   the next message's envelope, which `deliver` will be called with next: its commands leave together with
                this body. Ignored without PIPELINING. Its DATA cannot be taken back: see `drop_ahead`.
        may_send  asked when the relay is ready for the body, with nothing between the answer and the write. If not, the
                connection is closed and the message is `not_sent`.
        meanwhile  awaited when the body has left, before its answer is: what is done there keeps no message back. Not
                   called when no body leaves.

        Returns  always, except on cancellation: then the connection is closed, `interrupted` holds what is true of this
                 message, and CancelledError goes on.
        """
        self._stage, self._dot, self.interrupted = Stage.MAIL, "here", None
        refusal = self.find_refusal(envelope, data)
        if refusal is not None:
            return refusal
        try:
            await self._settle_envelope(envelope)
            if not may_send():
                self._wire.abort("it may not be sent any more")
                return self._broken_off()
            # Also of data that is vouched for: a dot that is the end of the data for the relay alone lets in commands of
            # whoever wrote what follows it. The look takes 2 µs.
            reply = await self._send_body(write_body(data), ahead, meanwhile)
        except _Refused as refused:
            return self._replied(refused.stage, refused.reply, ahead)
        except WireBroken:
            self.failed = True
            return self._broken_off()
        except BaseException:  # Cancelled, mostly. Whatever it is, the replies still owed must not be read by another.
            self._wire.abort("given up while under way")
            self.interrupted = self._broken_off()
            raise
        return self._replied(Stage.BODY, Reply.from_wire(reply), None)

    def drop_ahead(self) -> None:
        """Give up an announced envelope. Closes the connection, since a DATA cannot be taken back."""
        if self._announced is not None:
            self._announced = None
            self._wire.abort("an announced message was given up")

    async def close(self) -> None:
        """Say QUIT when the connection is at rest, and close. Its answer changes nothing."""
        if self.usable and not self.has_ahead and not self._unread and self._wire.is_quiet:
            try:
                self._wire.send(b"QUIT\r\n", replies=1)
                await self._wire.next_reply(_QUIT_TIMEOUT_S)
            except WireBroken:
                return
        await self._wire.close(_QUIT_TIMEOUT_S)

    def abort(self) -> None:
        """Close at once."""
        self._wire.abort("closed by this side")

    # -- the envelope --

    def write_mail(self, envelope: Envelope) -> bytes:
        return write_mail(envelope, offers_size=self._offered.size)

    def find_refusal(self, envelope: Envelope, data: bytes) -> DeliveryResult | None:
        """What the relay could only refuse, or must never see, is refused here in the words a server would use."""
        if self._announced is not None and self._announced != envelope:
            self.drop_ahead()
            return DeliveryResult("not_sent", Stage.MAIL, None, "another message was announced on this connection")
        if not self.usable:
            return self._broken_off()
        reply = (self._find_fault(envelope) if self._announced is None else None) or self._find_data_fault(
            envelope, data
        )
        if reply is None:
            return None
        self.drop_ahead()
        return DeliveryResult("replied", Stage.MAIL, reply, "decided before sending")

    def _find_fault(self, envelope: Envelope) -> Reply | None:
        fault = find_address_fault(envelope)
        if fault:
            return Reply(501, f"5.1.3 {fault}")
        if envelope.smtputf8 and not self.smtputf8:
            return Reply(553, "5.6.7 the relay does not offer SMTPUTF8, which this address needs")
        if envelope.eight_bit and not self.eight_bit_mime:
            return Reply(554, "5.6.3 the relay does not offer 8BITMIME, which this message needs")
        return None

    def _find_data_fault(self, envelope: Envelope, data: bytes) -> Reply | None:
        if self.size_max is not None and len(data) > self.size_max:
            return Reply(552, f"5.3.4 the message has {len(data)} bytes, the relay takes {self.size_max}")
        if not envelope.is_canonical and has_bare_line_end(data):
            return Reply(554, "5.6.0 the message has a bare CR or LF")
        return None

    async def _settle_envelope(self, envelope: Envelope) -> None:
        """Come to the 354. Raises _Refused when the server refused the message on the way there."""
        if not self.pipelining:
            await self._settle_step_by_step(envelope)
            return
        if self._announced is None:
            self._announce(b"", envelope)
        await self._settle_unread()
        mail = await self._read(Stage.MAIL, self._timeouts.mail_s)
        if mail[0] // 100 != 2:
            await self._finish_refused(Stage.MAIL, mail)
        rcpt = await self._read(Stage.RCPT, self._timeouts.rcpt_s)
        if rcpt[0] // 100 != 2:
            await self._finish_refused(Stage.RCPT, rcpt)
        answer = await self._read(Stage.DATA, self._timeouts.data_s)
        self._announced = None
        if answer[0] != 354:
            self._needs_reset = True
            raise _Refused(Stage.DATA, answer)

    async def _settle_step_by_step(self, envelope: Envelope) -> None:
        if self._needs_reset:
            self._needs_reset = False
            await self._ask(Stage.MAIL, b"RSET\r\n", self._timeouts.mail_s)
        steps = (
            (Stage.MAIL, self.write_mail(envelope), self._timeouts.mail_s),
            (Stage.RCPT, write_rcpt(envelope), self._timeouts.rcpt_s),
            (Stage.DATA, b"DATA\r\n", self._timeouts.data_s),
        )
        for stage, command, timeout_s in steps:
            answer = await self._ask(stage, command, timeout_s)
            if answer[0] >= 400:
                self._needs_reset = stage is not Stage.MAIL
                raise _Refused(stage, answer)

    async def _ask(self, stage: Stage, command: bytes, timeout_s: float) -> RawReply:
        self._wire.send(command, replies=1)
        return await self._read(stage, timeout_s)

    def _announce(self, before: bytes, envelope: Envelope) -> bool:
        """Write an envelope's commands after `before`, whose own replies the caller has already accounted for."""
        reset = b"RSET\r\n" if self._needs_reset else b""
        if self._needs_reset:
            self._needs_reset = False
            self._unread += 1
        mail = self.write_mail(envelope)
        written = self._wire.send(
            b"".join((before, reset, mail, write_rcpt(envelope), b"DATA\r\n")), replies=3 + bool(reset)
        )
        self._announced = envelope if written else None
        return written

    async def _settle_unread(self) -> None:
        while self._unread:
            await self._read(None, self._timeouts.end_s)
            self._unread -= 1

    async def _finish_refused(self, stage: Stage, answer: RawReply) -> None:
        """Read what is still owed for a refused envelope, then raise _Refused."""
        self._announced = None
        if answer[0] != 421:
            with suppress(WireBroken):  # The server's answer about this message stands.
                await self._finish_group(stage)
        raise _Refused(stage, answer)

    async def _finish_group(self, stage: Stage) -> None:
        if stage is Stage.MAIL:
            await self._read(None, self._timeouts.rcpt_s)
        data = await self._read(None, self._timeouts.data_s)
        if data[0] != 354:
            self._needs_reset = True
        elif stage is Stage.MAIL:
            self._wire.abort("the server wants data for a sender that it refused")
        else:
            # RFC 2920 § 3.1: no recipient is left, so an empty message ends what cannot be taken back.
            self._unread += 1
            self._wire.send(b".\r\n", replies=1)

    # -- the data --

    async def _send_body(
        self, body: bytes, ahead: Envelope | None, meanwhile: Callable[[], Awaitable[None]] | None
    ) -> RawReply:
        """Write the body (and the next envelope) and return the reply to the final dot."""
        self._stage = Stage.BODY
        if ahead is not None and not (self.pipelining and self._find_fault(ahead) is None):
            ahead = None
        if len(body) > _ONE_WRITE_SIZE_MAX:
            await self._write_in_pieces(body)
            if self._wire.is_held:
                return await self._read_early_answer()
            self._dot = "gone"
            if ahead is not None:
                self._announce(b"", ahead)
        elif ahead is not None:
            self._wire.owed += 1  # for the dot, before those to the announced commands
            if self._announce(body, ahead):
                self._dot = "gone"
        elif self._wire.send(body, replies=1):
            self._dot = "watched"
        if meanwhile is not None:
            await meanwhile()
        return await self._read(Stage.BODY, self._timeouts.end_s)

    async def _write_in_pieces(self, body: bytes) -> None:
        last = max(0, (len(body) - 1) // _PIECE_SIZE) * _PIECE_SIZE
        if len(body) - last < 3:  # The dot's three bytes stay in one write, so that `is_held` speaks of them.
            last -= _PIECE_SIZE
        for start in range(0, last, _PIECE_SIZE):
            self._wire.send(body[start : start + _PIECE_SIZE], replies=0)
            await self._wire.until_written(self._timeouts.block_s)
            if self._wire.is_broken:
                raise WireBroken(self._wire.why)
        if self._wire.send(body[last:], replies=1):
            self._dot = "watched"
        await self._wire.until_written(self._timeouts.block_s)

    async def _read_early_answer(self) -> RawReply:
        """The server answered while the end of the data was still here: no reason to send the rest."""
        answer = await self._read(Stage.BODY, self._timeouts.end_s)
        self._wire.abort("the server answered before the end of the data")
        if answer[0] < 400:
            raise WireBroken(self._wire.why)
        return answer

    # -- replies --

    async def _read(self, stage: Stage | None, timeout_s: float) -> RawReply:
        """Read the next reply, note a 421, and break the wire over one that cannot be an answer to this command."""
        if stage is not None:
            self._stage = stage
        raw = await self._wire.next_reply(timeout_s)
        code = raw[0]
        if code == 421:
            self.was_told_to_go = True
            self._wire.abort("the relay said 421")
        elif stage is not None and _is_out_of_step(stage, code):
            self._wire.abort(f"the relay answered {code} to {stage}, which is out of step")
            raise WireBroken(self._wire.why)
        return raw

    def _replied(self, stage: Stage, reply: Reply, ahead: Envelope | None) -> DeliveryResult:
        """The server decided. When it refused before the body, `ahead` goes out now: nothing else would carry it."""
        if ahead is not None and self.pipelining and self.usable and self._find_fault(ahead) is None:
            self._announce(b"", ahead)
        self.answered += 1
        return DeliveryResult("replied", stage, reply)

    def _broken_off(self) -> DeliveryResult:
        """No answer decided. What is true of the message depends on whether the final dot can have left."""
        wire = self._wire
        self._announced = None
        if wire.farewell is not None and wire.farewell.code == 421:
            self.was_told_to_go = True
        if self._dot == "gone" or (self._dot == "watched" and not wire.is_held):
            return DeliveryResult("uncertain", self._stage, None, wire.why)
        if wire.farewell is not None and wire.farewell.code >= 400 and self._stage is Stage.BODY:
            # An answer in the middle of the body, whose end never left: the server's decision about this message.
            return DeliveryResult("replied", Stage.BODY, wire.farewell)
        return DeliveryResult("not_sent", self._stage, wire.farewell, wire.why)


def _is_out_of_step(stage: Stage, code: int) -> bool:
    """A code that cannot answer this command, so that replies and commands have lost each other."""
    return code < 400 and code != 354 if stage is Stage.DATA else 300 <= code < 400
