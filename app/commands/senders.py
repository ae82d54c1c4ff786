"""Keep the From identities of an account. One of them is its default."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from psycopg.rows import DictRow

from app.db import Conn, count, maybe, one
from app.domain.errors import Conflict, Fault, InvalidInput, NotFound
from sql import queries


class SenderChanges(TypedDict):
    name: NotRequired[str]
    email: NotRequired[str]
    reply_to: NotRequired[str | None]
    relay_id: NotRequired[int | None]
    is_default: NotRequired[bool]


def create(conn: Conn, *, account_id: int, changes: SenderChanges, now: datetime) -> DictRow:
    """Make a sender; an account's first one is its default. Raises InvalidInput for a relay that is not the account's."""
    one(conn, queries.senders.lock_account, account_id=account_id)
    columns = _merge({"name": "", "email": "", "reply_to": None, "relay_id": None, "is_default": False}, changes)
    _check_relay(conn, columns["relay_id"], account_id=account_id)
    if columns["is_default"]:
        count(conn, queries.senders.clear_default, account_id=account_id, now=now)
    return one(conn, queries.senders.insert_sender, account_id=account_id, now=now, **columns)


def update(conn: Conn, *, account_id: int, sender_id: int, changes: SenderChanges, now: datetime) -> DictRow:
    """Raises NotFound, InvalidInput for taking the default away without naming another."""
    one(conn, queries.senders.lock_account, account_id=account_id)
    row = _get(conn, account_id=account_id, sender_id=sender_id)
    columns = _merge(row, changes)
    if row["is_default"] and not columns["is_default"]:
        detail = "One sender has to be the default: make another one the default instead."
        raise InvalidInput(detail, [Fault("/is_default", detail)])
    _check_relay(conn, columns["relay_id"], account_id=account_id)
    if columns["is_default"] and not row["is_default"]:
        count(conn, queries.senders.clear_default, account_id=account_id, now=now)
    changed = maybe(conn, queries.senders.update_sender, account_id=account_id, sender_id=sender_id, now=now, **columns)
    if changed is None:
        raise NotFound("There is no sender with this id.")
    return changed


def delete(conn: Conn, *, account_id: int, sender_id: int) -> None:
    """Raises NotFound, Conflict while something still names it."""
    one(conn, queries.senders.lock_account, account_id=account_id)
    row = _get(conn, account_id=account_id, sender_id=sender_id)
    uses = one(conn, queries.senders.count_uses, account_id=account_id, sender_id=sender_id)
    if uses["campaigns"] or uses["messages"]:
        raise Conflict("Campaigns or waiting messages use this sender, so it cannot be deleted.", code="in_use")
    if row["is_default"] and uses["other_senders"]:
        raise Conflict("This is the default sender: make another one the default first.", code="in_use")
    count(conn, queries.senders.delete_sender, account_id=account_id, sender_id=sender_id)


def _get(conn: Conn, *, account_id: int, sender_id: int) -> DictRow:
    row = maybe(conn, queries.senders.get_sender, account_id=account_id, sender_id=sender_id)
    if row is None:
        raise NotFound("There is no sender with this id.")
    return row


def _merge(row: Mapping[str, Any], changes: SenderChanges) -> dict[str, Any]:
    names = ("name", "email", "reply_to", "relay_id", "is_default")
    return {name: changes.get(name, row[name]) for name in names}


def _check_relay(conn: Conn, relay_id: int | None, *, account_id: int) -> None:
    if relay_id is None:
        return
    if maybe(conn, queries.relays.get_relay, account_id=account_id, relay_id=relay_id) is None:
        detail = "There is no relay with this id."
        raise InvalidInput(detail, [Fault("/relay_id", detail, "unknown_relay")])
