"""Slots are shared by turns: a batch that has had one lets another campaign's go, and what is run twice is sent once."""

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest

from tests.factories import MadeCampaign, a_sending_campaign, an_account
from tests.integration.worker.engine import Engine, RunEngine
from worker.clock_loop import STALLED_AFTER_S, tick
from worker.ledger import Ledger, Mark
from worker.tasks import send_batch

MANY = 400  # takes a hundred times as long as it takes to ask who waits


def due_campaign(e: Engine, *, ordinal: int = 0, recipients: int = 6) -> tuple[MadeCampaign, int]:
    """A campaign whose one batch is due, and the job that waits for a slot to send it."""
    made = a_sending_campaign(e.db, an_account(e.db), recipients)
    e.do(
        "UPDATE batches SET status = 'queued', job_id = NULL, run = 0, ordinal = %s WHERE batch_id = %s",
        ordinal, made.batch_id,
    )  # fmt: skip
    job_id = e.value(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args) VALUES ('batches', 'send_batch', -20,"
        " jsonb_build_object('id', %s::bigint, 'epoch', 1)) RETURNING id",
        made.batch_id,
    )
    return made, job_id


async def send(e: Engine, made: MadeCampaign) -> None:
    job_id = e.a_job("send_batch", id=made.batch_id, epoch=1)
    await send_batch.run(e.services, id=made.batch_id, epoch=1, job_id=job_id)
    e.do("DELETE FROM procrastinate_jobs WHERE id = %s", job_id)


def priorities(e: Engine, made: MadeCampaign) -> list[int]:
    rows = e.rows(
        "SELECT priority FROM procrastinate_jobs WHERE status = 'todo' AND args ->> 'id' = %s::text ORDER BY id",
        made.batch_id,
    )
    return [row["priority"] for row in rows]


@pytest.mark.parametrize("ordinal", [0, 15, 40])
def test_a_batch_whose_turn_is_over_comes_back_behind_first_turns_and_another_campaigns_goes_next(
    engine: RunEngine, monkeypatch: pytest.MonkeyPatch, ordinal: int
) -> None:
    monkeypatch.setattr(send_batch, "SLICE_S", 0.0)

    async def work(e: Engine) -> None:
        slow, own_job = due_campaign(e, ordinal=ordinal, recipients=MANY)
        e.do("DELETE FROM procrastinate_jobs WHERE id = %s", own_job)
        other, _ = due_campaign(e)
        await send(e, slow)
        assert e.value("SELECT status FROM batches WHERE batch_id = %s", slow.batch_id) == "queued"
        assert priorities(e, slow) == [-20 if ordinal == 40 else -19]
        assert priorities(e, other) == [1]

    engine(work)


