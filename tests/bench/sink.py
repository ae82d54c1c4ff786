"""A small SMTP sink for machines without Postfix's: `python -m tests.bench.sink PORT`. It bounds what can be measured."""

import asyncio
import sys
from typing import cast

import uvloop

_GREETING = b"220 sink.test ESMTP\r\n"
_EHLO = b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n"


class Sink(asyncio.Protocol):
    """Accepts everything and keeps nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop has classes of its own
        self.pending = b""
        self.in_data = False
        transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        self.pending += data
        answers: list[bytes] = []
        while True:
            end = b"\r\n.\r\n" if self.in_data else b"\r\n"
            line, found, rest = self.pending.partition(end)
            if not found:
                if self.in_data:
                    self.pending = self.pending[-4:]  # all of the end that may be there
                break
            self.pending = rest
            answers.append(self._answer(line))
        if answers:
            self.transport.write(b"".join(answers))
        if answers and answers[-1].startswith(b"221"):
            self.transport.close()

    def _answer(self, line: bytes) -> bytes:
        if self.in_data:
            self.in_data = False
            return b"250 2.0.0 Ok\r\n"
        verb = line[:4].upper()
        if verb in (b"EHLO", b"HELO"):
            return _EHLO
        if verb == b"DATA":
            # The end of an empty message begins with the line end of this command.
            self.in_data, self.pending = True, b"\r\n" + self.pending
            return b"354 Go on\r\n"
        return b"221 2.0.0 Bye\r\n" if verb == b"QUIT" else b"250 2.1.0 Ok\r\n"


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
