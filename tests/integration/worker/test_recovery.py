"""Each repair of the clock loop: what a crash, a frozen process or a lost job leaves behind, and that it is mended once.

Every test looks twice: the second look finds nothing to do, so a repair is not made again while it is under way.
"""

import asyncio
from typing import Any

import pytest

from tests.factories import (
    MadeCampaign,
    a_scheduled_campaign,
    a_sending_campaign,
    an_account,
    an_api_message,
    some_contacts,
)
from tests.integration.worker.engine import Engine, RunEngine
from worker import clock_loop
from worker.clock_loop import STALLED_AFTER_S, tick
from worker.tasks import close_campaign, launch_campaign

LONG_AGO = "now() - interval '1 minute'"


def held_campaign(
    e: Engine, *, silent_s: float | None, policy: str = "hold", sending: int = 2
) -> tuple[MadeCampaign, int]:
    """A campaign of ten whose batch a worker holds, silent for so long; `sending` of its messages are marked, 3 sent."""
    made = a_sending_campaign(e.db, an_account(e.db), 10, uncertain_policy=policy)
    job_id = e.a_job("send_batch", id=made.batch_id, epoch=1, worker_silent_s=silent_s)
    e.do("UPDATE messages SET status = 'sent', attempt = 1 WHERE message_id = ANY(%s)", made.message_ids[:3])
    marked = made.message_ids[3 : 3 + sending]
    e.do("UPDATE messages SET status = 'sending', attempt = 1, marked_at = now() WHERE message_id = ANY(%s)", marked)
    e.do(
        "UPDATE batches SET job_id = %s, sent = 3, sending = %s, queued = 7 - %s, due_at = now() WHERE batch_id = %s",
        job_id, sending, sending, made.batch_id,
    )  # fmt: skip
    return made, job_id


def batch(e: Engine, made: MadeCampaign) -> dict[str, Any]:
    (row,) = e.rows(
        "SELECT status, job_id, queued, sending, sent, uncertain FROM batches WHERE batch_id = %s", made.batch_id
    )
    return row


def assert_counters_match_rows(e: Engine, made: MadeCampaign) -> None:
    row = batch(e, made)
    counted = {
        each["status"]: each["n"]
        for each in e.rows(
            "SELECT status, count(*) AS n FROM messages WHERE batch_id = %s GROUP BY status", made.batch_id
        )
    }
    assert {name: row[name] for name in ("queued", "sending", "sent", "uncertain") if row[name]} == counted


async def look_twice(e: Engine, jobs: dict[str, int]) -> None:
    """After one look there are these waiting jobs, and after another one no more of them."""
    for _ in range(2):
        await tick(e.services)
        found = e.rows(
            "SELECT task_name, count(*) AS n FROM procrastinate_jobs WHERE status = 'todo' GROUP BY task_name"
        )
        assert {row["task_name"]: row["n"] for row in found} == jobs


@pytest.mark.parametrize("silent_s", [STALLED_AFTER_S + 5.0, None], ids=["silent", "not even registered"])
@pytest.mark.parametrize("policy", ["hold", "resend"])
def test_a_stalled_jobs_batch_goes_back_and_what_it_had_marked_is_in_doubt_or_queued(
    engine: RunEngine, silent_s: float | None, policy: str
) -> None:
    async def work(e: Engine) -> None:
        made, job_id = held_campaign(e, silent_s=silent_s, policy=policy)
        await look_twice(e, {"send_batch": 1})
        assert e.jobs("send_batch")[0]["id"] == job_id, "the same job is given to others"
        row = batch(e, made)
        assert (row["status"], row["job_id"], row["sending"], row["sent"]) == ("queued", None, 0, 3)
        assert (row["queued"], row["uncertain"]) == ((5, 2) if policy == "hold" else (7, 0))
        assert_counters_match_rows(e, made)
        history = e.value("SELECT count(*) FROM attempts WHERE outcome = 'uncertain'")
        assert history == (0 if policy == "hold" else 2), "a try that will be followed by another is history"
        # They may have been accepted: they count against the limits.
        assert e.value("SELECT sum(sent) FROM throughput") == 2

    engine(work)


