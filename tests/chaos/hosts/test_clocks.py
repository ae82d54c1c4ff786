"""Two workers whose clocks are two hours apart, and a rate counter whose clock steps back: only PostgreSQL's clock says
what is due, and no window holds more than its limit."""

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from app.public_ids import PublicIds
from tests.acceptance.stack import wait_for
from tests.chaos import facts
from tests.chaos.hosts import faketime
from tests.chaos.judge import Accept, Facts, Limit, Row, Verdict, judge, worst_window
from tests.chaos.stack import Stack, running_stack
from tests.factories import a_scheduled_campaign, an_account, some_contacts

pytestmark = [
    pytest.mark.skipif(faketime.why_not() is not None, reason=str(faketime.why_not())),
    pytest.mark.slow,
]

HOUR_S = 3600.0
LIMIT = (60, 3)  # messages, seconds


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Two workers, one an hour ahead and one an hour behind."""
    with running_stack("clocks") as made:
        made.add_workers(2)
        for worker, offset in zip(made.workers, ("+3600s", "-3600s"), strict=True):
            worker.environment |= faketime.shifted(offset)
            worker.start()
        try:
            wait_for(lambda: made.ask(facts.count_live_workers) == 2)
            yield made
        finally:
            for worker in made.workers:
                print(worker.log.read_text()[-4000:])


def launch(stack: Stack, people: int, *, in_s: float = 0.0, limit: tuple[int, int] | None = None) -> tuple[int, int]:
    """A scheduled campaign in an account of its own: both their numbers."""

    def go(conn: Any) -> tuple[int, int]:
        conn.row_factory = psycopg.rows.tuple_row
        account_id = an_account(conn, limit=limit[0] if limit else 0, transport="relay")
        if limit is not None:
            conn.execute("UPDATE limits SET window_s = %s WHERE account_id = %s", (limit[1], account_id))
        contacts = some_contacts(conn, account_id, people, domain=f"a{account_id}.test")
        return account_id, a_scheduled_campaign(conn, account_id, contacts, in_s=in_s)

    return stack.ask(go)


def value(stack: Stack, statement: str, *params: object) -> Any:
    def go(conn: Any) -> Any:
        row = conn.execute(statement.encode(), params).fetchone()
        return next(iter(row.values()))

    return stack.ask(go)


def until_final(stack: Stack, account_id: int, timeout_s: float = 60.0) -> None:
    def is_final() -> bool:
        return not any(stack.ask(lambda conn: facts.read_open(conn, [account_id])).values())

    try:
        wait_for(is_final, timeout_s, every_s=0.3)
    except AssertionError:
        for table in ("batches", "limits", "procrastinate_jobs", "procrastinate_workers"):
            print(table, stack.ask(lambda conn, table=table: conn.execute(f"SELECT * FROM {table}").fetchall()))
        raise


def outcome(stack: Stack, account_id: int) -> tuple[list[Row], list[Accept]]:
    ids = PublicIds(bytes(value(stack, "SELECT id_key FROM installation")))
    rows = stack.ask(lambda conn: facts.read_rows(conn, [account_id]))
    ours = {row.message_id for row in rows}
    accepts = stack.sink.accepted(lambda text: ids.decode("message", text), since=0)
    return rows, [accept for accept in accepts if accept.message_id in ours]


def verdict_on(stack: Stack, account_id: int) -> Verdict:
    rows, accepts = outcome(stack, account_id)
    return judge(Facts(rows, accepts, [Limit("account", *LIMIT, account_id)], ill=facts.ask_doctor(stack.connect)))


def test_row_13_the_workers_clocks_are_off_by_an_hour(stack: Stack) -> None:
    """The others below would prove nothing if they were not."""
    now = stack.ask(facts.read_clock)
    for worker, offset_s in zip(stack.workers, (HOUR_S, -HOUR_S), strict=True):
        said = re.search(r"^\S+Z", worker.log.read_text())
        assert said is not None
        assert abs(datetime.fromisoformat(said[0]).timestamp() - now - offset_s) < 300


def test_row_13_a_campaign_starts_at_its_instant_by_the_databases_clock_and_keeps_its_limit(stack: Stack) -> None:
    account_id, campaign_id = launch(stack, 160, in_s=3.0, limit=LIMIT)
    until_final(stack, account_id)
    verdict = verdict_on(stack, account_id)
    assert verdict.breaches == []
    assert verdict.windows["account"][0] > 40, "the limit was never put to the test"
    due = value(
        stack, "SELECT extract(epoch FROM scheduled_at)::float8 FROM campaigns WHERE campaign_id = %s", campaign_id
    )
    _, accepts = outcome(stack, account_id)
    assert due <= min(accept.at for accept in accepts) < due + 3.0
    stalled = [worker.log.read_text().count("took back a stalled job") for worker in stack.workers]
    assert stalled == [0, 0]


def test_row_13_a_later_try_is_minutes_away_and_not_hours(stack: Stack) -> None:
    stack.sink.ask(later=1.0, salt="clocks")
    account_id, campaign_id = launch(stack, 200)
    waiting = "SELECT count(*) FROM messages WHERE campaign_id = %s AND status = 'queued' AND attempt = 1"
    wait_for(lambda: value(stack, waiting, campaign_id) == 200)
    pauses = stack.ask(
        lambda conn: conn.execute(
            "SELECT min(send_after - now()) AS shortest, max(send_after - now()) AS longest FROM messages"
            " WHERE campaign_id = %s",
            (campaign_id,),
        ).fetchone()
    )
    assert pauses is not None
    assert timedelta(minutes=3) < pauses["shortest"] <= pauses["longest"] < timedelta(minutes=9)  # 6 ± 20 %, and so on
    stack.sink.ask(later=0.0)
    stack.ask(lambda conn: facts.hasten(conn, [account_id]))
    until_final(stack, account_id)
    assert {row.status for row in outcome(stack, account_id)[0]} == {"sent"}


def test_row_13_a_counter_whose_clock_steps_back_waits_and_never_gives_too_much(stack: Stack) -> None:
    clock = stack.folder / "valkey-clock"
    clock.write_text("+0s")
    before = value(stack, "SELECT clock_timestamp()")
    restart_valkey(stack, faketime.steered(clock))
    account_id, _ = launch(stack, 180, limit=LIMIT)
    wait_for(lambda: len(outcome(stack, account_id)[1]) > 60)
    clock.write_text("-5s")
    with stack.redis as client:
        wait_for(lambda: float(client.time()[0]) < stack.ask(facts.read_clock) - 3.0)  # type: ignore[index]
    until_final(stack, account_id, 90)
    assert before < value(stack, "SELECT clock_timestamp()")
    rows, accepts = outcome(stack, account_id)
    assert {row.status for row in rows} == {"sent"}
    assert worst_window((accept.at for accept in accepts), LIMIT[1]) <= LIMIT[0]


def restart_valkey(stack: Stack, environment: dict[str, str]) -> None:
    """Start it again with a clock that can be set."""
    stack.valkey.stop()
    kept = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        stack.valkey.start()
    finally:
        for name, old in kept.items():
            if old is None:
                del os.environ[name]
            else:
                os.environ[name] = old
