"""Senders: the From identities of an account."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import Address, HeaderText, PublicId
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.clock import utc_now
from app.commands import senders as commands
from app.domain.errors import Fault, InvalidInput
from app.reads import senders as reads

blueprint = APIBlueprint("senders", __name__, url_prefix="/api/v1", tag="Senders")


class SenderFields(Input):
    name: HeaderText = Field("", max_length=200, description="What mailboxes show before the address.")
    reply_to: Address | None = None
    relay_id: PublicId | None = Field(None, description="The account's default relay when absent.")
    is_default: bool = False


class SenderInput(SenderFields):
    email: Address


class SenderPatch(SenderFields):
    """What is absent stays as it is."""

    email: Address = ""


class SenderOutput(BaseModel):
    id: str
    name: str
    email: str
    reply_to: str | None
    relay_id: str | None
    is_default: bool
    created_at: datetime
    updated_at: datetime


class SenderPageOutput(BaseModel):
    data: list[SenderOutput]
    next_cursor: str | None


@blueprint.get("/senders")
@requires("read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(SenderPageOutput)
def list_senders(query_data: PageQuery) -> Response:
    """Senders, newest first"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_senders(
            conn, account_id=caller().account_id, after_id=page.after_id, row_limit=page.limit + 1
        )
    return etag_json(page_json(rows, page, _shape))


@blueprint.post("/senders")
@requires("admin")
@blueprint.input(SenderInput)
@blueprint.output(SenderOutput, 201)
def create_sender(json_data: SenderInput) -> Response:
    """Make a sender; the first one is the default"""
    account_id, changes, now = caller().account_id, _read_changes(json_data), utc_now()
    return run_command(
        lambda conn: _shape(commands.create(conn, account_id=account_id, changes=changes, now=now)), status=201
    )


@blueprint.get("/senders/<sender_id>")
@requires("read")
@blueprint.output(SenderOutput)
def get_sender(sender_id: str) -> Response:
    """One sender"""
    with reading() as conn:
        row = reads.get_sender(conn, account_id=caller().account_id, sender_id=parse_id("sender", sender_id))
    return etag_json(_shape(row))


@blueprint.patch("/senders/<sender_id>")
@requires("admin")
@blueprint.input(SenderPatch)
@blueprint.output(SenderOutput)
def update_sender(sender_id: str, json_data: SenderPatch) -> Response:
    """Change a sender"""
    account_id, number, now = caller().account_id, parse_id("sender", sender_id), utc_now()
    changes = _read_changes(json_data)
    return run_command(
        lambda conn: _shape(commands.update(conn, account_id=account_id, sender_id=number, changes=changes, now=now))
    )


@blueprint.delete("/senders/<sender_id>")
@requires("admin")
@blueprint.output({}, 204)
def delete_sender(sender_id: str) -> Response:
    """Delete a sender that nothing uses"""
    account_id, number = caller().account_id, parse_id("sender", sender_id)
    return run_command(lambda conn: commands.delete(conn, account_id=account_id, sender_id=number), status=204)


def _read_changes(given: SenderFields) -> Any:
    changes = {name: getattr(given, name) for name in given.model_fields_set}
    if changes.get("relay_id") is not None:
        number = services().ids.decode("relay", changes["relay_id"])
        if number is None:
            detail = "There is no relay with this id."
            raise InvalidInput(detail, [Fault("/relay_id", detail, "unknown_relay")])
        changes["relay_id"] = number
    return changes


def _shape(row: Mapping[str, Any]) -> dict[str, Any]:
    ids = services().ids
    return {
        "id": ids.encode("sender", row["sender_id"]),
        "name": row["name"],
        "email": row["email"],
        "reply_to": row["reply_to"],
        "relay_id": ids.encode("relay", row["relay_id"]) if row["relay_id"] is not None else None,
        "is_default": row["is_default"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
