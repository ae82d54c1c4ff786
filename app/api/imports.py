"""Imports: a CSV file of up to 1 GiB goes from the request to the database in pieces; memory stays flat."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from apiflask import APIBlueprint
from flask import Response, request, stream_with_context
from pydantic import BaseModel, Field
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import PublicId
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.api.uploads import BodyCutOff, clean_filename, open_upload
from app.clock import utc_now
from app.commands import imports as commands
from app.content.csv_files import NotCsv, csv_line
from app.content.csv_intake import FILE_SIZE_MAX, FileFacts, FileTooLarge, Intake
from app.db import autocommit
from app.domain.errors import Fault, InvalidInput, TooLarge, Unavailable
from app.reads import imports as reads

blueprint = APIBlueprint("imports", __name__, url_prefix="/api/v1", tag="Imports")

#: A client that still sends when we have refused would see a broken connection instead of the reason: read on a little.
DRAIN_SIZE_MAX = 64 * 1024 * 1024
Status = Literal["awaiting_mapping", "importing", "done", "failed"]
_CP1252_NOTE = (
    "The file is not UTF-8, so it was read as Windows-1252. "
    "Look at the sample rows: if letters are wrong, save the file as UTF-8 and upload it again."
)


class UploadQuery(Input):
    filename: str = Field("", max_length=500, description="Shown on the page; a multipart file brings its own.")


class StartInput(Input):
    mapping: dict[str, str] = Field(
        max_length=65,
        description="Attribute -> column, with `email` among them.",
        examples=[{"email": "E-mail", "first_name": "First"}],
    )
    list_id: PublicId | None = Field(None, description="A list to put the contacts on.")
    on_conflict: Literal["update", "skip"] = Field("update", description="For an address that is a contact already.")


class ImportOutput(BaseModel):
    id: str
    filename: str
    status: Status
    size_bytes: int
    encoding: str
    delimiter: str
    columns: list[str]
    sample_rows: list[list[str]]
    suggested_mapping: dict[str, str] | None
    mapping: dict[str, str] | None
    notes: list[str]
    list_id: str | None
    on_conflict: Literal["update", "skip"]
    rows_total: int | None = Field(description="Estimated from the number of lines until the import is done.")
    rows_read: int
    contacts_created: int
    contacts_updated: int
    rows_unchanged: int = Field(description="Known addresses that on_conflict 'skip' left as they were.")
    rows_duplicate: int = Field(description="Addresses that an earlier row of the file had.")
    rows_rejected: int
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ImportPageOutput(BaseModel):
    data: list[ImportOutput]
    next_cursor: str | None


@blueprint.post("/imports")
@requires("send")
@blueprint.input(UploadQuery, location="query")
@blueprint.output(ImportOutput, 201)
@blueprint.doc(
    description="Send the file as the raw body with Content-Type text/csv, or as multipart/form-data in the field `file`. "
    "At most 1 GiB, 64 columns, 1 MiB a line; UTF-8, UTF-16 with its mark, or Windows-1252."
)
def upload(query_data: UploadQuery) -> Response:
    """Upload a CSV file; answers what is in it"""
    account_id = caller().account_id
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType("Send the file uncompressed, without Content-Encoding.")
    filename, pieces = open_upload(request, query_data.filename)
    try:
        import_id, facts, digest = _receive(account_id, filename, pieces)
    except (NotCsv, FileTooLarge, BodyCutOff, RequestEntityTooLarge) as error:
        _drain(pieces)
        raise _explain(error) from error
    try:
        return run_command(
            lambda conn: _shape(commands.finish_upload(conn, account_id=account_id, import_id=import_id, facts=facts)),
            status=201,
            body_hash=digest,
        )
    finally:  # an answer that was given before, or a refusal: then this copy of the file is not needed
        _abandon(import_id)


@blueprint.get("/imports")
@requires("read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(ImportPageOutput)
def list_imports(query_data: PageQuery) -> Response:
    """Imports, newest first"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_imports(conn, account_id=caller().account_id, after_id=page.after_id, limit=page.limit + 1)
    return etag_json(page_json(rows, page, _shape))


@blueprint.get("/imports/<import_id>")
@requires("read")
@blueprint.output(ImportOutput)
def get_import(import_id: str) -> Response:
    """One import and how far it is"""
    with reading() as conn:
        row = reads.get_import(conn, account_id=caller().account_id, import_id=parse_id("import", import_id))
    return etag_json(_shape(row))


@blueprint.post("/imports/<import_id>/start")
@requires("send")
@blueprint.input(StartInput)
@blueprint.output(ImportOutput, 202)
def start_import(import_id: str, json_data: StartInput) -> Response:
    """Begin to import, with the columns mapped to attributes"""
    account_id, number, now = caller().account_id, parse_id("import", import_id), utc_now()
    list_id = parse_id("list", json_data.list_id) if json_data.list_id is not None else None
    return run_command(
        lambda conn: _shape(
            commands.start_import(
                conn,
                account_id=account_id,
                import_id=number,
                mapping=json_data.mapping,
                list_id=list_id,
                on_conflict=json_data.on_conflict,
                now=now,
            )
        ),
        status=202,
    )


