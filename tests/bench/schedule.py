"""On time: how late messages and campaigns are while hundreds of thousands of jobs wait in the future.

Lateness is counted to two moments: `start`, the durable mark before the first byte; and `accepted`, the relay's 250.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from app.commands.messages import Letter, NewMessage, create_messages
from tests.bench.figures import figure, percentile
from tests.bench.options import Line, Lines, Options, say, wait_for
from tests.bench.rows import Conn, relayed_account, value
from tests.bench.stack import Stack, running_stack
from tests.factories import a_scheduled_campaign, some_contacts

DEFAULT_N = 400_000  # jobs that wait in the future
ACCOUNTS = 10
MESSAGES = 1000
CAMPAIGNS = 100
RECIPIENTS = 20
LEAD_S = 8.0  # until the first of them is due
P50_AT_MOST_MS, P99_AT_MOST_MS = 10, 50

# Without the triggers: they would notify of each, and these were there long before the workers began to listen.
_FUTURE_JOBS = b"""
INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at)
SELECT
    'messages', 'send_due', jsonb_build_object('id', 1000000 + n, 'epoch', extract(epoch FROM at)::bigint), at
FROM generate_series(1, %s::integer) AS n,
    LATERAL (SELECT now() + interval '1 day' + n * interval '1 second' AS at) AS due
"""
_MESSAGES = b"""
SELECT
    extract(epoch FROM marked_at - send_after)::float8 * 1000, extract(epoch FROM settled_at - send_after)::float8 * 1000
FROM messages WHERE campaign_id IS NULL
"""
_CAMPAIGNS = b"""
SELECT
    extract(epoch FROM min(m.marked_at) - min(c.scheduled_at))::float8 * 1000,
    extract(epoch FROM min(m.settled_at) - min(c.scheduled_at))::float8 * 1000
FROM messages m JOIN campaigns c USING (campaign_id) GROUP BY campaign_id
"""
_UNSETTLED = (
    "SELECT count(*) = 0 AND (SELECT count(*) = %s FROM messages WHERE status = 'sent') FROM campaigns"
    " WHERE status <> 'sent'"
)


def run(options: Options) -> Lines:
    future = options.size(DEFAULT_N)
    share = options.span_s / 60
    message_count, campaign_count = max(10, round(MESSAGES * share)), max(2, round(CAMPAIGNS * share))
    with running_stack() as stack, stack.connect() as conn:
        insert_future_jobs(conn, future)
        workers = stack.start_workers(1)
        accounts = [relayed_account(conn) for _ in range(ACCOUNTS)]
        say(f"schedule: {message_count} messages and {campaign_count} campaigns within {options.span_s:.0f} s")
        chance = random.Random(1)
        lead_s = LEAD_S + (message_count + campaign_count * 10) / 1000
        begin = datetime.now(UTC) + timedelta(seconds=lead_s)
        _write_messages(stack, accounts, message_count, begin, options.span_s, chance)
        _write_campaigns(conn, accounts, campaign_count, begin, options.span_s, chance)
        assert datetime.now(UTC) < begin, "the rows were not ready before the first was due: the machine is too busy"
        total = message_count + campaign_count * RECIPIENTS
        wait_for(lambda: value(conn, _UNSETTLED, total), "all is sent", options.span_s + 90, every_s=0.5)
        stack.stop(*workers)
        yield from _summary(conn, future)


def insert_future_jobs(conn: Conn, count: int) -> None:
    say(f"schedule: {count} jobs that wait in the future")
    conn.execute("SET session_replication_role = replica")
    conn.execute(_FUTURE_JOBS, (count,))
    conn.execute("SET session_replication_role = DEFAULT")
    conn.execute("ANALYZE procrastinate_jobs")


def _write_messages(
    stack: Stack, accounts: list[int], count: int, begin: datetime, span_s: float, chance: random.Random
) -> None:
    """Through the product's own command, as POST /messages/batch does."""
    now = datetime.now(UTC)
    with stack.connect_dict() as conn:
        for index, account_id in enumerate(accounts):
            messages = [
                NewMessage(f"p{number}@people.test", _letter(begin + timedelta(seconds=chance.uniform(0, span_s))))
                for number in range(index, count, len(accounts))
            ]
            if messages:
                create_messages(conn, account_id=account_id, messages=messages, now=now)
                conn.commit()


def _letter(at: datetime) -> Letter:
    return Letter("Hello", text_body="Hello there", scheduled_at=at)


def _write_campaigns(
    conn: Conn, accounts: list[int], count: int, begin: datetime, span_s: float, chance: random.Random
) -> None:
    contacts = {account_id: some_contacts(conn, account_id, RECIPIENTS) for account_id in accounts}
    for number in range(count):
        account_id = accounts[number % len(accounts)]
        at = begin + timedelta(seconds=chance.uniform(0, span_s))
        in_s = (at - datetime.now(UTC)).total_seconds()
        a_scheduled_campaign(conn, account_id, contacts[account_id], in_s=in_s)


def _summary(conn: Conn, future: int) -> Lines:
    messages, campaigns = (conn.execute(question).fetchall() for question in (_MESSAGES, _CAMPAIGNS))
    lines = [_line(what, rows, future) for what, rows in (("messages", messages), ("campaigns", campaigns))]
    yield from lines
    for line in lines:
        detail = {"n": future, "max_ms": line["accepted_max_ms"], "count": line["count"]}
        for name, at_most in (("p50", P50_AT_MOST_MS), ("p99", P99_AT_MOST_MS)):
            yield figure(
                f"lateness of {line['what']}, {name}", line[f"accepted_{name}_ms"], unit="ms", at_most=at_most, **detail
            )


def _line(what: str, rows: list[Any], future: int) -> Line:
    line: Line = {"bench": "schedule", "what": what, "n": future, "count": len(rows)}
    for column, moment in enumerate(("start", "accepted")):
        late_ms = [row[column] for row in rows]
        line[f"{moment}_p50_ms"] = round(percentile(late_ms, 0.5), 2)
        line[f"{moment}_p99_ms"] = round(percentile(late_ms, 0.99), 2)
        line[f"{moment}_max_ms"] = round(max(late_ms), 2)
    line["early_max_ms"] = round(max(0.0, -min(row[0] for row in rows)), 2)
    return line
