"""Try a relay without sending anything: resolve, connect, EHLO, TLS, sign in, QUIT. For the page where it is set up.

Deliveries have a client of their own in the worker; this one is synchronous, as the web is, and keeps the same rules: where
inside addresses are not allowed the name is resolved once, all that it resolves to has to be public, and exactly that is
connected to. All of it together has one deadline, and no reply is read beyond its bound. What a server says that is not SMTP is
never shown: this is no port scanner.
"""

import base64
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from app.domain.egress import host_fault, is_public_address, port_fault
from app.domain.tls import client_context
from app.settings import RelayAddress

Step = Literal["resolve", "connect", "tls", "login", "done"]

DEADLINE_S = 10.0
_ADDRESSES_TRIED_MAX = 4
_REPLY_SIZE_MAX = 16 * 1024  # bytes; an EHLO reply is a few hundred
_COMMAND_SIZE_MAX = 512  # bytes with CRLF, RFC 5321 § 4.5.3.1.4
_SHOWN_LENGTH_MAX = 300  # characters of a reply
_EXTENSIONS_MAX = 50
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Probe:
    """How it went.

    step        where it ended: "done", or the step that failed.
    detail      one sentence for people, which says what to change.
    reply       the server's last words as far as they decided, one line, bounded.
    extensions  what EHLO offered last, as "SIZE 1000" or "AUTH PLAIN LOGIN".
    """

    ok: bool
    step: Step
    detail: str
    reply: str | None
    tls_version: str | None
    extensions: list[str]
    duration_ms: int


class _Failed(Exception):
    def __init__(self, step: Step, detail: str, reply: str | None = None) -> None:
        super().__init__(detail)
        self.step, self.detail, self.reply = step, detail, reply


class _LateError(OSError):
    """The deadline has passed."""


@dataclass(frozen=True, slots=True)
class _Reply:
    code: int
    lines: list[str]

    @property
    def shown(self) -> str:
        text = f"{self.code} {' '.join(self.lines)}".strip()
        return "".join(char if char.isprintable() else " " for char in text)[:_SHOWN_LENGTH_MAX]


def probe_relay(address: RelayAddress, *, helo_name: str, allow_private: bool, deadline_s: float = DEADLINE_S) -> Probe:
    """Try `address` and say how it went; never raises for what a server or network does.

    allow_private  whether it may lead into private networks, to any port.
    """
    began_s = time.monotonic()
    talk = _Conversation(address, helo_name=helo_name, allow_private=allow_private, ends_at_s=began_s + deadline_s)
    ok, step, reply = False, talk.step, None
    try:
        reply = talk.run()
        ok, step, detail = True, "done", _praise(address, talk.tls_version)
    except _Failed as fault:
        step, detail, reply = fault.step, fault.detail, fault.reply
    except UnicodeError:
        step, detail = talk.step, "The name of the server or the user name cannot be written in SMTP. Check both."
    except (TimeoutError, _LateError):
        step, detail = talk.step, _late(address, talk, deadline_s)
    except (OSError, ssl.SSLError) as error:
        step, detail = (
            talk.step,
            f"{talk.where} broke the connection off ({_why(error)}). Check host, port and encryption.",
        )
    finally:
        talk.close()
    return Probe(
        ok=ok, step=step, detail=detail, reply=reply, tls_version=talk.tls_version, extensions=talk.extensions,
        duration_ms=round((time.monotonic() - began_s) * 1000),
    )  # fmt: skip


