"""A batch has one holder: who claims it, how it is put down, waits and is woken, and that stale jobs and runs do nothing."""

import asyncio
from datetime import timedelta
from email.parser import BytesParser
from email.policy import default
from typing import Any

import pytest

from sql import queries
from tests.factories import (
    MadeCampaign,
    a_scheduled_campaign,
    a_sending_campaign,
    an_account,
    some_contacts,
)
from tests.integration.worker.engine import Engine, RunEngine
from worker import sending
from worker.db import maybe
from worker.relays import RelayPaused
from worker.smtp.stage import RelayUnavailable, Stage
from worker.tasks import launch_campaign, resume_limit, send_batch


def queued_campaign(e: Engine, recipients: int = 6, *, limit: int = 0) -> MadeCampaign:
    """A sending campaign whose one batch is due and held by nobody."""
    made = a_sending_campaign(e.db, an_account(e.db, limit=limit), recipients)
    e.do("UPDATE batches SET status = 'queued', job_id = NULL, run = 0")
    return made


async def send(e: Engine, made: MadeCampaign, *, epoch: int = 1) -> None:
    """What the queue's worker does with one job."""
    job_id = e.a_job("send_batch", id=made.batch_id, epoch=epoch)
    await send_batch.run(e.services, id=made.batch_id, epoch=epoch, job_id=job_id)
    e.do("DELETE FROM procrastinate_jobs WHERE id = %s", job_id)


async def claim(e: Engine, made: MadeCampaign, job_id: int, *, epoch: int = 1) -> Any:
    now = e.services.now()
    return await maybe(
        e.pool, queries.batches.claim, batch_id=made.batch_id, epoch=epoch, job_id=job_id, now=now,
        free_since=now - timedelta(days=1),
    )  # fmt: skip


async def release(e: Engine, made: MadeCampaign, *, job_id: int, run: int, wait_s: float = 0.0) -> Any:
    now = e.services.now()
    return await maybe(
        e.pool, queries.batches.release, batch_id=made.batch_id, job_id=job_id, run=run, now=now,
        not_before=now + timedelta(seconds=wait_s),
    )  # fmt: skip


def batch(e: Engine) -> dict[str, Any]:
    (row,) = e.rows("SELECT * FROM batches")
    return row


def limit_of(e: Engine, made: MadeCampaign) -> int:
    found: int = e.value("SELECT limit_id FROM limits WHERE account_id = %s", made.account_id)
    return found


def test_a_batch_is_sent_and_done_and_its_campaign_with_it(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e)
        await send(e, made)
        row = batch(e)
        assert (row["status"], row["job_id"], row["sent"], row["queued"]) == ("done", None, 6, 0)
        assert row["lateness_ms"] is not None
        assert e.value("SELECT status FROM campaigns") == "sent"
        assert sorted(e.arrivals()) == [f"p{n}@people.test" for n in range(1, 7)]
        # The same job once more, as after a lost acknowledgement.
        await send(e, made)
        assert len(e.arrivals()) == 6

    engine(work)


def test_a_batch_that_is_claimed_ahead_sends_nothing_before_its_instant(engine: RunEngine) -> None:
    """Not by its marks, not by the Date of its messages; and its campaign starts when it is due."""

    async def work(e: Engine) -> None:
        made = queued_campaign(e)
        at = e.services.now() + timedelta(seconds=send_batch.LINGER_S * 0.8)
        e.do("UPDATE messages SET send_after = %s", at)
        e.do("UPDATE batches SET due_at = %s", at)
        e.do("UPDATE campaigns SET status = 'scheduled', started_at = NULL, scheduled_at = %s", at)
        await send(e, made)
        assert len(e.arrivals()) == 6
        assert e.value("SELECT min(marked_at) FROM messages") >= at
        assert e.value("SELECT started_at FROM campaigns") >= at
        assert batch(e)["started_at"] >= at
        dates = [BytesParser(policy=default).parsebytes(row["raw"])["Date"] for row in e.rows("SELECT raw FROM inbox")]
        assert min(date.datetime for date in dates) >= at.replace(microsecond=0)

    engine(work)


