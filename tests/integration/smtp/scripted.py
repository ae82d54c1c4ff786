"""SMTP servers that do exactly what a test says, on loopback, in the test's own event loop.

async def script(peer: Peer) -> None:       # one call for each connection
    await peer.say("220 ready")
    await peer.hello("PIPELINING")
    ...
"""

import asyncio
import datetime
import ipaddress
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.settings import RelayAddress, TlsMode
from worker.smtp.connection import Timeouts

#: Short enough for a test to see one pass, long enough for a busy machine.
SHORT = Timeouts(
    connect_s=5, greeting_s=0.5, ehlo_s=0.5, starttls_s=2, auth_s=0.5, mail_s=0.5, rcpt_s=0.5, data_s=0.5,
    block_s=0.5, end_s=0.5,
)  # fmt: skip


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.lines: list[str] = []  # commands, in order
        self.bodies: list[bytes] = []  # dot-stuffed as they came, without the final dot

    async def line(self) -> str:
        raw = await self.reader.readuntil(b"\r\n")
        self.lines.append(raw[:-2].decode())
        return self.lines[-1]

    async def expect(self, start: str) -> str:
        line = await self.line()
        assert line.startswith(start), f"wanted {start}, got {line}"
        return line

    async def say(self, *replies: str) -> None:
        self.writer.write("".join(f"{reply}\r\n" for reply in replies).encode())
        await self.writer.drain()

    async def hello(self, *offers: str) -> None:
        await self.expect("EHLO")
        lines = ["relay.test", *offers]
        await self.say(*[f"250{'-' if number + 1 < len(lines) else ' '}{line}" for number, line in enumerate(lines)])

    async def open(self, *offers: str) -> None:
        await self.say("220 relay.test ESMTP")
        await self.hello(*offers)

    async def envelope(self) -> None:
        """Read MAIL, RCPT and DATA without an answer."""
        await self.expect("MAIL FROM:")
        await self.expect("RCPT TO:")
        await self.expect("DATA")

    async def body(self) -> bytes:
        rest = await self.reader.readuntil(b".\r\n")
        while rest != b".\r\n" and not rest.endswith(b"\r\n.\r\n"):
            rest += await self.reader.readuntil(b".\r\n")
        self.bodies.append(rest[:-3])
        return self.bodies[-1]

    async def until_closed(self) -> bytes:
        """Everything that still comes, until the client has closed."""
        with suppress(ConnectionError):
            return await self.reader.read()
        return b""

    def cut(self) -> None:
        """Reset the connection: what is in flight is lost."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class Server:
    def __init__(self, address: RelayAddress) -> None:
        self.address = address
        self.peers: list[Peer] = []
        self.faults: list[BaseException] = []


@asynccontextmanager
async def serving(
    script: Script, *, tls: TlsMode = "none", server_tls: ssl.SSLContext | None = None, **address: Any
) -> AsyncIterator[Server]:
    """Run a server; on leaving, wait for its connections and raise what went wrong in a script."""
    server = Server(RelayAddress("127.0.0.1", 1, tls=tls, **address))
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = Peer(reader, writer)
        server.peers.append(peer)
        try:
            await script(peer)
        except BaseException as error:  # noqa: BLE001, RUF100 - told to the test below
            server.faults.append(error)
        finally:
            tasks.discard(task)
            writer.close()

    listener = await asyncio.start_server(
        serve, "127.0.0.1", 0, limit=2**26, ssl=server_tls if tls == "implicit" else None
    )
    server.address.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
        if tasks:
            await asyncio.wait(set(tasks), timeout=5)
        assert not tasks, "a script is still waiting for the client"
        if server.faults:
            raise server.faults[0]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()


def run(scenario: Coroutine[Any, Any, None], *, loop: str = "uvloop") -> None:
    """Run a test's coroutine, at most 20 s, on the worker's event loop or asyncio's own."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await scenario

    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(limited())


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A certificate for 127.0.0.1: the server's context, and the file that a client has to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return context, pem
