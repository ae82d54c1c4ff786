"""Rows as the engine leaves them, for tests of what people do with campaigns before, while and after it runs."""

from datetime import datetime
from typing import Any

import psycopg

Conn = psycopg.Connection[dict[str, Any]]


def materialise(
    conn: Conn, campaign_id: int, *, now: datetime, batch_size: int = 2, statuses: dict[str, str] | None = None
) -> list[int]:
    """Make messages and batches of the campaign's own contacts, as launching does, and return the batches' ids.

    statuses  final state by address; the others stay queued. A batch whose messages are all final is done.
    """
    statuses = statuses or {}
    account_id = _value(conn, "SELECT account_id FROM campaigns WHERE campaign_id = %s", campaign_id)
    contacts = conn.execute(
        "SELECT contact_id, email FROM campaign_contacts JOIN contacts USING (contact_id) WHERE campaign_id = %s "
        "ORDER BY contact_id",
        (campaign_id,),
    ).fetchall()
    batches = []
    for ordinal, at in enumerate(range(0, len(contacts), batch_size)):
        batches.append(
            _make_batch(
                conn, account_id, campaign_id, ordinal, contacts[at : at + batch_size], statuses=statuses, now=now
            )
        )
    conn.execute(
        "UPDATE campaigns SET materialised_at = %s, recipients = %s WHERE campaign_id = %s",
        (now, len(contacts), campaign_id),
    )
    return batches


def _make_batch(
    conn: Conn, account_id: int, campaign_id: int, ordinal: int, contacts: list[dict[str, Any]], *,
    statuses: dict[str, str], now: datetime,
) -> int:  # fmt: skip
    found = [statuses.get(contact["email"], "queued") for contact in contacts]
    counts = {
        name: found.count(name)
        for name in ("queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired")
    }
    is_done = not counts["queued"] and not counts["sending"]
    columns = ", ".join(counts)
    batch_id = int(
        _value(
            conn,
            f"INSERT INTO batches (account_id, campaign_id, ordinal, due_at, status, total, {columns}) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING batch_id",
            account_id, campaign_id, ordinal, now, "done" if is_done else "queued", len(contacts), *counts.values(),
        )
    )  # fmt: skip
    ids = [
        int(
            _value(
                conn,
                "INSERT INTO messages (account_id, campaign_id, batch_id, contact_id, send_after, status, recipient, "
                "attempt, marked_at, settled_at, reply) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
                "RETURNING message_id",
                account_id, campaign_id, batch_id, contact["contact_id"], now, status, contact["email"],
                0 if status == "queued" else 1, None if status == "queued" else now,
                None if status in ("queued", "uncertain") else now, "550 5.1.1 no" if status == "failed" else None,
            )
        )
        for contact, status in zip(contacts, found, strict=True)
    ]  # fmt: skip
    conn.execute(
        "UPDATE batches SET first_message_id = %s, last_message_id = %s WHERE batch_id = %s",
        (min(ids), max(ids), batch_id),
    )
    return batch_id


def assert_ledger_adds_up(conn: Conn, campaign_id: int) -> None:
    """I7: the counters of every batch are what its rows say."""
    differing = conn.execute(
        """
        SELECT b.batch_id FROM batches b
        LEFT JOIN messages m USING (batch_id)
        WHERE b.campaign_id = %s
        GROUP BY b.batch_id
        HAVING count(m.message_id) <> b.total
            OR count(*) FILTER (WHERE m.status = 'queued') <> b.queued
            OR count(*) FILTER (WHERE m.status = 'sent') <> b.sent
            OR count(*) FILTER (WHERE m.status = 'failed') <> b.failed
            OR count(*) FILTER (WHERE m.status = 'uncertain') <> b.uncertain
        """,
        (campaign_id,),
    ).fetchall()
    assert differing == []


def _value(conn: Conn, statement: str, *params: Any) -> Any:
    row = conn.execute(statement, params).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return next(iter(row.values()))
