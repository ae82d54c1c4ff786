"""A job that is taken from a worker which is not dead: recovery and the late worker's ledger meet in the same rows."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from sql import queries
from tests.factories import MadeCampaign, a_sending_campaign, an_account, an_api_message
from worker.ledger import Ledger, Mark, Result


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def db(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
        yield conn


def make_campaign(database_url: str, *, policy: str = "hold") -> MadeCampaign:
    with psycopg.connect(database_url, autocommit=True) as conn:
        return a_sending_campaign(conn, an_account(conn), 4, uncertain_policy=policy)


def with_ledger(database_url: str, work: Callable[[Ledger], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        ledger = Ledger(database_url, writer_id=7, now=utc_now)
        task = asyncio.create_task(ledger.run())
        try:
            return await asyncio.wait_for(work(ledger), 20)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(go())


def release(conn: Any) -> dict[str, Any]:
    """What recovery does with job 1, which holds the campaign's batch."""
    row: dict[str, Any] = conn.execute(queries.recovery.release_job.text, {"job_id": 1, "now": utc_now()}).fetchone()
    return row


def statuses(db: Any, campaign: MadeCampaign) -> list[str]:
    rows = db.execute(
        "SELECT status FROM messages WHERE campaign_id = %s ORDER BY message_id", (campaign.campaign_id,)
    ).fetchall()
    return [row["status"] for row in rows]


def counters(db: Any, campaign: MadeCampaign) -> dict[str, int]:
    row = db.execute(
        "SELECT queued, sending, sent, failed, uncertain FROM batches WHERE batch_id = %s", (campaign.batch_id,)
    ).fetchone()
    return {name: value for name, value in row.items() if value}


async def until_it_waits_for_a_lock(db: Any) -> None:
    deadline = time.monotonic() + 10
    while True:
        row = db.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'mailtide-ledger'"
            " AND wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone()
        if row["n"]:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_row_04_a_late_result_that_meets_the_takeover_is_recorded_and_the_counters_stay_true(
    database_url: str, db: Any
) -> None:
    campaign = make_campaign(database_url)
    first = campaign.message_ids[0]

    async def work(ledger: Ledger) -> str:
        assert await ledger.exchange(None, Mark(first, 0, 1, campaign.campaign_id)) == "marked"
        with psycopg.connect(database_url, row_factory=dict_row) as recovery:
            release(recovery)
            late = asyncio.create_task(ledger.exchange(Result(first, 1, "sent", "sent", "250 ok"), None))
            await until_it_waits_for_a_lock(db)
            recovery.commit()
            return await late

    assert with_ledger(database_url, work) == "none"
    assert statuses(db, campaign) == ["sent", "queued", "queued", "queued"]
    assert counters(db, campaign) == {"queued": 3, "sent": 1}


def test_row_04_a_worker_whose_batch_was_taken_gets_no_mark_in_it(database_url: str, db: Any) -> None:
    campaign = make_campaign(database_url)
    release(db)
    answer = with_ledger(
        database_url, lambda ledger: ledger.exchange(None, Mark(campaign.message_ids[1], 0, 1, campaign.campaign_id))
    )
    assert answer == "stopped"
    assert statuses(db, campaign) == ["queued"] * 4
    assert counters(db, campaign) == {"queued": 4}


def test_row_04_a_refused_mark_does_not_take_the_results_of_its_group_with_it(database_url: str, db: Any) -> None:
    taken, kept = make_campaign(database_url), make_campaign(database_url)
    db.execute("UPDATE batches SET job_id = 2 WHERE batch_id = %s", (kept.batch_id,))

    async def work(ledger: Ledger) -> list[str]:
        await asyncio.gather(
            ledger.exchange(None, Mark(taken.message_ids[0], 0, 1, taken.campaign_id)),
            ledger.exchange(None, Mark(kept.message_ids[0], 0, 1, kept.campaign_id)),
        )
        release(db)
        return await asyncio.gather(
            ledger.exchange(
                Result(taken.message_ids[0], 1, "sent", "sent", "250 ok"),
                Mark(taken.message_ids[1], 0, 1, taken.campaign_id),
            ),
            ledger.exchange(
                Result(kept.message_ids[0], 1, "sent", "sent", "250 ok"),
                Mark(kept.message_ids[1], 0, 1, kept.campaign_id),
            ),
        )

    assert with_ledger(database_url, work) == ["stopped", "marked"]
    assert statuses(db, taken) == ["sent", "queued", "queued", "queued"]
    assert counters(db, taken) == {"queued": 3, "sent": 1}
    assert statuses(db, kept) == ["sent", "sending", "queued", "queued"]


