"""A small SMTP sink: `python -m tests.bench.sink PORT`.

For machines without Postfix's, and for what that does not offer: CHUNKING (RFC 3030).
"""

import asyncio
import sys
from typing import cast

import uvloop

_GREETING = b"220 sink.test ESMTP\r\n"
_EHLO = b"250-sink.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n"


class Sink(asyncio.Protocol):
    """Accepts everything and keeps nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        self.pending = b""
        self.in_data = False
        self.chunk_left: int | None = None  # octets of a BDAT that are still to come
        transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        self.pending += data
        at, answers = 0, []
        while (step := self._step(at)) is not None:
            at, answer = step
            answers.append(answer)
        self._forget(at)
        if answers:
            self.transport.write(b"".join(answers))
        if answers and answers[-1].startswith(b"221"):
            self.transport.close()

    def _step(self, at: int) -> tuple[int, bytes] | None:
        """One command, or the data that belongs to one: where it ends, and the answer. None: its end has not come."""
        if self.chunk_left is not None:
            end = at + self.chunk_left
            if end > len(self.pending):
                return None
            self.chunk_left = None
            return end, b"250 2.0.0 Ok\r\n"
        mark = b"\r\n.\r\n" if self.in_data else b"\r\n"
        end = self.pending.find(mark, at)
        if end < 0:
            return None
        if self.in_data:
            self.in_data = False
            return end + len(mark), b"250 2.0.0 Ok\r\n"
        return self._command(self.pending[at:end].upper(), end)

    def _command(self, line: bytes, end: int) -> tuple[int, bytes] | None:
        verb, after = line[:4], end + 2
        if verb == b"BDAT":
            self.chunk_left = int(line.split()[1])
            return self._step(after) or (after, b"")
        if verb == b"DATA":
            self.in_data = True
            return end, b"354 Go on\r\n"  # the end of an empty message begins with the line end of this command
        if verb in (b"EHLO", b"HELO"):
            return after, _EHLO
        return after, b"221 2.0.0 Bye\r\n" if verb == b"QUIT" else b"250 2.1.0 Ok\r\n"

    def _forget(self, at: int) -> None:
        """Drop what is done with, and of data under way all that cannot be its end."""
        if self.chunk_left is not None:
            taken = min(self.chunk_left, len(self.pending) - at)
            self.chunk_left -= taken
            at += taken
        elif self.in_data:
            at = max(at, len(self.pending) - 4)
        self.pending = self.pending[at:]


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
