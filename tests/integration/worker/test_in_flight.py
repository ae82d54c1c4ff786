"""Several messages of one connection in doubt: what is recorded when, and what an end in the middle leaves.

With CHUNKING so many are in flight at once; without, one is, while the one before it is being recorded.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.embedded import free_port
from tests.chaos.sink import Journal, Relay
from tests.factories import MadeCampaign, a_sending_campaign, an_account
from tests.integration.worker.engine import Engine, running_engine
from worker import ledger, sending
from worker.ledger import Ledger
from worker.smtp.connection import BEHIND_IN_FLIGHT
from worker.tasks import send_batch

IN_FLIGHT = 16
RECIPIENTS = 64
both_ways = pytest.mark.parametrize(
    ("chunking", "in_doubt_max"), [(True, IN_FLIGHT), (False, BEHIND_IN_FLIGHT)], ids=["chunking", "records behind"]
)


class Log:
    """What the relay has accepted, in its own words."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def recipients(self) -> list[str]:
        return [json.loads(line)["to"] for line in self._path.read_text().splitlines()]

    async def has(self, count: int) -> None:
        while len(self.recipients()) < count:  # noqa: ASYNC110 - another server's file
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running_relay(log: Path, **behaviour: Any) -> AsyncIterator[int]:
    port, journal = free_port(), Journal(log)
    relay = Relay("127.0.0.1", port, journal, "seed")
    writing = asyncio.create_task(journal.run())
    await relay.obey({"set": {"chunking": True} | behaviour})
    try:
        yield port
    finally:
        await relay.obey({"set": {"down": True}})
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


Work = Callable[[Engine, MadeCampaign, Log], Awaitable[Any]]
RunInFlight = Callable[..., Any]


@pytest.fixture
def in_flight(database_url: str, redis_url: str, tmp_path: Path) -> RunInFlight:
    """Run with a batch that is due, through a relay that offers CHUNKING."""

    def run(work: Work, **behaviour: Any) -> None:
        async def go() -> None:
            async with running_relay(tmp_path / "log", **behaviour) as port:
                url = f"smtp://127.0.0.1:{port}?tls=none&in_flight={IN_FLIGHT}"
                async with running_engine(database_url, redis_url, smtp_url=url) as e:
                    account_id = an_account(e.db, limit=1_000_000, transport="relay")
                    made = a_sending_campaign(e.db, account_id, RECIPIENTS)
                    e.do("UPDATE batches SET status = 'queued', job_id = NULL, run = 0")
                    await asyncio.wait_for(work(e, made, Log(tmp_path / "log")), 60)

        asyncio.run(go())

    return run


async def send(e: Engine, made: MadeCampaign) -> None:
    job_id = e.a_job("send_batch", id=made.batch_id, epoch=1)
    await send_batch.run(e.services, id=made.batch_id, epoch=1, job_id=job_id)


def statuses(e: Engine) -> dict[str, str]:
    return {row["recipient"]: row["status"] for row in e.rows("SELECT recipient, status FROM messages")}


def test_answers_that_come_shortly_after_each_other_are_recorded_in_one_commit(in_flight: RunInFlight) -> None:
    async def work(e: Engine, made: MadeCampaign, log: Log) -> None:
        await send(e, made)
        assert Counter(log.recipients()) == dict.fromkeys(statuses(e), 1)
        assert set(statuses(e).values()) == {"sent"}
        assert e.services.ledger.groups < RECIPIENTS / 2

    in_flight(work, delay_s=0.002)


