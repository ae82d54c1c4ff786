"""Suppressions: addresses that must not be written to. An import never lifts one; only deleting it does."""

from datetime import datetime
from typing import Any

from app.db import Conn, count, one
from app.domain.errors import NotFound
from sql import queries


def suppress(conn: Conn, *, account_id: int, email: str, reason: str, note: str, now: datetime) -> dict[str, Any]:
    """Stop all mail to an address ('unsubscribe': campaigns only). Twice is as good as once."""
    return one(
        conn, queries.suppressions.suppress, account_id=account_id, email=email, reason=reason, note=note, now=now
    )


def lift_suppression(conn: Conn, *, account_id: int, suppression_id: int) -> None:
    """Allow mail to the address again. Raises NotFound."""
    gone = count(conn, queries.suppressions.delete_suppression, account_id=account_id, suppression_id=suppression_id)
    if gone == 0:
        raise NotFound("There is no suppression with this id.")
