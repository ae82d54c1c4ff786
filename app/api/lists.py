"""Lists of contacts."""

from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field, model_validator

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import Address, Name, PublicId
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.clock import utc_now
from app.commands import lists as commands
from app.db import Conn
from app.reads import lists as reads

blueprint = APIBlueprint("lists", __name__, url_prefix="/api/v1", tag="Lists")


class ListInput(Input):
    name: Name
    description: str = Field("", max_length=2000)


class ListPatch(Input):
    """What is absent stays as it is."""

    name: Name | None = None
    description: str | None = Field(None, max_length=2000)


class MembersInput(Input):
    """Who to add or remove, by id or by address."""

    contact_ids: list[PublicId] = Field(default_factory=list, max_length=1000)
    emails: list[Address] = Field(default_factory=list, max_length=1000)

    @model_validator(mode="after")
    def _name_someone(self) -> "MembersInput":
        if not self.contact_ids and not self.emails:
            raise ValueError("give contact_ids or emails")
        return self


class ListOutput(BaseModel):
    id: str
    name: str
    description: str
    contact_count: int
    created_at: datetime
    updated_at: datetime


class ListPageOutput(BaseModel):
    data: list[ListOutput]
    next_cursor: str | None


class AddedOutput(BaseModel):
    added: int = Field(description="Who was on it already is not counted.")
    list: ListOutput


class RemovedOutput(BaseModel):
    removed: int
    list: ListOutput


@blueprint.get("/lists")
@requires("read")
@blueprint.input(PageQuery, location="query")
@blueprint.output(ListPageOutput)
def list_lists(query_data: PageQuery) -> Response:
    """Lists, newest first, with how many contacts each has"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_lists(conn, account_id=caller().account_id, after_id=page.after_id, limit=page.limit + 1)
    return etag_json(page_json(rows, page, _shape))


@blueprint.post("/lists")
@requires("send")
@blueprint.input(ListInput)
@blueprint.output(ListOutput, 201)
def create_list(json_data: ListInput) -> Response:
    """Make a list"""
    account_id, now = caller().account_id, utc_now()
    return run_command(
        lambda conn: _shape(
            commands.create_list(
                conn, account_id=account_id, name=json_data.name, description=json_data.description, now=now
            )
        ),
        status=201,
    )


@blueprint.get("/lists/<list_id>")
@requires("read")
@blueprint.output(ListOutput)
def get_list(list_id: str) -> Response:
    """One list"""
    with reading() as conn:
        row = reads.get_list(conn, account_id=caller().account_id, list_id=parse_id("list", list_id))
    return etag_json(_shape(row))


@blueprint.patch("/lists/<list_id>")
@requires("send")
@blueprint.input(ListPatch)
@blueprint.output(ListOutput)
def update_list(list_id: str, json_data: ListPatch) -> Response:
    """Rename or describe a list"""
    account_id, number, now = caller().account_id, parse_id("list", list_id), utc_now()
    return run_command(
        lambda conn: _shape(
            commands.update_list(
                conn,
                account_id=account_id,
                list_id=number,
                name=json_data.name,
                description=json_data.description,
                now=now,
            )
        )
    )


@blueprint.delete("/lists/<list_id>")
@requires("send")
@blueprint.output({}, 204)
def delete_list(list_id: str) -> Response:
    """Delete a list; its contacts stay"""
    account_id, number = caller().account_id, parse_id("list", list_id)
    return run_command(lambda conn: commands.delete_list(conn, account_id=account_id, list_id=number), status=204)


@blueprint.post("/lists/<list_id>/contacts")
@requires("send")
@blueprint.input(MembersInput)
@blueprint.output(AddedOutput)
def add_contacts(list_id: str, json_data: MembersInput) -> Response:
    """Put contacts on a list; addresses that are new become contacts"""
    account_id, number, now = caller().account_id, parse_id("list", list_id), utc_now()
    contact_ids = [parse_id("contact", contact_id) for contact_id in json_data.contact_ids]

    def add(conn: Conn) -> dict[str, Any]:
        done = commands.add_contacts(
            conn, account_id=account_id, list_id=number, contact_ids=contact_ids, emails=json_data.emails, now=now
        )
        return {"added": done["added"], "list": _shape(done["list"])}

    return run_command(add)


@blueprint.delete("/lists/<list_id>/contacts")
@requires("send")
@blueprint.input(MembersInput)
@blueprint.output(RemovedOutput)
def remove_contacts(list_id: str, json_data: MembersInput) -> Response:
    """Take contacts off a list; the contacts stay"""
    account_id, number = caller().account_id, parse_id("list", list_id)
    contact_ids = [parse_id("contact", contact_id) for contact_id in json_data.contact_ids]

    def remove(conn: Conn) -> dict[str, Any]:
        done = commands.remove_contacts(
            conn, account_id=account_id, list_id=number, contact_ids=contact_ids, emails=json_data.emails
        )
        return {"removed": done["removed"], "list": _shape(done["list"])}

    return run_command(remove)


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("list", row["list_id"]),
        "name": row["name"],
        "description": row["description"],
        "contact_count": row["contact_count"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
