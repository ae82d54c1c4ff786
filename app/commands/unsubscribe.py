"""Take a recipient off an account's campaigns, by the link in one of its messages."""

from datetime import datetime

from app.db import Conn, count
from sql import queries


def unsubscribe(conn: Conn, *, account_id: int, message_id: int, now: datetime) -> None:
    """Suppress the message's recipient. Does nothing for a message that is gone or a recipient who is suppressed already.

    The commit is what counts: every message that is marked after it is not sent.
    """
    count(conn, queries.unsubscribe.unsubscribe_recipient, account_id=account_id, message_id=message_id, now=now)
