"""The SMTP sandbox: takes Mailtide's own mail and shows it in the Inbox page. `python -m worker.sandbox`.

A message is in the `inbox` table, committed, before its final dot is answered. Whose it is, its Message-ID says; a
stranger's mail is refused. Some recipients behave badly on purpose, so that people can see what happens then:

    …@bounce.test   550 5.1.1 at RCPT             …@later.test   451 4.7.1 to the first try of each message
    …@slow.test     every answer to the final dot takes two seconds

Only CRLF, dot, CRLF ends a message: a bare CR or LF beside a dot is data, so nothing can be smuggled behind it.
"""

import asyncio
import email.errors
import email.header
import re
import signal
import sys
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import cast

import structlog
import uvloop

from app.settings import ConfigError, load_settings
from worker import logs
from worker.sandbox_store import Arrival, SandboxStore, Verdict

MESSAGE_SIZE_MAX = 10_485_760  # bytes
_COMMAND_SIZE_MAX = 2_048  # bytes; RFC 5321 says 512, MAIL with extensions may be longer
_AHEAD_SIZE_MAX = 1_048_576  # bytes read from a client that does not wait for an answer
_CONNECTIONS_MAX = 1_000
_IDLE_MAX_S = 300.0
_SWEEP_EVERY_S = 30.0
_SUBJECT_SIZE_MAX = 998
_LATER_REMEMBERED_MAX = 200_000
_SLOW_S = 2.0
_STOP_MAX_S = 5.0
_READY_MAX_S = 5.0  # how long a start waits for the database, so that the first client is not told to come again