def test_of_many_workers_that_claim_a_batch_one_gets_it(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e)
        claims = await asyncio.gather(*(claim(e, made, job_id) for job_id in range(100, 108)))
        assert len([row for row in claims if row is not None]) == 1
        assert batch(e)["run"] == 1

    engine(work)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE campaigns SET epoch = 2",
        "UPDATE campaigns SET status = 'paused', paused_at = now()",
        "UPDATE campaigns SET status = 'cancelled'",
        "UPDATE campaigns SET status = 'scheduled', materialised_at = NULL",
        "UPDATE batches SET due_at = now() + interval '1 minute'",
        "UPDATE batches SET status = 'done'",
        "UPDATE campaigns SET status = 'scheduled', epoch = 2",
        "UPDATE campaigns SET status = 'scheduled'; UPDATE batches SET due_at = now() + interval '1 minute'",
        "UPDATE campaigns SET status = 'scheduled'; UPDATE batches SET status = 'running', job_id = 1",
    ],
    ids=[
        "stale epoch",
        "paused",
        "cancelled",
        "not materialised",
        "not due",
        "done",
        "to begin under another epoch",
        "to begin later",
        "held by another",
    ],
)
def test_a_job_that_may_not_send_leaves_the_batch_alone(engine: RunEngine, change: str) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e)
        e.do(change)
        before = batch(e), e.rows("SELECT * FROM campaigns")
        await send(e, made)
        assert (batch(e), e.rows("SELECT * FROM campaigns")) == before
        assert e.arrivals() == []

    engine(work)


