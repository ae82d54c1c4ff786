"""Contacts by page, by list, by search. A page costs a page, also among a million."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import DictRow

from app.content.addresses import is_address
from app.db import Conn, many, maybe
from app.domain.errors import NotFound
from sql import queries

#: Contacts that one request looks through for a part of an address or name. Among a million: 35 to 70 ms a request, and 0.8 s
#: for all 21 requests to the end of a search that finds nothing, where one request took 1.5 to 4 s.
SCAN_LIMIT = 50_000


@dataclass(frozen=True, slots=True)
class ContactPage:
    """Up to one row more than was asked for.

    looked_until  where a search goes on that has looked far and found too little to fill the page; else None.
    """

    rows: Sequence[DictRow]
    looked_until: int | None = None


def get_contact(conn: Conn, *, account_id: int, contact_id: int) -> dict[str, Any]:
    """One contact, with its lists and its suppression. Raises NotFound."""
    row = maybe(conn, queries.contacts.get_contact, account_id=account_id, contact_id=contact_id)
    if row is None:
        raise NotFound("There is no contact with this id.")
    return row


def list_contacts(
    conn: Conn, *, account_id: int, list_id: int | None, q: str | None, after_id: int | None, limit: int
) -> ContactPage:
    """Newest first. `q` is part of an address or name; a whole address is looked up by its key."""
    page: dict[str, Any] = {"account_id": account_id, "after_id": after_id, "limit": limit}
    if q and is_address(q):
        return ContactPage(many(conn, queries.contacts.find_by_email, **page, email=q, list_id=list_id))
    if q:
        scan = maybe(
            conn, queries.contacts.find_scan_end, account_id=account_id, after_id=after_id, scan_limit=SCAN_LIMIT
        )
        end_id = scan["contact_id"] if scan else None
        rows = many(conn, queries.contacts.find_contacts, **page, q=q, list_id=list_id, end_id=end_id)
        return ContactPage(rows, end_id if len(rows) < limit else None)
    if list_id is not None:
        return ContactPage(many(conn, queries.contacts.list_members, **page, list_id=list_id))
    return ContactPage(many(conn, queries.contacts.list_contacts, **page))