@blueprint.get("/imports/<import_id>/rejects.csv")
@requires("read")
@blueprint.doc(responses={200: "The rejected rows, as text/csv."})
def download_rejects(import_id: str) -> Response:
    """The rejected rows as CSV: line number, reason, the raw row

    At most the first 100,000. Cells that a spreadsheet would run are quoted.
    """
    number = parse_id("import", import_id)
    with reading() as conn:
        reads.get_import(conn, account_id=caller().account_id, import_id=number)

    def lines() -> Iterator[str]:
        yield "\ufeff" + csv_line(("line", "reason", "row"))
        with reading() as conn:
            for row in reads.iterate_rejects(conn, import_id=number):
                yield csv_line((row["line"], row["reason"], row["row_text"]))

    answer = Response(stream_with_context(lines()), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="rejects-{import_id}.csv"'
    return answer


@blueprint.delete("/imports/<import_id>")
@requires("send")
@blueprint.output({}, 204)
def delete_import(import_id: str) -> Response:
    """Delete an import and its file; its contacts stay"""
    account_id, number = caller().account_id, parse_id("import", import_id)
    return run_command(lambda conn: commands.delete_import(conn, account_id=account_id, import_id=number), status=204)


def _receive(account_id: int, filename: str, pieces: Iterator[bytes]) -> tuple[int, FileFacts, bytes]:
    """Store the file chunk by chunk, each in its own short transaction. Nothing stays behind when it is refused.

    Returns the import's id, what the file is, and the SHA-256 of its name and bytes.
    """
    intake, digest = Intake(), hashlib.sha256(filename.encode("utf-8", "replace") + b"\n")
    import_id: int | None = None
    ordinal = 0

    def store(chunk: bytes) -> None:
        nonlocal import_id, ordinal
        with autocommit(services().pool) as conn:
            if import_id is None:
                import_id = commands.begin_upload(conn, account_id=account_id, filename=filename, now=utc_now())
            commands.store_chunk(conn, import_id=import_id, ordinal=ordinal, data=chunk)
        ordinal += 1

    try:
        for piece in pieces:
            digest.update(piece)
            for chunk in intake.feed(piece):
                store(chunk)
        last, facts = intake.finish()
        for chunk in last:
            store(chunk)
    except BaseException:
        if import_id is not None:
            _abandon(import_id)
        raise
    assert import_id is not None, "a file that is not refused has at least one chunk"
    return import_id, facts, digest.digest()


def _abandon(import_id: int) -> None:
    """Clean up. What cannot be cleaned up now is pruned at a later upload."""
    with suppress(Unavailable), autocommit(services().pool) as conn:
        commands.abandon_upload(conn, import_id=import_id)


def _drain(pieces: Iterator[bytes]) -> None:
    read = 0
    with suppress(BodyCutOff, RequestEntityTooLarge):
        for piece in pieces:
            read += len(piece)
            if read > DRAIN_SIZE_MAX:
                return


def _explain(error: Exception) -> Exception:
    if isinstance(error, NotCsv):
        return InvalidInput(error.message, [Fault("", error.message, error.code)], code=error.code)
    if isinstance(error, BodyCutOff):
        return InvalidInput(str(error), [Fault("", str(error), "cut_off")], code="cut_off")
    return TooLarge(f"The file is over {FILE_SIZE_MAX // 1024**3} GiB. Split it and upload the parts.")


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    ids = services().ids
    is_waiting = row["status"] == "awaiting_mapping"
    settled = row["contacts_created"] + row["contacts_updated"] + row["rows_duplicate"] + row["rows_rejected"]
    return {
        "id": ids.encode("import", row["import_id"]),
        "filename": clean_filename(row["filename"]),
        "status": row["status"],
        "size_bytes": row["size_bytes"],
        "encoding": row["encoding"],
        "delimiter": row["delimiter"],
        "columns": row["columns"],
        "sample_rows": row["sample_rows"],
        "suggested_mapping": row["mapping"] if is_waiting else None,
        "mapping": None if is_waiting else row["mapping"],
        "notes": [_CP1252_NOTE] if row["encoding"] == "cp1252" else [],
        "list_id": ids.encode("list", row["list_id"]) if row["list_id"] is not None else None,
        "on_conflict": row["on_conflict"],
        "rows_total": row["rows_total"],
        "rows_read": row["rows_read"],
        "contacts_created": row["contacts_created"],
        "contacts_updated": row["contacts_updated"],
        "rows_unchanged": row["rows_read"] - settled,
        "rows_duplicate": row["rows_duplicate"],
        "rows_rejected": row["rows_rejected"],
        "error": row["error"],
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
    }
