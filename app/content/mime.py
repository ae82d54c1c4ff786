"""Bodies and parts as bytes: quoted-printable (RFC 2045 § 6.7) and 8bit, line ends as CRLF, dots not stuffed.

A template is encoded in fragments: fixed text once, each value when it is known. A quoted-printable fragment ends with a
soft line break, so that each begins at column 0 and they can be joined without looking at their neighbours.
"""

import binascii
import re
from collections.abc import Sequence

LINE_SIZE_MAX = 998  # octets without CRLF: RFC 5322 § 2.1.1
_SOFT_BREAK = b"=\r\n"
_FROM = re.compile(rb"^From ", re.MULTILINE)


def to_quoted_printable(text: str) -> bytes:
    """One fragment. text: cleaned, line ends as LF."""
    if not text:
        return b""
    # It ends its soft breaks as the data's first line ends, with a bare LF when there is none: so LF in, CRLF after.
    encoded = binascii.b2a_qp(text.encode()).replace(b"\n", b"\r\n")
    if b"From " in encoded:
        # Mailbox files would turn it into ">From ". The soft break keeps the line short enough.
        encoded = _FROM.sub(b"=46rom=20=\r\n", encoded)
    if encoded.endswith(b"\r\n"):
        return encoded
    if len(encoded) - encoded.rfind(b"\n") - 1 >= 76:  # no room for "="
        at = len(encoded) - (3 if encoded[-3:-2] == b"=" else 1)
        encoded = encoded[:at] + _SOFT_BREAK + encoded[at:]
    return encoded + _SOFT_BREAK


def to_eight_bit(text: str) -> bytes:
    """One fragment. text: cleaned, line ends as LF."""
    return text.replace("\n", "\r\n").encode()


def join_quoted_printable(fragments: Sequence[bytes]) -> bytes:
    """A body. The last soft break goes: nothing follows that it could join."""
    return b"".join(fragments).removesuffix(_SOFT_BREAK)


def has_long_line(body: bytes) -> bool:
    """Whether a line is longer than SMTP takes. From one line end to the last one in reach: a look for each kilobyte."""
    start, reach = 0, LINE_SIZE_MAX + 2  # with its CRLF
    while len(body) - start > reach:
        end = body.rfind(b"\n", start, start + reach)
        if end < 0:
            return True
        start = end + 1
    return len(body) - (body.rfind(b"\n") + 1) > LINE_SIZE_MAX


def part_headers(subtype: str, *, encoding: str) -> bytes:
    return f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode(
        "ascii"
    )
