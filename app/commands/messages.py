"""Taking API messages in, cancelling and moving them. The rows and the wake-up that sends them are one commit.

Many messages of one account within five seconds share one wake-up job: only who inserts the `wakeups` row defers it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple

import orjson
from psycopg.rows import DictRow

from app.commands.idempotency import IdempotencyKey, StoredAnswer, find_answer, in_progress
from app.content.templates import find_faults
from app.db import Conn, Pool, autocommit, many, maybe, one
from app.domain.errors import Fault, InvalidInput, NotFound, NotSignedIn, WrongState
from app.domain.message import DEADLINE_DEFAULT, Slot, choose_slot, floor_to_bucket
from sql import queries

FAULTS_MAX = 100
VARIABLES_SIZE_MAX = 32 * 1024
NO_NAMES: frozenset[str] = frozenset()


class Letter(NamedTuple):
    """What is said, by whom and when, as the client gave it. A batch often sends one letter to many."""

    subject: str
    html: str | None = None
    text_body: str | None = None
    sender_id: int | None = None  #: None: the account's default sender
    scheduled_at: datetime | None = None
    deadline: datetime | None = None
    tags: tuple[str, ...] = ()


class NewMessage(NamedTuple):
    """One recipient's copy of a letter; addresses and sizes are checked already."""

    recipient: str
    letter: Letter
    variables: dict[str, Any] | None = None


class Created(NamedTuple):
    """Of each message, in order."""

    message_ids: list[int]
    slots: list[Slot]


def check_letter(letter: Letter, variables: frozenset[str], now: datetime) -> tuple[Slot | None, list[Fault]]:
    """Everything about a letter to somebody with these variables that can be known without the database."""
    faults: list[Fault] = []
    if letter.html is None and letter.text_body is None:
        faults.append(Fault("/html", "give html, text, or both", "missing"))
    faults += find_faults(
        subject=letter.subject, html=letter.html, text_body=letter.text_body, known=variables | {"email"}
    )
    slot = choose_slot(scheduled_at=letter.scheduled_at, deadline=letter.deadline, now=now)
    if isinstance(slot, str):
        faults.append(Fault("/deadline", slot, "deadline_too_early"))
        return None, faults
    return slot, faults


def check_message(message: NewMessage, *, now: datetime) -> tuple[Slot | None, list[Fault]]:
    """Everything about one message that can be known without the database."""
    slot, faults = check_letter(message.letter, frozenset(message.variables or ()), now)
    return slot, _check_variables(message.variables or {}) + faults


def _check_variables(variables: dict[str, Any]) -> list[Fault]:
    if variables and len(orjson.dumps(variables)) > VARIABLES_SIZE_MAX:
        return [Fault("/variables", "must not be larger than 32 KiB as JSON", "too_large")]
    return []


def refuse(faults: Sequence[Fault]) -> InvalidInput:
    noun = "fault" if len(faults) == 1 else "faults"
    return InvalidInput(f"Nothing was stored: the body has {len(faults)} {noun}.", faults[:FAULTS_MAX])


@dataclass(frozen=True, slots=True)
class Post:
    """One request to send one message, checked as far as that goes without the database.

    answer  the JSON that will be answered, without its id: stored under `key` as "<message_id>|<answer>".
    """

    account_id: int
    api_key_id: int | None
    message: NewMessage
    slot: Slot
    answer: str
    key: IdempotencyKey | None
    now: datetime

    @property
    def identity(self) -> tuple[int, str] | None:
        """What it has in common with its repetitions."""
        return (self.account_id, self.key.key) if self.key is not None else None


#: The id of the message that was made; or why none was made.
PostOutcome = int | Literal["key revoked", "running", "stored or no sender", "no sender"]


def create_each(conn: Conn, posts: Sequence[Post]) -> list[PostOutcome]:
    """Take the messages of several requests in, with one statement: `conn` may be in autocommit.

    No two of them have one `identity`. What is wrong with one is nothing to the others.
    """
    items = orjson.dumps([_make_post_item(post) for post in posts]).decode()
    rows = many(conn, queries.messages.create_each, items=items)
    return [_tell_outcome(post, row) for post, row in zip(posts, rows, strict=True)]


def settle_post(pool: Pool, post: Post, outcome: PostOutcome) -> int | StoredAnswer:
    """What the request comes to: the new id, or the answer that was stored by an earlier request with the same key.

    Raises  InvalidInput without a sender or for a key of another request; Conflict while the first request runs;
            NotSignedIn when the API key was revoked a moment ago.
    """
    if isinstance(outcome, int):
        return outcome
    if outcome == "key revoked":
        raise NotSignedIn("This API key has expired or was revoked.", code="bad_api_key")
    if outcome == "running":
        raise in_progress()
    if outcome == "stored or no sender" and post.key is not None:
        with autocommit(pool) as conn:
            stored = find_answer(conn, post.key)
        if stored is not None:
            return stored
    raise refuse([_no_sender(post.message.letter.sender_id)])


def _tell_outcome(post: Post, row: DictRow) -> PostOutcome:
    if row["message_id"] is not None:
        return int(row["message_id"])
    if not row["is_allowed"]:
        return "key revoked"
    if not row["is_locked"]:
        return "running"
    return "stored or no sender" if post.key is not None else "no sender"