def test_a_batch_that_ends_within_its_turn_lets_nobody_before_others(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        quick, own_job = due_campaign(e)
        e.do("DELETE FROM procrastinate_jobs WHERE id = %s", own_job)
        other, _ = due_campaign(e)
        await send(e, quick)
        assert e.value("SELECT status FROM batches WHERE batch_id = %s", quick.batch_id) == "done"
        assert priorities(e, other) == [-20]

    engine(work)


def test_turns_follow_each_other_until_all_is_sent(engine: RunEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_batch, "SLICE_S", 0.001)

    async def work(e: Engine) -> None:
        made, own_job = due_campaign(e, recipients=MANY)
        e.do("DELETE FROM procrastinate_jobs WHERE id = %s", own_job)
        _, others_job = due_campaign(e)
        turns = 0
        while e.value("SELECT status FROM batches WHERE batch_id = %s", made.batch_id) == "queued":
            e.do("DELETE FROM procrastinate_jobs WHERE id <> %s", others_job)
            e.do("UPDATE procrastinate_jobs SET priority = -20")
            await send(e, made)
            monkeypatch.setattr(send_batch, "SLICE_S", send_batch.SLICE_S * 2)
            turns += 1
        assert turns > 1
        assert sorted(e.arrivals()) == sorted(f"p{n}@people.test" for n in range(1, MANY + 1))

    engine(work)


@pytest.mark.parametrize("is_said_to_wait", [False, True])
def test_a_batch_keeps_its_slot_beyond_its_turn_while_no_other_campaign_waits_for_one(
    engine: RunEngine, monkeypatch: pytest.MonkeyPatch, is_said_to_wait: bool
) -> None:
    monkeypatch.setattr(send_batch, "SLICE_S", 0.0)

    async def work(e: Engine) -> None:
        e.services.others_wait = lambda: is_said_to_wait
        made, own_job = due_campaign(e, recipients=MANY)
        if is_said_to_wait:  # by another batch of its own campaign: there is the job that waits
            assert priorities(e, made) == [-20]
        else:
            e.do("DELETE FROM procrastinate_jobs WHERE id = %s", own_job)
            other, _ = due_campaign(e)
        await send(e, made)
        assert e.value("SELECT status FROM batches WHERE batch_id = %s", made.batch_id) == "done"
        assert e.value("SELECT run FROM batches WHERE batch_id = %s", made.batch_id) == 1
        assert priorities(e, made if is_said_to_wait else other) == [-20]

    engine(work)


def test_a_turn_ends_when_another_campaign_comes_to_wait(engine: RunEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_batch, "SLICE_S", 0.0)

    async def work(e: Engine) -> None:
        made, own_job = due_campaign(e, recipients=MANY)
        e.do("DELETE FROM procrastinate_jobs WHERE id = %s", own_job)
        asked = 0

        def others_wait() -> bool:
            nonlocal asked
            asked += 1
            if asked == 10:
                due_campaign(e)
            return True

        e.services.others_wait = others_wait
        await send(e, made)
        assert asked >= 10
        assert 0 < len(e.arrivals()) < MANY
        assert e.value("SELECT status FROM batches WHERE batch_id = %s", made.batch_id) == "queued"
        e.services.others_wait = lambda: False
        await send(e, made)
        assert len(e.arrivals()) == MANY
        assert e.value("SELECT status FROM batches WHERE batch_id = %s", made.batch_id) == "done"

    engine(work)


@pytest.mark.parametrize(("attempts", "wait_s"), [(0, 0), (1, 2), (5, 10), (99, 60)])
def test_a_batch_whose_job_dies_again_and_again_comes_back_ever_later_however_many_turns_it_has_had(
    engine: RunEngine, attempts: int, wait_s: int
) -> None:
    async def work(e: Engine) -> None:
        made = a_sending_campaign(e.db, an_account(e.db), 6)
        job_id = e.a_job("send_batch", id=made.batch_id, epoch=1, worker_silent_s=STALLED_AFTER_S + 5.0)
        e.do("UPDATE procrastinate_jobs SET attempts = %s WHERE id = %s", attempts, job_id)
        e.do("UPDATE batches SET job_id = %s, run = 500, due_at = now() WHERE batch_id = %s", job_id, made.batch_id)
        await tick(e.services)
        (job,) = e.jobs("send_batch")
        due_at = e.value("SELECT due_at FROM batches WHERE batch_id = %s", made.batch_id)
        assert abs((due_at - e.services.now()).total_seconds() - wait_s) < 1.5
        assert job["scheduled_at"] == due_at, "a job that came sooner would find nothing to do, and be gone"

    engine(work)


def test_of_two_runs_in_one_process_that_mark_the_same_message_at_once_one_may_send_it(database_url: str) -> None:
    """A job that was taken back from a process, since nobody heard of it, may come to the same process again."""
    with psycopg.connect(database_url, autocommit=True) as db:
        made = a_sending_campaign(db, an_account(db), 3)

    async def work() -> list[str]:
        ledger = Ledger(database_url, writer_id=7, now=lambda: datetime.now(UTC))
        wanted = Mark(made.message_ids[0], 0, 1, made.campaign_id)
        both = asyncio.gather(ledger.exchange(None, wanted), ledger.exchange(None, wanted))
        task = asyncio.create_task(ledger.run())  # only now, so that both are in one group
        try:
            return list(await asyncio.wait_for(both, 20))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    assert sorted(asyncio.run(work())) == ["marked", "stopped"]
