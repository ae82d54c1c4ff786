"""From whom and to whom, as SMTP commands, and the message as it goes over the wire. Nothing here does I/O."""

import re
from functools import lru_cache
from typing import NamedTuple

ADDRESS_SIZE_MAX = 320  # bytes: 64 + "@" + 255 (RFC 5321 § 4.5.3.1)
_DOT_AT_LINE = re.compile(rb"\n\.")  # 2 µs for 6 kB; bytes.find takes twice as long
_FORBIDDEN = re.compile(r"[\x00-\x20<>\x7f-\xa0\u2028\u2029]")


class Envelope(NamedTuple):
    """Who a message is from and for, and what its data is like.

    mail_from   the return path; "" for none.
    eight_bit   the message has bytes over 127: BODY=8BITMIME (RFC 6152).
    smtputf8    an address or a header has characters beyond ASCII (RFC 6531).
    size        bytes, for SIZE (RFC 1870); 0 when it is not known yet.
    is_canonical  whoever made the data vouches that each of its lines ends with CRLF. Of any other data that is looked at
                here, which takes as long as writing it.
    """

    mail_from: str
    rcpt_to: str
    eight_bit: bool = False
    smtputf8: bool = False
    size: int = 0
    is_canonical: bool = False


def find_address_fault(envelope: Envelope) -> str | None:
    """Why an address must not go on the wire, in words, or None. The last door before an injected command."""
    return (
        _find_fault(envelope.mail_from, envelope.smtputf8)
        or _find_fault(envelope.rcpt_to, envelope.smtputf8)
        or (None if envelope.rcpt_to else "there is no recipient address")
    )


@lru_cache(maxsize=256)  # the sender is the same again and again
def _find_fault(address: str, smtputf8: bool) -> str | None:
    if _FORBIDDEN.search(address):
        return "an address has spaces, angle brackets or control characters"
    if len(address.encode("utf-8", "replace")) > ADDRESS_SIZE_MAX:
        return f"an address is longer than {ADDRESS_SIZE_MAX} bytes"
    if not (smtputf8 or address.isascii()):
        return "an address has characters beyond ASCII"
    return None


def write_mail(envelope: Envelope, *, offers_size: bool) -> bytes:
    """The MAIL command. The extensions that it names must have been offered."""
    size = f" SIZE={envelope.size}" if offers_size and envelope.size else ""
    body = " BODY=8BITMIME" if envelope.eight_bit else ""
    utf8 = " SMTPUTF8" if envelope.smtputf8 else ""
    return f"MAIL FROM:<{envelope.mail_from}>{size}{body}{utf8}\r\n".encode()


def write_rcpt(envelope: Envelope) -> bytes:
    return f"RCPT TO:<{envelope.rcpt_to}>\r\n".encode()


def has_bare_line_end(data: bytes) -> bool:
    """A CR or LF outside a CRLF pair: never sent, because servers disagree about it (SMTP smuggling)."""
    return not data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")


def write_body(data: bytes) -> bytes:
    """The message with its dots doubled (RFC 5321 § 4.5.2), ending in CRLF, dot, CRLF."""
    if _DOT_AT_LINE.search(data):
        data = data.replace(b"\r\n.", b"\r\n..")
    if data.startswith(b"."):
        data = b"." + data
    return data + b".\r\n" if data.endswith(b"\r\n") else data + b"\r\n.\r\n"
