"""The team: who may enter the account, and as what."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import Address
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.clock import utc_now
from app.commands import team as commands
from app.domain.team import Role
from app.reads import team as reads

blueprint = APIBlueprint("team", __name__, url_prefix="/api/v1", tag="Team")


class MemberInput(Input):
    email: Address = Field(description="Whoever signs in with this address, verified by the identity provider, is in.")
    role: Role = Field("member", description="A member reads and sends; an owner also changes settings and the team.")


class MemberPatch(Input):
    role: Role


class MemberOutput(BaseModel):
    id: str
    email: str | None
    name: str
    role: Role
    joined_at: datetime
    last_login_at: datetime | None
    pending: bool = Field(description="Has not been in this account yet: name and last sign-in are not told before.")
    you: bool


class MemberPageOutput(BaseModel):
    data: list[MemberOutput]
    next_cursor: str | None


@blueprint.get("/team")
@requires("read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(MemberPageOutput)
def list_members(query_data: PageQuery) -> Response:
    """The people of this account"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_members(
            conn, account_id=caller().account_id, after_id=page.after_id, row_limit=page.limit + 1
        )
    return etag_json(page_json(rows, page, _shape))


@blueprint.post("/team")
@requires("admin")
@blueprint.input(MemberInput)
@blueprint.output(MemberOutput, 201)
def add_member(json_data: MemberInput) -> Response:
    """Let somebody in by their address"""
    account_id, now = caller().account_id, utc_now()
    return run_command(
        lambda conn: _shape(
            commands.add_member(conn, account_id=account_id, email=json_data.email, role=json_data.role, now=now)
        ),
        status=201,
    )


@blueprint.patch("/team/<user_id>")
@requires("admin")
@blueprint.input(MemberPatch)
@blueprint.output(MemberOutput)
def update_member(user_id: str, json_data: MemberPatch) -> Response:
    """Make somebody an owner or a member, from their next request on"""
    account_id, number = caller().account_id, parse_id("user", user_id)
    return run_command(
        lambda conn: _shape(commands.set_role(conn, account_id=account_id, user_id=number, role=json_data.role))
    )


@blueprint.delete("/team/<user_id>")
@requires("admin")
@blueprint.output({}, 204)
def remove_member(user_id: str) -> Response:
    """Take somebody out and end their sessions in this account; API keys stay"""
    account_id, number = caller().account_id, parse_id("user", user_id)
    return run_command(lambda conn: commands.remove_member(conn, account_id=account_id, user_id=number), status=204)


def _shape(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("email", "name", "role", "joined_at", "last_login_at", "pending")
    return {
        "id": services().ids.encode("user", row["user_id"]),
        **{name: row[name] for name in names},
        "you": row["user_id"] == caller().user_id,
    }
