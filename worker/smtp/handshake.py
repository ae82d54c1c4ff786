"""From nothing to a relay that is ready for mail: TCP, TLS, EHLO, AUTH. Raises RelayUnavailable with the stage."""

import asyncio
import base64
import socket
import ssl
from dataclasses import dataclass

from app.domain.egress import is_public_address
from app.domain.tls import client_context
from app.settings import RelayAddress
from worker.smtp.reply import Reply
from worker.smtp.stage import RelayUnavailable, Stage, Timeouts
from worker.smtp.wire import Wire, WireBroken

_ADDRESSES_TRIED_MAX = 4
COMMAND_SIZE_MAX = 512  # bytes with CRLF, RFC 5321 § 4.5.3.1.4


@dataclass(frozen=True, slots=True)
class Extensions:
    """What EHLO offered."""

    pipelining: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    chunking: bool = False
    starttls: bool = False
    size: bool = False
    size_max: int | None = None  # bytes; None: no limit that we know
    auth: frozenset[str] = frozenset()

    @classmethod
    def from_lines(cls, lines: list[str]) -> "Extensions":
        """Read the lines after the first of an EHLO reply, without their codes."""
        found: dict[str, list[str]] = {}
        for line in lines:
            # "AUTH=LOGIN" is how servers of the nineties wrote it.
            words = line.upper().replace("AUTH=", "AUTH ", 1).split()
            if words:
                found.setdefault(words[0], []).extend(words[1:])
        limit = found.get("SIZE", [])[:1]
        size_max = int(limit[0]) if limit and limit[0].isascii() and limit[0].isdigit() and len(limit[0]) < 19 else 0
        return cls(
            pipelining="PIPELINING" in found,
            eight_bit_mime="8BITMIME" in found,
            smtputf8="SMTPUTF8" in found,
            chunking="CHUNKING" in found,
            starttls="STARTTLS" in found,
            size="SIZE" in found,
            size_max=size_max or None,  # "SIZE 0" and "SIZE" mean no fixed limit (RFC 1870 § 4)
            auth=frozenset(found.get("AUTH", [])),
        )


async def open_wire(
    address: RelayAddress, *, helo_name: str, timeouts: Timeouts, public_only: bool
) -> tuple[Wire, Extensions]:
    """Connect and do all that comes before the first MAIL.

    public_only  connect to addresses of the public internet alone, whatever the name resolves to now: for hosts that an
                 account named (server-side request forgery).

    Returns the wire and what the server offers, after TLS and signing in.
    Raises  RelayUnavailable; the connection is closed then, as it is on cancellation.
    """
    wire = await _connect(address, timeouts, public_only=public_only)
    try:
        return wire, await _Handshake(wire, address, helo_name, timeouts).run()
    except BaseException as error:
        wire.abort("the handshake was not finished")
        if isinstance(error, UnicodeError):
            raise RelayUnavailable(
                Stage.CONNECT, None, "The relay's name or ours cannot be written in SMTP."
            ) from error
        raise


async def _connect(address: RelayAddress, timeouts: Timeouts, *, public_only: bool) -> Wire:
    where = f"{address.host}:{address.port}"
    try:
        async with asyncio.timeout(timeouts.connect_s):
            if public_only:
                return await _connect_publicly(address)
            return await _connect_to(address.host, address)
    except TimeoutError as error:
        raise RelayUnavailable(Stage.CONNECT, None, f"No connection to {where} in {timeouts.connect_s:g} s.") from error
    except ssl.SSLCertVerificationError as error:
        raise RelayUnavailable(Stage.CONNECT, None, _certificate_fault(where, error)) from error
    except ssl.SSLError as error:
        raise RelayUnavailable(
            Stage.CONNECT, None, f"{where} does not speak TLS at once; is it tls=starttls? ({error.reason})"
        ) from error
    except (OSError, UnicodeError) as error:
        raise RelayUnavailable(Stage.CONNECT, None, f"Cannot connect to {where}: {_why(error)}.") from error


async def _connect_to(host: str, address: RelayAddress) -> Wire:
    """Connect to `host`, which is the relay's name or one of its addresses; the certificate is for the name."""
    implicit = address.tls == "implicit"
    _, wire = await asyncio.get_running_loop().create_connection(
        Wire,
        host,
        address.port,
        ssl=client_context(verify=address.verify) if implicit else None,
        server_hostname=address.host if implicit else None,
    )
    return wire


async def _connect_publicly(address: RelayAddress) -> Wire:
    """Resolve once, and connect to what was looked at: the name may point elsewhere a moment later."""
    found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    hosts = list(dict.fromkeys(str(info[4][0]) for info in found))
    if not hosts or not all(is_public_address(host) for host in hosts):
        raise RelayUnavailable(
            Stage.CONNECT, None, f"{address.host} leads into a private network, which is not allowed."
        )
    fault: OSError | None = None
    for host in hosts[:_ADDRESSES_TRIED_MAX]:
        try:
            return await _connect_to(host, address)
        except ssl.SSLError:
            raise
        except OSError as error:
            fault = error
    assert fault is not None
    raise fault


