"""Who is in an audience, and which merge values its contacts have."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from app.db import Conn, many, maybe, one
from app.domain.audience import AudienceKey
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
