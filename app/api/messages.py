"""API messages: send one or many, follow them, cancel and move them.

POST /messages is the busiest call: those that wait at the same time share one statement and one commit. Its idempotency record is
written by that statement, so it is the one POST that does not go through `run_command`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from apiflask import APIBlueprint
from flask import Response, request
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from app.api.context import (
    Caller,
    Services,
    caller,
    etag_json,
    parse_id,
    reading,
    requires,
    run_command,
    services,
    to_json,
)  # fmt: skip
from app.api.fields import Address, AwareDatetime, BodyText, HeaderText, PublicId, Scalar, Subject
from app.api.idempotency import read_key, replay
from app.api.inputs import Input
from app.api.paging import PageQuery, read_page
from app.clock import utc_now
from app.commands import messages as commands
from app.commands.idempotency import IdempotencyKey, StoredAnswer
from app.commands.messages import Letter, NewMessage, Post
from app.db import Conn
from app.domain.errors import Fault
from app.domain.message import TAGS_MAX, Attempt, Slot, Wait
from app.public_ids import PublicIds
from app.reads import messages as reads

blueprint = APIBlueprint("messages", __name__, url_prefix="/api/v1", tag="Messages")

BATCH_SIZE_MAX = 1000
Tag = Annotated[HeaderText, Field(min_length=1, max_length=64)]
#: Plain data for merge tags. Objects and lists are refused: a tag is one value.
Variables = Annotated[dict[Annotated[str, Field(min_length=1, max_length=100)], Scalar], Field(max_length=64)]


class MessageInput(Input):
    """One message to one recipient."""

    to: Address
    subject: Subject = Field(description="May hold merge tags, like {{ first_name }}.")
    html: BodyText | None = None
    text: BodyText | None = Field(None, description="Made from html when absent.")
    variables: Variables = Field(default_factory=dict, description="Values of the merge tags; at most 32 KiB.")
    sender_id: PublicId | None = Field(None, description="The account's default sender when absent.")
    scheduled_at: AwareDatetime | None = Field(None, description="When it may go; null or the past means now.")
    deadline: AwareDatetime | None = Field(None, description="Not tried after this; 24 h after its time when absent.")
    tags: list[Tag] = Field(default_factory=list, max_length=TAGS_MAX)


class SameAgain(NamedTuple):
    """A message that says what the one before it in its batch says."""

    to: str
    variables: dict[str, Any]


_read_address = TypeAdapter(Address).validator.validate_python
_read_variables = TypeAdapter(Variables).validator.validate_python


def _read_batch(given: Any, read_all: ValidatorFunctionWrapHandler) -> list[MessageInput | SameAgain]:
    """A batch often says one thing to many: of what repeats the message before it only the recipient is read.

    Where anything is wrong, all is read the long way, which says what and where.
    """
    if isinstance(given, list) and 1 <= len(given) <= BATCH_SIZE_MAX and all(type(item) is dict for item in given):
        with suppress(ValidationError):
            return list(_read_each(given))
    found: list[MessageInput | SameAgain] = read_all(given)
    return found


def _read_each(given: Iterable[dict[str, Any]]) -> Iterator[MessageInput | SameAgain]:
    said_before: dict[str, Any] | None = None
    for item in given:
        said = item.copy()
        to, variables = said.pop("to", None), said.pop("variables", {})
        if said == said_before:
            yield SameAgain(_read_address(to), _read_variables(variables) if variables != {} else {})
        else:
            yield MessageInput.model_validate(item)
            said_before = said


class MessageBatchInput(Input):
    """Up to 1,000 messages: all are taken, or none."""

    messages: Annotated[list[MessageInput], Field(min_length=1, max_length=BATCH_SIZE_MAX), WrapValidator(_read_batch)]


class RescheduleInput(Input):
    scheduled_at: AwareDatetime


class MessageQuery(PageQuery):
    model_config = ConfigDict(extra="forbid", populate_by_name=False)

    status: (
        Literal["scheduled", "queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired"]
        | None
    ) = Field(None, description="`scheduled` means queued with a future time.")
    campaign_id: PublicId | None = None
    q: str | None = Field(None, max_length=320, description="Part of the recipient's address.")
    from_: AwareDatetime | None = Field(None, alias="from", description="Due at or after this time.")
    until: AwareDatetime | None = Field(None, description="Due before this time.")


class MessageOutput(BaseModel):
    id: str
    status: str
    to: str
    subject: str | None
    scheduled_at: datetime
    created_at: datetime | None
    campaign_id: str | None
    attempt_count: int
    sent_at: datetime | None
    last_reply: str | None
    tags: list[str]
    scheduled_at_was_past: bool | None = None


class AttemptOutput(BaseModel):
    attempt: int
    outcome: str
    reply: str | None
    at: datetime | None


class WaitOutput(BaseModel):
    reason: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float


class MessageDetailOutput(MessageOutput):
    deadline: datetime | None
    sender_id: str | None
    html: str | None
    text: str | None
    variables: dict[str, Any]
    attempts: list[AttemptOutput]
    waits: list[WaitOutput]
    explanation: list[str]
    allowed_actions: list[str]


class MessagePageOutput(BaseModel):
    data: list[MessageOutput]
    next_cursor: str | None


class MessageBatchOutput(BaseModel):
    data: list[MessageOutput]


@blueprint.post("/messages")
@requires("send", is_rechecked=True)
@blueprint.input(MessageInput)
@blueprint.output(MessageOutput, 201)
def create_message(json_data: MessageInput) -> Response:
    """Send one message, now or at a time"""
    who = caller()
    key = read_key(request, account_id=who.account_id, user_id=who.user_id)
    answer = send_one(services(), who, key, json_data)
    if answer.is_replayed:
        return replay(StoredAnswer(answer.status, answer.body))
    return Response(answer.body, status=answer.status, content_type="application/json")


class Answer(NamedTuple):
    status: int
    body: bytes
    is_replayed: bool


def send_one(services: Services, who: Caller, key: IdempotencyKey | None, given: MessageInput) -> Answer:
    """What POST /messages does, in its view and in `app/api/direct.py`, where Flask is not there to be asked."""
    now, ids = utc_now(), services.ids
    letter, faults = _read_letter(_said_by(given), ids)
    message = NewMessage(given.to, letter, given.variables)
    slot, found = commands.check_message(message, now=now)
    faults += found
    if faults or slot is None:
        raise commands.refuse(faults)
    # The id is made by the statement that stores the answer, so the answer is stored without its beginning.
    rest = to_json(_shape_new(message, slot, now))[1:].decode()
    post = Post(who.account_id, who.api_key_id, message, slot, rest, key, now)
    made = commands.settle_post(services.pool, post, services.posts.ask(post))
    if isinstance(made, StoredAnswer):
        number, _, stored = made.body.partition(b"|")
        return Answer(made.status, _put_id_first(ids, int(number), stored), is_replayed=True)
    return Answer(201, _put_id_first(ids, made, rest.encode()), is_replayed=False)


@blueprint.post("/messages/batch")
@requires("send")
@blueprint.input(MessageBatchInput)
@blueprint.output(MessageBatchOutput, 201)
def create_messages(json_data: MessageBatchInput) -> Response:
    """Send up to 1,000 messages: all or none

    A fault in any of them refuses all; each has its pointer, like `/messages/3/to`.
    """
    account_id, now = caller().account_id, utc_now()
    ids = services().ids
    messages, faults = _read_messages(json_data.messages, ids)
    if faults:
        raise commands.refuse(faults)

    def create(conn: Conn) -> dict[str, Any]:
        made = commands.create_messages(conn, account_id=account_id, messages=messages, now=now)
        return _fold_batch(made.message_ids, messages, made.slots, now)

    return run_command(create, status=201, unfold=partial(_unfold_batch, ids))


@blueprint.get("/messages")
@requires("read")
@blueprint.input(MessageQuery, location="query")
@blueprint.output(MessagePageOutput)
def list_messages(query_data: MessageQuery) -> Response:
    """Follow messages: newest first, with filters

    A page of a filter that fits few messages may be short, even empty: go on while `next_cursor` is not null.
    """
    page = read_page(query_data)
    wanted = reads.MessageFilter(
        status=query_data.status,
        campaign_id=parse_id("campaign", query_data.campaign_id) if query_data.campaign_id else None,
        q=query_data.q, since=query_data.from_, until=query_data.until,
    )  # fmt: skip
    with reading() as conn:
        found = reads.list_messages(
            conn, account_id=caller().account_id, wanted=wanted, after_id=page.after_id, limit=page.limit,
            now=utc_now(),
        )  # fmt: skip
    ids = services().ids
    next_cursor = ids.encode("cursor", found.next_after_id) if found.next_after_id else None
    return etag_json({"data": [_shape(row) for row in found.rows], "next_cursor": next_cursor})


@blueprint.get("/messages/<message_id>")
@requires("read")
@blueprint.output(MessageDetailOutput)
def get_message(message_id: str) -> Response:
    """One message: its attempts and replies, its waits, and why it went when it went"""
    with reading() as conn:
        row = reads.get_message(
            conn, account_id=caller().account_id, message_id=parse_id("message", message_id), now=utc_now()
        )
    return etag_json(_shape_detail(row))


@blueprint.post("/messages/<message_id>/cancel")
@requires("send")
@blueprint.output(MessageDetailOutput)
def cancel_message(message_id: str) -> Response:
    """Cancel a message that has not been taken by a worker"""
    account_id, number, now = caller().account_id, parse_id("message", message_id), utc_now()

    def cancel(conn: Conn) -> dict[str, Any]:
        commands.cancel_message(conn, account_id=account_id, message_id=number, now=now)
        return _shape_detail(reads.get_message(conn, account_id=account_id, message_id=number, now=now))

    return run_command(cancel)


@blueprint.post("/messages/<message_id>/reschedule")
@requires("send")
@blueprint.input(RescheduleInput)
@blueprint.output(MessageDetailOutput)
def reschedule_message(message_id: str, json_data: RescheduleInput) -> Response:
    """Move a message that has not been taken by a worker"""
    account_id, number, now = caller().account_id, parse_id("message", message_id), utc_now()

    def reschedule(conn: Conn) -> dict[str, Any]:
        was_past = commands.reschedule_message(
            conn, account_id=account_id, message_id=number, scheduled_at=json_data.scheduled_at, now=now
        )
        row = reads.get_message(conn, account_id=account_id, message_id=number, now=now)
        return {**_shape_detail(row), **({"scheduled_at_was_past": True} if was_past else {})}

    return run_command(reschedule)


#: All that a letter is made of: messages of which this is the same have one letter.
_said_by = attrgetter("subject", "html", "text", "sender_id", "scheduled_at", "deadline", "tags")


def _read_messages(given: Sequence[MessageInput | SameAgain], ids: PublicIds) -> tuple[list[NewMessage], list[Fault]]:
    """A message that says what the one before it says has that one's letter."""
    messages: list[NewMessage] = []
    faults: list[Fault] = []
    said_before = None
    for index, item in enumerate(given):
        if isinstance(item, MessageInput) and (said := _said_by(item)) != said_before:
            letter, found = _read_letter(said, ids)
            said_before = said
        if found:
            faults += [fault.under(f"/messages/{index}") for fault in found]
        messages.append(NewMessage(item.to, letter, item.variables))
    return messages, faults


