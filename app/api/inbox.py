"""The Inbox: what the built-in SMTP sandbox received for this account."""

from datetime import datetime
from typing import Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import BaseModel, Field

from app.api.context import caller, etag_json, parse_id, reading, requires, services
from app.api.paging import PageQuery, page_json, read_page
from app.reads import inbox as reads

blueprint = APIBlueprint("inbox", __name__, url_prefix="/api/v1", tag="Inbox")


RAW_RESPONSES: dict[int | str, Any] = {
    200: {"description": "The mail's bytes.", "content": {"message/rfc822": {"schema": {"type": "string"}}}}
}


class InboxQuery(PageQuery):
    q: str | None = Field(None, max_length=320, description="Part of the subject or of the recipient.")
    recipient: str | None = Field(None, max_length=320, description="A whole address.")


class MailOutput(BaseModel):
    id: str
    message_id: str | None
    mail_from: str
    to: str
    subject: str
    size_bytes: int
    received_at: datetime
    created_at: datetime


class HeaderOutput(BaseModel):
    name: str
    value: str


class MailDetailOutput(MailOutput):
    from_: str = Field(alias="from")
    header_to: str
    html: str | None
    text: str | None
    headers: list[HeaderOutput]


class MailPageOutput(BaseModel):
    data: list[MailOutput]
    next_cursor: str | None


@blueprint.get("/inbox")
@requires("read")
@blueprint.input(InboxQuery, location="query")
@blueprint.output(MailPageOutput)
def list_mails(query_data: InboxQuery) -> Response:
    """What the sandbox received, newest first"""
    page = read_page(query_data)
    with reading() as conn:
        rows = reads.list_mails(
            conn, account_id=caller().account_id, q=query_data.q, recipient=query_data.recipient,
            after_id=page.after_id, fetch_limit=page.limit + 1,
        )  # fmt: skip
    return etag_json(page_json(rows, page, _shape))


@blueprint.get("/inbox/<mail_id>")
@requires("read")
@blueprint.output(MailDetailOutput)
def get_mail(mail_id: str) -> Response:
    """One mail, as a recipient's program reads it

    Show `html` only in a frame with an empty `sandbox` attribute: it is what was sent, not cleaned.
    """
    row = _find(mail_id)
    mail = reads.parse_mail(bytes(row["raw"]))
    return etag_json({
        **_shape(row), "subject": mail.subject, "from": mail.sender, "header_to": mail.to, "html": mail.html,
        "text": mail.text, "headers": [{"name": name, "value": value} for name, value in mail.headers],
    })  # fmt: skip


@blueprint.get("/inbox/<mail_id>/raw")
@requires("read")
@blueprint.doc(responses=RAW_RESPONSES)
def get_raw_mail(mail_id: str) -> Response:
    """One mail, byte for byte"""
    row = _find(mail_id)
    answer = Response(bytes(row["raw"]), content_type="message/rfc822")
    # A browser saves it and never renders what somebody put into a mail.
    answer.headers["Content-Disposition"] = f'attachment; filename="{mail_id}.eml"'
    answer.headers["Cache-Control"] = "private, max-age=3600"
    return answer


def _find(mail_id: str) -> dict[str, Any]:
    number = parse_id("inbox", mail_id)
    with reading() as conn:
        return reads.get_mail(conn, account_id=caller().account_id, inbox_id=number)


def _shape(row: dict[str, Any]) -> dict[str, Any]:
    ids = services().ids
    return {
        "id": ids.encode("inbox", row["inbox_id"]),
        "message_id": ids.encode("message", row["message_id"]) if row["message_id"] is not None else None,
        "mail_from": row["mail_from"],
        "to": row["rcpt_to"],
        "subject": row["subject"],
        "size_bytes": row["size_bytes"],
        "received_at": row["received_at"],
        "created_at": row["received_at"],
    }
