"""API messages that are due: one wake-up per account and bucket, and nobody is forgotten at the end of one."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.rows import dict_row

from app.commands.messages import Letter, NewMessage, cancel_message, create_messages, reschedule_message
from app.embedded import free_port
from sql import queries
from tests.factories import an_account, an_api_message
from tests.integration.worker.engine import Engine, RunEngine
from worker import clock_loop
from worker.tasks import send_due


def bucket(e: Engine, *, ago_s: float = 0.0) -> int:
    """The bucket of now, or of so many seconds ago; one that is over keeps no task waiting."""
    at = int((e.services.now() - timedelta(seconds=ago_s)).timestamp())
    return at - at % 5


async def run(e: Engine, account_id: int, *, epoch: int) -> None:
    job_id = e.a_job("send_due", id=account_id, epoch=epoch, queue="messages")
    e.do("INSERT INTO wakeups VALUES (%s, to_timestamp(%s)) ON CONFLICT DO NOTHING", account_id, epoch)
    await send_due.run(e.services, id=account_id, epoch=epoch, job_id=job_id)
    e.do("DELETE FROM procrastinate_jobs WHERE id = %s", job_id)


def test_what_is_due_goes_and_what_is_not_stays(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        for name, in_s in (("one", -1.0), ("two", 0.0), ("tomorrow", 86_400.0)):
            an_api_message(e.db, account_id, to=f"{name}@people.test", in_s=in_s)
        await run(e, account_id, epoch=bucket(e, ago_s=10))
        assert sorted(e.arrivals()) == ["one@people.test", "two@people.test"]
        assert e.rows("SELECT job_id, send_after > now() AS later FROM due_messages") == [
            {"job_id": None, "later": True}
        ]
        assert e.rows("SELECT * FROM wakeups") == []

    engine(work)


def test_the_job_lingers_through_its_bucket_and_sends_each_message_at_its_instant(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        epoch = bucket(e)
        left_s = 5 - (e.services.now().timestamp() - epoch)
        if left_s < 2:  # too little of it is left to show anything: take the next one, whose job may begin early
            epoch, left_s = epoch + 5, left_s + 5
        in_s = min(left_s - 0.5, 1.0)
        an_api_message(e.db, account_id, in_s=in_s)
        await run(e, account_id, epoch=epoch)
        (row,) = e.rows("SELECT marked_at, send_after FROM inbox JOIN messages USING (message_id)")
        assert row["marked_at"] >= row["send_after"], "taken ahead, and not sent before its instant"

    engine(work)


def test_more_than_the_bucket_had_time_for_is_sent_on_and_not_left_to_a_later_job(
    engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send_due, "CLAIM_MAX", 10)

    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        for n in range(35):
            an_api_message(e.db, account_id, to=f"p{n}@people.test", in_s=-1.0)
        await run(e, account_id, epoch=bucket(e, ago_s=10))
        assert len(e.arrivals()) == len(set(e.arrivals())) == 35
        assert e.rows("SELECT * FROM due_messages") == []

    engine(work)


def test_a_writer_that_saw_the_wake_up_just_before_it_ended_is_not_forgotten(
    engine: RunEngine, database_url: str
) -> None:
    """The race at a bucket's end: the writer makes no job, because the wake-up is there; then the job takes it away."""

    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        epoch = bucket(e, ago_s=10)
        e.do("INSERT INTO wakeups VALUES (%s, to_timestamp(%s))", account_id, epoch)
        with psycopg.connect(database_url) as writer:
            seen = writer.execute(
                "INSERT INTO wakeups VALUES (%s, to_timestamp(%s)) ON CONFLICT DO NOTHING RETURNING 1",
                (account_id, epoch),
            ).fetchall()
            assert seen == [], "so this writer defers no job"
            an_api_message(writer, account_id, to="late@people.test")
            running = asyncio.create_task(run(e, account_id, epoch=epoch))
            while e.rows("SELECT * FROM wakeups"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            writer.commit()
        await running
        assert e.arrivals() == ["late@people.test"]

    engine(work)


def test_a_relay_that_is_away_for_a_moment_makes_a_wake_up_even_within_its_own_bucket(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        an_api_message(e.db, account_id)
        e.services.settings.sandbox.port = free_port()  # nobody listens there
        await run(e, account_id, epoch=bucket(e))
        (due,) = e.rows("SELECT job_id, send_after FROM due_messages")
        assert due["job_id"] is None
        (job,) = e.jobs("send_due")
        assert abs(job["scheduled_at"] - due["send_after"]) < timedelta(seconds=5)
        assert e.rows("SELECT status, attempt FROM messages") == [{"status": "queued", "attempt": 0}]
        assert len(e.rows("SELECT * FROM wakeups")) == 1

    engine(work)


def test_a_limit_makes_them_wait_and_says_so_and_one_job_comes_back(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db, limit=3)
        for n in range(8):
            an_api_message(e.db, account_id, to=f"p{n}@people.test", in_s=-1.0)
        await run(e, account_id, epoch=bucket(e, ago_s=10))
        assert len(e.arrivals()) == 3
        assert e.value("SELECT count(*) FROM due_messages WHERE job_id IS NULL AND send_after <= now()") == 5
        assert e.rows("SELECT reason, ended_at, count(*) AS n FROM waits GROUP BY 1, 2") == [
            {"reason": "limit", "ended_at": None, "n": 5}
        ]
        (job,) = e.jobs("send_due")
        assert timedelta(minutes=55) < job["scheduled_at"] - e.services.now() < timedelta(minutes=61)
        # The clock loop knows that they wait for a reason.
        for _ in range(2):
            await clock_loop.tick(e.services)
        assert len(e.jobs("send_due")) == 1

    engine(work)


def test_a_job_asked_to_stop_leaves_what_is_due_to_another_at_once(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        an_api_message(e.db, account_id)
        e.services.stopping.set()
        await run(e, account_id, epoch=bucket(e))
        assert e.arrivals() == []
        (job,) = e.jobs("send_due")
        assert job["scheduled_at"] - e.services.now() < timedelta(seconds=1)

    engine(work)


def test_a_letter_to_many_says_the_same_to_each_whenever_they_are_taken(engine: RunEngine) -> None:
    """Its bodies are in the row of its first message, which here is moved away, cancelled or sent before the others."""

    async def work(e: Engine) -> None:
        account_id, now = an_account(e.db), e.services.now()
        letters = [Letter("Hello", html=f"<p>letter {n}</p>", text_body=f"letter {n}") for n in range(3)]
        # a0 b0 c0 a1 b1 c1 …: each letter's first message is one of the first three
        messages = [NewMessage(f"{'abc'[n % 3]}{n // 3}@people.test", letters[n % 3]) for n in range(12)]
        with psycopg.connect(e.services.settings.database_url, row_factory=dict_row) as conn:
            made = create_messages(conn, account_id=account_id, messages=messages, now=now)
            moved, cancelled, _, *later = made.message_ids
            reschedule_message(
                conn, account_id=account_id, message_id=moved, scheduled_at=now + timedelta(days=1), now=now
            )
            cancel_message(conn, account_id=account_id, message_id=cancelled, now=now)
        e.do("UPDATE due_messages SET send_after = now() + interval '1 hour' WHERE message_id = ANY(%s)", later)
        await run(e, account_id, epoch=bucket(e, ago_s=10))
        assert e.arrivals() == ["c0@people.test"]
        e.do("UPDATE due_messages SET send_after = now() WHERE message_id = ANY(%s)", later)
        await run(e, account_id, epoch=bucket(e, ago_s=10))
        said = {row["rcpt_to"]: row["raw"] for row in e.rows("SELECT rcpt_to, raw FROM inbox")}
        assert len(said) == 10
        for rcpt_to, raw in said.items():
            said_letters = set(re.findall(rb"letter \d", raw))
            assert said_letters == {f"letter {'abc'.index(rcpt_to[0])}".encode()}, rcpt_to
        assert e.value("SELECT count(html) FROM message_contents") == len(letters), "each is stored once"

    engine(work)


def test_two_jobs_of_one_account_share_its_messages(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        for n in range(60):
            an_api_message(e.db, account_id, to=f"p{n}@people.test", in_s=-1.0)
        await asyncio.gather(*(run(e, account_id, epoch=bucket(e, ago_s=ago_s)) for ago_s in (10, 20)))
        assert len(e.arrivals()) == len(set(e.arrivals())) == 60

    engine(work)


def test_a_job_of_a_deleted_account_does_nothing(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        await send_due.run(e.services, id=4_711, epoch=bucket(e, ago_s=10), job_id=1)

    engine(work)


@pytest.mark.parametrize("statistics", ["right", "of an empty table"])
def test_a_claim_reads_its_own_rows_however_many_wait_in_the_future(database_url: str, statistics: str) -> None:
    """Also by a plan that was made for any account, as a worker's connections have after some claims."""
    tables = ["messages", "message_contents", "due_messages"]
    with psycopg.connect(database_url, autocommit=True) as conn:
        account_id, other_id = an_account(conn), an_account(conn)
        conn.execute("SET session_replication_role = replica")
        conn.execute(
            "WITH made AS (INSERT INTO messages (account_id, send_after, recipient)"
            " SELECT %s, now() + interval '1 day', 'later@people.test' FROM generate_series(1, 20000)"
            " RETURNING message_id, account_id, send_after),"
            " due AS (INSERT INTO due_messages SELECT * FROM made)"
            " INSERT INTO message_contents (message_id, account_id, subject, deadline)"
            " SELECT message_id, account_id, 'Later', send_after FROM made",
            (other_id,),
        )
        wanted = [an_api_message(conn, account_id, in_s=-1.0) for _ in range(20)]
        conn.execute(b"VACUUM ANALYZE " + ", ".join(tables).encode())
        if statistics != "right":  # what an analysis finds while a million rows are being written
            conn.execute("UPDATE pg_class SET reltuples = 0 WHERE relname = ANY(%s)", (tables,))
        conn.execute("SET plan_cache_mode = force_generic_plan")
        touched = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables WHERE relname = ANY(%s)"
        with conn.transaction():
            (before,) = conn.execute(touched, (tables,)).fetchone() or ()
            claimed = conn.execute(
                queries.due.claim.text,
                {"account_id": account_id, "job_id": 1, "until": datetime.now(UTC), "now": datetime.now(UTC), "at_most": 500},
                prepare=True,
            ).fetchall()  # fmt: skip
            (after,) = conn.execute(touched, (tables,)).fetchone() or ()
        assert [row[0] for row in claimed] == wanted
        assert after - before < 1000