def _read_letter(said: Sequence[Any], ids: PublicIds) -> tuple[Letter, list[Fault]]:
    subject, html, text, public_id, scheduled_at, deadline, tags = said
    sender_id, faults = None, []
    if public_id is not None:
        sender_id = ids.decode("sender", public_id)
        if sender_id is None:
            faults.append(Fault("/sender_id", "is not a sender of this account", "unknown_sender"))
    return Letter(subject, html, text, sender_id, scheduled_at, deadline, tuple(tags)), faults


def _put_id_first(ids: PublicIds, message_id: int, rest: bytes) -> bytes:
    """The whole answer again: an object whose first member is the id."""
    return b'{"id":' + orjson.dumps(ids.encode("message", message_id)) + b"," + rest


def _shape_new(message: NewMessage, slot: Slot, now: datetime) -> dict[str, Any]:
    shaped: dict[str, Any] = {
        "status": "queued", "to": message.recipient, "subject": message.letter.subject, "scheduled_at": slot.send_after,
        "created_at": now, "campaign_id": None, "attempt_count": 0, "sent_at": None, "last_reply": None,
        "tags": message.letter.tags,
    }  # fmt: skip
    if slot.was_past:
        shaped["scheduled_at_was_past"] = True
    return shaped


def _fold_batch(
    message_ids: Sequence[int], messages: Sequence[NewMessage], slots: Sequence[Slot], now: datetime
) -> dict[str, Any]:
    """`_shape_new` of each, with what one letter's messages have in common written once: a twentieth of the answer."""
    numbers: dict[Letter, int] = {}
    shared: list[str] = []
    letter_of: list[int] = []
    for message, slot in zip(messages, slots, strict=True):
        number = numbers.setdefault(message.letter, len(shared))
        if number == len(shared):
            members = _shape_new(message, slot, now)
            del members["to"]
            shared.append(to_json(members)[1:].decode())
        letter_of.append(number)
    return {"ids": message_ids, "to": [message.recipient for message in messages], "of": letter_of, "shared": shared}


