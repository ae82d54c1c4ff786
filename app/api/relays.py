"""Relays: the SMTP servers that an account hands mail to. A password goes in and never comes out."""

import math
import threading
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import HeaderText, Name
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.auth.throttle import Throttle
from app.clock import utc_now
from app.commands import relays as commands
from app.commands.relay_tests import try_relay
from app.commands.relays import RelayRules
from app.domain.errors import LimitReached
from app.reads import relays as reads
from app.relay_probe import DEADLINE_S, Step
from app.secrets import Sealer

blueprint = APIBlueprint("relays", __name__, url_prefix="/api/v1", tag="Relays")

Tls = Literal["starttls", "implicit", "none"]

_test_throttle = Throttle(burst=10, every_s=6.0)
#: A test may wait for a silent server, and the web has a handful of threads.
_test_slots = threading.BoundedSemaphore(2)


class RelayFields(Input):
    username: HeaderText | None = Field(None, max_length=320)
    password: HeaderText | None = Field(None, max_length=1000, description="Write-only; null for none.")
    is_default: bool = False
    in_flight: int = Field(
        1,
        ge=1,
        le=50,
        description="After a crash so many messages of one connection may be in doubt. So many are under way at once where "
        "the server offers CHUNKING; elsewhere, from 4 on, one is on its way while the one before it is being recorded. "
        "Faster over a distance.",
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


class RelayTestInput(Input):
    """Nothing is asked."""


class RelayTestOutput(BaseModel):
    ok: bool
    step: Step = Field(description="`done`, or the step that failed.")
    detail: str = Field(description="One or two sentences for people: how it went, or what to change.")
    reply: str | None = Field(description="What the server said last, shortened.")
    tls_version: str | None
    extensions: list[str] = Field(description="What the server offers, like `SIZE 1000` or `AUTH PLAIN LOGIN`.")
    duration_ms: int


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


@blueprint.post("/relays/<relay_id>/test")
@requires("admin")
@blueprint.input(RelayTestInput)
@blueprint.output(RelayTestOutput)
def test_relay(relay_id: str, json_data: RelayTestInput) -> Response:
    """Connect to the server, encrypt, sign in, and leave: nothing is sent, and a failure is a 200 as well"""
    account_id, number = caller().account_id, parse_id("relay", relay_id)
    wait_s = _test_throttle.take(str(account_id))
    if wait_s > 0:
        raise LimitReached("Too many tests of relays. Wait a moment.", retry_after_s=math.ceil(wait_s))
    if not _test_slots.acquire(blocking=False):
        raise LimitReached("Other tests of relays are under way. Wait a moment.", retry_after_s=math.ceil(DEADLINE_S))
    try:
        found = try_relay(services().pool, account_id=account_id, relay_id=number, settings=services().settings)
    finally:
        _test_slots.release()
    # Only now a transaction: none is held while the server is talked to.
    return run_command(lambda conn: asdict(found))


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
