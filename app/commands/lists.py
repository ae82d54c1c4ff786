"""Lists, and who is on them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg

from app.db import Conn, count, maybe, one
from app.domain.errors import AlreadyExists, Conflict, NotFound
from app.reads.lists import get_list
from sql import queries


def create_list(conn: Conn, *, account_id: int, name: str, description: str, now: datetime) -> dict[str, Any]:
    """Make an empty list. Raises AlreadyExists."""
    row = maybe(conn, queries.lists.insert_list, account_id=account_id, name=name, description=description, now=now)
    if row is None:
        raise AlreadyExists(f"There is a list named '{name}'.")
    return row


def update_list(
    conn: Conn, *, account_id: int, list_id: int, name: str | None, description: str | None, now: datetime
) -> dict[str, Any]:
    """Rename or describe. Raises NotFound, AlreadyExists."""
    try:
        row = maybe(
            conn,
            queries.lists.update_list,
            account_id=account_id,
            list_id=list_id,
            name=name,
            description=description,
            now=now,
        )
    except psycopg.errors.UniqueViolation as error:
        raise AlreadyExists(f"There is a list named '{name}'.") from error
    if row is None:
        raise NotFound("There is no list with this id.")
    return row


def delete_list(conn: Conn, *, account_id: int, list_id: int) -> None:
    """Remove a list; its contacts stay. Raises NotFound, Conflict while a campaign needs it."""
    get_list(conn, account_id=account_id, list_id=list_id)
    use = maybe(conn, queries.lists.find_use_of_list, account_id=account_id, list_id=list_id)
    if use is not None:
        raise Conflict(
            f"The campaign '{use['name']}' takes its audience from this list. Change or cancel it first.", code="in_use"
        )
    count(conn, queries.lists.empty_list, account_id=account_id, list_id=list_id)
    count(conn, queries.lists.delete_list, account_id=account_id, list_id=list_id)


def add_contacts(
    conn: Conn, *, account_id: int, list_id: int, contact_ids: Sequence[int], emails: Sequence[str], now: datetime
) -> dict[str, Any]:
    """Put contacts on a list; addresses that are not known yet become contacts.

    Returns {added, list}. Raises NotFound for the list or a contact.
    """
    get_list(conn, account_id=account_id, list_id=list_id)
    _require_contacts(conn, account_id=account_id, contact_ids=contact_ids)
    target = {"account_id": account_id, "list_id": list_id, "now": now}
    added = 0
    if contact_ids:
        added += count(conn, queries.lists.add_contacts_by_id, **target, contact_ids=list(contact_ids))
    if emails:
        added += count(conn, queries.lists.add_contacts_by_email, **target, emails=list(emails))
    return {"added": added, "list": get_list(conn, account_id=account_id, list_id=list_id)}


def remove_contacts(
    conn: Conn, *, account_id: int, list_id: int, contact_ids: Sequence[int], emails: Sequence[str]
) -> dict[str, Any]:
    """Take contacts off a list; who is not on it is no fault. Returns {removed, list}. Raises NotFound."""
    get_list(conn, account_id=account_id, list_id=list_id)
    target = {"account_id": account_id, "list_id": list_id}
    removed = 0
    if contact_ids:
        removed += count(conn, queries.lists.remove_contacts_by_id, **target, contact_ids=list(contact_ids))
    if emails:
        removed += count(conn, queries.lists.remove_contacts_by_email, **target, emails=list(emails))
    return {"removed": removed, "list": get_list(conn, account_id=account_id, list_id=list_id)}


def _require_contacts(conn: Conn, *, account_id: int, contact_ids: Sequence[int]) -> None:
    wanted = sorted(set(contact_ids))
    found = one(conn, queries.lists.count_owned_contacts, account_id=account_id, contact_ids=wanted) if wanted else None
    if found is not None and found["found"] != len(wanted):
        raise NotFound("There is no contact with one of these ids.")
