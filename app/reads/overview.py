"""The first page: what goes next, what is being sent, and the last 24 hours."""

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from psycopg.rows import DictRow

from app.db import Conn, many, one
from sql import queries

HOURS = 24
PAST_HOURS_AGE_MAX_S = 60.0
REMEMBERED_ACCOUNTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Hour:
    hour: datetime  #: its beginning, UTC
    sent: int
    failed: int
    retried: int


@dataclass(frozen=True, slots=True)
class Overview:
    next_campaigns: list[DictRow]
    next_messages: DictRow  #: scheduled (up to 1,000), next_at
    moving_campaigns: list[DictRow]
    hours: list[Hour]  #: 24, oldest first, the current one last


@dataclass(slots=True)
class PastHours:
    """The hours that are over, by account, for a minute: an account that sends all day has 86,400 rows to add up, which takes
    0.1 s, and its page asks each second."""

    _known: dict[int, tuple[datetime, float, list[DictRow]]] = field(default_factory=dict)

    def list_past(self, conn: Conn, *, account_id: int, hour: datetime) -> list[DictRow]:
        """The 23 hours before the one that begins at `hour`."""
        known = self._known.get(account_id)
        if known is not None and known[0] == hour and known[1] > time.monotonic():
            return known[2]
        since = hour - timedelta(hours=HOURS - 1)
        rows = many(conn, queries.overview.list_hours, account_id=account_id, since=since, until=hour)
        if len(self._known) >= REMEMBERED_ACCOUNTS_MAX:
            self._known.clear()
        self._known[account_id] = hour, time.monotonic() + PAST_HOURS_AGE_MAX_S, rows
        return rows


def get_overview(conn: Conn, *, account_id: int, now: datetime, past_hours: PastHours) -> Overview:
    hour = now.replace(minute=0, second=0, microsecond=0)
    rows = past_hours.list_past(conn, account_id=account_id, hour=hour)
    current = many(
        conn, queries.overview.list_hours, account_id=account_id, since=hour, until=now + timedelta(seconds=1)
    )
    return Overview(
        next_campaigns=many(conn, queries.overview.list_next_campaigns, account_id=account_id),
        next_messages=one(conn, queries.overview.get_next_messages, account_id=account_id, now=now),
        moving_campaigns=many(conn, queries.overview.list_moving_campaigns, account_id=account_id, now=now),
        hours=fill_hours([*rows, *current], now=now),
    )


def fill_hours(rows: list[DictRow], *, now: datetime) -> list[Hour]:
    """Make the chart's 24 bars of the hours that have results."""
    found = {row["hour"]: row for row in rows}
    last = now.replace(minute=0, second=0, microsecond=0)
    hours = []
    for ago in range(HOURS - 1, -1, -1):
        hour = last - timedelta(hours=ago)
        row = found.get(hour)
        hours.append(Hour(hour, row["sent"], row["failed"], row["retried"]) if row else Hour(hour, 0, 0, 0))
    return hours
