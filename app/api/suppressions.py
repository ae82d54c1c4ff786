"""Suppressions: addresses that nothing is sent to."""

from datetime import datetime
from typing import Any, Literal

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import Address
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.clock import utc_now
from app.commands import suppressions as commands
from app.reads import suppressions as reads

blueprint = APIBlueprint("suppressions", __name__, url_prefix="/api/v1", tag="Suppressions")

Reason = Literal["unsubscribe", "hard_bounce", "complaint", "manual"]


class SuppressionInput(Input):
    email: Address
    reason: Reason = Field("manual", description="'unsubscribe' stops campaigns only, the others API messages too.")
    note: str = Field("", max_length=500)


class SuppressionQuery(PageQuery):
    q: str | None = Field(None, max_length=200, description="Part of an address.")
    reason: Reason | None = None


class SuppressionOutput(BaseModel):
    id: str
    email: str
    reason: Reason
    note: str
    message_id: str | None = Field(description="The message that led to it, if one did.")
    created_at: datetime


class SuppressionPageOutput(BaseModel):
    data: list[SuppressionOutput]
    next_cursor: str | None


@blueprint.get("/suppressions")
@requires("read")
@blueprint.input(SuppressionQuery, location="query")
@blueprint.output(SuppressionPageOutput)
def list_suppressions(query_data: SuppressionQuery) -> Response:
    """Suppressed addresses, newest first"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_suppressions(
            conn,
            account_id=caller().account_id,
            q=(query_data.q or "").strip() or None,
            reason=query_data.reason,
            after_id=page.after_id,
            limit=page.limit + 1,
        )
    return etag_json(page_json(rows, page, _shape))


@blueprint.post("/suppressions")
@requires("send")
@blueprint.input(SuppressionInput)
@blueprint.output(SuppressionOutput, 201)
def create_suppression(json_data: SuppressionInput) -> Response:
    """Suppress an address; twice is as good as once"""
    account_id, now = caller().account_id, utc_now()
    return run_command(
        lambda conn: _shape(
            commands.suppress(
                conn,
                account_id=account_id,
                email=json_data.email,
                reason=json_data.reason,
                note=json_data.note,
                now=now,
            )
        ),
        status=201,
    )


@blueprint.get("/suppressions/<suppression_id>")
@requires("read")
@blueprint.output(SuppressionOutput)
def get_suppression(suppression_id: str) -> Response:
    """One suppression"""
    number = parse_id("suppression", suppression_id)
    with reading() as conn:
        row = reads.get_suppression(conn, account_id=caller().account_id, suppression_id=number)
    return etag_json(_shape(row))


@blueprint.delete("/suppressions/<suppression_id>")
@requires("admin")
@blueprint.output({}, 204)
def delete_suppression(suppression_id: str) -> Response:
    """Allow mail to the address again"""
    account_id, number = caller().account_id, parse_id("suppression", suppression_id)
    return run_command(
        lambda conn: commands.lift_suppression(conn, account_id=account_id, suppression_id=number), status=204
    )


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    ids = services().ids
    return {
        "id": ids.encode("suppression", row["suppression_id"]),
        "email": row["email_key"],
        "reason": row["reason"],
        "note": row["note"],
        "message_id": ids.encode("message", row["message_id"]) if row["message_id"] is not None else None,
        "created_at": row["created_at"],
    }
