"""Row 50: a contact is deleted in the middle of a campaign. Nothing is marked for it after that commit."""

import asyncio
import time
from collections import Counter

import psycopg
import pytest
from psycopg.rows import dict_row

from app.commands.contacts import delete_contact
from app.domain.errors import NotFound
from tests.factories import a_sending_campaign, an_account
from tests.integration.worker.engine import Engine, RunEngine
from worker import clock_loop
from worker.ledger import Mark, Result
from worker.tasks import send_batch

PEOPLE = 400


def delete(e: Engine, account_id: int, contact_id: int) -> None:
    with psycopg.connect(e.services.settings.postgres_url, row_factory=dict_row) as conn:
        delete_contact(conn, account_id=account_id, contact_id=contact_id, now=e.services.now())


def test_row_50_nothing_goes_to_a_contact_after_its_deletion_was_committed_however_close(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        campaign = a_sending_campaign(e.db, an_account(e.db), PEOPLE)
        contacts = {
            row["message_id"]: row["contact_id"] for row in e.rows("SELECT message_id, contact_id FROM messages")
        }
        committed: dict[int, float] = {}
        asked: dict[int, float] = {}
        answers: dict[int, str] = {}

        def delete_all() -> None:
            with psycopg.connect(e.services.settings.postgres_url, row_factory=dict_row) as conn:
                for message_id in campaign.message_ids:
                    delete_contact(
                        conn, account_id=campaign.account_id, contact_id=contacts[message_id], now=e.services.now()
                    )  # fmt: skip
                    conn.commit()
                    committed[message_id] = time.monotonic()

        async def mark_all() -> None:
            for at, message_id in enumerate(campaign.message_ids):
                while len(committed) < at - 2:  # noqa: ASYNC110 - the other side is a thread
                    await asyncio.sleep(0)
                asked[message_id] = time.monotonic()
                answers[message_id] = await e.services.ledger.exchange(
                    None, Mark(message_id, 0, 1, campaign.campaign_id)
                )
                if answers[message_id] == "marked":
                    done = Result(message_id, 1, "sent", "sent", "250 2.0.0 OK", e.services.now())
                    await e.services.ledger.exchange(done, None)

        await asyncio.gather(asyncio.to_thread(delete_all), mark_all())
        late = [number for number in campaign.message_ids if committed[number] < asked[number]]
        assert late, "the race was never run"
        assert [answers[number] for number in late] == ["stopped"] * len(late)
        statuses = Counter(row["status"] for row in e.rows("SELECT status FROM messages"))
        assert set(statuses) <= {"sent", "cancelled"} and sum(statuses.values()) == PEOPLE
        (counts,) = e.rows("SELECT queued, sending, sent, cancelled FROM batches")
        assert counts == {"queued": 0, "sending": 0, "sent": statuses["sent"], "cancelled": statuses["cancelled"]}

    engine(work)


def test_row_50_the_campaign_goes_on_for_everybody_else_and_ends(engine: RunEngine) -> None:
    async def work(e: Engine) -> None:
        campaign = a_sending_campaign(e.db, an_account(e.db), 5)
        e.do("UPDATE batches SET status = 'queued', job_id = NULL, run = 0")
        (gone,) = e.rows("SELECT contact_id FROM contacts WHERE email = 'p3@people.test'")
        delete(e, campaign.account_id, gone["contact_id"])
        job_id = e.a_job("send_batch", id=campaign.batch_id, epoch=1)
        await send_batch.run(e.services, id=campaign.batch_id, epoch=1, job_id=job_id)
        await clock_loop.tick(e.services)
        assert sorted(e.arrivals()) == [f"p{n}@people.test" for n in (1, 2, 4, 5)]
        assert e.value("SELECT status FROM campaigns") == "sent"

    engine(work)


def test_row_50_what_is_left_of_a_deleted_contact_is_the_record_of_what_was_sent_to_it(engine: RunEngine) -> None:
    """The whole database is searched, row by row, for its address and for its merge values."""

    async def work(e: Engine) -> None:
        account_id = an_account(e.db)
        campaign = a_sending_campaign(e.db, account_id, 2)
        (contact,) = e.rows("SELECT contact_id FROM contacts WHERE email = 'p1@people.test'")
        e.do(
            'UPDATE contacts SET attributes = attributes || \'{"city": "Ulaanbaatar"}\' WHERE contact_id = %s',
            contact["contact_id"],
        )
        list_id = e.value("INSERT INTO lists (account_id, name) VALUES (%s, 'L') RETURNING list_id", account_id)
        e.do(
            "INSERT INTO list_contacts (account_id, list_id, contact_id) VALUES (%s, %s, %s)",
            account_id,
            list_id,
            contact["contact_id"],
        )
        e.do("UPDATE batches SET status = 'queued', job_id = NULL, run = 0")
        job_id = e.a_job("send_batch", id=campaign.batch_id, epoch=1)
        await send_batch.run(e.services, id=campaign.batch_id, epoch=1, job_id=job_id)
        delete(e, account_id, contact["contact_id"])
        assert tables_with(e, "p1@people.test") == {"messages", "inbox"}
        assert tables_with(e, "Ulaanbaatar") == set()
        assert e.rows("SELECT 1 FROM list_contacts") == []
        with pytest.raises(NotFound):
            delete(e, account_id, contact["contact_id"])

    engine(work)


def tables_with(e: Engine, text: str) -> set[str]:
    """The tables in which some row holds `text` anywhere."""
    names = [row["tablename"] for row in e.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return {name for name in names if e.rows(f'SELECT 1 FROM "{name}" AS t WHERE t::text LIKE %s LIMIT 1', f"%{text}%")}
