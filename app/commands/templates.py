"""Keep templates: content to begin a campaign with. Merge tags are checked for their syntax only; whom they will be for
is not known yet."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict

import psycopg
from psycopg.rows import DictRow

from app.content import templates as content
from app.db import Conn, count, maybe, one
from app.domain.errors import AlreadyExists, InvalidInput, NotFound
from sql import queries


class TemplateChanges(TypedDict):
    name: NotRequired[str]
    subject: NotRequired[str]
    html: NotRequired[str | None]
    text: NotRequired[str | None]


def create(conn: Conn, *, account_id: int, changes: TemplateChanges, now: datetime) -> DictRow:
    """Raises InvalidInput, AlreadyExists for a name that is taken."""
    columns = _merge({"name": "", "subject": "", "html": None, "text_body": None}, changes)
    _check(columns)
    try:
        return one(conn, queries.templates.insert_template, account_id=account_id, now=now, **columns)
    except psycopg.errors.UniqueViolation as error:
        raise _name_taken(columns["name"]) from error


def update(conn: Conn, *, account_id: int, template_id: int, changes: TemplateChanges, now: datetime) -> DictRow:
    """Raises NotFound, InvalidInput, AlreadyExists for a name that is taken."""
    row = maybe(conn, queries.templates.get_template, account_id=account_id, template_id=template_id)
    if row is None:
        raise NotFound("There is no template with this id.")
    columns = _merge(row, changes)
    _check(columns)
    try:
        changed = maybe(
            conn, queries.templates.update_template,
            account_id=account_id, template_id=template_id, now=now, **columns,
        )  # fmt: skip
    except psycopg.errors.UniqueViolation as error:
        raise _name_taken(columns["name"]) from error
    if changed is None:
        raise NotFound("There is no template with this id.")
    return changed


def delete(conn: Conn, *, account_id: int, template_id: int) -> None:
    """Campaigns keep what they were made with. Raises NotFound."""
    if count(conn, queries.templates.delete_template, account_id=account_id, template_id=template_id) == 0:
        raise NotFound("There is no template with this id.")


def _merge(row: Mapping[str, Any], changes: TemplateChanges) -> dict[str, Any]:
    return {
        "name": changes.get("name", row["name"]),
        "subject": changes.get("subject", row["subject"]),
        "html": changes.get("html", row["html"]) or None,
        "text_body": changes.get("text", row["text_body"]) or None,
    }


def _check(columns: Mapping[str, Any]) -> None:
    faults = content.find_faults(
        subject=columns["subject"], html=columns["html"], text_body=columns["text_body"], known=None
    )
    if faults:
        raise InvalidInput("The template cannot be read.", faults)


def _name_taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"There is already a template named {name!r}.")
