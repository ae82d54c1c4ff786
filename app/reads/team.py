"""Who may enter an account, and which accounts somebody may enter."""

from psycopg.rows import DictRow

from app.db import Conn, many
from app.domain.errors import NotFound
from sql import queries


def list_members(conn: Conn, *, account_id: int, after_id: int | None, row_limit: int) -> list[DictRow]:
    return many(
        conn, queries.team.list_members, account_id=account_id, after_id=after_id, user_id=None, row_limit=row_limit
    )


def get_member(conn: Conn, *, account_id: int, user_id: int) -> DictRow:
    """Raises NotFound, also for somebody of another account."""
    rows = many(conn, queries.team.list_members, account_id=account_id, after_id=None, user_id=user_id, row_limit=1)
    if not rows:
        raise NotFound("There is nobody with this id in your team.")
    return rows[0]


def list_accounts(conn: Conn, *, user_id: int) -> list[DictRow]:
    """{account_id, name, role} of the accounts that a person may enter."""
    return many(conn, queries.team.list_accounts, user_id=user_id)
