"""Who is in an audience, and which merge values its contacts have."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from app.content.addresses import is_address
from app.db import Conn, many, maybe, one
from app.domain.audience import AudienceKey
from app.reads.contacts import SCAN_LIMIT, ContactPage
from sql import queries

#: Merge tags that every message of a campaign has.
ALWAYS_KNOWN = frozenset(("email", "unsubscribe_url"))


def known_merge_tags(conn: Conn, stored: Mapping[str, Any] | None, *, account_id: int) -> frozenset[str] | None:
    """The merge tags that the audience has values for; None while that cannot be known (no audience, no mapping yet).

    Of lists a bounded sample is read: the oldest and newest contacts of each.
    """
    key = AudienceKey.from_stored(stored)
    if stored is None:
        return None
    if key.import_id is not None:
        row = maybe(conn, queries.campaigns.get_import, account_id=account_id, import_id=key.import_id)
        if row is None or row["mapping"] is None:
            return None
        return ALWAYS_KNOWN | set(row["mapping"])
    if key.is_by_hand:
        return ALWAYS_KNOWN | set(stored.get("attributes", ()))
    rows = many(conn, queries.campaigns.list_attribute_names, account_id=account_id, list_ids=key.list_ids)
    return ALWAYS_KNOWN | {row["name"] for row in rows}


def list_columns(conn: Conn, stored: Mapping[str, Any] | None, *, account_id: int) -> list[str] | None:
    """The merge tags that the audience offers beside its address; None while that cannot be known."""
    known = known_merge_tags(conn, stored, account_id=account_id)
    return None if known is None else sorted(known - ALWAYS_KNOWN)


def list_contacts(
    conn: Conn, campaign: Mapping[str, Any], *, account_id: int, q: str | None, after_id: int | None, row_limit: int
) -> ContactPage:
    """{contact_id, email, attributes} of the audience, by id. `q` is a part of an address, or a whole one."""
    key = AudienceKey.from_stored(campaign["audience"])
    where = {
        "account_id": account_id, "campaign_id": campaign["campaign_id"], "import_id": key.import_id,
        "list_ids": key.list_ids, "after_id": after_id or 0,
    }  # fmt: skip
    if q and is_address(q):
        return ContactPage(many(conn, queries.campaigns.find_in_audience, email=q, **where))
    end_id = None
    if q:
        scan = maybe(
            conn, queries.campaigns.find_audience_scan_end, account_id=account_id, after_id=where["after_id"],
            scan_limit=SCAN_LIMIT,
        )  # fmt: skip
        end_id = scan["contact_id"] if scan else None
    rows = many(conn, queries.campaigns.list_audience, q=q, row_limit=row_limit, end_id=end_id, **where)
    return ContactPage(rows, end_id if len(rows) < row_limit else None)


def has_contacts(conn: Conn, stored: Mapping[str, Any] | None, *, account_id: int, campaign_id: int) -> bool:
    key = AudienceKey.from_stored(stored)
    row = one(
        conn, queries.forecast.has_contacts,
        account_id=account_id, campaign_id=campaign_id, import_id=key.import_id, list_ids=key.list_ids,
    )  # fmt: skip
    return bool(row["has_contacts"])


def get_first_contact(
    conn: Conn, stored: Mapping[str, Any] | None, *, account_id: int, campaign_id: int
) -> DictRow | None:
    """{contact_id, email, attributes} of one member, or None for an audience without any."""
    key = AudienceKey.from_stored(stored)
    return maybe(
        conn, queries.campaigns.get_first_contact,
        account_id=account_id, campaign_id=campaign_id, import_id=key.import_id, list_ids=key.list_ids,
    )  # fmt: skip
