"""An SMTP server for the chaos rounds: the ground truth of what was accepted, and a relay that misbehaves on request.

    python -m tests.chaos.sink --port 2600 --control 2601 --log accepted.jsonl

Each accepted message is one line of the log: {"id": Message-ID, "to": recipient, "at": Unix seconds at its final dot,
"lost": whether the reply was then withheld}. The line is written and fsynced before the 250 is: messages that end together
share one fsync. The control port takes one JSON object per line and answers with one: see `Relay.obey`.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

BODY_SIZE_MAX = 4_000_000
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([^>\r\n]*)>", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(rb"<([^>]*)>")


@dataclass(slots=True)
class Behaviour:
    """Shares are of messages, from 0 to 1."""

    down: bool = False  # nobody listens, open conversations are cut
    delay_s: float = 0.0  # before the reply to the final dot
    lose_replies: float = 0.0  # accept, then close without a reply
    cut_body: float = 0.0  # close in the middle of the data
    busy: float = 0.0  # 421 to MAIL
    later: float = 0.0  # 450 to a recipient's first try; which ones, its address and `salt` decide
    refuse: float = 0.0  # 550 5.1.1 to a recipient, always
    chunking: bool = False  # offer CHUNKING (RFC 3030), so that a client may have several messages under way
    salt: str = ""


class Journal:
    """Appends lines, and returns when they are on the disk. Lines that come during an fsync share the next one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def append(self, line: dict[str, object]) -> None:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((json.dumps(line).encode() + b"\n", done))
        self._wake.set()
        await asyncio.shield(done)  # whoever waits may be cut off: the line is written all the same

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            group, self._waiting = self._waiting, []
            self._file.write(b"".join(line for line, _ in group))
            await asyncio.to_thread(os.fsync, self._file.fileno())
            for _, done in group:
                if not done.done():
                    done.set_result(None)


class Relay:
    """The listener, its conversations, and how they are to go."""

    def __init__(self, host: str, port: int, journal: Journal, seed: str) -> None:
        self._host, self._port, self._journal = host, port, journal
        self._random = random.Random(seed)
        self._behaviour = Behaviour()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tried: set[bytes] = set()
        self._counts: Counter[str] = Counter()

    async def obey(self, order: dict[str, object]) -> dict[str, object]:
        """{"set": {field of Behaviour: value}}, {"cut": true} or {}. Answers the behaviour and the counts so far."""
        changes = order.get("set")
        if isinstance(changes, dict):
            known = {field.name for field in fields(Behaviour)}
            for name, value in changes.items():
                assert name in known, name
                setattr(self._behaviour, name, value)
        if order.get("cut") or self._behaviour.down:
            self._cut_all()
        if self._behaviour.down:
            await self._close()
        else:
            await self.listen()
        return {**asdict(self._behaviour), **self._counts, "connections": len(self._open)}

    async def listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._converse, self._host, self._port, limit=BODY_SIZE_MAX)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _cut_all(self) -> None:
        for writer in list(self._open):
            self._counts["cut"] += 1
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._counts["conversations"] += 1
        try:
            writer.write(b"220 sink ESMTP\r\n")
            await _Conversation(self, reader, writer).run()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client left
        finally:
            self._open.discard(writer)
            writer.close()

    # -- what a conversation asks --

    @property
    def behaviour(self) -> Behaviour:
        return self._behaviour

    def happens(self, share: float, what: str) -> bool:
        if share <= 0 or self._random.random() >= share:
            return False
        self._counts[what] += 1
        return True

    def count(self, what: str) -> None:
        self._counts[what] += 1

    def answer_recipient(self, address: bytes) -> bytes:
        share = _share_of(address, self._behaviour.salt)
        if share < self._behaviour.refuse:
            return b"550 5.1.1 no such mailbox here\r\n"
        if share < self._behaviour.refuse + self._behaviour.later and address not in self._tried:
            self._tried.add(address)
            return b"450 4.2.0 greylisted, come back later\r\n"
        return b"250 2.1.5 ok\r\n"

    async def accept(self, message_id: bytes, recipient: bytes, at: float, *, lost: bool) -> None:
        line = {"id": message_id.decode("latin-1"), "to": recipient.decode("utf-8", "replace"), "at": at, "lost": lost}
        self._counts["accepted"] += 1
        await self._journal.append(line)


