"""Relays: the SMTP servers that an account hands mail to. A password goes in and never comes out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import HeaderText, Name
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.clock import utc_now
from app.commands import relays as commands
from app.commands.relays import RelayRules
from app.reads import relays as reads
from app.secrets import Sealer

blueprint = APIBlueprint("relays", __name__, url_prefix="/api/v1", tag="Relays")

Tls = Literal["starttls", "implicit", "none"]


class RelayFields(Input):
    username: HeaderText | None = Field(None, max_length=320)
    password: HeaderText | None = Field(None, max_length=1000, description="Write-only; null for none.")
    is_default: bool = False
    in_flight: int = Field(
        1,
        ge=1,
        le=50,
        description="Messages under way at once on one connection, where the server offers CHUNKING. Faster over a "
        "distance; after a crash so many of them may be in doubt.",
    )


class RelayInput(RelayFields):
    name: Name
    host: HeaderText = Field(min_length=1, max_length=253, description="A public name or address.")
    port: int = Field(587, ge=1, le=65535)
    tls: Tls = "starttls"


class RelayPatch(RelayFields):
    """What is absent stays as it is. Another server or user name needs the password again."""

    name: Name = ""
    host: HeaderText = Field("", min_length=1, max_length=253)
    port: int = Field(587, ge=1, le=65535)
    tls: Tls = "starttls"


class RelayOutput(BaseModel):
    id: str
    name: str
    host: str
    port: int
    tls: Tls
    username: str | None
    has_password: bool
    is_default: bool
    in_flight: int
    paused_at: datetime | None
    pause_reason: str | None
    created_at: datetime
    updated_at: datetime


class RelayPageOutput(BaseModel):
    data: list[RelayOutput]
    next_cursor: str | None


@blueprint.get("/relays")
@requires("read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(RelayPageOutput)
def list_relays(query_data: PageQuery) -> Response:
    """Relays, newest first"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_relays(conn, account_id=caller().account_id, after_id=page.after_id, row_limit=page.limit + 1)
    return etag_json(page_json(rows, page, _shape))


@blueprint.post("/relays")
@requires("admin")
@blueprint.input(RelayInput)
@blueprint.output(RelayOutput, 201)
def create_relay(json_data: RelayInput) -> Response:
    """Add an SMTP server"""
    account_id, rules, now = caller().account_id, _rules(), utc_now()
    changes: Any = {**json_data.model_dump(include={"port", "tls"}), **json_data.model_dump(exclude_unset=True)}
    return run_command(
        lambda conn: _shape(commands.create(conn, account_id=account_id, changes=changes, rules=rules, now=now)),
        status=201,
    )


@blueprint.get("/relays/<relay_id>")
@requires("read")
@blueprint.output(RelayOutput)
def get_relay(relay_id: str) -> Response:
    """One relay"""
    with reading() as conn:
        row = reads.get_relay(conn, account_id=caller().account_id, relay_id=parse_id("relay", relay_id))
    return etag_json(_shape(row))


@blueprint.patch("/relays/<relay_id>")
@requires("admin")
@blueprint.input(RelayPatch)
@blueprint.output(RelayOutput)
def update_relay(relay_id: str, json_data: RelayPatch) -> Response:
    """Change a relay; one that was paused may go again"""
    account_id, number, rules, now = caller().account_id, parse_id("relay", relay_id), _rules(), utc_now()
    changes: Any = json_data.model_dump(exclude_unset=True)
    return run_command(
        lambda conn: _shape(
            commands.update(conn, account_id=account_id, relay_id=number, changes=changes, rules=rules, now=now)
        )
    )


@blueprint.delete("/relays/<relay_id>")
@requires("admin")
@blueprint.output({}, 204)
def delete_relay(relay_id: str) -> Response:
    """Delete a relay that no sender uses"""
    account_id, number = caller().account_id, parse_id("relay", relay_id)
    return run_command(lambda conn: commands.delete(conn, account_id=account_id, relay_id=number), status=204)


def _rules() -> RelayRules:
    settings = services().settings
    return RelayRules(Sealer(settings.secret_key), allow_private=settings.relays_allow_private)


def _shape(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("host", "port", "tls", "username", "has_password", "is_default", "in_flight", "paused_at", "pause_reason")
    return {
        "id": services().ids.encode("relay", row["relay_id"]),
        "name": row["name"],
        **{name: row[name] for name in names},
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
