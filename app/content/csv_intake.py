"""Look at an uploaded file while its bytes pass by: encoding, line lengths, NUL, number of rows. Memory stays flat.

    intake = Intake()
    for piece in body:
        for chunk in intake.feed(piece): store(chunk)         # raises NotCsv or FileTooLarge at the first bad byte
    chunks, facts = intake.finish()

Chunks are the file's own bytes, but a UTF-16 file comes out as UTF-8.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from app.content.csv_files import LINE_SIZE_MAX, CsvShape, NotCsv, python_encoding, refuse_binary, sniff

CHUNK_SIZE = 1024 * 1024  # bytes
FILE_SIZE_MAX = 1024 * 1024 * 1024  # bytes
#: Twice the longest line, so that a line that is too long is called that, not a file without addresses.
_SNIFFED_SIZE = 2 * LINE_SIZE_MAX
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_BOMS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class FileTooLarge(Exception):
    """The file is over 1 GiB."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    size_bytes: int  # as uploaded
    encoding: str  # 'utf-8' | 'utf-16' | 'cp1252'
    rows_total: int  # an estimate: lines outside quotes, less the header; exact once imported
    shape: CsvShape


class Intake:
    """One file on its way in."""

    def __init__(self) -> None:
        self._size = 0
        self._head = b""  # until the first four bytes are there
        self._begun = False
        self._utf16: codecs.IncrementalDecoder | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._encoding = "utf-8"
        self._is_valid = True  # UTF-8 so far
        self._is_ascii = True
        self._buffer = bytearray()
        self._shape: CsvShape | None = None
        self._line_size = 0  # of the line that is not over yet
        self._lines = 0
        self._in_quotes = False
        self._ends_with_newline = True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take the next bytes; yield chunks that are full. Raises NotCsv, FileTooLarge."""
        self._size += len(piece)
        if self._size > FILE_SIZE_MAX:
            raise FileTooLarge
        if not self._begun:
            self._head += piece
            if len(self._head) < 4:
                return
            piece, self._head = self._begin(self._head), b""
        yield from self._take(piece)

    def finish(self) -> tuple[list[bytes], FileFacts]:
        """The last chunk, if any, and what the file is. Raises NotCsv."""
        chunks: list[bytes] = []
        if not self._begun:
            chunks += self._take(self._begin(self._head))
        chunks += self._take(b"", final=True)
        if self._shape is None:
            self._sniff(bytes(self._buffer), is_whole=True)
        if self._buffer:
            chunks.append(bytes(self._buffer))
        assert self._shape is not None
        lines = self._lines + (0 if self._ends_with_newline else 1)
        facts = FileFacts(
            size_bytes=self._size,
            encoding=self._encoding,
            rows_total=max(0, lines - (1 if self._shape.has_header else 0)),
            shape=self._shape,
        )
        return chunks, facts

    def _begin(self, head: bytes) -> bytes:
        self._begun = True
        if head.startswith(_UTF32_BOMS):
            raise NotCsv("bad_encoding", "The file is UTF-32. Save it as UTF-8 and upload that.")
        if head.startswith(_UTF16_BOMS):
            self._utf16 = codecs.getincrementaldecoder("utf-16")()
            self._encoding = "utf-16"
            return head
        refuse_binary(head)
        return head

    def _take(self, piece: bytes, *, final: bool = False) -> Iterator[bytes]:
        if self._utf16 is not None:
            try:
                piece = self._utf16.decode(piece, final).encode()
            except UnicodeError as error:
                raise NotCsv("bad_encoding", "The file says it is UTF-16 but is not. Save it as UTF-8.") from error
        at = piece.find(b"\0")
        if at >= 0:
            line = self._lines + piece.count(b"\n", 0, at) + 1
            raise NotCsv(
                "nul_bytes",
                f"There is a NUL byte in line {line}: this is not CSV, or UTF-16 without its mark. "
                "Save the file as CSV (UTF-8) and upload that.",
            )
        self._measure_lines(piece)
        self._check_utf8(piece, final=final)
        self._buffer += piece
        if self._shape is None and len(self._buffer) >= _SNIFFED_SIZE:
            self._sniff(bytes(memoryview(self._buffer)[:_SNIFFED_SIZE]), is_whole=False)
        while self._shape is not None and len(self._buffer) >= CHUNK_SIZE:
            chunk = bytes(memoryview(self._buffer)[:CHUNK_SIZE])
            del self._buffer[:CHUNK_SIZE]
            yield chunk

    def _sniff(self, beginning: bytes, *, is_whole: bool) -> None:
        if not is_whole:
            beginning = beginning[: max(beginning.rfind(b"\n"), beginning.rfind(b"\r")) + 1]
        refuse_binary(beginning.removeprefix(codecs.BOM_UTF8))
        self._shape = sniff(beginning.decode(python_encoding(self._encoding), "replace"))

    def _measure_lines(self, piece: bytes) -> None:
        """Refuse a line over 1 MiB, and count the lines that end outside quotes."""
        if not piece:
            return
        newline = b"\n" if b"\n" in piece else b"\r"
        first = piece.find(newline)
        self._line_size += len(piece) if first < 0 else first
        self._check_line_size()
        if first >= 0:
            for line in piece.split(newline) if len(piece) > LINE_SIZE_MAX else ():
                self._line_size = len(line)
                self._check_line_size()
            self._line_size = len(piece) - piece.rfind(newline) - 1
        self._ends_with_newline = piece.endswith((b"\n", b"\r"))
        if b'"' not in piece:
            self._lines += 0 if self._in_quotes else piece.count(newline)
            return
        for number, part in enumerate(piece.split(b'"')):
            if number:
                self._in_quotes = not self._in_quotes
            if not self._in_quotes:
                self._lines += part.count(newline)

    def _check_line_size(self) -> None:
        if self._line_size > LINE_SIZE_MAX:
            raise NotCsv(
                "line_too_long",
                f"Line {self._lines + 1} is longer than 1 MiB. Check that the file is CSV with one contact on each line.",
            )

    def _check_utf8(self, piece: bytes, *, final: bool) -> None:
        """Settle the encoding at the first byte that is not UTF-8: cp1252 when all before was ASCII.

        After real UTF-8 a stray byte is a fault of its row, which the import rejects.
        """
        if not self._is_valid:
            return
        try:
            self._utf8.decode(piece, final)
        except UnicodeDecodeError as error:
            self._is_valid = False
            if self._is_ascii and error.object[: error.start].isascii():
                self._encoding = "cp1252"
        self._is_ascii = self._is_ascii and piece.isascii()
