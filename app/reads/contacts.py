"""Contacts by page, by list, by search. A page costs a page, also among a million."""

from typing import Any

from app.content.addresses import is_address
from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries


def get_contact(conn: Conn, *, account_id: int, contact_id: int) -> dict[str, Any]:
    """One contact, with its lists and its suppression. Raises NotFound."""
    row = maybe(conn, queries.contacts.get_contact, account_id=account_id, contact_id=contact_id)
    if row is None:
        raise NotFound("There is no contact with this id.")
    return row


def list_contacts(
    conn: Conn, *, account_id: int, list_id: int | None, q: str | None, after_id: int | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first. `q` is part of an address or name; a whole address is looked up by its key."""
    page = {"account_id": account_id, "after_id": after_id, "limit": limit}
    if q and is_address(q):
        return many(conn, queries.contacts.find_by_email, **page, email=q, list_id=list_id)
    if q:
        return many(conn, queries.contacts.find_contacts, **page, q=q, list_id=list_id)
    if list_id is not None:
        return many(conn, queries.contacts.list_members, **page, list_id=list_id)
    return many(conn, queries.contacts.list_contacts, **page)
