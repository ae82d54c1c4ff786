"""Lists and how many contacts each has."""

from typing import Any

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries


def get_list(conn: Conn, *, account_id: int, list_id: int) -> dict[str, Any]:
    """One list. Raises NotFound."""
    row = maybe(conn, queries.lists.get_list, account_id=account_id, list_id=list_id)
    if row is None:
        raise NotFound("There is no list with this id.")
    return row


def list_lists(conn: Conn, *, account_id: int, after_id: int | None, limit: int) -> list[dict[str, Any]]:
    """Newest first."""
    return many(conn, queries.lists.list_lists, account_id=account_id, after_id=after_id, limit=limit)
