"""Tracking and history: pages of messages, and one message with everything that happened to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from app.domain.message import Attempt, Wait, explain
from sql import queries

#: Rows that one request looks through for a filter that fits few of them. 20,000 took 45 ms by status and 90 ms by a part of
#: the address, on two busy cores.
SCAN_LIMIT = 20_000
ID_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MessageFilter:
    status: str | None = None  #: a message status, or 'scheduled': queued with a future time
    campaign_id: int | None = None
    q: str | None = None  #: part of the recipient's address
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class MessagePage:
    rows: Sequence[DictRow]
    next_after_id: int | None  #: where the next page begins; None at the end


def list_messages(
    conn: Conn, *, account_id: int, wanted: MessageFilter, after_id: int | None, limit: int, now: datetime
) -> MessagePage:
    """A page, newest first. With a rare filter a page may be short, even empty, and still have a next one.

    Raises NotFound for another account's campaign.
    """
    params: dict[str, Any] = {
        "account_id": account_id, "after_id": after_id, "fetch_limit": limit + 1, "from": wanted.since,
        "until": wanted.until, "pattern": f"%{escape_like(wanted.q)}%" if wanted.q else None,
    }  # fmt: skip
    if wanted.status == "scheduled" and wanted.campaign_id is None:
        rows = many(conn, queries.messages.list_waiting_api_messages, now=now, **params)
    else:
        first_id, last_id = _find_range(conn, account_id=account_id, campaign_id=wanted.campaign_id)
        status = wanted.status
        if status == "scheduled":
            status, params["from"] = "queued", max(now, wanted.since or now)
        rows = many(
            conn, queries.messages.list_messages, status=status, campaign_id=wanted.campaign_id, first_id=first_id,
            last_id=last_id, scan_limit=max(SCAN_LIMIT, limit + 1), **params,
        )  # fmt: skip
    matches = [row for row in rows if row["is_match"]]
    if len(matches) > limit:
        return MessagePage(matches[:limit], matches[limit - 1]["message_id"])
    edge = next((row["message_id"] for row in rows if not row["is_match"]), None)
    return MessagePage(matches, edge)


def get_message(conn: Conn, *, account_id: int, message_id: int, now: datetime) -> dict[str, Any]:
    """One message with its attempts, its waits and an explanation in sentences. Raises NotFound."""
    row = maybe(conn, queries.messages.get_message, account_id=account_id, message_id=message_id)
    if row is None:
        raise NotFound("There is no message with this id.")
    attempts = _list_attempts(conn, row, account_id=account_id)
    waits = _list_waits(conn, row, account_id=account_id)
    explanation = explain(status=row["status"], send_after=row["send_after"], attempts=attempts, waits=waits, now=now)
    return {**row, "attempts": attempts, "waits": waits, "explanation": explanation}


def escape_like(text: str) -> str:
    """So that % and _ in what a person typed mean themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _find_range(conn: Conn, *, account_id: int, campaign_id: int | None) -> tuple[int, int]:
    if campaign_id is None:
        return 0, ID_MAX
    row = maybe(conn, queries.messages.find_campaign_range, account_id=account_id, campaign_id=campaign_id)
    if row is None:
        raise NotFound("There is no campaign with this id.")
    return row["first_id"], row["last_id"]


def _list_attempts(conn: Conn, row: DictRow, *, account_id: int) -> list[Attempt]:
    """Earlier attempts from their table; the latest from the message's own row, if its outcome is known there."""
    if row["attempt"] == 0:
        return []
    rows = many(conn, queries.messages.list_attempts, message_id=row["message_id"], account_id=account_id)
    found = [Attempt(item["attempt"], item["outcome"], item["reply"], item["settled_at"]) for item in rows]
    is_recorded = any(item.attempt == row["attempt"] for item in found)
    if not is_recorded and row["status"] in ("sent", "failed", "uncertain", "expired"):
        found.append(Attempt(row["attempt"], row["status"], row["reply"], row["settled_at"]))
    return found


def _list_waits(conn: Conn, row: DictRow, *, account_id: int) -> list[Wait]:
    rows = many(
        conn, queries.messages.list_waits, account_id=account_id, message_id=row["message_id"],
        batch_id=row["batch_id"], marked_at=row["marked_at"],
    )  # fmt: skip
    return [Wait(item["reason"], item["started_at"], item["ended_at"], item["window_s"]) for item in rows]