def test_a_worker_that_gives_signs_of_life_keeps_its_batch(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made, job_id = held_campaign(e, silent_s=STALLED_AFTER_S - 5.0)
        await look_twice(e, {})
        row = batch(e, made)
        assert (row["status"], row["job_id"], row["sending"]) == ("running", job_id, 2)

    engine(work)


@pytest.mark.parametrize("fate", ["deleted", "failed"])
def test_a_batch_whose_job_is_gone_is_released_and_gets_a_job(engine: RunEngine, fate: str) -> None:
    async def work(e: Engine) -> None:
        made, job_id = held_campaign(e, silent_s=0.0)
        if fate == "deleted":
            e.do("DELETE FROM procrastinate_jobs WHERE id = %s", job_id)
        else:
            e.do("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", job_id)
        await look_twice(e, {})
        # It is due now; it gets its job when nobody has given it one for two seconds.
        e.do(f"UPDATE batches SET due_at = {LONG_AGO}")
        await look_twice(e, {"send_batch": 1})
        assert e.jobs("send_batch")[0]["args"] == {"id": made.batch_id, "epoch": 1}
        row = batch(e, made)
        assert (row["status"], row["job_id"], row["queued"], row["uncertain"]) == ("queued", None, 5, 2)
        assert_counters_match_rows(e, made)

    engine(work)


def test_an_api_message_whose_job_is_gone_is_queued_again_with_the_doubt_in_its_history(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        message_id = an_api_message(e.db, account_id, in_s=-60)
        e.do("UPDATE messages SET status = 'sending', attempt = 1, marked_at = now()")
        e.do("UPDATE due_messages SET job_id = 4711")
        await look_twice(e, {"send_due": 1})
        assert e.rows("SELECT status, attempt FROM messages") == [{"status": "queued", "attempt": 1}]
        assert e.rows("SELECT message_id, outcome FROM attempts") == [
            {"message_id": message_id, "outcome": "uncertain"}
        ]
        assert e.value("SELECT job_id FROM due_messages") is None

    engine(work)


@pytest.mark.parametrize("status", ["sending", "scheduled"])
def test_a_due_batch_without_a_job_gets_one_under_the_campaigns_epoch(engine: RunEngine, status: str) -> None:
    async def work(e: Engine) -> None:
        made = a_sending_campaign(e.db, an_account(e.db), 5)
        e.do(f"UPDATE batches SET status = 'queued', job_id = NULL, due_at = {LONG_AGO}")
        e.do("UPDATE campaigns SET epoch = 3, status = %s", status)
        # A job of an old epoch is none.
        e.do(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at) VALUES ('batches', 'send_batch',"
            " jsonb_build_object('id', %s::bigint, 'epoch', 2), now() + interval '1 day')",
            made.batch_id,
        )
        await look_twice(e, {"send_batch": 2})
        assert e.jobs("send_batch")[1]["args"] == {"id": made.batch_id, "epoch": 3}

    engine(work)


@pytest.mark.parametrize(
    "reason",
    [
        "UPDATE campaigns SET status = 'paused', paused_at = now()",
        "UPDATE batches SET due_at = now() + interval '1 minute'",
        "UPDATE batches SET due_at = now()",
    ],
    ids=["paused", "later", "just now"],
)
def test_a_batch_that_nobody_should_send_now_gets_no_job(engine: RunEngine, reason: str) -> None:
    async def work(e: Engine) -> None:
        a_sending_campaign(e.db, an_account(e.db), 5)
        e.do(f"UPDATE batches SET status = 'queued', job_id = NULL, due_at = {LONG_AGO}")
        e.do(reason)
        await look_twice(e, {})

    engine(work)


def test_a_due_message_without_a_job_gets_one_even_when_its_account_has_a_job_for_tomorrow(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        an_api_message(e.db, account_id, in_s=-60)
        e.do(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at) VALUES ('messages', 'send_due',"
            " jsonb_build_object('id', %s::bigint, 'epoch', 0), now() + interval '1 day')",
            account_id,
        )
        await look_twice(e, {"send_due": 2})
        assert e.jobs("send_due")[1]["args"]["id"] == account_id
        assert e.jobs("send_due")[1]["scheduled_at"] is None

    engine(work)


def test_a_message_for_later_needs_no_job_of_the_clock(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        an_api_message(e.db, an_account(e.db), in_s=60)
        await look_twice(e, {})

    engine(work)


def test_batches_that_wait_on_a_limit_get_a_resume_job_when_theirs_is_lost(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = a_sending_campaign(e.db, an_account(e.db, limit=100), 5)
        limit_id = e.value("SELECT limit_id FROM limits WHERE account_id = %s", made.account_id)
        e.do(
            f"UPDATE batches SET status = 'waiting', job_id = NULL, waiting_limit_id = %s, waiting_since = {LONG_AGO}",
            limit_id,
        )
        await look_twice(e, {"resume_limit": 1})
        epoch = e.value("SELECT resume_epoch FROM limits WHERE limit_id = %s", limit_id)
        assert e.jobs("resume_limit")[0]["args"] == {"id": limit_id, "epoch": epoch}

    engine(work)


def test_row_32_a_due_launch_without_a_job_gets_one(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        campaign_id = a_scheduled_campaign(e.db, account_id, some_contacts(e.db, account_id, 3))
        e.do("DELETE FROM procrastinate_jobs")
        e.do(f"UPDATE campaigns SET updated_at = {LONG_AGO}")
        await look_twice(e, {"launch_campaign": 1})
        await launch_campaign.run(e.services, id=campaign_id, epoch=1)
        assert e.value("SELECT recipients FROM campaigns") == 3

    engine(work)


def test_a_cancelled_campaign_that_was_not_closed_is_closed(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = a_sending_campaign(e.db, an_account(e.db), 5)
        e.do("UPDATE batches SET status = 'queued', job_id = NULL")
        e.do("UPDATE campaigns SET status = 'cancelled', epoch = 2, updated_at = now()")
        await look_twice(e, {"close_campaign": 1})
        (job,) = e.jobs("close_campaign")
        await close_campaign.run(e.services, **job["args"])
        assert e.rows("SELECT status, queued, cancelled FROM batches") == [
            {"status": "cancelled", "queued": 0, "cancelled": 5}
        ]
        assert e.rows("SELECT status, count(*) AS n FROM messages GROUP BY 1") == [{"status": "cancelled", "n": 5}]
        e.do("DELETE FROM procrastinate_jobs")
        await look_twice(e, {})
        assert made.campaign_id

    engine(work)


def test_a_campaign_with_no_open_batch_left_is_sent(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        a_sending_campaign(e.db, an_account(e.db), 5)
        await tick(e.services)
        assert e.value("SELECT status FROM campaigns") == "sending", "its batch is open"
        e.do("UPDATE batches SET status = 'done', job_id = NULL, queued = 0, sent = 5")
        await look_twice(e, {})
        assert e.rows("SELECT status, finished_at IS NOT NULL AS ended FROM campaigns") == [
            {"status": "sent", "ended": True}
        ]

    engine(work)


def test_of_two_clocks_one_leads_and_the_other_takes_over_when_it_ends(
    engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_loop, "TICK_S", 0.02)
    monkeypatch.setattr(clock_loop, "RETRY_LEADERSHIP_S", 0.02)
    ticks: list[str] = []

    async def note(services: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        ticks.append(task.get_name())

    monkeypatch.setattr(clock_loop, "tick", note)

    async def until(name: str, more: int) -> None:
        seen = ticks.count(name)
        while ticks.count(name) < seen + more:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def work(e: Engine) -> None:
        first = asyncio.create_task(clock_loop.run(e.services), name="first")
        await until("first", 3)
        second = asyncio.create_task(clock_loop.run(e.services), name="second")
        await until("first", 10)
        assert "second" not in ticks
        # Its connection is cut: whoever gets the lock next leads, and there is one leader again.
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await until("second", 3)
        e.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mailtide-clock'")
        await until("second", 3)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)

    engine(work)


def test_one_repair_that_fails_does_not_stop_the_others(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        an_api_message(e.db, an_account(e.db), in_s=-60)
        e.do("ALTER TABLE batches RENAME COLUMN ordinal TO gone")
        await tick(e.services)
        assert len(e.jobs("send_due")) == 1

    engine(work)


def test_the_planner_is_told_of_a_table_that_has_outgrown_what_it_knows(engine: RunEngine) -> None:
    known = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'contacts'::regclass"

    async def work(e: Engine) -> None:
        e.do("VACUUM ANALYZE contacts")
        await tick(e.services)
        some_contacts(e.db, an_account(e.db), 5000)
        assert e.value(known) == 0
        await tick(e.services)
        assert e.value(known) == 5000
        some_contacts(e.db, an_account(e.db), 1000)  # not twice as many: autovacuum's to notice, in its own time
        await tick(e.services)
        assert e.value(known) == 5000

    engine(work)


def test_a_table_that_takes_too_long_to_analyse_does_not_hold_up_the_repairs(
    engine: RunEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_loop, "ANALYZE_MAX_MS", 1)
    monkeypatch.setattr(clock_loop, "_left_to_autovacuum", set())

    async def work(e: Engine) -> None:
        e.do("VACUUM ANALYZE contacts")
        some_contacts(e.db, an_account(e.db), 20_000)
        await tick(e.services)
        assert "contacts" in clock_loop._left_to_autovacuum
        await tick(e.services)  # not tried again
        assert e.value("SELECT reltuples::bigint FROM pg_class WHERE oid = 'contacts'::regclass") == 0

    engine(work)
