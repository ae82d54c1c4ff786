"""Row 29, thousands of times: an unsubscribe and the mark of a message meet, from several sides at once."""

import asyncio
import time

import psycopg

from tests.factories import a_sending_campaign, an_account
from tests.integration.worker.engine import Engine, RunEngine
from worker.ledger import Mark

RACES = 4000
SIDES = 4  #: connections that unsubscribe, and as many tasks that mark


def test_row_29_thousands_of_unsubscribes_each_at_about_the_instant_of_its_mark(engine: RunEngine) -> None:
    """Ordered by the commit: whoever unsubscribed before the mark was asked for is never marked."""

    async def work(e: Engine) -> None:
        campaign = a_sending_campaign(e.db, an_account(e.db), RACES)
        committed: dict[int, float] = {}
        asked: dict[int, float] = {}
        answers: dict[int, str] = {}

        # Neither side gets more than two ahead of the other.
        def unsubscribe(ids: list[int], done: list[int], begun: list[int]) -> None:
            with psycopg.connect(e.services.settings.postgres_url, autocommit=True) as conn:
                for at, message_id in enumerate(ids):
                    while len(begun) < at - 2:
                        time.sleep(0.0002)
                    number = message_id - campaign.message_ids[0] + 1
                    conn.execute(
                        "INSERT INTO suppressions (account_id, email_key, reason) VALUES (%s, %s, 'unsubscribe')",
                        (campaign.account_id, f"p{number}@people.test"),
                    )
                    committed[message_id] = time.monotonic()
                    done.append(message_id)

        async def mark(ids: list[int], done: list[int], begun: list[int]) -> None:
            for at, message_id in enumerate(ids):
                while len(done) < at - 2:  # noqa: ASYNC110 - the other side is a thread
                    await asyncio.sleep(0.0002)
                begun.append(message_id)
                asked[message_id] = time.monotonic()
                answers[message_id] = await e.services.ledger.exchange(
                    None, Mark(message_id, 0, 1, campaign.campaign_id)
                )

        jobs = []
        for side in range(SIDES):
            ids, done, begun = campaign.message_ids[side::SIDES], list[int](), list[int]()
            jobs += [asyncio.to_thread(unsubscribe, ids, done, begun), mark(ids, done, begun)]
        await asyncio.gather(*jobs)

        late = [number for number in campaign.message_ids if committed[number] < asked[number]]
        assert {answers[number] for number in late} == {"suppressed"}
        assert set(answers.values()) == {"suppressed", "marked"}, "one side was always first: no race"
        assert len(answers) == RACES
        (counts,) = e.rows("SELECT queued, sending, suppressed FROM batches")
        assert counts["queued"] == 0 and counts["sending"] + counts["suppressed"] == RACES

    engine(work)