def test_the_first_batches_of_a_campaign_start_it_and_each_is_claimed(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        campaign_id = a_scheduled_campaign(e.db, account_id, some_contacts(e.db, account_id, 100))
        await launch_campaign.run(e.services, id=campaign_id, epoch=1)
        batches = [row["batch_id"] for row in e.rows("SELECT batch_id FROM batches")]
        made = [MadeCampaign(account_id, campaign_id, 1, batch_id, []) for batch_id in batches]
        claims = await asyncio.gather(*(claim(e, each, 100 + n) for n, each in enumerate(made)))
        assert [row["batch_id"] for row in claims] == batches and len(batches) == 4
        assert {row["from_email"] for row in claims} == {e.value("SELECT email FROM senders")}
        campaign = e.rows("SELECT status, started_at IS NOT NULL AS has_begun FROM campaigns")
        assert campaign == [{"status": "sending", "has_begun": True}]

    engine(work)


def test_the_first_two_messages_of_a_batch_are_marked_in_one_commit(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        await send(e, queued_campaign(e, 3))
        first, second, third = (row["marked_at"] for row in e.rows("SELECT marked_at FROM messages ORDER BY marked_at"))
        assert first == second < third

    engine(work)


@pytest.mark.parametrize(("usable_s", "made_more_than_once"), [(60.0, False), (-1.0, True)], ids=["at once", "later"])
def test_the_next_message_is_made_while_the_ledger_commits_and_made_again_when_it_has_become_old(
    engine: RunEngine, monkeypatch: pytest.MonkeyPatch, usable_s: float, made_more_than_once: bool
) -> None:
    made: list[str] = []
    ahead: list[int] = []
    render, render_ahead = sending.Run._render, sending.Run._render_ahead

    def noting(self: sending.Run, item: sending.Item, connection: Any) -> Any:
        made.append(item.recipient)
        return render(self, item, connection)

    def noting_ahead(self: sending.Run, connection: Any) -> None:
        render_ahead(self, connection)
        ahead.append(len(self._rendered))

    monkeypatch.setattr(sending, "RENDERED_USE_S", usable_s)
    monkeypatch.setattr(sending.Run, "_render", noting)
    monkeypatch.setattr(sending.Run, "_render_ahead", noting_ahead)

    async def work(e: Engine) -> None:
        await send(e, queued_campaign(e))
        assert sorted(e.arrivals()) == sorted(set(made)) == [f"p{n}@people.test" for n in range(1, 7)]
        assert (len(made) > 6) is made_more_than_once
        assert max(ahead) == 1

    engine(work)


def test_a_batch_goes_on_when_its_first_messages_are_suppressed(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e, 5)
        e.do(
            "INSERT INTO suppressions (account_id, email_key, reason) SELECT %s, 'p' || n || '@people.test', 'manual'"
            " FROM generate_series(1, 3) AS n",
            made.account_id,
        )
        await send(e, made)
        assert sorted(e.arrivals()) == ["p4@people.test", "p5@people.test"]
        assert (batch(e)["sent"], batch(e)["suppressed"], batch(e)["status"]) == (2, 3, "done")

    engine(work)


def test_a_stale_run_cannot_put_the_batch_down_under_its_successor(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e)
        assert (await claim(e, made, 100))["run"] == 1
        assert (await release(e, made, job_id=100, run=1))["status"] == "queued"
        assert (await claim(e, made, 100))["run"] == 2, "a job that was taken back may run again under its id"
        held = batch(e)
        for job_id, run in ((100, 1), (101, 2)):
            assert await release(e, made, job_id=job_id, run=run) is None
            waiting = await maybe(
                e.pool, queries.batches.wait_for_limit, batch_id=made.batch_id, job_id=job_id, run=run,
                limit_id=limit_of(e, made), now=e.services.now(),
            )  # fmt: skip
            assert waiting is None
        assert batch(e) == held
        assert e.rows("SELECT * FROM waits") == []

    engine(work)


def test_a_batch_put_down_is_due_at_its_earliest_message_and_not_before_it_may(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e)
        e.do("UPDATE messages SET send_after = now() + interval '1 hour'")
        e.do("UPDATE messages SET send_after = now() + interval '5 min' WHERE message_id = %s", made.message_ids[3])
        await claim(e, made, 100)
        await release(e, made, job_id=100, run=1)
        assert timedelta(minutes=4) < batch(e)["due_at"] - e.services.now() < timedelta(minutes=6)
        (job,) = e.jobs("send_batch")
        assert (job["args"], job["scheduled_at"]) == ({"id": made.batch_id, "epoch": 1}, batch(e)["due_at"])

        e.do("UPDATE batches SET due_at = now()")
        await claim(e, made, 101)
        await release(e, made, job_id=101, run=2, wait_s=1800)
        assert timedelta(minutes=29) < batch(e)["due_at"] - e.services.now() < timedelta(minutes=31)

    engine(work)


def test_a_batch_put_down_while_its_campaign_is_paused_gets_no_job(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e)
        await claim(e, made, 100)
        e.do("UPDATE campaigns SET status = 'paused', paused_at = now(), epoch = 2")
        assert (await release(e, made, job_id=100, run=1))["status"] == "queued"
        assert e.jobs("send_batch") == []

    engine(work)


def test_a_batch_without_a_permit_waits_as_a_row_and_one_job_wakes_it(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e, 10, limit=4)
        limit_id = limit_of(e, made)
        await send(e, made)
        row = batch(e)
        assert (row["status"], row["waiting_limit_id"], row["job_id"]) == ("waiting", limit_id, None)
        assert row["sent"] == len(e.arrivals()) == 4
        assert e.jobs("send_batch") == []
        (resume,) = e.jobs("resume_limit")
        planned = e.rows("SELECT resume_at, resume_epoch FROM limits")[0]
        assert (resume["scheduled_at"], resume["args"]["epoch"]) == (planned["resume_at"], planned["resume_epoch"])
        assert timedelta(minutes=59) < planned["resume_at"] - e.services.now() < timedelta(minutes=61)
        assert e.rows("SELECT reason, ended_at FROM waits") == [{"reason": "limit", "ended_at": None}]

        # A stale resume job finds nothing; the current one, before there are permits, plans its successor.
        await resume_limit.run(e.services, id=limit_id, epoch=planned["resume_epoch"] - 1)
        assert batch(e)["status"] == "waiting"
        await resume_limit.run(e.services, id=limit_id, epoch=planned["resume_epoch"])
        assert batch(e)["status"] == "waiting"
        assert e.value("SELECT resume_epoch FROM limits") == planned["resume_epoch"] + 1

        # The limit is raised: the batch is woken, once, and its wait is over.
        e.do("UPDATE limits SET max_count = 100")
        await resume_limit.run(e.services, id=limit_id, epoch=planned["resume_epoch"] + 1)
        assert batch(e)["status"] == "queued"
        assert e.value("SELECT ended_at IS NOT NULL FROM waits") is True
        assert len(e.jobs("send_batch")) == 1
        await send(e, made)
        assert batch(e)["status"] == "done"
        assert len(set(e.arrivals())) == len(e.arrivals()) == 10

    engine(work)


def waiting_batches(e: Engine, count: int, *, limit: int) -> tuple[MadeCampaign, int]:
    """A campaign of so many batches of ten, all of which wait on its account's limit; and the limit's id."""
    made = queued_campaign(e, 10, limit=limit)
    limit_id = limit_of(e, made)
    e.do(
        "INSERT INTO batches (account_id, campaign_id, ordinal, status, due_at, total, queued)"
        " SELECT account_id, campaign_id, n, 'queued', due_at + n * interval '1 ms', 10, 10"
        " FROM batches, generate_series(1, %s) AS n",
        count - 1,
    )
    e.do("UPDATE batches SET status = 'waiting', waiting_limit_id = %s, waiting_since = now()", limit_id)
    e.do("UPDATE limits SET resume_epoch = 1, resume_at = now() WHERE limit_id = %s", limit_id)
    return made, limit_id


def test_only_as_many_batches_are_woken_as_permits_are_free_for_the_longest_due_first(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        _made, limit_id = waiting_batches(e, 8, limit=25)
        await resume_limit.run(e.services, id=limit_id, epoch=1)
        woken = e.rows("SELECT ordinal FROM batches WHERE status = 'queued' ORDER BY ordinal")
        assert [row["ordinal"] for row in woken] == [0, 1, 2], "24 permits, the reserve apart: three batches of ten"
        assert len(e.jobs("send_batch")) == 3
        assert len(e.jobs("resume_limit")) == 1, "one job, however many wait"

    engine(work)


@pytest.mark.parametrize(("window_s", "at_most_s"), [(5, 0.1), (60, 0.7), (3600, 1.1)])
def test_while_permits_come_back_one_after_the_other_the_next_look_is_a_small_part_of_the_window_away(
    engine: RunEngine, window_s: int, at_most_s: float
) -> None:
    """Permits of a burst come back as they were used. A look a second later would waste a fifth of a window of 5 s."""

    async def work(e: Engine) -> None:
        _made, limit_id = waiting_batches(e, 4, limit=15)
        e.do("UPDATE limits SET window_s = %s", window_s)
        before = e.services.now()
        await resume_limit.run(e.services, id=limit_id, epoch=1)
        (job,) = e.jobs("resume_limit")
        assert job["scheduled_at"] - e.services.now() <= timedelta(seconds=at_most_s)
        assert job["scheduled_at"] > before

    engine(work)


def test_a_plan_for_an_earlier_instant_replaces_a_later_one_and_not_the_other_way_round(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        made = queued_campaign(e, limit=10)
        limit_id = limit_of(e, made)
        for wait_s, epoch in ((60.0, 1), (90.0, 1), (30.0, 2), (30.5, 2)):
            await resume_limit.plan_resume(e.services, limit_id=limit_id, wait_s=wait_s)
            assert e.value("SELECT resume_epoch FROM limits") == epoch, wait_s
        # One that should have run already is lost.
        e.do("UPDATE limits SET resume_at = now() - interval '3 s'")
        await resume_limit.plan_resume(e.services, limit_id=limit_id, wait_s=60.0)
        assert e.value("SELECT resume_epoch FROM limits") == 3

    engine(work)


def test_a_launch_makes_messages_and_batches_once_and_only_under_its_epoch(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        contacts = some_contacts(e.db, account_id, 60)
        e.do(
            "INSERT INTO suppressions (account_id, email_key, reason) VALUES (%s, 'p7@people.test', 'manual')",
            account_id,
        )
        campaign_id = a_scheduled_campaign(e.db, account_id, contacts, in_s=30)
        e.do("DELETE FROM procrastinate_jobs")
        await launch_campaign.run(e.services, id=campaign_id, epoch=0)
        assert e.value("SELECT count(*) FROM messages") == 0
        for _ in range(2):
            await launch_campaign.run(e.services, id=campaign_id, epoch=1)
        assert e.rows("SELECT status, count(*) AS n FROM messages GROUP BY 1 ORDER BY 1") == [
            {"status": "queued", "n": 59}, {"status": "suppressed", "n": 1},
        ]  # fmt: skip
        jobs = e.jobs("send_batch")
        assert len(jobs) == e.value("SELECT count(*) FROM batches") == 3
        instant = e.value("SELECT scheduled_at FROM campaigns")
        assert {job["scheduled_at"] for job in jobs} == {instant}
        assert e.value("SELECT status FROM campaigns") == "scheduled"

    engine(work)


def test_a_launch_ahead_of_its_instant_has_counters_content_and_a_connection_ready(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db, limit=1000)
        campaign_id = a_scheduled_campaign(e.db, account_id, some_contacts(e.db, account_id, 2), in_s=30)
        await launch_campaign.run(e.services, id=campaign_id, epoch=1)
        await asyncio.gather(*launch_campaign.preparing)
        client = await e.services.limiter._connected()
        limit_id = e.value("SELECT limit_id FROM limits")
        assert await client.hget(f"mt:{{{limit_id}}}:h", "total") == "0"
        ((key, _),) = e.services.contents._kept.items()
        assert isinstance(key, tuple) and key[0] == campaign_id
        relay = await e.services.relays.find(account_id=account_id, transport="sandbox", relay_id=None)
        assert len(relay._idle) == 1
        assert e.arrivals() == []

    engine(work)


@pytest.mark.parametrize("trouble", ["no sender", "relay paused", "relay away"])
def test_a_launch_ahead_of_its_instant_leaves_what_is_not_ready_for_then(
    engine: RunEngine, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        campaign_id = a_scheduled_campaign(e.db, account_id, some_contacts(e.db, account_id, 2), in_s=30)
        if trouble == "no sender":
            e.do("DELETE FROM senders")
        error = RelayPaused("x") if trouble == "relay paused" else RelayUnavailable(Stage.CONNECT, None, "x")

        async def find(**_: Any) -> Any:
            raise error

        if trouble != "no sender":
            monkeypatch.setattr(e.services.relays, "find", find)
        await launch_campaign.run(e.services, id=campaign_id, epoch=1)
        await asyncio.gather(*launch_campaign.preparing)
        assert len(e.jobs("send_batch")) == 1

    engine(work)


def test_a_launch_does_not_wait_for_a_silent_relay(engine: RunEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        campaign_id = a_scheduled_campaign(e.db, account_id, some_contacts(e.db, account_id, 2), in_s=30)
        asked = asyncio.Event()

        async def find(**_: Any) -> Any:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(e.services.relays, "find", find)
        await launch_campaign.run(e.services, id=campaign_id, epoch=1)
        await asked.wait()
        (preparing,) = launch_campaign.preparing
        preparing.cancel()

    engine(work)
