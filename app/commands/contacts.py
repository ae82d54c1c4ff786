"""Contacts: people we may write to, one for each address of an account."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from app.db import Conn, count, maybe, one
from app.domain.contact import clean_attributes
from app.domain.errors import AlreadyExists, InvalidInput, NotFound
from app.reads.contacts import get_contact
from sql import queries

Given = Mapping[str, str | int | float | bool | None]


def create_contact(
    conn: Conn, *, account_id: int, email: str, attributes: Given, list_ids: Sequence[int], now: datetime
) -> dict[str, Any]:
    """Make a contact and put it on lists. Raises AlreadyExists, InvalidInput, NotFound for a list."""
    row = maybe(
        conn,
        queries.contacts.insert_contact,
        account_id=account_id,
        email=email,
        attributes=Jsonb(_clean(attributes)),
        now=now,
    )
    if row is None:
        raise AlreadyExists(f"There is a contact with the address {email}.")
    _add_to_lists(conn, account_id=account_id, contact_id=row["contact_id"], list_ids=list_ids, now=now)
    return get_contact(conn, account_id=account_id, contact_id=row["contact_id"])


def update_contact(
    conn: Conn, *, account_id: int, contact_id: int, email: str | None, attributes: Given, now: datetime
) -> dict[str, Any]:
    """Change a contact: attributes are merged, a null one is removed. Raises NotFound, AlreadyExists, InvalidInput."""
    found = maybe(conn, queries.contacts.lock_contact, account_id=account_id, contact_id=contact_id)
    if found is None:
        raise NotFound("There is no contact with this id.")
    if email is not None and maybe(
        conn, queries.contacts.find_other, account_id=account_id, contact_id=contact_id, email=email
    ):
        raise AlreadyExists(f"Another contact has the address {email}.")
    one(
        conn,
        queries.contacts.update_contact,
        account_id=account_id,
        contact_id=contact_id,
        email=email or found["email"],
        attributes=Jsonb(_clean({**found["attributes"], **attributes})),
        now=now,
    )
    return get_contact(conn, account_id=account_id, contact_id=contact_id)


def delete_contact(conn: Conn, *, account_id: int, contact_id: int, now: datetime) -> None:
    """Remove a contact and its memberships, and cancel what campaigns under way still have for it.

    A suppression of the address stays, and so do the address and the outcome of what was sent. Raises NotFound.
    """
    if maybe(conn, queries.contacts.delete_contact, account_id=account_id, contact_id=contact_id, now=now) is None:
        raise NotFound("There is no contact with this id.")


def _clean(attributes: Given) -> dict[str, str]:
    cleaned, faults = clean_attributes(attributes)
    if faults:
        raise InvalidInput("The attributes cannot be stored.", faults)
    return cleaned


def _add_to_lists(conn: Conn, *, account_id: int, contact_id: int, list_ids: Sequence[int], now: datetime) -> None:
    wanted = sorted(set(list_ids))
    if not wanted:
        return
    added = count(
        conn, queries.contacts.add_to_lists, account_id=account_id, contact_id=contact_id, list_ids=wanted, now=now
    )
    if added != len(wanted):
        raise NotFound("There is no list with one of these ids.")