@dataclass(slots=True)
class _Conversation:
    address: RelayAddress
    helo_name: str
    allow_private: bool
    ends_at_s: float  # monotonic
    step: Step = "resolve"  # the one under way
    tls_version: str | None = None
    extensions: list[str] = field(default_factory=list)
    _sock: socket.socket | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    has_greeted: bool = False

    @property
    def where(self) -> str:
        return f"{self.address.host}:{self.address.port}"

    def run(self) -> str | None:
        """All steps in turn; returns the last reply. Raises _Failed, OSError, UnicodeError."""
        hosts = self._resolve()
        self.step = "connect"
        self._connect(hosts)
        if self.address.tls == "implicit":
            self._encrypt()
        self._read_greeting()
        said = self._say_hello()
        if self.address.tls == "starttls":
            self._start_tls()
            said = self._say_hello()
        if self.address.username is not None:
            self.step = "login"
            said = self._sign_in()
        self.step = "done"
        self._say_goodbye()
        return said.shown

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()

    # -- steps --

    def _resolve(self) -> list[str]:
        host, port = self.address.host, self.address.port
        fault = host_fault(host, allow_private=self.allow_private) or port_fault(port, allow_private=self.allow_private)
        if fault is not None:
            raise _Failed("resolve", fault)
        try:
            hosts = _look_up(host, port, timeout_s=self._left_s())
        except socket.gaierror as error:
            detail = f"The name {host} cannot be found ({_why(error)}). Check how it is spelt."
            raise _Failed("resolve", detail) from error
        if not self.allow_private and not all(is_public_address(found) for found in hosts):
            raise _Failed("resolve", f"{host} leads into a private network, which is not allowed.")
        return hosts

    def _connect(self, hosts: list[str]) -> None:
        fault: OSError | None = None
        tried = hosts[:_ADDRESSES_TRIED_MAX]
        for number, host in enumerate(tried):
            # A share for each: behind an address that never answers there may be one that does.
            timeout_s = self._left_s() / (len(tried) - number)
            try:
                self._sock = socket.create_connection((host, self.address.port), timeout=timeout_s)
                return
            except OSError as error:
                fault = error
        assert fault is not None, "a name that resolves has an address"
        if isinstance(fault, TimeoutError):
            raise fault
        what = (
            "refused the connection"
            if isinstance(fault, ConnectionRefusedError)
            else f"cannot be reached ({_why(fault)})"
        )
        detail = f"{self.where} {what}. Check host and port, and whether a firewall stands between."
        raise _Failed("connect", detail) from fault

    def _read_greeting(self) -> None:
        self.step = "connect"
        try:
            greeting = self._read_reply()
        except (TimeoutError, _LateError):
            if self.address.tls == "implicit":
                raise
            detail = (
                "took the connection and said nothing. If it wants TLS at once, as port 465 does, choose implicit TLS."
            )
            raise _Failed("connect", f"{self.where} {detail}") from None
        self.has_greeted = True
        if greeting.code != 220:
            raise _Failed(
                "connect", "The server takes no mail from us now. Its answer says why; try again later.", greeting.shown
            )

    def _say_hello(self) -> _Reply:
        reply = self._ask(f"EHLO {self.helo_name}")
        if reply.code == 250:
            self.extensions = [line[:100] for line in reply.lines[1:] if line.isprintable()][:_EXTENSIONS_MAX]
            return reply
        if reply.code in (500, 502, 504, 550):  # RFC 5321 § 3.2: an old server; HELO offers nothing.
            self.extensions = []
            reply = self._ask(f"HELO {self.helo_name}")
            if reply.code == 250:
                return reply
        if reply.code // 100 == 4:
            raise _Failed("connect", "The server takes no mail from us now. Try again later.", reply.shown)
        detail = (
            f"The server did not take our name {self.helo_name}. Set BASE_URL to a name that resolves to this host."
        )
        raise _Failed("connect", detail, reply.shown)

    def _start_tls(self) -> None:
        self.step = "tls"
        if not any(line.split()[:1] == ["STARTTLS"] for line in map(str.upper, self.extensions)):
            # Going on in the clear is what an attacker who strips STARTTLS wants.
            detail = f"{self.where} does not offer STARTTLS. Choose implicit TLS, mostly on port 465, or another port."
            raise _Failed("tls", detail)
        reply = self._ask("STARTTLS")
        if reply.code != 220:
            raise _Failed("tls", "The server refused STARTTLS. Try implicit TLS on port 465.", reply.shown)
        if self._buffer:
            raise _Failed(
                "tls", "The server sent more in the clear after STARTTLS: somebody may stand between. Ask its operator."
            )
        self._encrypt()

    def _encrypt(self) -> None:
        self.step = "tls"
        assert self._sock is not None
        context = client_context(verify=self.address.verify)
        try:
            self._sock.settimeout(self._left_s())
            self._sock = wrapped = context.wrap_socket(self._sock, server_hostname=self.address.host)
        except ssl.SSLCertVerificationError as error:
            detail = f"The certificate of {self.where} cannot be trusted: {error.verify_message}."
            raise _Failed("tls", f"{detail} Use the name that it is made out to, or have it renewed.") from error
        except ssl.SSLError as error:
            change = "choose STARTTLS" if self.address.tls == "implicit" else "choose implicit TLS"
            detail = f"{self.where} does not speak TLS the way it was asked to ({error.reason}). Check the port, or {change}."
            raise _Failed("tls", detail) from error
        self.tls_version = wrapped.version()

    def _sign_in(self) -> _Reply:
        if self.tls_version is None and not self.address.allow_plain_auth:
            raise _Failed("login", "A password is never sent unencrypted: choose STARTTLS or implicit TLS.")
        user, password = self.address.username or "", self.address.password or ""
        plain = f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}"
        offered = self._list_mechanisms()
        if "PLAIN" in offered and len(plain) + 2 <= _COMMAND_SIZE_MAX:
            reply = self._ask(plain)
        elif "LOGIN" in offered:
            reply = self._sign_in_by_login(user, password)
        elif offered:
            known = " ".join(offered)[:100]
            detail = f"The server knows only {known}, and we sign in by PLAIN or LOGIN. Allow one of them there."
            raise _Failed("login", detail)
        else:
            detail = (
                "The server offers no sign-in on this connection. Remove the user name, or check port and encryption."
            )
            raise _Failed("login", detail)
        if reply.code == 235:
            return reply
        if reply.code // 100 == 4:
            raise _Failed("login", "The server could not check the password just now. Try again later.", reply.shown)
        detail = "The server refused the user name or password. Enter both again; some providers want an app password."
        raise _Failed("login", detail, reply.shown)

    def _list_mechanisms(self) -> list[str]:
        """Ways of signing in. "AUTH=LOGIN" is how servers of the nineties wrote it."""
        lines = (line.upper().replace("AUTH=", "AUTH ", 1).split() for line in self.extensions)
        return sorted({word for words in lines if words[:1] == ["AUTH"] for word in words[1:]})

    def _sign_in_by_login(self, user: str, password: str) -> _Reply:
        reply = self._ask("AUTH LOGIN")
        for secret in (user, password):
            if reply.code != 334:
                break
            reply = self._ask(_base64(secret))
        return reply

    def _say_goodbye(self) -> None:
        """QUIT, as a courtesy: whatever comes back changes nothing."""
        try:
            self._ask("QUIT")
        except (OSError, _Failed):
            return

    # -- lines --

    def _ask(self, command: str) -> _Reply:
        assert not any(char in command for char in "\r\n\0"), "a command is one line"
        assert self._sock is not None
        self._sock.settimeout(self._left_s())
        self._sock.sendall(f"{command}\r\n".encode())
        return self._read_reply()

    def _read_reply(self) -> _Reply:
        """One reply of one or more lines (RFC 5321 § 4.2). Raises _Failed for what is none."""
        lines: list[str] = []
        size = 0
        while True:
            raw = self._read_line(_REPLY_SIZE_MAX - size)
            size += len(raw) + 2
            found = _REPLY_LINE.match(raw)
            if found is None:
                raise self._not_smtp()
            lines.append((found[3] or b"").decode("utf-8", "replace"))
            if found[2] != b"-":
                return _Reply(int(found[1]), lines)

    def _read_line(self, size_max: int) -> bytes:
        assert self._sock is not None
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > size_max or size_max <= 0:
                raise self._not_smtp()
            self._sock.settimeout(self._left_s())
            more = self._sock.recv(4096)
            if not more:
                detail = "closed the connection. Check host, port and encryption; it may also not want this host."
                raise _Failed(self.step, f"{self.where} {detail}")
            self._buffer += more
        if end > size_max:
            raise self._not_smtp()
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _not_smtp(self) -> _Failed:
        return _Failed(self.step, f"What answers at {self.where} does not speak SMTP. Check host and port.")

    def _left_s(self) -> float:
        left_s = self.ends_at_s - time.monotonic()
        if left_s <= 0:
            raise _LateError
        return left_s


