"""Who is signed in, and where."""

from typing import Any

from app.db import Conn, maybe
from app.domain.errors import NotFound
from sql import queries


def get_account(conn: Conn, *, account_id: int) -> dict[str, Any]:
    """One account. Raises NotFound when it was deleted meanwhile."""
    row = maybe(conn, queries.accounts.get_account, account_id=account_id)
    if row is None:
        raise NotFound("There is no such account.")
    return row


def get_user(conn: Conn, *, user_id: int) -> dict[str, Any] | None:
    return maybe(conn, queries.users.get_user, user_id=user_id)
