"""Rows 24 and 46: a relay that refuses us all the same, and an account that must not reach one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from tests.factories import a_sending_campaign, an_account
from tests.integration.smtp.scripted import Peer
from tests.integration.worker.engine import running_engine
from worker.tasks import send_batch


@asynccontextmanager
async def a_relay_that_answers(stage: str, reply: str) -> AsyncIterator[tuple[int, list[str]]]:
    """A relay with one answer to everything at `stage` (mail, rcpt, body); its port, and the recipients it heard of."""
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        await peer.say("220 relay.test")
        await peer.hello("PIPELINING")
        try:
            while True:
                line = await peer.line()
                verb = line[:4].lower()
                heard.extend([line] if verb == "rcpt" else [])
                if stage == "mail" and reply[0] == "5" and verb in ("rcpt", "data"):
                    await peer.say("503 5.5.1 MAIL first")
                elif verb == "data" and stage == "rcpt":
                    await peer.say("554 5.5.1 no valid recipients")
                elif verb == "data":
                    await peer.say("354 go on")
                    await reader.readuntil(b".\r\n")
                    await peer.say(reply if stage == "body" else "250 2.0.0 OK")
                else:
                    await peer.say(reply if verb == stage else "250 2.0.0 OK")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


@pytest.mark.parametrize(
    ("stage", "reply", "most"),
    [
        ("mail", "530 5.7.0 authentication required", 5),
        ("mail", "550 5.7.1 sender blocked", 5),
        ("body", "550 5.7.1 content policy", 5),
        ("body", "550 5.4.5 daily quota exceeded", 5),
        # At RCPT many servers say it about one recipient, so it takes more of them to believe it.
        ("rcpt", "550 5.7.1 relaying denied", 22),
    ],
    ids=["530 at MAIL", "5.7.1 at MAIL", "5.7.1 after the body", "5.4.5 after the body", "5.7.1 at RCPT"],
)
def test_row_24_a_relay_that_refuses_the_sender_pauses_the_campaign_and_suppresses_nobody(
    database_url: str, redis_url: str, stage: str, reply: str, most: int
) -> None:
    async def work() -> Any:
        async with a_relay_that_answers(stage, reply) as (port, heard):
            url = f"smtp://127.0.0.1:{port}?tls=none"
            async with running_engine(database_url, redis_url, smtp_url=url) as e:
                campaign = a_sending_campaign(e.db, an_account(e.db, transport="relay"), 60)
                e.do("UPDATE batches SET status = 'queued', job_id = NULL, due_at = now() - interval '1 s'")
                job = e.a_job("send_batch", id=campaign.batch_id, epoch=1)
                await asyncio.wait_for(send_batch.run(e.services, id=campaign.batch_id, epoch=1, job_id=job), 30)
                assert e.value("SELECT status FROM campaigns") == "paused"
                assert e.value("SELECT count(*) FROM suppressions") == 0
                failed = e.value("SELECT count(*) FROM messages WHERE status = 'failed'")
                assert 0 < failed <= most
                assert failed + e.value("SELECT count(*) FROM messages WHERE status = 'queued'") == 60
                assert reply[4:9] in e.value("SELECT error FROM campaigns")
                assert stage == "mail" or heard

    asyncio.run(work())


def test_row_46_a_demo_account_is_sent_to_the_sandbox_and_cannot_even_have_a_relay(
    database_url: str, redis_url: str
) -> None:
    """SMTP_URL is set and reachable; a relay of its own is refused by the database itself."""

    async def work() -> None:
        async with (
            a_relay_that_answers("mail", "250 2.1.0 OK") as (port, heard),
            running_engine(database_url, redis_url, smtp_url=f"smtp://127.0.0.1:{port}?tls=none") as e,
        ):
            campaign = a_sending_campaign(e.db, an_account(e.db, transport="sandbox"), 3)
            e.do("UPDATE accounts SET is_demo = true")
            with pytest.raises(psycopg.errors.IntegrityError):
                e.do(
                    "INSERT INTO relays (account_id, name, host, port, tls, is_default)"
                    " VALUES (%s, 'R', '127.0.0.1', %s, 'none', true)",
                    campaign.account_id, port,
                )  # fmt: skip
            with pytest.raises(psycopg.errors.IntegrityError):
                e.do("UPDATE accounts SET transport = 'relay'")
            e.do("UPDATE batches SET status = 'queued', job_id = NULL, due_at = now() - interval '1 s'")
            job = e.a_job("send_batch", id=campaign.batch_id, epoch=1)
            await asyncio.wait_for(send_batch.run(e.services, id=campaign.batch_id, epoch=1, job_id=job), 30)
            assert len(e.arrivals()) == 3
            assert heard == []

    asyncio.run(work())
