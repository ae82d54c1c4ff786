"""What the pages of campaigns show. Counts come from batches, never from the ledger's rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from psycopg.rows import DictRow

from app.content.addresses import is_address
from app.db import Conn, many, maybe, one
from app.domain.campaign import CampaignFacts, CampaignStatus
from app.domain.errors import NotFound
from app.domain.forecast import ASSUMED_PER_SECOND
from app.reads.forecast import foretell
from sql import queries

#: What a chart can show.
POINTS_MAX = 300
_FINAL = ("sent", "cancelled", "failed")


def get_campaign(conn: Conn, *, account_id: int, campaign_id: int) -> DictRow:
    """Raises NotFound, also for another account's."""
    row = maybe(conn, queries.campaigns.get_campaign, account_id=account_id, campaign_id=campaign_id)
    if row is None:
        raise NotFound("There is no campaign with this id.")
    return row


def require_campaign(conn: Conn, *, account_id: int, campaign_id: int) -> None:
    """Raises NotFound, also for another account's."""
    if maybe(conn, queries.campaigns.get_throughput_span, account_id=account_id, campaign_id=campaign_id) is None:
        raise NotFound("There is no campaign with this id.")


@dataclass(frozen=True, slots=True)
class CampaignOrder:
    """How a list of campaigns is sorted, and what it goes on after.

    sort_by     created, name, scheduled or updated.
    after_key   the last row's `sort_key` and its id: together they say where a page ended, whatever was changed since.
    """

    sort_by: str = "created"
    is_descending: bool = True
    after_key: str = ""
    after_id: int | None = None

    @property
    def is_newest_first(self) -> bool:
        return self.sort_by == "created" and self.is_descending


def list_campaigns(
    conn: Conn, *, account_id: int, statuses: Sequence[str] | None, q: str | None, order: CampaignOrder, row_limit: int
) -> list[dict[str, Any]]:
    """Campaigns without their bodies, each with the `sort_key` that a cursor needs."""
    filters = {
        "account_id": account_id,
        "statuses": list(statuses) if statuses else None,
        "q": q,
        "row_limit": row_limit,
    }
    if order.is_newest_first:
        rows = many(conn, queries.campaigns.list_campaigns, after_id=order.after_id, campaign_ids=None, **filters)
        return [{**row, "sort_key": ""} for row in rows]
    page = many(
        conn, queries.campaigns.find_campaign_page,
        sort_by=order.sort_by, is_descending=order.is_descending, after_key=order.after_key, after_id=order.after_id,
        **filters,
    )  # fmt: skip
    # Without the filters: one whose state has just changed stays on its page, or the page would look like the last one.
    unfiltered = {**filters, "statuses": None, "q": None}
    ids = [row["campaign_id"] for row in page]
    rows = many(conn, queries.campaigns.list_campaigns, after_id=None, campaign_ids=ids, **unfiltered)
    by_id = {row["campaign_id"]: row for row in rows}
    return [{**by_id[row["campaign_id"]], "sort_key": row["sort_key"]} for row in page if row["campaign_id"] in by_id]


def facts_of(row: Mapping[str, Any]) -> CampaignFacts:
    """What the rules of app.domain.campaign look at, from a row of get_campaign or list_campaigns."""
    return CampaignFacts(
        status=CampaignStatus(row["status"]),
        has_subject=bool(row["subject"].strip()),
        has_body=bool(row["has_body"]),
        has_audience=row["audience"] is not None,
        has_sender=row["sender_id"] is not None,
        failed=int(row["failed"]),
        uncertain=int(row["uncertain"]),
    )


def estimate_recipients(row: Mapping[str, Any]) -> int | None:
    """How many contacts the audience holds, by counters that are kept anyway; a contact in two lists counts twice.

    None without an audience. `forecast` counts exactly.
    """
    if row["recipients"] is not None:
        return int(row["recipients"])
    audience = row["audience"] or {}
    match audience.get("kind"):
        case "import":
            size = row["import_contacts"]
        case "lists":
            size = row["list_contacts"] or 0
        case "contacts":
            size = audience["size"]
        case _:
            size = None
    return None if size is None else int(size)


def get_progress(conn: Conn, *, account_id: int, campaign_id: int, now: datetime) -> dict[str, Any]:
    """Exactly the keys of the contract. `finishes_at` of a campaign that is over is when it was over."""
    row = maybe(conn, queries.campaigns.get_progress, account_id=account_id, campaign_id=campaign_id)
    if row is None:
        raise NotFound("There is no campaign with this id.")
    last_5_s, best = 0, 0
    if row["started_at"] is not None and row["status"] not in _FINAL:
        second = now.replace(microsecond=0)
        rate = one(conn, queries.campaigns.get_rate, account_id=account_id, campaign_id=campaign_id, second=second)
        last_5_s, best = int(rate["last_5_s"]), int(rate["best"])
    counts = ("total", "queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired")
    return {
        "status": row["status"],
        **{name: int(row[name]) for name in counts},
        "per_second": round(last_5_s / 5, 1),
        "started_at": row["started_at"],
        "finishes_at": _estimate_finish(conn, row, account_id=account_id, campaign_id=campaign_id, best=best, now=now),
        "resumes_at": row["resumes_at"] if row["status"] in ("sending", "scheduled") else None,
        "lateness_ms": {
            "p50": row["lateness_p50_ms"], "p99": row["lateness_p99_ms"], "max": row["lateness_max_ms"],
        },
    }  # fmt: skip


