"""Choose whom a draft is for."""

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from app.db import Conn, count, many, maybe
from app.domain.audience import Audience, ContactsAudience, ImportAudience, ListsAudience
from app.domain.errors import Fault, InvalidInput
from sql import queries

Stored = dict[str, Any]


def choose_audience(
    conn: Conn, audience: Audience | None, *, account_id: int, campaign_id: int, now: datetime
) -> Stored | None:
    """Make `audience` the draft's, and return it as it is stored.

    Contacts given by hand become contacts of the account; of an address given twice the last one counts.
    Raises InvalidInput for an import or list that this account does not have.
    """
    count(conn, queries.campaigns.clear_contact_choices, account_id=account_id, campaign_id=campaign_id)
    stored, duplicates = None, 0
    match audience:
        case ImportAudience(import_id):
            stored = _check_import(conn, import_id, account_id=account_id)
        case ListsAudience(list_ids):
            stored = _check_lists(conn, list_ids, account_id=account_id)
        case ContactsAudience():
            stored, duplicates = _keep_contacts(conn, audience, account_id=account_id, campaign_id=campaign_id, now=now)
        case None:
            pass
    count(
        conn, queries.campaigns.set_audience,
        account_id=account_id, campaign_id=campaign_id, duplicates=duplicates,
        audience=None if stored is None else Jsonb(stored),
    )  # fmt: skip
    return stored


def _check_import(conn: Conn, import_id: int, *, account_id: int) -> Stored:
    row = maybe(conn, queries.campaigns.get_import, account_id=account_id, import_id=import_id)
    if row is None:
        raise _unknown("import", "/audience/import_id")
    return {"kind": "import", "import_id": import_id}


def _check_lists(conn: Conn, list_ids: tuple[int, ...], *, account_id: int) -> Stored:
    wanted = list(dict.fromkeys(list_ids))
    rows = many(conn, queries.campaigns.find_lists, account_id=account_id, list_ids=wanted)
    if len(rows) != len(wanted):
        known = {row["list_id"] for row in rows}
        position = next(index for index, list_id in enumerate(list_ids) if list_id not in known)
        raise _unknown("list", f"/audience/list_ids/{position}")
    return {"kind": "lists", "list_ids": wanted}


def _keep_contacts(
    conn: Conn, audience: ContactsAudience, *, account_id: int, campaign_id: int, now: datetime
) -> tuple[Stored, int]:
    contacts = [{"email": given.email, "attributes": dict(given.attributes)} for given in audience.contacts]
    kept = count(
        conn, queries.campaigns.choose_contacts,
        account_id=account_id, campaign_id=campaign_id, contacts=Jsonb(contacts), now=now,
    )  # fmt: skip
    names = sorted({name for given in audience.contacts for name in given.attributes})
    return {"kind": "contacts", "attributes": names, "size": kept}, len(contacts) - kept


def _unknown(kind: str, pointer: str) -> InvalidInput:
    detail = f"There is no {kind} with this id."
    return InvalidInput(detail, [Fault(pointer, detail, f"unknown_{kind}")])
