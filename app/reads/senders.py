"""Senders as their pages show them."""

from psycopg.rows import DictRow

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries


def get_sender(conn: Conn, *, account_id: int, sender_id: int) -> DictRow:
    """Raises NotFound."""
    row = maybe(conn, queries.senders.get_sender, account_id=account_id, sender_id=sender_id)
    if row is None:
        raise NotFound("There is no sender with this id.")
    return row


def list_senders(conn: Conn, *, account_id: int, after_id: int | None, row_limit: int) -> list[DictRow]:
    return many(conn, queries.senders.list_senders, account_id=account_id, after_id=after_id, row_limit=row_limit)
