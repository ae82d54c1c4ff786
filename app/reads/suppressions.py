"""Suppressed addresses."""

from typing import Any

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries


def get_suppression(conn: Conn, *, account_id: int, suppression_id: int) -> dict[str, Any]:
    """One suppression. Raises NotFound."""
    row = maybe(conn, queries.suppressions.get_suppression, account_id=account_id, suppression_id=suppression_id)
    if row is None:
        raise NotFound("There is no suppression with this id.")
    return row


def list_suppressions(
    conn: Conn, *, account_id: int, q: str | None, reason: str | None, after_id: int | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first; `q` is part of an address."""
    return many(
        conn,
        queries.suppressions.list_suppressions,
        account_id=account_id,
        q=q,
        reason=reason,
        after_id=after_id,
        limit=limit,
    )
