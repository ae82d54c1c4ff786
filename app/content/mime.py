"""Bodies and parts as bytes: quoted-printable (RFC 2045 § 6.7) and 8bit, line ends as CRLF, dots not stuffed.

A template is encoded in fragments: fixed text once, each value when it is known. A quoted-printable fragment ends with a
soft line break, so that each begins at column 0 and they can be joined without looking at their neighbours. No line of it
begins with a dot, so nothing has to be doubled on the wire (RFC 5321 § 4.5.2): it is the same bytes under DATA and BDAT.
"""

import binascii
import re

LINE_SIZE_MAX = 998  # octets without CRLF: RFC 5322 § 2.1.1
_SOFT_BREAK = b"=\r\n"
_FROM = re.compile(rb"^From ", re.MULTILINE)
_LEADING_DOTS = re.compile(rb"^\.+", re.MULTILINE)
_DOTS_IN_LINE = 24  # of "=2E", with the soft break: 73 octets

#: Characters that are themselves in quoted-printable and in HTML, not first a dot: most names, addresses and links.
_LITERAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9@:/._?+-]{0,74}")


def to_quoted_printable(text: str) -> bytes:
    """One fragment. text: cleaned, line ends as LF."""
    if not text:
        return b""
    # It ends its soft breaks as the data's first line ends, with a bare LF when there is none: so LF in, CRLF after.
    encoded = binascii.b2a_qp(text.encode()).replace(b"\n", b"\r\n")
    if b"From " in encoded:
        # Mailbox files would turn it into ">From ". The soft break keeps the line short enough.
        encoded = _FROM.sub(b"=46rom=20=\r\n", encoded)
    if len(encoded) - encoded.rfind(b"\n") - 1 >= 76:  # no room for "="
        at = len(encoded) - (3 if encoded[-3:-2] == b"=" else 1)
        encoded = encoded[:at] + _SOFT_BREAK + encoded[at:]
    # Last, when no line will begin elsewhere any more.
    if b"\n." in encoded or encoded.startswith(b"."):
        encoded = _LEADING_DOTS.sub(_encode_dots, encoded)
    return encoded if encoded.endswith(b"\r\n") else encoded + _SOFT_BREAK


def literal_value(value: str) -> bytes | None:
    """The fragment of a value that needs no encoding, neither as quoted-printable nor as HTML; None for any other."""
    return value.encode("ascii") + _SOFT_BREAK if _LITERAL.fullmatch(value) else None


def _encode_dots(found: re.Match[bytes]) -> bytes:
    """Dots at the start of a line. The soft break keeps the line, whose rest may be long, within its 76 octets."""
    count = len(found.group())
    lines = [b"=2E" * min(_DOTS_IN_LINE, count - start) for start in range(0, count, _DOTS_IN_LINE)]
    return b"".join(line + _SOFT_BREAK for line in lines)


def to_eight_bit(text: str) -> bytes:
    """One fragment. text: cleaned, line ends as LF."""
    return text.replace("\n", "\r\n").encode()


def end_quoted_printable(fragments: list[bytes]) -> None:
    """End a body. The last soft break goes: nothing follows that it could join."""
    while fragments and not fragments[-1]:
        fragments.pop()
    if fragments and fragments[-1].endswith(_SOFT_BREAK):
        fragments[-1] = fragments[-1][: -len(_SOFT_BREAK)]


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
