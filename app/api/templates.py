"""Templates: content to begin a campaign with."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import BodyText, Name, Subject
from app.api.inputs import Input
from app.api.paging import PageQuery, page_json, read_page
from app.clock import utc_now
from app.commands import templates as commands
from app.reads import templates as reads

blueprint = APIBlueprint("templates", __name__, url_prefix="/api/v1", tag="Templates")


class TemplateFields(Input):
    subject: Subject = ""
    html: BodyText | None = None
    text: BodyText | None = None


class TemplateInput(TemplateFields):
    name: Name


class TemplatePatch(TemplateFields):
    """What is absent stays as it is."""

    name: Name = ""


class TemplateQuery(PageQuery):
    q: str | None = Field(None, max_length=200, description="Part of the name.")


class TemplateOutput(BaseModel):
    id: str
    name: str
    subject: str
    created_at: datetime
    updated_at: datetime


class TemplateDetailOutput(TemplateOutput):
    html: str | None
    text: str | None


class TemplatePageOutput(BaseModel):
    data: list[TemplateOutput]
    next_cursor: str | None


@blueprint.get("/templates")
@requires("read")
@blueprint.input(TemplateQuery, location="query")
@blueprint.output(TemplatePageOutput)
def list_templates(query_data: TemplateQuery) -> Response:
    """Templates, newest first, without their bodies"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_templates(
            conn, account_id=caller().account_id, q=query_data.q, after_id=page.after_id, row_limit=page.limit + 1
        )
    return etag_json(page_json(rows, page, _shape))


@blueprint.post("/templates")
@requires("send")
@blueprint.input(TemplateInput)
@blueprint.output(TemplateDetailOutput, 201)
def create_template(json_data: TemplateInput) -> Response:
    """Keep a template"""
    account_id, now = caller().account_id, utc_now()
    changes: Any = {name: getattr(json_data, name) for name in json_data.model_fields_set}
    return run_command(
        lambda conn: _shape_detail(commands.create(conn, account_id=account_id, changes=changes, now=now)), status=201
    )


@blueprint.get("/templates/<template_id>")
@requires("read")
@blueprint.output(TemplateDetailOutput)
def get_template(template_id: str) -> Response:
    """One template"""
    with reading() as conn:
        row = reads.get_template(conn, account_id=caller().account_id, template_id=parse_id("template", template_id))
    return etag_json(_shape_detail(row))


@blueprint.patch("/templates/<template_id>")
@requires("send")
@blueprint.input(TemplatePatch)
@blueprint.output(TemplateDetailOutput)
def update_template(template_id: str, json_data: TemplatePatch) -> Response:
    """Change a template; campaigns that began with it stay as they are"""
    account_id, number, now = caller().account_id, parse_id("template", template_id), utc_now()
    changes: Any = {name: getattr(json_data, name) for name in json_data.model_fields_set}
    return run_command(
        lambda conn: _shape_detail(
            commands.update(conn, account_id=account_id, template_id=number, changes=changes, now=now)
        )
    )


@blueprint.delete("/templates/<template_id>")
@requires("send")
@blueprint.output({}, 204)
def delete_template(template_id: str) -> Response:
    """Delete a template"""
    account_id, number = caller().account_id, parse_id("template", template_id)
    return run_command(lambda conn: commands.delete(conn, account_id=account_id, template_id=number), status=204)


def _shape(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("template", row["template_id"]),
        "name": row["name"],
        "subject": row["subject"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _shape_detail(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**_shape(row), "html": row["html"], "text": row["text_body"]}
