"""Header fields as bytes: normalised, encoded (RFC 2047), folded (RFC 5322 § 2.2.3). Nothing can add a line of its own."""

import binascii
import re
from datetime import UTC, datetime
from functools import lru_cache

LINE_SIZE = 76  # octets: RFC 2047 § 2 for lines with encoded words; we keep it for all
_LINE_SIZE_MAX = 998  # octets: RFC 5322 § 2.1.1
_WORD_BYTES = 45  # of UTF-8 in an encoded word: 60 of base64 + 12 around them <= 75 (RFC 2047 § 2)

#: C0, DEL, C1, line and paragraph separators, lone surrogates: never in a header.
_UNWANTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")  # RFC 5322 § 3.2.3, words with spaces between
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clean_header(text: str) -> str:
    """Normalise a value for a header: control characters and line breaks become spaces, runs of spaces become one."""
    if not text.isprintable():
        text = _UNWANTED.sub(" ", text)
    return " ".join(text.split())


def write_text(name: str, value: str) -> bytes:
    """An unstructured field such as Subject, with its CRLF."""
    return write_clean_text(name, clean_header(value))


def write_clean_text(name: str, value: str) -> bytes:
    """`write_text` of a value that clean_header has made."""
    if value.isascii() and "=?" not in value:
        line = f"{name}: {value}"
        if len(line) <= LINE_SIZE:
            return line.encode("ascii") + b"\r\n"
        folded = _fold(line)
        if folded is not None:
            return folded
    return f"{name}: ".encode("ascii") + encode_words(value, first_room=LINE_SIZE - len(name) - 2) + b"\r\n"


def write_mailbox(name: str, display_name: str, wire_address: str) -> bytes:
    """A field with one mailbox: From, Reply-To, To. wire_address: as addresses.to_wire gives it."""
    display_name = clean_header(display_name)
    start = f"{name}: ".encode("ascii")
    address = wire_address.encode()
    if not display_name:
        return start + address + b"\r\n"
    phrase = _phrase(display_name, room=LINE_SIZE - len(start))
    last_line = len(start) + len(phrase) if b"\r\n" not in phrase else len(phrase) - phrase.rindex(b"\r\n") - 2
    space = b" " if last_line + len(address) + 3 <= LINE_SIZE else b"\r\n "
    return start + phrase + space + b"<" + address + b">\r\n"


def encode_words(value: str, *, first_room: int) -> bytes:
    """RFC 2047 encoded words, UTF-8 in base64, one a line. first_room: octets left on the first line."""
    room = max(4, (first_room - 12) // 4 * 3)
    raw = value.encode()
    if len(raw) <= min(room, _WORD_BYTES):
        return _write_word(raw)
    words, chunk, size = [], "", 0
    for character in value:
        more = len(character.encode())
        if size + more > min(room, _WORD_BYTES):
            words.append(chunk)
            chunk, size, room = "", 0, _WORD_BYTES
        chunk += character
        size += more
    words.append(chunk)
    return b"\r\n ".join(_write_word(word.encode()) for word in words)


def _write_word(raw: bytes) -> bytes:
    return b"=?utf-8?b?" + binascii.b2a_base64(raw, newline=False) + b"?="


def write_date(date: datetime) -> bytes:
    """The Date field's value: RFC 5322 § 3.3, in UTC. Written out because strftime obeys the locale."""
    return _date_of_second(int(date.timestamp()))


@lru_cache(maxsize=64)
def _date_of_second(second: int) -> bytes:
    at = datetime.fromtimestamp(second, UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day:02d} {_MONTHS[at.month - 1]} {at.year:04d} "
        f"{at.hour:02d}:{at.minute:02d}:{at.second:02d} +0000"
    ).encode("ascii")


def _phrase(display_name: str, *, room: int) -> bytes:
    if display_name.isascii() and "=?" not in display_name:
        quoted = display_name
        if not _ATOMS.fullmatch(display_name):
            quoted = '"' + display_name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if len(quoted) <= room:
            return quoted.encode("ascii")
    return encode_words(display_name, first_room=room)


def _fold(line: str) -> bytes | None:
    """Fold an ASCII line at spaces. None when a word of it is too long for a line."""
    lines, current = [], ""
    for word in line.split(" "):
        # A line of the fold must not be white space only (RFC 5322 § 3.2.2), so the name keeps its first word.
        if current and len(current) + 1 + len(word) > LINE_SIZE and not current.endswith(":"):
            lines.append(current)
            current = " " + word
        else:
            current = f"{current} {word}" if current else word
    lines.append(current)
    if max(map(len, lines)) > _LINE_SIZE_MAX:
        return None
    return "\r\n".join(lines).encode("ascii") + b"\r\n"
