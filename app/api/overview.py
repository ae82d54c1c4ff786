"""The first page in one call, polled each second with an ETag."""

from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel

from app.api import limits as limits_api
from app.api.context import caller, etag_json, reading, requires, services
from app.clock import utc_now
from app.reads import limits as limit_reads
from app.reads import overview as reads

blueprint = APIBlueprint("overview", __name__, url_prefix="/api/v1", tag="Overview")

COUNTS = ("total", "queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired")


class NextCampaignOutput(BaseModel):
    id: str
    name: str
    scheduled_at: datetime
    recipients: int | None


class NextMessagesOutput(BaseModel):
    scheduled: int
    next_at: datetime | None


class MovingCampaignOutput(BaseModel):
    id: str
    name: str
    status: str
    scheduled_at: datetime
    started_at: datetime | None
    total: int
    queued: int
    sending: int
    sent: int
    failed: int
    uncertain: int
    suppressed: int
    cancelled: int
    expired: int
    per_second: float
    resumes_at: datetime | None


class HourOutput(BaseModel):
    hour: datetime
    sent: int
    failed: int
    retried: int


class OverviewOutput(BaseModel):
    next_scheduled: list[NextCampaignOutput]
    next_messages: NextMessagesOutput
    sending_now: list[MovingCampaignOutput]
    last_24_h: list[HourOutput]
    limits: list[limits_api.LimitOutput]


@blueprint.get("/overview")
@requires("read")
@blueprint.output(OverviewOutput)
def get_overview() -> Response:
    """Next scheduled, sending now, the last 24 hours by hour, limits"""
    account_id = caller().account_id
    with reading() as conn:
        found = reads.get_overview(conn, account_id=account_id, now=utc_now(), past_hours=services().past_hours)
        limits = limit_reads.list_limits(conn, account_id=account_id)
    return etag_json({
        "next_scheduled": [_shape_next(row) for row in found.next_campaigns],
        "next_messages": found.next_messages,
        "sending_now": [_shape_moving(row) for row in found.moving_campaigns],
        "last_24_h": found.hours,
        "limits": [limits_api.shape(row) for row in limit_reads.add_use(limits, services().redis)],
    })  # fmt: skip


def _shape_next(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("campaign", row["campaign_id"]), "name": row["name"],
        "scheduled_at": row["scheduled_at"], "recipients": row["recipients"],
    }  # fmt: skip


def _shape_moving(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("campaign", row["campaign_id"]), "name": row["name"], "status": row["status"],
        "scheduled_at": row["scheduled_at"], "started_at": row["started_at"], **{name: row[name] for name in COUNTS},
        "per_second": float(row["per_second"]), "resumes_at": row["resumes_at"],
    }  # fmt: skip