def test_row_04_a_takeover_that_does_not_see_a_mark_yet_fails_and_is_made_again(database_url: str, db: Any) -> None:
    campaign = make_campaign(database_url)
    with psycopg.connect(database_url) as late:
        # The late worker's mark, not committed yet.
        late.execute(
            "UPDATE messages SET status = 'sending', attempt = 1 WHERE message_id = %s", (campaign.message_ids[0],)
        )
        late.execute("UPDATE batches SET queued = 3, sending = 1 WHERE batch_id = %s", (campaign.batch_id,))

        def take_over() -> str:
            with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
                conn.execute("SET application_name = 'mailtide-ledger'")
                try:
                    release(conn)
                except psycopg.errors.CheckViolation:
                    return "refused"
                return "released"

        async def meet() -> str:
            taking = asyncio.create_task(asyncio.to_thread(take_over))
            await until_it_waits_for_a_lock(db)
            late.commit()
            return await taking

        assert asyncio.run(meet()) == "refused"
    assert release(db)["uncertain"] == 1
    assert statuses(db, campaign)[0] == "uncertain"
    assert counters(db, campaign) == {"queued": 3, "uncertain": 1}


def test_row_07_a_mark_that_its_first_commit_overtook_is_recognised(
    database_url: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut while the server still works on the statement, so the repeated one meets it."""
    campaign = make_campaign(database_url)
    written = Ledger._commit_group
    cut: list[bool] = []

    async def is_cut(self: Ledger, *args: Any) -> Any:
        if not cut:
            cut.append(True)
            raise psycopg.OperationalError("the connection was cut")
        # The first one ends between the question what is marked already and the second one.
        await written(self, *args)
        return await written(self, *args)

    monkeypatch.setattr(Ledger, "_commit_group", is_cut)
    answer = with_ledger(
        database_url, lambda ledger: ledger.exchange(None, Mark(campaign.message_ids[0], 0, 1, campaign.campaign_id))
    )
    assert answer == "marked"
    assert counters(db, campaign) == {"queued": 3, "sending": 1}


def test_row_07_a_mark_that_another_worker_gave_meanwhile_is_not_taken_for_ones_own(
    database_url: str, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off for so long that its batch went to another, which is sending this very message."""
    campaign = make_campaign(database_url)
    written = Ledger._commit_group
    cut: list[bool] = []

    async def is_cut_off(self: Ledger, *args: Any) -> Any:
        if not cut:
            cut.append(True)
            db.execute(
                "UPDATE messages SET status = 'sending', attempt = 1, marked_at = now() WHERE message_id = %s",
                (campaign.message_ids[0],),
            )
            db.execute("UPDATE batches SET queued = 3, sending = 1 WHERE batch_id = %s", (campaign.batch_id,))
            raise psycopg.OperationalError("the connection was cut")
        return await written(self, *args)

    monkeypatch.setattr(Ledger, "_commit_group", is_cut_off)
    answer = with_ledger(
        database_url, lambda ledger: ledger.exchange(None, Mark(campaign.message_ids[0], 0, 1, campaign.campaign_id))
    )
    assert answer == "stopped"


def test_row_04_an_api_message_that_a_late_worker_marked_and_left_is_brought_to_an_end(
    database_url: str, db: Any
) -> None:
    """Its row was free again when the late worker marked it, and then that worker died: no job holds it."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        account_id = an_account(conn)
        left, under_way = an_api_message(conn, account_id), an_api_message(conn, account_id)
    for message_id, age_s in ((left, 30), (under_way, 3)):
        db.execute(
            "UPDATE messages SET status = 'sending', attempt = 1, marked_at = now() - %s * interval '1 s'"
            " WHERE message_id = %s",
            (age_s, message_id),
        )
    rows = db.execute(queries.recovery.settle_orphans.text, {"now": utc_now()}).fetchall()
    assert [row["message_id"] for row in rows] == [left]
    found = db.execute("SELECT message_id, status FROM messages ORDER BY message_id").fetchall()
    assert [row["status"] for row in found] == ["queued", "sending"]
    (attempt,) = db.execute("SELECT message_id, attempt, outcome FROM attempts").fetchall()
    assert (attempt["message_id"], attempt["attempt"], attempt["outcome"]) == (left, 1, "uncertain")
    (second,) = db.execute("SELECT account_id, sent FROM throughput").fetchall()
    assert second == {"account_id": account_id, "sent": 1}
