"""A relay behind a real `Wire`: what it accepted is written down before it answers, as a sink's log is."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from tests.chaos.exhaustive.world import Process, World
from worker.smtp.connection import SmtpConnection
from worker.smtp.handshake import Extensions
from worker.smtp.reply import RawReply
from worker.smtp.stage import Timeouts
from worker.smtp.wire import Wire

#: How a connection sends: by command and reply, or with PIPELINING, whose results may be recorded behind the next body.
Manner = Literal["step by step", "pipelining", "records behind"]
MANNERS: tuple[Manner, ...] = get_args(Manner)
#: What the relay does with one message. lost_reply: accepted, then the connection ends. silent: accepted, and no answer
#: ever. cut: the connection ends as the body comes, which is not kept. goodbye: 421 to RCPT.
Answer = Literal["accept", "later", "refuse", "later_after_body", "lost_reply", "silent", "cut", "goodbye"]
#: After which nobody here can know whether the message was accepted.
IN_DOUBT: frozenset[Answer] = frozenset({"lost_reply", "silent", "cut"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """One line of the log. at_s: virtual. marks: how many marks its message had by then."""

    recipient: str
    message_id: str
    at_s: float
    process: str


@dataclass
class Relay:
    """Answers by recipient, one after another; then it accepts."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    accepted: list[Accepted] = field(default_factory=list)
    doubts: int = 0

    def next_answer(self, recipient: str) -> Answer:
        planned = self.answers.get(recipient)
        answer: Answer = planned.pop(0) if planned else "accept"
        self.doubts += answer in IN_DOUBT
        return answer


class Conversation(asyncio.Transport):
    """The server's side of one connection, and the transport that the product's `Wire` writes to."""

    def __init__(self, world: World, process: Process, relay: Relay) -> None:
        super().__init__()
        self._world, self._process, self._relay = world, process, relay
        self._buffer = b""
        self._in_data = False
        self._mail: Answer | None = None
        self._recipient = ""
        self._has_mail = self._has_rcpt = False
        self.replies: deque[bytes] = deque()
        self.is_closed = False  # by us
        self.has_left = False  # the relay closed; we learn of it when we read
        self.is_silent = False

    # -- asyncio.Transport, as far as Wire uses it --

    def write(self, data: Any) -> None:
        if self.is_closed or self.has_left or not self._process.is_alive:
            return
        self._buffer += bytes(data)
        while not self.has_left and self._take():
            pass

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever held back here."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    # -- the relay --

    def _take(self) -> bool:
        if self._in_data:
            if self._buffer.startswith(b".\r\n"):
                data, self._buffer = b"", self._buffer[3:]
            elif (at := self._buffer.find(b"\r\n.\r\n")) >= 0:
                data, self._buffer = self._buffer[:at], self._buffer[at + 5 :]
            else:
                return False
            self._end_of_data(data)
            return True
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        self._command(line)
        return True

    def _say(self, line: str) -> None:
        if not self.is_silent:
            self.replies.append(line.encode() + b"\r\n")

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"MAIL":
            self._has_mail, self._has_rcpt = True, False
            self._say("250 2.1.0 OK")
        elif verb == b"RCPT":
            self._rcpt(line[line.index(b"<") + 1 : line.index(b">")].decode())
        elif verb == b"DATA":
            if self._has_rcpt:
                self._in_data = True
                self._say("354 go on")
            else:
                self._say("503 5.5.1 no recipient")
        elif verb == b"RSET":
            self._has_mail = self._has_rcpt = False
            self._say("250 2.0.0 OK")
        else:
            self._say("221 2.0.0 bye")
            self.has_left = verb == b"QUIT"

    def _rcpt(self, recipient: str) -> None:
        self._recipient = recipient
        self._mail = self._relay.next_answer(recipient)
        if self._mail == "later":
            self._say("450 4.2.0 greylisted")
        elif self._mail == "refuse":
            self._say("550 5.1.1 no such user")
        elif self._mail == "goodbye":
            self._say("421 4.3.2 closing")
            self.has_left = True
        else:
            self._has_rcpt = True
            self._say("250 2.1.5 OK")

    def _end_of_data(self, data: bytes) -> None:
        self._in_data = False
        if self._mail in ("accept", "lost_reply", "silent"):
            self._keep(data)
        if self._mail == "accept":
            self._say("250 2.0.0 queued")
        elif self._mail == "later_after_body":
            self._say("451 4.3.0 try again")
        elif self._mail == "silent":
            self.is_silent = True
        else:
            self.has_left = True

    def _keep(self, data: bytes) -> None:
        head = data.partition(b"\r\n\r\n")[0]
        message_id = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"message-id:"))
        self._relay.accepted.append(
            Accepted(self._recipient, message_id.decode(), self._world.clock_s, self._process.name)
        )


class GatedWire(Wire):
    """A wire whose replies come through a gate, all that are on their way at once."""

    def __init__(self, world: World, process: Process, relay: Relay) -> None:
        super().__init__()
        self._world, self._process = world, process
        self._far = Conversation(world, process, relay)
        self.owed = 0  # the greeting is behind us
        self.connection_made(self._far)

    async def next_reply(self, timeout_s: float) -> RawReply:
        if not self._replies and not self.is_broken:
            await self._world.pass_gate(self._process, "smtp reply", self._receive)
        return await super().next_reply(timeout_s)

    def _receive(self) -> None:
        while self._far.replies:
            self.data_received(self._far.replies.popleft())
        if self._replies or self.is_broken:
            return
        if self._far.has_left:
            self.connection_lost(None)
        elif self._far.is_silent:
            self.abort("the server did not answer in time")

    async def close(self, timeout_s: float) -> None:
        self.abort("closed by this side")


async def open_connection(world: World, process: Process, relay: Relay, manner: Manner) -> SmtpConnection:
    def connect() -> SmtpConnection:
        wire = cast(Wire, GatedWire(world, process, relay))
        opened = SmtpConnection(wire, Extensions(pipelining=manner != "step by step"), Timeouts())
        opened.records_behind = manner == "records behind"
        return opened

    connection: SmtpConnection = await world.pass_gate(process, "smtp connect", connect)
    return connection