def _unfold_batch(ids: PublicIds, folded: bytes) -> bytes:
    """The answer to a batch, from what `_fold_batch` made of it."""
    if folded.startswith(b'{"data":'):  # kept by a version that folded nothing
        return folded
    batch = orjson.loads(folded)
    shared = batch["shared"]
    public_ids = ids.encode_many("message", batch["ids"])
    messages = [
        f'{{"id":"{public_id}","to":{orjson.dumps(to).decode()},{shared[number]}'
        for public_id, to, number in zip(public_ids, batch["to"], batch["of"], strict=True)
    ]
    return f'{{"data":[{",".join(messages)}]}}'.encode()


def _shape(row: Any) -> dict[str, Any]:
    ids = services().ids
    campaign_id = row["campaign_id"]
    return {
        "id": ids.encode("message", row["message_id"]),
        "status": row["status"],
        "to": row["recipient"],
        "subject": row["subject"],
        "scheduled_at": row["send_after"],
        "created_at": row["created_at"],
        "campaign_id": ids.encode("campaign", campaign_id) if campaign_id is not None else None,
        "attempt_count": row["attempt"],
        "sent_at": row["settled_at"] if row["status"] == "sent" else None,
        "last_reply": row["reply"],
        "tags": row["tags"] or [],
    }


def _shape_detail(row: Any) -> dict[str, Any]:
    is_open = row["status"] == "queued" and row["campaign_id"] is None
    return {
        **_shape(row),
        "deadline": row["deadline"],
        "sender_id": services().ids.encode("sender", row["sender_id"]) if row["sender_id"] is not None else None,
        "html": row["html"],
        "text": row["text_body"],
        "variables": row["variables"] or {},
        "attempts": [_shape_attempt(attempt) for attempt in row["attempts"]],
        "waits": [_shape_wait(wait) for wait in row["waits"]],
        "explanation": row["explanation"],
        "allowed_actions": ["cancel", "reschedule"] if is_open else [],
    }


def _shape_attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt, "outcome": attempt.outcome, "reply": attempt.reply, "at": attempt.settled_at,
    }  # fmt: skip


def _shape_wait(wait: Wait) -> dict[str, Any]:
    seconds = ((wait.ended_at or utc_now()) - wait.started_at).total_seconds()
    return {
        "reason": wait.reason, "started_at": wait.started_at, "ended_at": wait.ended_at, "seconds": round(seconds, 1),
    }  # fmt: skip
