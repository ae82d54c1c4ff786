"""Reads what the judge needs from the database, and moves what waits for a later try to now."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from app import doctor
from app.db import Conn
from sql import queries
from tests.chaos.judge import CRASH_REPLY, Row

_ROWS = """
SELECT
    m.message_id, m.account_id, m.campaign_id, m.recipient, m.status, m.attempt,
    coalesce(c.uncertain_policy, 'resend') = 'resend' AS resends,
    array_remove(a.marks || extract(epoch FROM m.marked_at)::float8, NULL) AS marks,
    coalesce(a.doubts, 0) + (m.status = 'uncertain')::integer AS doubts,
    coalesce(a.crash_doubts, 0) + (m.status = 'uncertain' AND m.reply = %(crash)s)::integer AS crash_doubts
FROM messages m
LEFT JOIN campaigns c USING (campaign_id)
LEFT JOIN LATERAL (
    SELECT
        array_agg(extract(epoch FROM marked_at)::float8) AS marks,
        count(*) FILTER (WHERE outcome = 'uncertain') AS doubts,
        count(*) FILTER (WHERE outcome = 'uncertain' AND reply = %(crash)s) AS crash_doubts
    FROM attempts WHERE attempts.message_id = m.message_id
) AS a ON true
WHERE m.account_id = ANY(%(accounts)s)
ORDER BY m.message_id
"""

_OPEN = """
SELECT
    (SELECT count(*) FROM messages WHERE account_id = ANY(%(accounts)s) AND status = 'sending') AS sending,
    (SELECT count(*) FROM messages WHERE account_id = ANY(%(accounts)s) AND status = 'queued') AS queued,
    (SELECT count(*) FROM campaigns WHERE account_id = ANY(%(accounts)s) AND status NOT IN ('sent', 'cancelled'))
        AS campaigns
"""

# A later try, in minutes or hours, is due now. Wake-ups move with what they wake.
_HASTEN = (
    "UPDATE messages SET send_after = now() WHERE account_id = ANY(%(accounts)s) AND status = 'queued'"
    " AND send_after > now() + interval '1 s'",
    "UPDATE due_messages SET send_after = now() WHERE account_id = ANY(%(accounts)s) AND job_id IS NULL"
    " AND send_after > now() + interval '1 s'",
    "UPDATE batches SET due_at = now() WHERE account_id = ANY(%(accounts)s) AND status = 'queued'"
    " AND due_at > now() + interval '1 s'",
    "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo' AND task_name = 'send_batch'"
    " AND scheduled_at > now() + interval '1 s'",
    "UPDATE procrastinate_jobs SET scheduled_at = now(),"
    " args = jsonb_set(args, '{epoch}', to_jsonb(floor(extract(epoch FROM now()) / 5)::bigint * 5))"
    " WHERE status = 'todo' AND task_name = 'send_due' AND scheduled_at > now() + interval '6 s'",
    "DELETE FROM wakeups WHERE account_id = ANY(%(accounts)s) AND bucket > now() + interval '6 s'",
)


def read_rows(conn: Conn, accounts: list[int]) -> list[Row]:
    rows = conn.execute(_ROWS, {"accounts": accounts, "crash": CRASH_REPLY}).fetchall()
    return [Row(**{**row, "marks": tuple(row["marks"] or ())}) for row in rows]


def read_open(conn: Conn, accounts: list[int]) -> dict[str, int]:
    row = conn.execute(_OPEN, {"accounts": accounts}).fetchone()
    assert row is not None
    return dict(row)


def hasten(conn: Conn, accounts: list[int]) -> None:
    for statement in _HASTEN:
        conn.execute(statement.encode(), {"accounts": accounts})


def read_clock(conn: Conn) -> float:
    row = conn.execute("SELECT extract(epoch FROM clock_timestamp())::float8 AS now").fetchone()
    assert row is not None
    now: float = row["now"]
    return now


def count_failed_jobs(conn: Conn) -> int:
    row = conn.execute("SELECT count(*) AS n FROM procrastinate_jobs WHERE status = 'failed'").fetchone()
    assert row is not None
    return int(row["n"])


def count_live_workers(conn: Conn) -> int:
    """Worker processes that take jobs: each has four queues, and registers for each."""
    row = conn.execute(
        "SELECT count(*) / 4 AS n FROM procrastinate_workers WHERE last_heartbeat > now() - interval '5 s'"
    ).fetchone()
    assert row is not None
    return int(row["n"])


def count_overtaken(conn: Conn, accounts: list[int], *, since: float) -> int:
    """Messages that somebody has sent since then from batches that another had begun before."""
    row = conn.execute(
        "SELECT count(*) AS n FROM batches b JOIN messages m"
        " ON m.message_id BETWEEN b.first_message_id AND b.last_message_id AND m.batch_id = b.batch_id"
        " WHERE b.account_id = ANY(%(accounts)s) AND b.run > 1 AND m.status = 'sent'"
        " AND b.started_at < to_timestamp(%(since)s) AND m.settled_at > to_timestamp(%(since)s)",
        {"accounts": accounts, "since": since},
    ).fetchone()
    assert row is not None
    return int(row["n"])


def ask_doctor(connect: Callable[[], Any]) -> list[str]:
    """The invariants that `make doctor` finds broken."""
    ill = []
    with connect() as conn:
        for name, advice in doctor.INVARIANTS.items():
            try:
                doctor.check_invariant(conn, getattr(queries.doctor, name), advice)
            except doctor.Ill as error:
                invariant = name.partition("_")[0].upper() if name[:1] == "i" and name[1:2].isdigit() else "I1"
                ill.append(f"{invariant}: {name}: {error}")
    return ill


def utc_now() -> datetime:
    return datetime.now(UTC)
