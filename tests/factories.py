"""Rows for tests: only such as the product itself could have written."""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class MadeCampaign:
    account_id: int
    campaign_id: int
    epoch: int
    batch_id: int
    message_ids: list[int]


def an_account(conn: psycopg.Connection[Any], *, limit: int = 0, transport: str = "sandbox") -> int:
    """An account with a default sender, and an hourly limit unless it is 0."""
    account_id = _value(
        conn, "INSERT INTO accounts (name, transport) VALUES ('Test', %s) RETURNING account_id", (transport,)
    )
    conn.execute(
        "INSERT INTO senders (account_id, name, email, is_default) VALUES (%s, 'News', 'news@sender.test', true)",
        (account_id,),
    )
    conn.execute(
        "INSERT INTO limits (account_id, scope, max_count, window_s) VALUES (%s, 'account', %s, 3600)",
        (account_id, limit),
    )
    return account_id


def some_contacts(
    conn: psycopg.Connection[Any], account_id: int, count: int, *, domain: str = "people.test"
) -> list[int]:
    rows = conn.execute(
        "INSERT INTO contacts (account_id, email, attributes)"
        " SELECT %(account)s, 'p' || n || '@' || %(domain)s, jsonb_build_object('first_name', 'P' || n)"
        " FROM generate_series(1, %(count)s::integer) AS n RETURNING contact_id",
        {"account": account_id, "count": count, "domain": domain},
    ).fetchall()
    return [row[0] for row in rows]


def a_scheduled_campaign(
    conn: psycopg.Connection[Any], account_id: int, contact_ids: list[int], *, html: str = "<p>Hi {{ first_name }}</p>", pacing: str = "burst",
    uncertain_policy: str = "hold", in_s: float = 0.0,
) -> int:  # fmt: skip
    """A launched campaign with its audience, before it has messages, and its launch job."""
    campaign_id = _value(
        conn,
        "INSERT INTO campaigns (account_id, name, subject, html, audience, pacing, uncertain_policy, status, epoch,"
        " scheduled_at, launched_at) VALUES (%(account)s, 'C', 'Hello {{ first_name }}', %(html)s,"
        " %(audience)s, %(pacing)s, %(policy)s, 'scheduled', 1, now() + %(in_s)s * interval '1 s', now())"
        " RETURNING campaign_id",
        {
            "account": account_id, "html": html, "audience": Jsonb({"kind": "contacts"}), "pacing": pacing,
            "policy": uncertain_policy, "in_s": in_s,
        },
    )  # fmt: skip
    conn.execute(
        "INSERT INTO campaign_contacts SELECT %s, %s, unnest(%s::bigint[])", (account_id, campaign_id, contact_ids)
    )
    conn.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('control', 'launch_campaign', %s)",
        (Jsonb({"id": campaign_id, "epoch": 1}),),
    )
    return campaign_id


def a_sending_campaign(
    conn: psycopg.Connection[Any], account_id: int, recipients: int, *, uncertain_policy: str = "hold"
) -> MadeCampaign:
    """A campaign whose one batch is held by job 1: what a worker sees after its claim."""
    contact_ids = some_contacts(conn, account_id, recipients)
    campaign_id = a_scheduled_campaign(conn, account_id, contact_ids, uncertain_policy=uncertain_policy)
    conn.execute("DELETE FROM procrastinate_jobs")
    conn.execute(
        "UPDATE campaigns SET status = 'sending', materialised_at = now(), started_at = now(), recipients = %s"
        " WHERE campaign_id = %s",
        (recipients, campaign_id),
    )
    batch_id = _value(
        conn,
        "INSERT INTO batches (account_id, campaign_id, ordinal, status, due_at, job_id, run, total, queued)"
        " VALUES (%s, %s, 0, 'running', now(), 1, 1, %s, %s) RETURNING batch_id",
        (account_id, campaign_id, recipients, recipients),
    )
    rows = conn.execute(
        "INSERT INTO messages (account_id, campaign_id, batch_id, contact_id, send_after, recipient)"
        " SELECT %s, %s, %s, contact_id, now(), email FROM contacts WHERE contact_id = ANY(%s) ORDER BY contact_id"
        " RETURNING message_id",
        (account_id, campaign_id, batch_id, contact_ids),
    ).fetchall()
    message_ids = [row[0] for row in rows]
    conn.execute(
        "UPDATE batches SET first_message_id = %s, last_message_id = %s WHERE batch_id = %s",
        (message_ids[0], message_ids[-1], batch_id),
    )
    return MadeCampaign(account_id, campaign_id, 1, batch_id, message_ids)


def an_api_message(
    conn: psycopg.Connection[Any], account_id: int, *, to: str = "someone@people.test", in_s: float = 0.0
) -> int:
    """A queued API message with its content, due row and wake-up."""
    message_id = _value(
        conn,
        "INSERT INTO messages (account_id, send_after, recipient)"
        " VALUES (%s, now() + %s * interval '1 s', %s) RETURNING message_id",
        (account_id, in_s, to),
    )
    conn.execute(
        "INSERT INTO message_contents (message_id, account_id, subject, text_body, deadline)"
        " VALUES (%s, %s, 'Hello', 'Hello there', now() + interval '1 day')",
        (message_id, account_id),
    )
    conn.execute(
        "INSERT INTO due_messages (message_id, account_id, send_after)"
        " SELECT message_id, account_id, send_after FROM messages WHERE message_id = %s",
        (message_id,),
    )
    return message_id


def _value(conn: psycopg.Connection[Any], statement: str, params: Any) -> int:
    row = conn.execute(statement.encode(), params).fetchone()
    assert row is not None
    return int(row[0])
