"""Rows 4 and 29: what a mark and a late result may do, against a real PostgreSQL."""

import asyncio
import random
import time
from typing import Any

import psycopg

from tests.factories import a_sending_campaign, an_account
from tests.integration.worker.engine import Engine, RunEngine
from worker.ledger import Mark, Result


def result(e: Engine, message_id: int, status: Any, outcome: Any, attempt: int = 1) -> Result:
    return Result(message_id, attempt, status, outcome, "250 2.0.0 OK", e.services.now())


def test_row_04_what_was_called_uncertain_does_not_go_back_to_a_queue_that_nobody_reads(engine: RunEngine) -> None:
    """A worker comes back when its batch is done and says that a message was not sent: its owner decides, nobody else."""

    async def work(e: Engine) -> None:
        campaign = a_sending_campaign(e.db, an_account(e.db), 2)
        first, second = campaign.message_ids
        ledger = e.services.ledger
        await ledger.exchange(None, Mark(first, 0, 1, campaign.campaign_id))
        await ledger.exchange(None, Mark(second, 0, 1, campaign.campaign_id))
        e.do("UPDATE messages SET status = 'uncertain'")
        e.do("UPDATE batches SET status = 'done', job_id = NULL, sending = 0, uncertain = 2, finished_at = now()")
        await ledger.exchange(result(e, first, "queued", "not_sent"), None)
        await ledger.exchange(result(e, second, "sent", "sent"), None)
        assert e.rows("SELECT status FROM messages ORDER BY message_id") == [
            {"status": "uncertain"},
            {"status": "sent"},
        ]
        assert e.rows("SELECT queued, uncertain, sent FROM batches") == [{"queued": 0, "uncertain": 1, "sent": 1}]

    engine(work)


def test_row_04_a_worker_whose_result_does_not_count_hears_that_it_was_overtaken(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        campaign = a_sending_campaign(e.db, an_account(e.db), 3, uncertain_policy="resend")
        first, second, third = campaign.message_ids
        ledger = e.services.ledger
        await ledger.exchange(None, Mark(first, 0, 1, campaign.campaign_id))
        e.do("UPDATE messages SET status = 'queued' WHERE message_id = %s", first)
        e.do("UPDATE batches SET sending = 0, queued = 3")
        assert await ledger.exchange(result(e, first, "sent", "sent"), None) == "overtaken"
        assert (
            await ledger.exchange(result(e, first, "sent", "sent"), Mark(second, 0, 1, campaign.campaign_id))
            == "overtaken_marked"
        )
        assert (
            await ledger.exchange(result(e, second, "sent", "sent"), Mark(third, 0, 1, campaign.campaign_id))
            == "marked"
        )

    engine(work)


def test_row_29_an_unsubscribe_committed_before_the_mark_excludes_the_message_however_close(engine: RunEngine) -> None:
    """Each of 300 recipients unsubscribes at about the moment of its mark. Ordered by the commit: nobody slips through."""

    async def work(e: Engine) -> None:
        campaign = a_sending_campaign(e.db, an_account(e.db), 300)
        committed: dict[int, float] = {}
        asked: dict[int, float] = {}
        answers: dict[int, str] = {}

        def unsubscribe_all() -> None:
            with psycopg.connect(e.services.settings.postgres_url, autocommit=True) as conn:
                for n, message_id in enumerate(campaign.message_ids, 1):
                    conn.execute(
                        "INSERT INTO suppressions (account_id, email_key, reason) VALUES (%s, %s, 'unsubscribe')",
                        (campaign.account_id, f"p{n}@people.test"),
                    )
                    committed[message_id] = time.monotonic()

        async def mark_all() -> None:
            for message_id in campaign.message_ids:
                while len(committed) < message_id - campaign.message_ids[0] - 2:  # noqa: ASYNC110
                    await asyncio.sleep(0)  # the other side is a thread
                if random.random() < 0.3:
                    await asyncio.sleep(0.0005)
                asked[message_id] = time.monotonic()
                answers[message_id] = await e.services.ledger.exchange(
                    None, Mark(message_id, 0, 1, campaign.campaign_id)
                )

        await asyncio.gather(asyncio.to_thread(unsubscribe_all), mark_all())
        late = [m for m in campaign.message_ids if committed[m] < asked[m]]
        assert [answers[m] for m in late] == ["suppressed"] * len(late)
        assert set(answers.values()) <= {"suppressed", "marked"}
        assert late  # else the race was never run

    engine(work)
