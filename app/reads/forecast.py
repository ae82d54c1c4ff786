"""The facts that a forecast needs, and the forecast."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.db import Conn, many, maybe, one
from app.domain.audience import AudienceKey
from app.domain.forecast import ASSUMED_PER_SECOND, Forecast, forecast
from app.domain.limits import LimitFacts, Use, campaign_ceiling
from sql import queries


@dataclass(frozen=True, slots=True)
class AudienceCount:
    """What an audience comes to. `recipients` is who would get a message; the rest is left out."""

    recipients: int
    duplicates: int
    suppressed: int
    invalid: int


def count_audience(conn: Conn, campaign: Mapping[str, Any], *, account_id: int) -> AudienceCount:
    """Count now, exactly. `campaign` has campaign_id, audience and audience_duplicates."""
    key = AudienceKey.from_stored(campaign["audience"])
    row = one(
        conn, queries.forecast.count_audience,
        account_id=account_id, campaign_id=campaign["campaign_id"], import_id=key.import_id, list_ids=key.list_ids,
    )  # fmt: skip
    duplicates, invalid = row["memberships"] - row["contacts"], 0
    if key.is_by_hand:
        duplicates = campaign["audience_duplicates"]
    if key.import_id is not None:
        left_out = maybe(conn, queries.forecast.get_import_exclusions, account_id=account_id, import_id=key.import_id)
        if left_out is not None:
            duplicates, invalid = left_out["rows_duplicate"], left_out["rows_rejected"]
    return AudienceCount(row["contacts"] - row["suppressed"], duplicates, row["suppressed"], invalid)


def list_limit_facts(
    conn: Conn, *, account_id: int, campaign_id: int, recipients: int, now: datetime
) -> list[LimitFacts]:
    """The limits that apply to a campaign, with what is used of each now (from the record of results)."""
    facts = []
    for row in many(conn, queries.forecast.list_limits, account_id=account_id, campaign_id=campaign_id):
        used = many(
            conn, queries.forecast.list_use,
            account_id=account_id, campaign_id=campaign_id if row["scope"] == "campaign" else None,
            window_s=row["window_s"], now=now,
        )  # fmt: skip
        ceiling = campaign_ceiling(row["max_count"], scope=row["scope"], recipients=recipients)
        uses = tuple(Use(use["free_at"], int(use["permits"])) for use in used)
        facts.append(LimitFacts(row["scope"], row["max_count"], row["window_s"], ceiling, uses))
    return facts


def foretell(
    conn: Conn, *, account_id: int, campaign_id: int, recipients: int, starts_at: datetime, pacing: str, now: datetime,
    per_second: float = ASSUMED_PER_SECOND, size: int | None = None,
) -> Forecast:  # fmt: skip
    """The forecast for `recipients` messages; `size` is the whole campaign when they are only the rest of it."""
    limits = list_limit_facts(
        conn, account_id=account_id, campaign_id=campaign_id, recipients=size or recipients, now=now
    )
    return forecast(recipients, starts_at=starts_at, limits=limits, pacing=pacing, per_second=per_second)
