"""Imports as the pages show them."""

from collections.abc import Iterator
from typing import Any

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries

_REJECTS_PER_READ = 2000


def get_import(conn: Conn, *, account_id: int, import_id: int) -> dict[str, Any]:
    """One import. Raises NotFound."""
    row = maybe(conn, queries.imports.get_import, account_id=account_id, import_id=import_id)
    if row is None:
        raise NotFound("There is no import with this id.")
    return row


def list_imports(conn: Conn, *, account_id: int, after_id: int | None, limit: int) -> list[dict[str, Any]]:
    """Newest first."""
    return many(conn, queries.imports.list_imports, account_id=account_id, after_id=after_id, limit=limit)


def iterate_rejects(conn: Conn, *, import_id: int) -> Iterator[dict[str, Any]]:
    """The rejected rows in the file's order, read in pages. The caller has checked whose import it is."""
    after_line = 0
    while True:
        rows = many(
            conn, queries.imports.list_rejects, import_id=import_id, after_line=after_line, limit=_REJECTS_PER_READ
        )
        yield from rows
        if len(rows) < _REJECTS_PER_READ:
            return
        after_line = rows[-1]["line"]