def _share_of(address: bytes, salt: str) -> float:
    digest = hashlib.blake2b(address, key=salt.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


class _Conversation:
    def __init__(self, relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._relay, self._reader, self._writer = relay, reader, writer
        self._has_mail = False
        self._recipient: bytes | None = None
        self._chunks: list[bytes] = []  # of the message under way

    async def run(self) -> None:
        commands: dict[bytes, Callable[[bytes], Awaitable[bool]]] = {
            b"EHLO": self._ehlo, b"HELO": self._ehlo, b"MAIL": self._mail, b"RCPT": self._rcpt, b"DATA": self._data,
            b"BDAT": self._bdat, b"RSET": self._rset, b"NOOP": self._noop, b"QUIT": self._quit,
        }  # fmt: skip
        goes_on = True
        while goes_on:
            line = await self._reader.readuntil(b"\r\n")
            do = commands.get(line[:4].upper())
            if do is None:
                self._say(b"500 5.5.2 unknown command\r\n")
            else:
                goes_on = await do(line)
            await self._writer.drain()

    def _say(self, reply: bytes) -> None:
        self._writer.write(reply)

    async def _ehlo(self, line: bytes) -> bool:
        offer = b"250-CHUNKING\r\n" if self._relay.behaviour.chunking else b""
        self._say(
            b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n" + offer + b"250 ENHANCEDSTATUSCODES\r\n"
        )
        return True

    async def _mail(self, line: bytes) -> bool:
        if self._relay.happens(self._relay.behaviour.busy, "busy"):
            self._say(b"421 4.3.2 too busy, come back later\r\n")
            return False
        self._has_mail, self._recipient, self._chunks = True, None, []
        self._say(b"250 2.1.0 ok\r\n")
        return True

    async def _rcpt(self, line: bytes) -> bool:
        found = _ADDRESS.search(line)
        if not self._has_mail or found is None:
            self._say(b"503 5.5.1 MAIL first\r\n")
            return True
        answer = self._relay.answer_recipient(found.group(1))
        if answer.startswith(b"2"):
            self._recipient = found.group(1)
        self._say(answer)
        return True

    async def _data(self, line: bytes) -> bool:
        if self._recipient is None:
            self._say(b"503 5.5.1 no valid recipients\r\n")
            return True
        self._say(b"354 go on\r\n")
        await self._writer.drain()
        first = await self._reader.readuntil(b"\r\n")
        if first == b".\r\n":
            self._say(b"554 5.6.0 an empty message\r\n")
            return True
        if self._relay.happens(self._relay.behaviour.cut_body, "cut_bodies"):
            self._writer.transport.abort()
            return False
        body = first + await self._reader.readuntil(b"\r\n.\r\n")
        return await self._take(body, time.time())

    async def _bdat(self, line: bytes) -> bool:
        """`BDAT n [LAST]` and n octets, which are there whatever the answer is (RFC 3030 § 2)."""
        words = line.split()
        size, is_last = int(words[1]), words[2:] == [b"LAST"]
        if self._recipient is not None and self._relay.happens(self._relay.behaviour.cut_body, "cut_bodies"):
            await self._reader.readexactly(size // 2)
            self._writer.transport.abort()
            return False
        chunk = await self._reader.readexactly(size)
        if self._recipient is None:
            self._say(b"503 5.5.1 no valid recipients\r\n")
            return True
        self._chunks.append(chunk)
        if not is_last:
            self._say(b"250 2.0.0 go on\r\n")
            return True
        return await self._take(b"".join(self._chunks), time.time())

    async def _take(self, body: bytes, at: float) -> bool:
        found = _MESSAGE_ID.search(body)
        recipient, self._recipient, self._has_mail = self._recipient or b"", None, False
        self._relay.count("chunked" if self._chunks else "dotted")
        is_lost = self._relay.happens(self._relay.behaviour.lose_replies, "replies_lost")
        await self._relay.accept(found.group(1) if found else b"", recipient, at, lost=is_lost)
        if is_lost:
            self._writer.transport.abort()
            return False
        if self._relay.behaviour.delay_s:
            await asyncio.sleep(self._relay.behaviour.delay_s)
        self._say(b"250 2.0.0 accepted\r\n")
        return True

    async def _rset(self, line: bytes) -> bool:
        self._has_mail, self._recipient, self._chunks = False, None, []
        self._say(b"250 2.0.0 ok\r\n")
        return True

    async def _noop(self, line: bytes) -> bool:
        self._say(b"250 2.0.0 ok\r\n")
        return True

    async def _quit(self, line: bytes) -> bool:
        self._say(b"221 2.0.0 bye\r\n")
        await self._writer.drain()
        return False


async def serve(*, host: str, port: int, control: int, log: Path, seed: str) -> None:
    journal = Journal(log)
    relay = Relay(host, port, journal, seed)
    writing = asyncio.create_task(journal.run())

    async def take_orders(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while line := await reader.readline():
                writer.write(json.dumps(await relay.obey(json.loads(line))).encode() + b"\n")
                await writer.drain()
        writer.close()

    await relay.listen()
    orders = await asyncio.start_server(take_orders, "127.0.0.1", control)
    async with orders:
        await writing


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--seed", default="")
    given = parser.parse_args()
    asyncio.run(serve(host=given.host, port=given.port, control=given.control, log=given.log, seed=given.seed))


if __name__ == "__main__":
    main()
