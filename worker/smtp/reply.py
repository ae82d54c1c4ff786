"""SMTP replies: what one is, and reading them from bytes that a stranger sent.

Bounded: a line, and the number of lines of one reply. What does not parse is a ReplyFault, after which the
connection is of no use, because nothing after it can be matched to its command.
"""

import re
from typing import NamedTuple

LINE_SIZE_MAX = 2_048  # bytes; RFC 5321 § 4.5.3.1.5 says 512, some servers write more
LINES_MAX = 100
TEXT_SIZE_MAX = 500  # characters kept: what the ledger stores

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_CODES = {b"%d" % code: code for code in range(200, 600)}
_CONTROL = re.compile(r"[^\x20-\x7e\xa0-\U0010ffff]+")

RawReply = tuple[int, bytes]
"""(code, lines joined by LF, without their codes): what the reader makes; a Reply is made only where someone reads it."""


class ReplyFault(Exception):
    """The server sent something that is not a reply. The message says what, without quoting it."""


class Reply(NamedTuple):
    """What the server said.

    code  200 to 599.
    text  its lines joined by a space, printable, at most 500 characters, without the code.
    """

    code: int
    text: str

    @classmethod
    def from_wire(cls, raw: RawReply) -> "Reply":
        """Make printable text of what was read. A later line's repeated enhanced code (RFC 2034 § 4) is left out."""
        code, joined = raw
        text = joined[: TEXT_SIZE_MAX * 8].decode("utf-8", "replace")
        if "\n" in text:
            first, *others = text.split("\n")
            prefix = _ENHANCED.match(first)
            if prefix:
                others = [line.removeprefix(prefix[0]).strip() for line in others]
            text = " ".join([first, *others])
        if not text.isprintable():
            text = _CONTROL.sub(" ", text)
            text = "".join(char if char.isprintable() else "\ufffd" for char in text)
        return cls(code, text.strip()[:TEXT_SIZE_MAX])

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code (RFC 3463), when there is one and its class agrees with the reply's (RFC 2034 § 4)."""
        found = _ENHANCED.match(self.text)
        if not found or found[1] != str(self.code)[0]:
            return None
        return found[0]

    @property
    def line(self) -> str:
        return f"{self.code} {self.text}".rstrip()


class ReplyReader:
    """Turn arriving bytes into replies. Holds at most one line and one unfinished reply."""

    __slots__ = ("_code", "_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._lines: list[bytes] = []

    @property
    def is_empty(self) -> bool:
        """Nothing half-read: the last reply ended with the last byte."""
        return not self._rest and not self._lines

    def feed(self, data: bytes) -> list[RawReply]:
        """Take what arrived and return the replies that it completes. Raises ReplyFault; then feed no more."""
        if self._rest:
            data = self._rest + data
        lines = data.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_SIZE_MAX:
            raise ReplyFault(f"a reply line of more than {LINE_SIZE_MAX} bytes")
        replies: list[RawReply] = []
        for line in lines:
            # Nearly every line is a whole reply of its own: four of them for each message.
            code = _CODES.get(line[:3])
            if code is None or line[3:4] != b" " or self._lines or len(line) > LINE_SIZE_MAX:
                self._take_line(line, replies)
            else:
                replies.append((code, line[4:].removesuffix(b"\r")))
        return replies

    def _take_line(self, line: bytes, replies: list[RawReply]) -> None:
        # A bare LF is taken as an end of line: only our own side of the wire has to be strict here.
        if line.endswith(b"\r"):
            line = line[:-1]
        if len(line) > LINE_SIZE_MAX:
            raise ReplyFault(f"a reply line of more than {LINE_SIZE_MAX} bytes")
        code, mark = _CODES.get(line[:3]), line[3:4]
        if code is None or mark not in b" -":
            raise ReplyFault("a line that is not an SMTP reply")
        if self._lines and code != self._code:
            raise ReplyFault("a reply whose lines carry different codes")
        if mark == b"-":
            if len(self._lines) >= LINES_MAX - 1:
                raise ReplyFault(f"a reply of more than {LINES_MAX} lines")
            self._code = code
            self._lines.append(line[4:])
        elif self._lines:
            replies.append((code, b"\n".join([*self._lines, line[4:]])))
            self._lines = []
        else:
            replies.append((code, line[4:]))
