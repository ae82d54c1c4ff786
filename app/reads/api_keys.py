"""API keys, without their secrets, which nobody has."""

from typing import Any

from app.db import Conn, many
from sql import queries


def list_api_keys(conn: Conn, *, account_id: int, after_id: int | None, limit: int) -> list[dict[str, Any]]:
    """Live keys, newest first."""
    return many(conn, queries.api_keys.list_api_keys, account_id=account_id, after_id=after_id, limit=limit)
