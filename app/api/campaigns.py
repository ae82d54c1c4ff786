"""Campaigns: write, look at, launch, stop, go on, settle, follow."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Literal

from apiflask import APIBlueprint
from flask import Response, stream_with_context
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.context import caller, etag_json, parse_id, reading, requires, run_command, services
from app.api.fields import Address, AwareDatetime, BodyText, HeaderText, Name, PublicId, Scalar, Subject
from app.api.inputs import Input
from app.api.paging import Page, PageQuery, page_json, read_page, read_sorted_cursor
from app.clock import utc_now
from app.commands import campaign_tests
from app.commands import campaigns as commands
from app.commands.campaigns import CampaignChanges, LimitChoice
from app.content.csv_files import csv_line
from app.db import Conn
from app.domain.audience import (
    Audience,
    ContactsAudience,
    GivenContact,
    ImportAudience,
    ListsAudience,
    describe_audience,
)
from app.domain.campaign import allowed_actions, blocked_actions
from app.domain.contact import clean_attributes
from app.domain.errors import Fault, InvalidInput
from app.public_ids import Kind
from app.reads import audiences, previews
from app.reads import campaigns as reads
from app.reads.campaigns import CampaignOrder
from app.reads.content import find_content_faults
from app.reads.forecast import count_audience, foretell

blueprint = APIBlueprint("campaigns", __name__, url_prefix="/api/v1", tag="Campaigns")

CONTACTS_MAX = 20_000
LISTS_MAX = 100
ATTRIBUTES_SHOWN_MAX = 8
CSV_COLUMNS = ("message_id", "recipient", "status", "attempts", "due_at", "begun_at", "settled_at", "last_reply")
COUNTS = ("total", "queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired")
CampaignSort = Literal["created", "-created", "name", "-name", "scheduled", "-scheduled", "updated", "-updated"]
Status = Literal["draft", "scheduled", "sending", "paused", "sent", "cancelled", "failed"]
MessageStatus = Literal["queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired"]


class AudienceContact(BaseModel):
    """A contact: its address, and any merge values beside it, like first_name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Scalar]

    email: Address


