"""Imports: receive a file piece by piece, start it with a mapping, delete it.

A file takes as long to upload as it takes; no transaction is open meanwhile. Until `finish_upload` the import has status
'uploading', which nobody is shown; `abandon_upload` removes it, and `begin_upload` those of web processes that died.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from app.content.csv_intake import FileFacts
from app.db import Conn, count, maybe, one
from app.domain.contact import ATTRIBUTES_COUNT_MAX, is_attribute_name
from app.domain.errors import Conflict, Fault, InvalidInput, NotFound, WrongState
from app.jobs import Task, defer
from app.reads.imports import get_import
from app.reads.lists import get_list
from sql import queries

_UPLOAD_TIME_MAX = timedelta(hours=6)
FILENAME_LENGTH_MAX = 200


def begin_upload(conn: Conn, *, account_id: int, filename: str, now: datetime) -> int:
    """Make the import that chunks are stored under, and return its id."""
    count(conn, queries.imports.prune_stale_uploads, account_id=account_id, before=now - _UPLOAD_TIME_MAX)
    row = one(conn, queries.imports.insert_import, account_id=account_id, filename=filename, now=now)
    return int(row["import_id"])


def store_chunk(conn: Conn, *, import_id: int, ordinal: int, data: bytes) -> None:
    count(conn, queries.imports.insert_chunk, import_id=import_id, ordinal=ordinal, data=data)


def finish_upload(conn: Conn, *, account_id: int, import_id: int, facts: FileFacts) -> dict[str, Any]:
    """The file is complete: show what it is, and wait for its mapping."""
    row = maybe(
        conn,
        queries.imports.finish_upload,
        account_id=account_id,
        import_id=import_id,
        size_bytes=facts.size_bytes,
        encoding=facts.encoding,
        delimiter=facts.shape.delimiter,
        columns=Jsonb(facts.shape.columns),
        sample_rows=Jsonb(facts.shape.sample_rows),
        mapping=Jsonb(facts.shape.mapping),
        rows_total=facts.rows_total,
    )
    if row is None:
        raise Conflict("The upload took over six hours and was given up. Upload the file again.")
    return row


def abandon_upload(conn: Conn, *, import_id: int) -> None:
    """Remove an upload that was not finished. Does nothing to one that was."""
    count(conn, queries.imports.abandon_upload, import_id=import_id)


def start_import(
    conn: Conn,
    *,
    account_id: int,
    import_id: int,
    mapping: Mapping[str, str],
    list_id: int | None,
    on_conflict: str,
    now: datetime,
) -> dict[str, Any]:
    """Begin to import under `mapping` (attribute -> column). The rows and their job commit together.

    Raises NotFound, WrongState when it was started before, InvalidInput with a pointer per fault of the mapping.
    """
    found = get_import(conn, account_id=account_id, import_id=import_id)
    if found["status"] != "awaiting_mapping":
        raise WrongState(f"The import is '{found['status']}': it can be started once.")
    faults = find_mapping_faults(mapping, found["columns"])
    if faults:
        raise InvalidInput("The mapping does not fit the file.", faults)
    if list_id is not None:
        get_list(conn, account_id=account_id, list_id=list_id)
    row = maybe(
        conn,
        queries.imports.start,
        account_id=account_id,
        import_id=import_id,
        mapping=Jsonb(dict(mapping)),
        list_id=list_id,
        on_conflict=on_conflict,
        now=now,
    )
    if row is None:
        raise WrongState("The import was started by another request.")
    defer(conn, Task.IMPORT_CONTACTS, id=import_id, epoch=row["epoch"])
    return row


def find_mapping_faults(mapping: Mapping[str, str], columns: Sequence[str]) -> list[Fault]:
    """What is wrong with a mapping for a file of these columns. Pointers are below /mapping."""
    if len(mapping) > ATTRIBUTES_COUNT_MAX + 1:
        return [Fault("/mapping", f"At most {ATTRIBUTES_COUNT_MAX} attributes can be mapped.", "too_many")]
    faults = []
    if "email" not in mapping:
        faults.append(Fault("/mapping/email", "is required: name the column that holds the addresses", "missing"))
    for name, column in mapping.items():
        pointer = f"/mapping/{name[:80].replace('~', '~0').replace('/', '~1')}"
        if name != "email" and not is_attribute_name(name):
            faults.append(Fault(pointer, "An attribute's name has letters, digits and _ only.", "invalid_name"))
        if column not in columns:
            shown = ", ".join(columns)[:300]
            faults.append(Fault(pointer, f"The file has no column of this name; it has: {shown}", "unknown_column"))
    return faults


def delete_import(conn: Conn, *, account_id: int, import_id: int) -> None:
    """Remove an import, its file and rejects. Its contacts stay. Raises NotFound, WrongState, Conflict."""
    found = get_import(conn, account_id=account_id, import_id=import_id)
    use = maybe(conn, queries.imports.find_use_of_import, account_id=account_id, import_id=import_id)
    if use is not None:
        raise Conflict(
            f"The campaign '{use['name']}' takes its audience from this import. Change or cancel it first.",
            code="in_use",
        )
    if maybe(conn, queries.imports.delete_import, account_id=account_id, import_id=import_id) is None:
        if found["status"] == "importing":
            raise WrongState("The import is running. Delete it when it is done.")
        raise NotFound("There is no import with this id.")