def _certificate_fault(where: str, error: ssl.SSLCertVerificationError) -> str:
    return f"The certificate of {where} cannot be trusted: {error.verify_message}."


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Handshake:
    def __init__(self, wire: Wire, address: RelayAddress, helo_name: str, timeouts: Timeouts) -> None:
        self._wire, self._address, self._helo_name, self._timeouts = wire, address, helo_name, timeouts
        self._last = Reply(220, "")
        self._raw = b""

    async def run(self) -> Extensions:
        greeting = await self._reply(Stage.CONNECT, self._timeouts.greeting_s)
        if greeting.code != 220:
            raise RelayUnavailable(Stage.CONNECT, greeting, f"The relay does not take mail now: {greeting.line}")
        offered = await self._say_hello()
        if self._address.tls == "starttls":
            offered = await self._start_tls(offered)
        if self._address.username is not None:
            await self._sign_in(offered)
        return offered

    async def _say_hello(self) -> Extensions:
        code, lines = await self._ask(Stage.EHLO, f"EHLO {self._helo_name}", self._timeouts.ehlo_s)
        if code == 250:
            return Extensions.from_lines(lines[1:])
        reply = self._last
        if code in (500, 502, 504, 550):  # RFC 5321 § 3.2: an old server; HELO offers nothing.
            code, _ = await self._ask(Stage.EHLO, f"HELO {self._helo_name}", self._timeouts.ehlo_s)
            if code == 250:
                return Extensions()
            reply = self._last
        raise RelayUnavailable(Stage.EHLO, reply, f"The relay did not take our EHLO: {reply.line}")

    async def _start_tls(self, offered: Extensions) -> Extensions:
        if not offered.starttls:
            # Going on in the clear is what an attacker who strips STARTTLS wants.
            raise RelayUnavailable(
                Stage.STARTTLS, None, "The relay does not offer STARTTLS. If it stands on a private wire, set tls=none."
            )
        code, _ = await self._ask(Stage.STARTTLS, "STARTTLS", self._timeouts.starttls_s)
        if code != 220:
            raise RelayUnavailable(Stage.STARTTLS, self._last, f"The relay refused STARTTLS: {self._last.line}")
        if not self._wire.is_quiet or self._wire.is_broken:
            raise RelayUnavailable(Stage.STARTTLS, None, "The relay sent more in the clear after STARTTLS.")
        await self._wrap()
        return await self._say_hello()  # RFC 3207 § 4.2: what was offered before does not count.

    async def _wrap(self) -> None:
        where = f"{self._address.host}:{self._address.port}"
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._wire.transport,
                self._wire,
                client_context(verify=self._address.verify),
                server_hostname=self._address.host,
                ssl_handshake_timeout=self._timeouts.starttls_s,
            )
        except ssl.SSLCertVerificationError as error:
            raise RelayUnavailable(Stage.STARTTLS, None, _certificate_fault(where, error)) from error
        except (OSError, ssl.SSLError) as error:
            raise RelayUnavailable(Stage.STARTTLS, None, f"TLS with {where} failed: {_why(error)}.") from error
        if transport is None:  # The connection was lost in the middle of it.
            raise RelayUnavailable(Stage.STARTTLS, None, f"TLS with {where} failed: the connection was lost.")
        self._wire.use(transport)

    async def _sign_in(self, offered: Extensions) -> None:
        if self._address.tls == "none" and not self._address.allow_plain_auth:
            raise RelayUnavailable(
                Stage.AUTH,
                None,
                "The relay has a user name but no TLS. Use TLS, or allow it by name with plain_auth=yes.",
            )
        user, password = self._address.username or "", self._address.password or ""
        plain = f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}"
        if "PLAIN" in offered.auth and len(plain) + 2 <= COMMAND_SIZE_MAX:
            await self._ask(Stage.AUTH, plain, self._timeouts.auth_s)
        elif "LOGIN" in offered.auth:
            await self._sign_in_by_login(user, password)
        else:
            known = " ".join(sorted(offered.auth)) or "none"
            raise RelayUnavailable(
                Stage.AUTH,
                None,
                f"The relay offers no way of signing in that we know (PLAIN, LOGIN); it offers: {known}."[:300],
            )
        if self._last.code != 235:
            raise RelayUnavailable(
                Stage.AUTH, self._last, f"The relay refused the user name or password: {self._last.line}"
            )

    async def _sign_in_by_login(self, user: str, password: str) -> None:
        for line in ("AUTH LOGIN", _base64(user), _base64(password)):
            code, _ = await self._ask(Stage.AUTH, line, self._timeouts.auth_s)
            if code != 334:
                return

    async def _ask(self, stage: Stage, command: str, timeout_s: float) -> tuple[int, list[str]]:
        """Send one command and return its reply's code and lines."""
        assert not any(char in command for char in "\r\n\0"), "a command is one line"
        self._wire.send(f"{command}\r\n".encode(), replies=1)
        self._last = await self._reply(stage, timeout_s)
        return self._last.code, self._raw.decode("utf-8", "replace").split("\n")

    async def _reply(self, stage: Stage, timeout_s: float) -> Reply:
        try:
            code, self._raw = await self._wire.next_reply(timeout_s)
        except WireBroken:
            farewell = self._wire.farewell
            raise RelayUnavailable(stage, farewell, f"At {stage.upper()} {self._wire.why}.") from None
        return Reply.from_wire((code, self._raw))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
