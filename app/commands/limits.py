"""Changing a limit. It works at the engine's next call, both ways; batches that wait on it are woken at once to ask again."""

from datetime import datetime

from psycopg.rows import DictRow

from app.db import Conn, maybe, one
from app.domain.errors import NotFound, NotPermitted
from app.jobs import Task, defer
from sql import queries


def change_limit(
    conn: Conn, *, account_id: int, limit_id: int, max_count: int | None, window_s: int | None, is_demo: bool,
    now: datetime,
) -> DictRow:  # fmt: skip
    """Change a limit's count, its window, or both; None leaves one as it is. `max_count` 0 means no limit.

    Raises NotFound; NotPermitted when a demo account asks for more than it has.
    """
    row = maybe(conn, queries.limits.get_limit, account_id=account_id, limit_id=limit_id)
    if row is None:
        raise NotFound("There is no limit with this id.")
    count = row["max_count"] if max_count is None else max_count
    window = row["window_s"] if window_s is None else window_s
    # A campaign's limit only holds itself back; the account's is what keeps a demo visitor in bounds.
    if is_demo and row["scope"] == "account" and is_more(count, window, than=(row["max_count"], row["window_s"])):
        raise NotPermitted("A demo account can lower its limit, not raise it.", code="demo_not_allowed")
    changed = one(
        conn, queries.limits.change_limit, account_id=account_id, limit_id=limit_id, max_count=count, window_s=window,
        now=now,
    )  # fmt: skip
    if changed["resume_at"] is not None:
        defer(conn, Task.RESUME_LIMIT, id=limit_id, epoch=changed["resume_epoch"], at=now)
    return {**changed, "campaign_name": row["campaign_name"]}


def is_more(count: int, window_s: int, *, than: tuple[int, int]) -> bool:
    """Whether `count` per `window_s` lets anything through that `than` holds back: a higher rate, or a larger burst."""
    had_count, had_window_s = than
    if had_count == 0:
        return False
    return count == 0 or count > had_count or count * had_window_s > had_count * window_s