_MAIL = re.compile(rb"MAIL FROM:\s*<([^<>]*)>(.*)", re.IGNORECASE)
_RCPT = re.compile(rb"RCPT TO:\s*<([^<>]+)>", re.IGNORECASE)
_SIZE = re.compile(rb"\sSIZE=(\d{1,18})(?:\s|$)", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"^message-id:\s*<(msg_[0-9A-Za-z]{22})@", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(rb"^subject:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)

_GREETING = b"220 sandbox.invalid ESMTP Mailtide sandbox\r\n"
_EHLO = (
    b"250-sandbox.invalid\r\n250-PIPELINING\r\n250-SIZE %d\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
    % MESSAGE_SIZE_MAX
)
_ANSWERS = {
    Verdict.STORED: b"250 2.0.0 OK, in the inbox\r\n",
    Verdict.UNKNOWN: b"550 5.7.1 this sandbox takes only Mailtide's own mail\r\n",
    Verdict.AWAY: b"451 4.3.0 the inbox cannot be reached, try again later\r\n",
}

log = structlog.get_logger("sandbox")


class Sandbox:
    """The server. `port` 0 takes a free one; `start` sets the real one."""

    def __init__(self, store: SandboxStore, *, host: str, port: int) -> None:
        self.store, self.host, self.port = store, host, port
        self.sessions: set[Session] = set()
        self._tried: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.store.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_MAX_S):
                await self.store.wait_until_ready()
        self._server = await loop.create_server(lambda: Session(self), self.host, self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = loop.create_task(self._close_idle())

    async def stop(self) -> None:
        """Take no more connections, answer what was received, close."""
        assert self._server is not None and self._sweeper is not None
        self._server.close()
        self._sweeper.cancel()
        await self.store.stop()
        for session in list(self.sessions):
            session.say_goodbye(b"421 4.3.2 the sandbox is stopping\r\n")

    def is_first_try(self, rcpt_to: str, message_id: int) -> bool:
        """Whether this message came to this recipient for the first time, as far as we remember."""
        key = (rcpt_to, message_id)
        if key in self._tried:
            return False
        self._tried[key] = None
        if len(self._tried) > _LATER_REMEMBERED_MAX:
            self._tried.popitem(last=False)
        return True

    async def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            for session in list(self.sessions):
                if loop.time() - session.active_at_s > _IDLE_MAX_S:
                    session.say_goodbye(b"421 4.4.2 idle for too long\r\n")


class Session(asyncio.Protocol):
    """One client. Commands are worked off as they come, answers leave together; a final dot waits for its commit, and what
    was pipelined behind it waits too."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer in which no end of the data was found
        self._answers: list[bytes] = []
        self._is_reading_data = False
        self._is_discarding = False  # the message is too large: read on to its end, keep nothing
        self._is_storing = False
        self._is_stuck = False  # the client does not read our answers
        self._slow: tuple[asyncio.TimerHandle, Verdict] | None = None
        self._mail_from: str | None = None
        self._rcpt_to: str | None = None
        self.active_at_s = self._loop.time()

    # -- what the event loop calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._sandbox.sessions) >= _CONNECTIONS_MAX:
            self.say_goodbye(b"421 4.3.2 too many connections\r\n")
            return
        self._sandbox.sessions.add(self)
        self._transport.write(_GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sandbox.sessions.discard(self)
        self._buffer.clear()

    def data_received(self, data: bytes) -> None:
        self.active_at_s = self._loop.time()
        self._buffer += data
        if self._is_storing:
            if len(self._buffer) > _AHEAD_SIZE_MAX:
                self._transport.pause_reading()
            return
        self._work()

    def pause_writing(self) -> None:
        self._is_stuck = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_stuck = False
        self._go_on()

    def say_goodbye(self, words: bytes) -> None:
        if self._slow is not None:  # What is stored gets its answer before we go.
            timer, verdict = self._slow
            timer.cancel()
            self._answer(verdict)
        if not self._transport.is_closing():
            self._transport.write(words)
            self._transport.close()

    # -- working off what came --

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
            if not self._is_storing:
                self._work()

    def _work(self) -> None:
        while not (self._is_storing or self._is_stuck or self._transport.is_closing()):
            if not (self._take_data() if self._is_reading_data else self._take_command()):
                break
        if self._answers and not self._transport.is_closing():
            self._transport.write(b"".join(self._answers))
        self._answers.clear()

    def _take_command(self) -> bool:
        end = self._buffer.find(b"\n", 0, _COMMAND_SIZE_MAX)
        if end < 0:
            if len(self._buffer) >= _COMMAND_SIZE_MAX:
                self._close_after(b"500 5.5.2 line too long\r\n")
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r"):
            self._close_after(b"500 5.5.2 lines end with CRLF\r\n")
            return False
        self._obey(line[:-1])
        return True

    def _obey(self, line: bytes) -> None:
        match line[:4].upper():
            case b"MAIL":
                self._take_mail(line)
            case b"RCPT":
                self._take_rcpt(line)
            case b"DATA":
                self._start_data()
            case b"EHLO":
                self._reset()
                self._answers.append(_EHLO)
            case b"HELO":
                self._reset()
                self._answers.append(b"250 sandbox.invalid\r\n")
            case b"RSET":
                self._reset()
                self._answers.append(b"250 2.0.0 OK\r\n")
            case b"NOOP":
                self._answers.append(b"250 2.0.0 OK\r\n")
            case b"VRFY":
                self._answers.append(b"252 2.5.0 send it and see\r\n")
            case b"QUIT":
                self._close_after(b"221 2.0.0 bye\r\n")
            case _:
                self._answers.append(b"502 5.5.1 command not known\r\n")

    def _take_mail(self, line: bytes) -> None:
        found = _MAIL.fullmatch(line)
        if self._mail_from is not None:
            self._answers.append(b"503 5.5.1 one MAIL at a time\r\n")
        elif found is None:
            self._answers.append(b"501 5.5.4 write MAIL FROM:<address>\r\n")
        elif (size := _SIZE.search(found[2])) and int(size[1]) > MESSAGE_SIZE_MAX:
            self._answers.append(b"552 5.3.4 larger than %d bytes\r\n" % MESSAGE_SIZE_MAX)
        else:
            self._mail_from = _to_text(found[1])
            self._answers.append(b"250 2.1.0 OK\r\n")

    def _take_rcpt(self, line: bytes) -> None:
        found = _RCPT.match(line)
        if self._mail_from is None:
            self._answers.append(b"503 5.5.1 MAIL first\r\n")
        elif found is None:
            self._answers.append(b"501 5.1.3 write RCPT TO:<address>\r\n")
        elif self._rcpt_to is not None:
            self._answers.append(b"452 4.5.3 one recipient for each message\r\n")
        elif found[1].lower().endswith(b"@bounce.test"):
            self._answers.append(b"550 5.1.1 no such user here\r\n")
        else:
            self._rcpt_to = _to_text(found[1])
            self._answers.append(b"250 2.1.5 OK\r\n")

    def _start_data(self) -> None:
        if self._mail_from is None:
            self._answers.append(b"503 5.5.1 MAIL first\r\n")
        elif self._rcpt_to is None:
            self._answers.append(b"554 5.5.1 no valid recipients\r\n")
        else:
            self._answers.append(b"354 end with CRLF, dot, CRLF\r\n")
            self._is_reading_data, self._searched = True, 0

    def _take_data(self) -> bool:
        """Look for the end of the data. Returns whether it was there."""
        if self._searched < 3 and self._buffer.startswith(b".\r\n") and not self._is_discarding:
            raw, length = b"", 3
        else:
            end = self._buffer.find(b"\r\n.\r\n", max(0, self._searched - 4))
            if end < 0:
                self._keep_looking()
                return False
            raw, length = bytes(self._buffer[: end + 2]), end + 5
        del self._buffer[:length]
        self._is_reading_data = False
        if self._is_discarding or len(raw) > MESSAGE_SIZE_MAX:
            self._is_discarding = False
            self._reset()
            self._answers.append(b"552 5.3.4 larger than %d bytes\r\n" % MESSAGE_SIZE_MAX)
        else:
            self._take_message(raw)
        return True

    def _keep_looking(self) -> None:
        self._searched = len(self._buffer)
        if self._is_discarding or self._searched > MESSAGE_SIZE_MAX:
            self._is_discarding = True
            del self._buffer[:-4]  # the end may be half here
            self._searched = len(self._buffer)

    def _take_message(self, raw: bytes) -> None:
        rcpt_to, mail_from = self._rcpt_to or "", self._mail_from or ""
        self._reset()
        message_id = self._find_message_id(raw)
        if message_id is None:
            self._answers.append(_ANSWERS[Verdict.AWAY if self._sandbox.store.ids is None else Verdict.UNKNOWN])
            return
        domain = rcpt_to.rpartition("@")[2].lower()
        if domain == "later.test" and self._sandbox.is_first_try(rcpt_to, message_id):
            self._answers.append(b"451 4.7.1 greylisted: come again\r\n")
            return
        if raw.startswith(b"."):
            raw = raw[1:]
        if b"\r\n." in raw:
            raw = raw.replace(b"\r\n.", b"\r\n")
        self._is_storing = True
        told = self._answer_slowly if domain == "slow.test" else self._answer
        self._sandbox.store.submit(
            Arrival(message_id, mail_from, rcpt_to, _find_subject(raw), datetime.now(UTC), raw, told)
        )

    def _find_message_id(self, raw: bytes) -> int | None:
        ids = self._sandbox.store.ids
        found = _MESSAGE_ID.search(_header(raw))
        return ids.decode("message", found[1].decode("ascii")) if ids is not None and found else None

    def _answer(self, verdict: Verdict) -> None:
        self._is_storing, self._slow = False, None
        self._answers.append(_ANSWERS[verdict])
        self._go_on()

    def _answer_slowly(self, verdict: Verdict) -> None:
        self._slow = (self._loop.call_later(_SLOW_S, self._answer, verdict), verdict)

    def _reset(self) -> None:
        self._mail_from = self._rcpt_to = None

    def _close_after(self, words: bytes) -> None:
        self._transport.write(b"".join([*self._answers, words]))
        self._answers.clear()
        self._transport.close()


def _header(raw: bytes) -> bytes:
    end = raw.find(b"\r\n\r\n")
    return raw if end < 0 else raw[: end + 2]


def _to_text(raw: bytes) -> str:
    """UTF-8, with what cannot be stored replaced: PostgreSQL's text has no NUL."""
    return raw.decode("utf-8", "replace").replace("\0", "\ufffd")


def _find_subject(raw: bytes) -> str:
    found = _SUBJECT.search(_header(raw))
    return _read_subject(found[1][: _SUBJECT_SIZE_MAX * 8]) if found else ""


@lru_cache(maxsize=1_024)
def _read_subject(raw: bytes) -> str:
    """Unfold and decode (RFC 2047). Cached: the messages of a campaign mostly share their subject."""
    text = re.sub(r"\r?\n(?=[ \t])", "", _to_text(raw))
    if "=?" in text:
        with suppress(ValueError, LookupError, email.errors.MessageError):  # Else it is shown as it came.
            text = str(email.header.make_header(email.header.decode_header(text)))
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be stored
    return text.replace("\0", "\ufffd").strip()[:_SUBJECT_SIZE_MAX]


async def _serve() -> None:
    settings = load_settings()
    logs.configure(settings)
    sandbox = Sandbox(
        SandboxStore(settings.postgres_direct_url), host=settings.sandbox_host, port=settings.sandbox_port
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await sandbox.start()
    log.info("sandbox_listening", host=sandbox.host, port=sandbox.port)
    await stopping.wait()
    async with asyncio.timeout(_STOP_MAX_S * 2):
        await sandbox.stop()


def main() -> int:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve())
    except (ConfigError, OSError) as error:
        log.error("sandbox_cannot_start", error=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