def _estimate_finish(
    conn: Conn, row: Mapping[str, Any], *, account_id: int, campaign_id: int, best: int, now: datetime
) -> datetime | None:
    """When the rest will have been sent, by the limits and the best second of the last minute. To the second: the
    estimate is no better, and the page's ETag then changes less."""
    if row["status"] in _FINAL:
        finished_at: datetime | None = row["finished_at"]
        return finished_at
    remaining = int(row["queued"] + row["sending"])
    if row["status"] not in ("scheduled", "sending") or row["materialised_at"] is None or remaining == 0:
        return None
    starts_at = max(now, row["next_due_at"] or now)
    if row["status"] == "scheduled":
        starts_at = max(starts_at, row["scheduled_at"])
    if row["resumes_at"] is not None:
        starts_at = max(now, row["resumes_at"])
    told = foretell(
        conn, account_id=account_id, campaign_id=campaign_id, recipients=remaining, starts_at=starts_at,
        pacing=row["pacing"], now=now, per_second=max(1.0, float(best)) if best else ASSUMED_PER_SECOND,
        size=row["recipients"],
    )  # fmt: skip
    return told.finishes_at.replace(microsecond=0) + timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    since: datetime
    until: datetime
    step_s: int


def choose_span(*, started_at: datetime, finished_at: datetime | None, whole: bool, now: datetime) -> Span:
    """What a chart shows: the last five minutes second by second, or the whole run in at most 300 steps.

    The second under way is left out: it would look like a fall.
    """
    end = min(now, finished_at + timedelta(seconds=2)) if finished_at else now
    end = end.replace(microsecond=0)
    begin = started_at.replace(microsecond=0)
    if not whole:
        begin = max(begin, end - timedelta(seconds=POINTS_MAX))
    step_s = max(1, ceil((end - begin).total_seconds() / POINTS_MAX))
    return Span(begin, max(end, begin), step_s)


def get_throughput(conn: Conn, *, account_id: int, campaign_id: int, whole: bool, now: datetime) -> dict[str, Any]:
    """{step_s, points: [{at, sent, failed, retried}]}: results for each step."""
    row = maybe(conn, queries.campaigns.get_throughput_span, account_id=account_id, campaign_id=campaign_id)
    if row is None:
        raise NotFound("There is no campaign with this id.")
    if row["started_at"] is None:
        return {"step_s": 1, "points": []}
    span = choose_span(started_at=row["started_at"], finished_at=row["finished_at"], whole=whole, now=now)
    points = many(
        conn, queries.campaigns.list_throughput,
        account_id=account_id, campaign_id=campaign_id, since=span.since, until=span.until, step_s=span.step_s,
    )  # fmt: skip
    return {"step_s": span.step_s, "points": points}


def list_messages(
    conn: Conn, *, account_id: int, campaign_id: int, status: str | None, q: str | None, after_id: int | None,
    row_limit: int,
) -> list[DictRow]:  # fmt: skip
    """A campaign's messages, last first. `q` that is a whole address is found by index, a part of one by reading."""
    if q and is_address(q):
        found = many(
            conn, queries.campaigns.find_message_by_address,
            account_id=account_id, campaign_id=campaign_id, address=q, status=status,
        )  # fmt: skip
        if found:
            return [row for row in found if after_id is None or row["message_id"] < after_id]
    return many(
        conn, queries.campaigns.list_campaign_messages,
        account_id=account_id, campaign_id=campaign_id, status=status, q=q or None, after_id=after_id,
        row_limit=row_limit,
    )  # fmt: skip


def iterate_messages(
    open_conn: Callable[[], AbstractContextManager[Conn]], *, account_id: int, campaign_id: int, status: str | None,
    q: str | None, chunk: int = 5000,
) -> Iterator[list[DictRow]]:  # fmt: skip
    """All of them in chunks by key: flat in memory, and a slow client holds neither a transaction nor a connection."""
    after_id: int | None = None
    while True:
        with open_conn() as conn:
            rows = list_messages(
                conn, account_id=account_id, campaign_id=campaign_id, status=status, q=q, after_id=after_id,
                row_limit=chunk,
            )  # fmt: skip
        if rows:
            yield rows
        if len(rows) < chunk:
            return
        after_id = rows[-1]["message_id"]
