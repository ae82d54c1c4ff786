"""Who may enter an account, and which accounts somebody may enter."""

from psycopg.rows import DictRow

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries


def list_members(conn: Conn, *, account_id: int, after_id: int | None, row_limit: int) -> list[DictRow]:
    return many(conn, queries.team.list_members, account_id=account_id, after_id=after_id, row_limit=row_limit)


def get_member(conn: Conn, *, account_id: int, user_id: int) -> DictRow:
    """Raises NotFound, also for somebody of another account."""
    row = maybe(conn, queries.team.get_member, account_id=account_id, user_id=user_id)
    if row is None:
        raise NotFound("There is nobody with this id in your team.")
    return row


def list_accounts(conn: Conn, *, user_id: int) -> list[DictRow]:
    """{account_id, name, role} of the accounts that a person may enter."""
    return many(conn, queries.team.list_accounts, user_id=user_id)
