"""Relays as their pages show them. A password is only a yes or no."""

from psycopg.rows import DictRow

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries


def get_relay(conn: Conn, *, account_id: int, relay_id: int) -> DictRow:
    """Raises NotFound."""
    row = maybe(conn, queries.relays.get_relay, account_id=account_id, relay_id=relay_id)
    if row is None:
        raise NotFound("There is no relay with this id.")
    return row


def list_relays(conn: Conn, *, account_id: int, after_id: int | None, row_limit: int) -> list[DictRow]:
    return many(conn, queries.relays.list_relays, account_id=account_id, after_id=after_id, row_limit=row_limit)
