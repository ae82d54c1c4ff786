"""Limits: N messages in any W seconds, and how much of each is used."""

from datetime import datetime
from typing import Any, Literal

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field, model_validator

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.inputs import Input
from app.clock import utc_now
from app.commands import limits as commands
from app.db import Conn
from app.reads import limits as reads

blueprint = APIBlueprint("limits", __name__, url_prefix="/api/v1", tag="Limits")

COUNT_MAX = 1_000_000_000
WINDOW_S_MAX = 2_592_000  # 30 days


class LimitChange(Input):
    limit: int | None = Field(None, ge=0, le=COUNT_MAX, strict=True, description="Messages per window; 0 for no limit.")
    window_s: int | None = Field(None, ge=1, le=WINDOW_S_MAX, strict=True, description="The window, in seconds.")

    @model_validator(mode="after")
    def _change_something(self) -> "LimitChange":
        if self.limit is None and self.window_s is None:
            raise ValueError("give limit, window_s, or both")
        return self


class LimitOutput(BaseModel):
    id: str
    scope: Literal["account", "campaign"]
    campaign_id: str | None
    campaign_name: str | None
    limit: int
    window_s: int
    used: int | None
    next_free_at: datetime | None
    resumes_at: datetime | None
    degraded: bool
    created_at: datetime
    updated_at: datetime


class LimitListOutput(BaseModel):
    data: list[LimitOutput]
    next_cursor: str | None


@blueprint.get("/limits")
@requires("read")
@blueprint.output(LimitListOutput)
def list_limits() -> Response:
    """The account's limits and how much of each is used now

    `next_free_at` is set when nothing may go now. When Redis is away nothing is sent, `used` is null and `degraded` true.
    """
    with reading() as conn:
        rows = reads.list_limits(conn, account_id=caller().account_id)
    return etag_json({"data": [shape(row) for row in reads.add_use(rows, services().redis)], "next_cursor": None})


@blueprint.patch("/limits/<limit_id>")
@requires("admin")
@blueprint.input(LimitChange)
@blueprint.output(LimitOutput)
def change_limit(limit_id: str, json_data: LimitChange) -> Response:
    """Change a limit; it works at once, both ways"""
    who, number = caller(), parse_id("limit", limit_id)

    def change(conn: Conn) -> dict[str, Any]:
        row = commands.change_limit(
            conn, account_id=who.account_id, limit_id=number, max_count=json_data.limit, window_s=json_data.window_s,
            is_demo=who.is_demo, now=utc_now(),
        )  # fmt: skip
        return shape(reads.add_use([row], services().redis)[0])

    return run_command(change)


def shape(row: dict[str, Any]) -> dict[str, Any]:
    """A limit's JSON, from a row with its use."""
    ids = services().ids
    return {
        "id": ids.encode("limit", row["limit_id"]),
        "scope": row["scope"],
        "campaign_id": ids.encode("campaign", row["campaign_id"]) if row["campaign_id"] is not None else None,
        "campaign_name": row["campaign_name"],
        "limit": row["max_count"],
        "window_s": row["window_s"],
        "used": row["used"],
        "next_free_at": row["next_free_at"],
        "resumes_at": row["resume_at"],
        "degraded": row["degraded"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
