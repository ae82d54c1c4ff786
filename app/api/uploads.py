"""A file out of a request, piece by piece, as the raw body or as multipart/form-data. Nothing is buffered whole."""

from collections.abc import Iterator
from typing import IO

from flask import Request
from werkzeug.exceptions import ClientDisconnected, UnsupportedMediaType
from werkzeug.sansio.multipart import Data, Epilogue, File, MultipartDecoder, NeedData

from app.domain.errors import Fault, InvalidInput

PIECE_SIZE = 256 * 1024  # bytes
FILENAME_LENGTH_MAX = 200
_OTHER_KINDS = {"application/json", "application/problem+json"}


class BodyCutOff(Exception):
    """The body ended before the client said that it would."""


def open_upload(request: Request, filename: str) -> tuple[str, Iterator[bytes]]:
    """The file's name and its bytes as they arrive; `filename` is what the query says.

    Reading may raise BodyCutOff. Raises InvalidInput for multipart without a file, UnsupportedMediaType for JSON.
    """
    if request.mimetype in _OTHER_KINDS:
        raise UnsupportedMediaType("Send the file as text/csv, or as multipart/form-data in the field `file`.")
    body = _read(request.stream, request.content_length)
    if request.mimetype != "multipart/form-data":
        return clean_filename(filename), body
    boundary = request.mimetype_params.get("boundary", "").encode("latin-1", "replace")
    if not boundary:
        raise _no_file("The multipart body has no boundary.")
    try:
        name, pieces = _find_file(MultipartDecoder(boundary, max_form_memory_size=4 * PIECE_SIZE, max_parts=100), body)
    except ValueError as error:
        raise _no_file("The multipart body cannot be read.") from error
    return clean_filename(filename or name), pieces


def clean_filename(name: str) -> str:
    """The last part of a path, one line, of bounded length: for showing, never for opening."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in last if char.isprintable())[:FILENAME_LENGTH_MAX]


def _read(stream: IO[bytes], expected: int | None) -> Iterator[bytes]:
    read = 0
    try:
        while piece := stream.read(PIECE_SIZE):
            read += len(piece)
            yield piece
    except (ClientDisconnected, OSError) as error:
        raise BodyCutOff("The upload was cut off. Send the file again.") from error
    if expected is not None and read < expected:
        raise BodyCutOff(f"The upload was cut off after {read} of {expected} bytes. Send the file again.")


def _find_file(decoder: MultipartDecoder, body: Iterator[bytes]) -> tuple[str, Iterator[bytes]]:
    """Skip to the part named `file`. Raises InvalidInput when there is none."""
    events = _events(decoder, body)
    for event in events:
        if isinstance(event, File) and event.name == "file":
            return event.filename or "", _file_data(events)
    raise _no_file("The multipart body has no file in a field named `file`.")


def _file_data(events: Iterator[object]) -> Iterator[bytes]:
    for event in events:
        assert isinstance(event, Data)
        if event.data:
            yield event.data
        if not event.more_data:
            return
    raise BodyCutOff("The upload was cut off. Send the file again.")


def _events(decoder: MultipartDecoder, body: Iterator[bytes]) -> Iterator[object]:
    for piece in body:
        decoder.receive_data(piece)
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            yield event
        if isinstance(event, Epilogue):
            return


def _no_file(detail: str) -> InvalidInput:
    return InvalidInput(detail, [Fault("", detail, "no_file")], code="no_file")