class AudienceInput(Input):
    """Exactly one of the three."""

    import_id: PublicId | None = None
    list_ids: Annotated[list[PublicId], Field(min_length=1, max_length=LISTS_MAX)] | None = None
    contacts: Annotated[list[AudienceContact], Field(min_length=1, max_length=CONTACTS_MAX)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "AudienceInput":
        if sum(value is not None for value in (self.import_id, self.list_ids, self.contacts)) != 1:
            raise ValueError("must have exactly one of import_id, list_ids and contacts")
        return self


class CampaignLimitInput(Input):
    """At most `limit` messages in any `window_s` seconds."""

    limit: int = Field(ge=1, le=1_000_000_000)
    window_s: int = Field(ge=1, le=2_592_000)


class CampaignFields(Input):
    subject: Subject = Field("", description="May hold merge tags, like {{ first_name }}.")
    preview_text: HeaderText = Field("", max_length=500, description="What mailboxes show beside the subject.")
    html: BodyText | None = None
    text: BodyText | None = Field(None, description="Made from html when absent.")
    sender_id: PublicId | None = Field(None, description="The account's default sender when absent.")
    audience: AudienceInput | None = None
    pacing: Literal["burst", "smooth"] = Field("burst", description="As fast as allowed, or spread evenly.")
    uncertain_policy: Literal["hold", "resend"] = Field("hold", description="What to do when a reply was lost.")
    limit: CampaignLimitInput | None = None


class CampaignInput(CampaignFields):
    name: Name


class CampaignPatch(CampaignFields):
    """What is absent stays as it is."""

    name: Name = ""


class PreviewInput(Input):
    contact_id: PublicId | None = Field(None, description="The audience's first contact when absent.")


class CampaignTestInput(Input):
    to: Address


class ScheduleInput(Input):
    scheduled_at: AwareDatetime | None = Field(None, description="null or the past means now.")


class SettleInput(Input):
    action: Literal["resend", "accept"]


class CampaignQuery(PageQuery):
    status: str | None = Field(None, max_length=100, description="One state, or several with commas between.")
    q: str | None = Field(None, max_length=200, description="Part of the name or subject.")
    sort: CampaignSort = Field(
        "-created", description="With `-`, the last first. What was never scheduled is at the end."
    )
    cursor: str | None = Field(
        None, max_length=3000, description="`next_cursor` of the page before, in the same order."
    )


class AudienceQuery(PageQuery):
    q: str | None = Field(None, max_length=320, description="Part of an address, or a whole one.")


class CampaignMessageFilter(Input):
    status: MessageStatus | None = None
    q: str | None = Field(None, max_length=320, description="The recipient's address, or a part of it.")


class CampaignMessageQuery(PageQuery):
    status: MessageStatus | None = None
    q: str | None = Field(None, max_length=320, description="The recipient's address, or a part of it.")


class ThroughputQuery(Input):
    range: Literal["recent", "whole"] = Field("recent", description="The last five minutes, or the whole run.")


class CampaignAudienceOutput(BaseModel):
    kind: Literal["import", "lists", "contacts"]
    label: str = Field(description="For people: the file's or the lists' names, or how many were given by hand.")
    columns: list[str] | None = Field(
        None,
        description="The merge tags that these contacts have values for, beside `email`. Only with a single campaign; null "
        "while an import has no mapping yet.",
    )
    import_id: str | None = None
    list_ids: list[str] | None = None
    contact_count: int | None = None


class CampaignCountsOutput(BaseModel):
    total: int
    queued: int
    sending: int
    sent: int
    failed: int
    uncertain: int
    suppressed: int
    cancelled: int
    expired: int


class CampaignLimitOutput(BaseModel):
    id: str
    limit: int
    window_s: int


class AudienceContactOutput(BaseModel):
    id: str
    email: str
    attributes: dict[str, str] = Field(description="At most eight of them.")


class AudiencePageOutput(BaseModel):
    data: list[AudienceContactOutput]
    next_cursor: str | None


class CampaignOutput(BaseModel):
    id: str
    name: str
    subject: str
    preview_text: str
    sender_id: str | None
    sender: dict[str, str] | None
    audience: CampaignAudienceOutput | None
    pacing: str
    uncertain_policy: str
    limit: CampaignLimitOutput | None
    status: Status
    error: str | None
    counts: CampaignCountsOutput
    recipients_estimate: int | None
    excluded_duplicates: int
    scheduled_at: datetime | None
    launched_at: datetime | None
    started_at: datetime | None
    paused_at: datetime | None
    finished_at: datetime | None
    created_at: datetime
    updated_at: datetime
    allowed_actions: list[str]
    blocked_actions: dict[str, str] = Field(description="Why each of the other actions is not possible now.")


class CampaignDetailOutput(CampaignOutput):
    html: str | None
    text: str | None
    scheduled_at_was_past: bool | None = None
    message_count: int | None = Field(None, description="How many messages the action was about.")


class CampaignPageOutput(BaseModel):
    data: list[CampaignOutput]
    next_cursor: str | None


class WarningOutput(BaseModel):
    code: str
    message: str


class PreviewOutput(BaseModel):
    subject: str
    html: str | None
    text: str
    to: str
    warnings: list[WarningOutput]


class ExcludedOutput(BaseModel):
    duplicates: int
    suppressed: int
    invalid: int


class BindingLimitOutput(BaseModel):
    scope: str
    limit: int
    window_s: int


class ContentFaultOutput(BaseModel):
    pointer: str
    detail: str
    code: str


class ForecastOutput(BaseModel):
    faults: list[ContentFaultOutput] = Field(description="What in the content would make the launch be refused.")
    recipients: int
    excluded: ExcludedOutput
    starts_at: datetime
    finishes_at: datetime
    binding_limit: BindingLimitOutput | None
    per_hour: int
    scheduled_at_was_past: bool | None = None


class LatenessOutput(BaseModel):
    p50: int | None
    p99: int | None
    max: int | None


class ProgressOutput(CampaignCountsOutput):
    status: Status
    per_second: float
    started_at: datetime | None
    finishes_at: datetime | None
    resumes_at: datetime | None
    lateness_ms: LatenessOutput


class PointOutput(BaseModel):
    at: datetime
    sent: int
    failed: int
    retried: int


class ThroughputOutput(BaseModel):
    step_s: int
    points: list[PointOutput]


class CampaignMessageOutput(BaseModel):
    id: str
    to: str
    status: str
    attempt_count: int
    scheduled_at: datetime
    sent_at: datetime | None
    settled_at: datetime | None
    last_reply: str | None
    contact_id: str | None


class CampaignMessagePageOutput(BaseModel):
    data: list[CampaignMessageOutput]
    next_cursor: str | None


class TestOutput(BaseModel):
    message_id: str
    to: str


@blueprint.get("/campaigns")
@requires("read")
@blueprint.input(CampaignQuery, location="query")
@blueprint.output(CampaignPageOutput)
def list_campaigns(query_data: CampaignQuery) -> Response:
    """Campaigns without their bodies, newest first or sorted otherwise"""
    page, order = _read_order(query_data)
    with reading() as conn:
        rows = reads.list_campaigns(
            conn, account_id=caller().account_id, statuses=_read_statuses(query_data.status), q=query_data.q,
            order=order, row_limit=page.limit + 1,
        )  # fmt: skip
    return etag_json(page_json(rows, page, campaign_json, sort=None if order.is_newest_first else query_data.sort))


@blueprint.post("/campaigns")
@requires("send")
@blueprint.input(CampaignInput)
@blueprint.output(CampaignDetailOutput, 201)
def create_campaign(json_data: CampaignInput) -> Response:
    """Make a draft"""
    account_id, changes, now = caller().account_id, _read_changes(json_data), utc_now()

    def create(conn: Conn) -> dict[str, Any]:
        campaign_id = commands.create(conn, account_id=account_id, changes=changes, now=now)
        return _detail(conn, account_id=account_id, campaign_id=campaign_id)

    return run_command(create, status=201)


@blueprint.get("/campaigns/<campaign_id>")
@requires("read")
@blueprint.output(CampaignDetailOutput)
def get_campaign(campaign_id: str) -> Response:
    """One campaign, with its content, counts and what may be done with it"""
    with reading() as conn:
        return etag_json(_detail(conn, account_id=caller().account_id, campaign_id=parse_id("campaign", campaign_id)))


@blueprint.patch("/campaigns/<campaign_id>")
@requires("send")
@blueprint.input(CampaignPatch)
@blueprint.output(CampaignDetailOutput)
def update_campaign(campaign_id: str, json_data: CampaignPatch) -> Response:
    """Change a draft"""
    changes = _read_changes(json_data)
    return _run(campaign_id, lambda conn, **ids: commands.update(conn, changes=changes, now=utc_now(), **ids))


@blueprint.delete("/campaigns/<campaign_id>")
@requires("send")
@blueprint.output({}, 204)
def delete_campaign(campaign_id: str) -> Response:
    """Delete a draft"""
    account_id, number = caller().account_id, parse_id("campaign", campaign_id)
    return run_command(lambda conn: commands.delete(conn, account_id=account_id, campaign_id=number), status=204)


@blueprint.post("/campaigns/<campaign_id>/duplicate")
@requires("send")
@blueprint.output(CampaignDetailOutput, 201)
def duplicate_campaign(campaign_id: str) -> Response:
    """Copy a campaign in any state into a new draft"""
    account_id, number, now = caller().account_id, parse_id("campaign", campaign_id), utc_now()

    def duplicate(conn: Conn) -> dict[str, Any]:
        new_id = commands.duplicate(conn, account_id=account_id, campaign_id=number, now=now)
        return _detail(conn, account_id=account_id, campaign_id=new_id)

    return run_command(duplicate, status=201)


@blueprint.get("/campaigns/<campaign_id>/audience")
@requires("read")
@blueprint.input(AudienceQuery, location="query")
@blueprint.output(AudiencePageOutput)
def list_audience(campaign_id: str, query_data: AudienceQuery) -> Response:
    """The contacts whom a campaign is for, the first ones first; a preview takes any of them

    A page of a search that fits few contacts may be short, even empty: go on while `next_cursor` is not null.
    """
    account_id, number, page = caller().account_id, parse_id("campaign", campaign_id), read_page(query_data)
    with reading() as conn:
        campaign = reads.get_campaign(conn, account_id=account_id, campaign_id=number)
        found = audiences.list_contacts(
            conn, campaign, account_id=account_id, q=(query_data.q or "").strip() or None, after_id=page.after_id,
            row_limit=page.limit + 1,
        )  # fmt: skip
    shown = page_json(found.rows, page, _audience_contact_json)
    if found.looked_until is not None:
        shown["next_cursor"] = services().ids.encode("cursor", found.looked_until)
    return etag_json(shown)


@blueprint.post("/campaigns/<campaign_id>/preview")
@requires("read")
@blueprint.input(PreviewInput)
@blueprint.output(PreviewOutput)
def preview_campaign(campaign_id: str, json_data: PreviewInput) -> Response:
    """The campaign as one contact will see it"""
    account_id, number = caller().account_id, parse_id("campaign", campaign_id)
    contact_id = parse_id("contact", json_data.contact_id) if json_data.contact_id else None
    return run_command(
        lambda conn: previews.preview_campaign(
            conn, account_id=account_id, campaign_id=number, contact_id=contact_id,
            public_url=services().settings.public_url,
        )
    )  # fmt: skip


@blueprint.post("/campaigns/<campaign_id>/test")
@requires("send")
@blueprint.input(CampaignTestInput)
@blueprint.output(TestOutput, 202)
def send_campaign_test(campaign_id: str, json_data: CampaignTestInput) -> Response:
    """Send one message with the campaign's content to any address"""
    account_id, number, now = caller().account_id, parse_id("campaign", campaign_id), utc_now()

    def send(conn: Conn) -> dict[str, Any]:
        message_id = campaign_tests.send_test(
            conn, account_id=account_id, campaign_id=number, to=json_data.to,
            public_url=services().settings.public_url, now=now,
        )  # fmt: skip
        return {"message_id": services().ids.encode("message", message_id), "to": json_data.to}

    return run_command(send, status=202)


@blueprint.post("/campaigns/<campaign_id>/forecast")
@requires("read")
@blueprint.input(ScheduleInput)
@blueprint.output(ForecastOutput)
def forecast_campaign(campaign_id: str, json_data: ScheduleInput) -> Response:
    """Who would get it, when it would be done, and which limit decides that"""
    account_id, number, now = caller().account_id, parse_id("campaign", campaign_id), utc_now()

    def foresee(conn: Conn) -> dict[str, Any]:
        row = reads.get_campaign(conn, account_id=account_id, campaign_id=number)
        counted = count_audience(conn, row, account_id=account_id)
        told = foretell(
            conn, account_id=account_id, campaign_id=number, recipients=counted.recipients,
            starts_at=max(now, json_data.scheduled_at or now), pacing=row["pacing"], now=now,
        )  # fmt: skip
        limit = told.binding_limit
        faults = find_content_faults(conn, row, row["audience"], account_id=account_id)
        return {
            "faults": [asdict(fault) for fault in faults],
            "recipients": counted.recipients,
            "excluded": {
                "duplicates": counted.duplicates, "suppressed": counted.suppressed, "invalid": counted.invalid,
            },
            "starts_at": told.starts_at,
            "finishes_at": told.finishes_at,
            "binding_limit": limit
            and {"scope": limit.scope, "limit": limit.max_count, "window_s": limit.window_s},
            "per_hour": told.per_hour,
            **_past(json_data.scheduled_at, now),
        }  # fmt: skip

    return run_command(foresee)


@blueprint.post("/campaigns/<campaign_id>/launch")
@requires("send")
@blueprint.input(ScheduleInput)
@blueprint.output(CampaignDetailOutput)
def launch_campaign(campaign_id: str, json_data: ScheduleInput) -> Response:
    """Launch a draft, now or for a time"""
    now, at = utc_now(), json_data.scheduled_at

    def launch(conn: Conn, **ids: int) -> dict[str, Any]:
        commands.launch(conn, scheduled_at=at, now=now, **ids)
        return _past(at, now)

    return _run(campaign_id, launch)


@blueprint.post("/campaigns/<campaign_id>/unschedule")
@requires("send")
@blueprint.output(CampaignDetailOutput)
def unschedule_campaign(campaign_id: str) -> Response:
    """Take a scheduled campaign back to a draft, as long as nothing was sent"""
    return _run(campaign_id, lambda conn, **ids: commands.unschedule(conn, now=utc_now(), **ids))


@blueprint.post("/campaigns/<campaign_id>/pause")
@requires("send")
@blueprint.output(CampaignDetailOutput)
def pause_campaign(campaign_id: str) -> Response:
    """Stop sending until it is resumed"""
    return _run(campaign_id, lambda conn, **ids: commands.pause(conn, now=utc_now(), **ids))


@blueprint.post("/campaigns/<campaign_id>/resume")
@requires("send")
@blueprint.output(CampaignDetailOutput)
def resume_campaign(campaign_id: str) -> Response:
    """Go on with a paused campaign"""
    return _run(campaign_id, lambda conn, **ids: commands.resume(conn, now=utc_now(), **ids))


@blueprint.post("/campaigns/<campaign_id>/cancel")
@requires("send")
@blueprint.output(CampaignDetailOutput)
def cancel_campaign(campaign_id: str) -> Response:
    """Stop for good: what was not sent yet will not be"""
    return _run(campaign_id, lambda conn, **ids: commands.cancel(conn, now=utc_now(), **ids))


@blueprint.post("/campaigns/<campaign_id>/uncertain")
@requires("send")
@blueprint.input(SettleInput)
@blueprint.output(CampaignDetailOutput)
def settle_uncertain(campaign_id: str, json_data: SettleInput) -> Response:
    """Decide about the messages whose reply was lost: send them again, or count them as sent"""

    def settle(conn: Conn, **ids: int) -> dict[str, Any]:
        return {"message_count": commands.settle_uncertain(conn, action=json_data.action, now=utc_now(), **ids)}

    return _run(campaign_id, settle)


@blueprint.post("/campaigns/<campaign_id>/retry-failed")
@requires("send")
@blueprint.output(CampaignDetailOutput)
def retry_failed(campaign_id: str) -> Response:
    """Send the failed messages again"""
    return _run(campaign_id, lambda conn, **ids: {"message_count": commands.retry_failed(conn, now=utc_now(), **ids)})


@blueprint.get("/campaigns/<campaign_id>/progress")
@requires("read")
@blueprint.output(ProgressOutput)
def get_progress(campaign_id: str) -> Response:
    """Where a campaign is, live; poll it with If-None-Match"""
    with reading() as conn:
        return etag_json(
            reads.get_progress(
                conn, account_id=caller().account_id, campaign_id=parse_id("campaign", campaign_id), now=utc_now()
            )
        )


@blueprint.get("/campaigns/<campaign_id>/throughput")
@requires("read")
@blueprint.input(ThroughputQuery, location="query")
@blueprint.output(ThroughputOutput)
def get_throughput(campaign_id: str, query_data: ThroughputQuery) -> Response:
    """Results over time, for a chart"""
    with reading() as conn:
        return etag_json(
            reads.get_throughput(
                conn, account_id=caller().account_id, campaign_id=parse_id("campaign", campaign_id),
                whole=query_data.range == "whole", now=utc_now(),
            )
        )  # fmt: skip


@blueprint.get("/campaigns/<campaign_id>/messages")
@requires("read")
@blueprint.input(CampaignMessageQuery, location="query")
@blueprint.output(CampaignMessagePageOutput)
def list_campaign_messages(campaign_id: str, query_data: CampaignMessageQuery) -> Response:
    """A campaign's messages, last first"""
    account_id, number, page = caller().account_id, parse_id("campaign", campaign_id), read_page(query_data)
    with reading() as conn:
        reads.require_campaign(conn, account_id=account_id, campaign_id=number)
        rows = reads.list_messages(
            conn, account_id=account_id, campaign_id=number, status=query_data.status, q=query_data.q,
            after_id=page.after_id, row_limit=page.limit + 1,
        )  # fmt: skip
    return etag_json(page_json(rows, page, _message_json))


@blueprint.get("/campaigns/<campaign_id>/messages.csv")
@requires("read")
@blueprint.input(CampaignMessageFilter, location="query")
@blueprint.output({}, content_type="text/csv")
def export_campaign_messages(campaign_id: str, query_data: CampaignMessageFilter) -> Response:
    """A campaign's messages as CSV, for a spreadsheet"""
    account_id, number = caller().account_id, parse_id("campaign", campaign_id)
    with reading() as conn:
        reads.require_campaign(conn, account_id=account_id, campaign_id=number)

    def chunks() -> Iterator[bytes]:
        yield csv_line(CSV_COLUMNS).encode()
        found = reads.iterate_messages(
            reading, account_id=account_id, campaign_id=number, status=query_data.status, q=query_data.q
        )
        for rows in found:
            ids = services().ids.encode_many("message", [row["message_id"] for row in rows])
            lines = [csv_line(_csv_cells(text, row)) for text, row in zip(ids, rows, strict=True)]
            yield "".join(lines).encode()

    answer = Response(stream_with_context(chunks()), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{campaign_id}-messages.csv"'
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


def campaign_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A campaign as it goes out, without its bodies."""
    facts = reads.facts_of(row)
    return {
        "id": services().ids.encode("campaign", row["campaign_id"]),
        "name": row["name"],
        "subject": row["subject"],
        "preview_text": row["preview_text"],
        "sender_id": _id("sender", row["sender_id"]),
        "sender": {"name": row["sender_name"], "email": row["sender_email"]} if row["sender_id"] is not None else None,
        "audience": _audience_json(row),
        "pacing": row["pacing"],
        "uncertain_policy": row["uncertain_policy"],
        "limit": row["limit_id"]
        and {"id": _id("limit", row["limit_id"]), "limit": row["max_count"], "window_s": row["window_s"]},
        "status": row["status"],
        "error": row["error"],
        "counts": {name: int(row[name]) for name in COUNTS},
        "recipients_estimate": reads.estimate_recipients(row),
        "excluded_duplicates": row["excluded_duplicates"] or row["audience_duplicates"],
        "scheduled_at": row["scheduled_at"],
        "launched_at": row["launched_at"],
        "started_at": row["started_at"],
        "paused_at": row["paused_at"],
        "finished_at": row["finished_at"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "allowed_actions": allowed_actions(facts),
        "blocked_actions": blocked_actions(facts),
    }


def _detail(conn: Conn, *, account_id: int, campaign_id: int) -> dict[str, Any]:
    row = reads.get_campaign(conn, account_id=account_id, campaign_id=campaign_id)
    shown = campaign_json(row)
    if shown["audience"] is not None:
        shown["audience"]["columns"] = audiences.list_columns(conn, row["audience"], account_id=account_id)
    return {**shown, "html": row["html"], "text": row["text_body"]}


def _run(campaign_id: str, command: Callable[..., Mapping[str, Any] | None]) -> Response:
    """Run `command(conn, account_id=…, campaign_id=…)` and answer with the campaign, and with what it returned."""
    ids = {"account_id": caller().account_id, "campaign_id": parse_id("campaign", campaign_id)}

    def run(conn: Conn) -> dict[str, Any]:
        extra = command(conn, **ids)
        return {**_detail(conn, **ids), **(extra or {})}

    return run_command(run)


def _read_order(query: CampaignQuery) -> tuple[Page, CampaignOrder]:
    """Newest first goes by id alone, as every other list does."""
    order = CampaignOrder(query.sort.removeprefix("-"), is_descending=query.sort.startswith("-"))
    if order.is_newest_first:
        page = read_page(query)
        return page, replace(order, after_id=page.after_id)
    after = read_sorted_cursor(query.cursor, sort=query.sort)
    page = Page(query.limit, after.after_id if after else None)
    return page, replace(order, after_key=after.key if after else "", after_id=page.after_id)


def _read_statuses(text: str | None) -> list[str] | None:
    if text is None:
        return None
    statuses = [part.strip() for part in text.split(",")]
    known = Status.__args__  # type: ignore[attr-defined]
    if not all(status in known for status in statuses):
        detail = f"must be one or more of {', '.join(known)}, with commas between"
        raise InvalidInput(f"The query parameter status {detail}.", [Fault("?status", detail, "unknown_status")])
    return statuses


def _read_changes(given: CampaignFields) -> CampaignChanges:
    """Only what was sent: what is absent stays as it is."""
    sent = given.model_fields_set
    changes: dict[str, Any] = {name: getattr(given, name) for name in sent - {"sender_id", "audience", "limit"}}
    if "sender_id" in sent:
        changes["sender_id"] = _read_reference("sender", given.sender_id, "/sender_id")
    if "audience" in sent:
        changes["audience"] = _read_audience(given.audience)
    if "limit" in sent:
        changes["limit"] = LimitChoice(given.limit.limit, given.limit.window_s) if given.limit else None
    return changes  # type: ignore[return-value]


def _read_reference(kind: Kind, text: str | None, pointer: str) -> int | None:
    if text is None:
        return None
    number = services().ids.decode(kind, text)
    if number is None:
        detail = f"There is no {kind} with this id."
        raise InvalidInput(detail, [Fault(pointer, detail, f"unknown_{kind}")])
    return number


def _read_audience(given: AudienceInput | None) -> Audience | None:
    if given is None:
        return None
    if given.import_id is not None:
        import_id = _read_reference("import", given.import_id, "/audience/import_id")
        assert import_id is not None
        return ImportAudience(import_id)
    if given.list_ids is not None:
        read = (
            _read_reference("list", text, f"/audience/list_ids/{index}") for index, text in enumerate(given.list_ids)
        )
        return ListsAudience(tuple(number for number in read if number is not None))
    return ContactsAudience(_read_contacts(given.contacts or []))


def _read_contacts(given: list[AudienceContact]) -> tuple[GivenContact, ...]:
    contacts, faults = [], []
    for index, contact in enumerate(given):
        attributes, found = clean_attributes(contact.model_extra or {})
        contacts.append(GivenContact(contact.email, attributes))
        prefix = f"/audience/contacts/{index}"
        faults += [
            Fault(prefix + fault.pointer.removeprefix("/attributes"), fault.detail, fault.code) for fault in found
        ]
    if faults:
        raise InvalidInput("Some contacts cannot be taken.", faults[:100])
    return tuple(contacts)


def _audience_json(row: Mapping[str, Any]) -> dict[str, Any] | None:
    stored = row["audience"]
    if stored is None:
        return None
    label = {
        "kind": stored["kind"],
        "label": describe_audience(stored, row["import_filename"], row["list_names"] or []),
    }
    match stored["kind"]:
        case "import":
            return {**label, "import_id": _id("import", stored["import_id"])}
        case "lists":
            return {**label, "list_ids": services().ids.encode_many("list", stored["list_ids"])}
        case _:
            return {**label, "contact_count": stored.get("size")}


def _audience_contact_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("contact", row["contact_id"]),
        "email": row["email"],
        "attributes": dict(islice(row["attributes"].items(), ATTRIBUTES_SHOWN_MAX)),
    }


def _message_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": services().ids.encode("message", row["message_id"]),
        "to": row["recipient"],
        "status": row["status"],
        "attempt_count": row["attempt"],
        "scheduled_at": row["send_after"],
        "sent_at": row["settled_at"] if row["status"] == "sent" else None,
        "settled_at": row["settled_at"],
        "last_reply": row["reply"],
        "contact_id": _id("contact", row["contact_id"]),
    }


def _csv_cells(message_id: str, row: Mapping[str, Any]) -> tuple[object, ...]:
    times = (row[name].isoformat() if row[name] else "" for name in ("send_after", "marked_at", "settled_at"))
    return (message_id, row["recipient"], row["status"], row["attempt"], *times, row["reply"])


def _past(scheduled_at: datetime | None, now: datetime) -> dict[str, bool]:
    """A time that has passed means now, and the answer says so."""
    return {"scheduled_at_was_past": True} if scheduled_at is not None and scheduled_at < now else {}


def _id(kind: Kind, number: int | None) -> str | None:
    return None if number is None else services().ids.encode(kind, number)
