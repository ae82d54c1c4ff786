"""Contacts: people we may write to."""

from datetime import datetime
from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import Address, PublicId, Scalar
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.clock import utc_now
from app.commands import contacts as commands
from app.domain.contact import ATTRIBUTES_COUNT_MAX
from app.domain.errors import Fault, InvalidInput
from app.reads import contacts as reads
from app.reads.lists import get_list

blueprint = APIBlueprint("contacts", __name__, url_prefix="/api/v1", tag="Contacts")

AttributeName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
#: Merge values by name; numbers and true/false become text.
Attributes = Annotated[dict[AttributeName, Scalar], Field(max_length=ATTRIBUTES_COUNT_MAX)]


class ContactInput(Input):
    email: Address
    attributes: Attributes = Field(default_factory=dict)
    list_ids: list[PublicId] = Field(default_factory=list, max_length=100, description="Lists to put the contact on.")


class ContactPatch(Input):
    """What is absent stays as it is."""

    email: Address | None = None
    attributes: Attributes = Field(default_factory=dict, description="Merged; a null value removes the attribute.")


class ContactQuery(PageQuery):
    q: str | None = Field(None, max_length=200, description="Part of an address or name, or a whole address.")
    list_id: PublicId | None = Field(None, description="Only contacts on this list.")


class ContactOutput(BaseModel):
    id: str
    email: str
    attributes: dict[str, str]
    suppressed: str | None = Field(description="Why nothing is sent to this address, if so.")
    created_at: datetime
    updated_at: datetime


class ContactDetailOutput(ContactOutput):
    list_ids: list[str]


class ContactPageOutput(BaseModel):
    data: list[ContactOutput]
    next_cursor: str | None


@blueprint.get("/contacts")
@requires("read")
@blueprint.input(ContactQuery, location="query")
@blueprint.output(ContactPageOutput)
def list_contacts(query_data: ContactQuery) -> Response:
    """Contacts, newest first

    A page of a search that fits few contacts may be short, even empty: go on while `next_cursor` is not null.
    """
    account_id, page = caller().account_id, read_page(query_data)
    list_id = parse_id("list", query_data.list_id) if query_data.list_id is not None else None
    with reading() as conn:
        if list_id is not None:
            get_list(conn, account_id=account_id, list_id=list_id)
        found = reads.list_contacts(
            conn,
            account_id=account_id,
            list_id=list_id,
            q=(query_data.q or "").strip() or None,
            after_id=page.after_id,
            limit=page.limit + 1,
        )
    shown = page_json(found.rows, page, _shape)
    if found.looked_until is not None:
        shown["next_cursor"] = services().ids.encode("cursor", found.looked_until)
    return etag_json(shown)


@blueprint.post("/contacts")
@requires("send")
@blueprint.input(ContactInput)
@blueprint.output(ContactDetailOutput, 201)
def create_contact(json_data: ContactInput) -> Response:
    """Make a contact"""
    account_id, now = caller().account_id, utc_now()
    list_ids = [parse_id("list", list_id) for list_id in json_data.list_ids]
    return run_command(
        lambda conn: _shape_detail(
            commands.create_contact(
                conn,
                account_id=account_id,
                email=json_data.email,
                attributes=json_data.attributes,
                list_ids=list_ids,
                now=now,
            )
        ),
        status=201,
    )


@blueprint.get("/contacts/<contact_id>")
@requires("read")
@blueprint.output(ContactDetailOutput)
def get_contact(contact_id: str) -> Response:
    """One contact, with its lists"""
    with reading() as conn:
        row = reads.get_contact(conn, account_id=caller().account_id, contact_id=parse_id("contact", contact_id))
    return etag_json(_shape_detail(row))


@blueprint.patch("/contacts/<contact_id>")
@requires("send")
@blueprint.input(ContactPatch)
@blueprint.output(ContactDetailOutput)
def update_contact(contact_id: str, json_data: ContactPatch) -> Response:
    """Change a contact"""
    account_id, number, now = caller().account_id, parse_id("contact", contact_id), utc_now()
    if "email" in json_data.model_fields_set and json_data.email is None:
        raise InvalidInput("A contact needs an address.", [Fault("/email", "must not be null")])
    return run_command(
        lambda conn: _shape_detail(
            commands.update_contact(
                conn,
                account_id=account_id,
                contact_id=number,
                email=json_data.email,
                attributes=json_data.attributes,
                now=now,
            )
        )
    )


@blueprint.delete("/contacts/<contact_id>")
@requires("send")
@blueprint.output({}, 204)
def delete_contact(contact_id: str) -> Response:
    """Delete a contact; what was sent stays in the history"""
    account_id, number = caller().account_id, parse_id("contact", contact_id)
    now = utc_now()
    return run_command(
        lambda conn: commands.delete_contact(conn, account_id=account_id, contact_id=number, now=now), status=204
    )


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("contact", row["contact_id"]),
        "email": row["email"],
        "attributes": row["attributes"],
        "suppressed": row["suppressed"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _shape_detail(row: dict[str, Any]) -> dict[str, Any]:
    return {**_shape(row), "list_ids": services().ids.encode_many("list", row["list_ids"])}