def _look_up(host: str, port: int, *, timeout_s: float) -> list[str]:
    """The addresses of a name. The resolver keeps no deadline, so it runs in a thread that may be left behind.

    Raises socket.gaierror, UnicodeError, TimeoutError.
    """
    found: list[list[str] | Exception] = []

    def look() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.append(list(dict.fromkeys(str(row[4][0]) for row in rows)))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=look, name="relay-probe-resolver", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not found:
        raise TimeoutError
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _praise(address: RelayAddress, tls_version: str | None) -> str:
    encrypted = f"over {tls_version}" if tls_version else "without encryption"
    signed_in = "signed in" if address.username is not None else "ready for mail without signing in"
    return f"It works: connected {encrypted}, {signed_in}. Nothing was sent."


def _late(address: RelayAddress, talk: _Conversation, deadline_s: float) -> str:
    if talk.step == "resolve":
        return f"Nothing was found for {address.host} within {deadline_s:g} s. Check its spelling and this host's name server."
    if not talk.has_greeted:
        return f"{talk.where} did not answer within {deadline_s:g} s. Check host and port, and whether a firewall stands between."
    return f"{talk.where} was not done within {deadline_s:g} s. Try again later."


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


@cache
def _own_name() -> str:
    return socket.getfqdn()  # may ask a name server


def choose_helo_name(public_url: str) -> str:
    """A name that resolves to us, if we have one (RFC 5321 § 4.1.1.1): BASE_URL's host, else this machine's."""
    host = urlsplit(public_url).hostname or ""
    if host and not host.replace(".", "").isdigit() and host != "localhost" and ":" not in host:
        return host
    return _own_name()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