def test_what_several_connections_have_to_record_is_recorded_in_one_commit(
    in_flight: RunInFlight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what is in flight takes longer to be answered than they wait, and their waits end together, whenever they began."""
    groups: list[set[int]] = []
    write = Ledger._write

    async def watched(self: Ledger, conn: Any, group: list[Any], *others: Any, **more: Any) -> Any:
        groups.append({entry.result.message_id for entry in group if entry.result is not None})
        return await write(self, conn, group, *others, **more)

    monkeypatch.setattr(Ledger, "_write", watched)
    monkeypatch.setattr(ledger, "GATHER_S", 0.2)
    monkeypatch.setattr(sending, "PERMITS_FIRST", RECIPIENTS)  # nobody is late because it asks for more
    monkeypatch.setattr(sending, "LEASE_USE_S", 60.0)

    async def work(e: Engine, made: MadeCampaign, log: Log) -> None:
        other = a_sending_campaign(e.db, an_account(e.db, limit=1_000_000, transport="relay"), RECIPIENTS)
        e.do("UPDATE batches SET status = 'queued', job_id = NULL, run = 0")
        first = asyncio.create_task(send(e, made))
        await log.has(4)
        await asyncio.gather(first, send(e, other))
        of_one = {
            row["message_id"]
            for row in e.rows("SELECT message_id FROM messages WHERE campaign_id = %s", made.campaign_id)
        }
        recorded = [group for group in groups if group]
        assert sum(len(group) for group in recorded) == 2 * RECIPIENTS
        assert sum(bool(group & of_one and group - of_one) for group in recorded) > len(recorded) / 2

    in_flight(work, delay_s=0.03)


@both_ways
def test_never_are_more_in_doubt_than_in_flight(in_flight: RunInFlight, chunking: bool, in_doubt_max: int) -> None:
    """What has been answered and is not recorded counts as in flight: a kill at that moment could not tell them apart."""

    async def work(e: Engine, made: MadeCampaign, _: Log) -> None:
        sending = asyncio.create_task(send(e, made))
        most = 0
        while not sending.done():
            most = max(most, e.value("SELECT sending FROM batches"))
            await asyncio.sleep(0.001)
        await sending
        assert 0 < most <= in_doubt_max
        assert set(statuses(e).values()) == {"sent"}

    in_flight(work, delay_s=0.005, chunking=chunking)


@both_ways
@pytest.mark.parametrize("accepted", [0, 1, 7, 16, 17, 40])
def test_a_job_that_is_cancelled_records_what_it_knows_and_doubts_only_what_was_on_the_wire(
    in_flight: RunInFlight, chunking: bool, in_doubt_max: int, accepted: int
) -> None:
    async def work(e: Engine, made: MadeCampaign, log: Log) -> None:
        sending = asyncio.create_task(send(e, made))
        await log.has(accepted)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await e.services.ledger.flush()
        found = statuses(e)
        assert "sending" not in found.values(), "a mark nobody answers for"
        assert Counter(found.values())["uncertain"] <= in_doubt_max
        assert {found[recipient] for recipient in log.recipients()} <= {"sent", "uncertain"}
        assert all(recipient in log.recipients() for recipient, status in found.items() if status == "sent")

    in_flight(work, delay_s=0.003, chunking=chunking)


def test_an_answer_that_came_is_recorded_though_the_job_is_cancelled_before_its_next_message_is_had(
    in_flight: RunInFlight, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = sending.Run._prepare
    has_answer = asyncio.Event()

    async def stuck(self: sending.Run, connection: Any) -> Any:
        """As with a limiter that does not answer."""
        if self.sent:
            has_answer.set()
            await asyncio.Event().wait()
        return await prepare(self, connection)

    monkeypatch.setattr(sending.Run, "_prepare", stuck)

    async def work(e: Engine, made: MadeCampaign, log: Log) -> None:
        job = asyncio.create_task(send(e, made))
        await has_answer.wait()
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        await e.services.ledger.flush()
        assert statuses(e)[log.recipients()[0]] == "sent"
        assert "sending" not in statuses(e).values()

    in_flight(work, chunking=False)


@pytest.mark.parametrize(("large_size", "made_ahead"), [(10_000_000, IN_FLIGHT), (0, 1)], ids=["small", "large"])
def test_of_large_messages_one_is_made_ahead_and_of_small_ones_as_many_as_may_be_in_flight(
    in_flight: RunInFlight, monkeypatch: pytest.MonkeyPatch, large_size: int, made_ahead: int
) -> None:
    most = 0
    render_ahead = sending.Run._render_ahead

    def noting(self: sending.Run, connection: Any) -> None:
        nonlocal most
        render_ahead(self, connection)
        most = max(most, len(self._rendered))

    monkeypatch.setattr(sending, "LARGE_SIZE", large_size)
    monkeypatch.setattr(sending.Run, "_render_ahead", noting)

    async def work(e: Engine, made: MadeCampaign, _: Log) -> None:
        await send(e, made)
        assert set(statuses(e).values()) == {"sent"}
        assert 0 < most <= made_ahead

    in_flight(work, delay_s=0.001)
