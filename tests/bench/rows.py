"""Accounts, audiences and campaigns for measurements: what the product would have written, in few statements."""

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.factories import an_account

LIMIT_THAT_NEVER_BINDS = 1_000_000_000
LEDGER_TABLES = ("messages", "batches", "throughput", "attempts")

#: 3 kB of HTML with merge tags; the text part is made from it.
HTML = (
    "<html><body><p>Hello {{ first_name | default('friend') }},</p>"
    + "<p>a paragraph that is the same for everybody, with enough words to be one.</p>\n" * 36
    + '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p></body></html>'
)

Conn = psycopg.Connection[Any]


def clear(conn: Conn, *, keep_messages: bool = False) -> None:
    """Take away what an earlier measurement wrote, so that each begins alike."""
    tables = [
        "accounts", "contacts", "list_contacts", "campaign_contacts", "batches", "message_contents", "due_messages",
        "wakeups", "attempts", "throughput", "waits", "suppressions", "procrastinate_jobs", "procrastinate_events",
    ]  # fmt: skip
    if not keep_messages:
        tables.append("messages")
    conn.execute(f"TRUNCATE {', '.join(tables)} CASCADE".encode())


def relayed_account(conn: Conn) -> int:
    """An account whose mail goes to SMTP_URL, under a limit that is counted and never reached."""
    return an_account(conn, limit=LIMIT_THAT_NEVER_BINDS, transport="relay")


def listed_contacts(conn: Conn, account_id: int, count: int, *, analyze: bool = True) -> int:
    """A list of `count` contacts; its id."""
    list_id = _id(
        conn, "INSERT INTO lists (account_id, name) VALUES (%s, 'Everybody') RETURNING list_id", (account_id,)
    )
    conn.execute(
        "WITH made AS (INSERT INTO contacts (account_id, email, attributes)"
        " SELECT %(account)s, 'p' || n || '@a' || %(account)s || '.test', jsonb_build_object('first_name', 'P' || n)"
        " FROM generate_series(1, %(count)s::integer) AS n RETURNING contact_id)"
        " INSERT INTO list_contacts (account_id, list_id, contact_id) SELECT %(account)s, %(list)s, contact_id FROM made",
        {"account": account_id, "list": list_id, "count": count},
    )
    if analyze:
        conn.execute("ANALYZE contacts, lists, list_contacts")
    return list_id


def launched_campaign(conn: Conn, account_id: int, list_id: int, *, in_s: float, ahead_s: float = 30.0) -> int:
    """A campaign to a list, launched for an instant `in_s` from now; its launch job runs `ahead_s` before, as in the product."""
    campaign_id = _id(
        conn,
        "INSERT INTO campaigns (account_id, name, subject, html, audience, status, epoch, scheduled_at, launched_at)"
        " VALUES (%(account)s, 'Bench', 'Hello {{ first_name }}', %(html)s, %(audience)s, 'scheduled', 1,"
        " clock_timestamp() + %(in_s)s * interval '1 s', now()) RETURNING campaign_id",
        {
            "account": account_id, "html": HTML, "in_s": in_s,
            "audience": Jsonb({"kind": "lists", "list_ids": [list_id]}),
        },
    )  # fmt: skip
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)"
        " SELECT 'control', 'launch_campaign', %s, greatest(now(), scheduled_at - %s * interval '1 s')"
        " FROM campaigns WHERE campaign_id = %s",
        (Jsonb({"id": campaign_id, "epoch": 1}), ahead_s, campaign_id),
    )
    return campaign_id


def value(conn: Conn, question: str, *params: Any) -> Any:
    row = conn.execute(question.encode(), params).fetchone()
    return row[0] if row is not None else None


def _id(conn: Conn, statement: str, params: Any) -> int:
    row = conn.execute(statement.encode(), params).fetchone()
    assert row is not None
    return int(row[0])