def create_messages(
    conn: Conn, *, account_id: int, messages: Sequence[NewMessage], now: datetime, pointer: str = "/messages"
) -> Created:
    """Take up to 1,000 messages in: all, or none with a fault for each bad place. Raises InvalidInput.

    A letter that many get is checked, chosen a sender for and told to PostgreSQL once.
    """
    slots: list[Slot] = []
    faults: list[Fault] = []
    numbers: dict[Letter, int] = {}
    letter_of = [numbers.setdefault(message.letter, len(numbers)) for message in messages]
    letter_numbered = list(numbers)

    @cache
    def check_once(number: int, names: frozenset[str]) -> tuple[Slot | None, list[Fault]]:
        return check_letter(letter_numbered[number], names, now)

    for index, (message, number) in enumerate(zip(messages, letter_of, strict=True)):
        variables = message.variables
        slot, found = check_once(number, frozenset(variables) if variables else NO_NAMES)
        if variables:
            found = _check_variables(variables) + found
        if found:
            faults += [fault.under(f"{pointer}/{index}") for fault in found]
        if slot is not None:
            slots.append(slot)
    senders = _choose_senders(conn, account_id=account_id, letters=letter_numbered)
    if None in senders:
        for index, (message, number) in enumerate(zip(messages, letter_of, strict=True)):
            if senders[number] is None:
                faults.append(_no_sender(message.letter.sender_id).under(f"{pointer}/{index}"))
    if faults:
        raise refuse(faults)
    slot_of = dict(zip(letter_of, slots, strict=True))
    letters = [
        {**_say(letter, slot_of[number]), "letter": number, "sender_id": senders[number]}
        for letter, number in numbers.items()
    ]
    items = [
        {"recipient": message.recipient, "letter": number, "variables": message.variables or None}
        for message, number in zip(messages, letter_of, strict=True)
    ]
    made = one(
        conn, queries.messages.create_messages,
        account_id=account_id, letters=orjson.dumps(letters).decode(), items=orjson.dumps(items).decode(), now=now,
    )  # fmt: skip
    return Created(made["message_ids"], slots)


def cancel_message(conn: Conn, *, account_id: int, message_id: int, now: datetime) -> None:
    """Cancel an API message that no worker has taken. Raises NotFound, WrongState."""
    if maybe(conn, queries.messages.cancel_message, account_id=account_id, message_id=message_id, now=now) is None:
        raise _why_not(conn, account_id=account_id, message_id=message_id, verb="cancelled")


def reschedule_message(conn: Conn, *, account_id: int, message_id: int, scheduled_at: datetime, now: datetime) -> bool:
    """Move an API message that no worker has taken to another time; the past means now. Whether it was the past.

    Raises NotFound, WrongState.
    """
    send_after = max(scheduled_at, now)
    moved = maybe(
        conn, queries.messages.reschedule_message,
        account_id=account_id, message_id=message_id, send_after=send_after, bucket=floor_to_bucket(send_after),
        deadline=send_after + DEADLINE_DEFAULT,
    )  # fmt: skip
    if moved is None:
        raise _why_not(conn, account_id=account_id, message_id=message_id, verb="rescheduled")
    return scheduled_at < now


def _choose_senders(conn: Conn, *, account_id: int, letters: Sequence[Letter]) -> list[int | None]:
    """Each letter's sender, found with one query; None for one that cannot be found."""
    asked = {letter.sender_id for letter in letters if letter.sender_id is not None}
    rows = many(conn, queries.messages.find_senders, account_id=account_id, sender_ids=sorted(asked))
    known: Collection[int] = {row["sender_id"] for row in rows}
    default = next((row["sender_id"] for row in rows if row["is_default"]), None)
    chosen = (default if letter.sender_id is None else letter.sender_id for letter in letters)
    return [sender_id if sender_id in known else None for sender_id in chosen]


def _no_sender(asked: int | None) -> Fault:
    if asked is None:
        detail = "is required, because the account has no default sender: make one with POST /senders"
        return Fault("/sender_id", detail, "no_default_sender")
    return Fault("/sender_id", "is not a sender of this account", "unknown_sender")


def _make_post_item(post: Post) -> dict[str, Any]:
    message, key = post.message, post.key
    return {
        **_say(message.letter, post.slot), "recipient": message.recipient, "variables": message.variables or {},
        "account_id": post.account_id, "api_key_id": post.api_key_id, "asked_sender_id": message.letter.sender_id,
        "key": key.key if key else None, "request_hash": key.request_hash.hex() if key else None,
        "answer": post.answer, "now": post.now,
    }  # fmt: skip


def _say(letter: Letter, slot: Slot) -> dict[str, Any]:
    return {
        "send_after": slot.send_after, "bucket": floor_to_bucket(slot.send_after), "deadline": slot.deadline,
        "subject": letter.subject, "html": letter.html, "text_body": letter.text_body, "tags": letter.tags,
    }  # fmt: skip


def _why_not(conn: Conn, *, account_id: int, message_id: int, verb: str) -> NotFound | WrongState:
    row = maybe(conn, queries.messages.get_message, account_id=account_id, message_id=message_id)
    if row is None:
        return NotFound("There is no message with this id.")
    if row["campaign_id"] is not None:
        return WrongState(f"A campaign's message cannot be {verb} alone: act on its campaign.")
    if row["status"] == "queued":
        return WrongState(f"A worker has taken this message, so it cannot be {verb} any more.")
    return WrongState(f"This message is '{row['status']}', so it cannot be {verb}.")
