"""Marks and results, against a real PostgreSQL: what is durable, what is refused, and that the counters follow."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.factories import MadeCampaign, a_sending_campaign, an_account, an_api_message
from worker.ledger import Ledger, Mark, Result, Unsent


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def db(database_url: str) -> Any:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def campaign(db: Any) -> MadeCampaign:
    return a_sending_campaign(db, an_account(db), 5)


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


def mark(campaign: MadeCampaign, n: int, attempt: int = 0, epoch: int = 1) -> Mark:
    return Mark(campaign.message_ids[n], attempt, epoch, campaign.campaign_id)


def result(message_id: int, status: Any = "sent", outcome: Any = None, *, attempt: int = 1, **more: Any) -> Result:
    return Result(message_id, attempt, status, outcome or status, "250 2.0.0 OK", **more)


def message(db: Any, message_id: int) -> dict[str, Any]:
    row: dict[str, Any] = (
        db.cursor(row_factory=dict_row)
        .execute("SELECT * FROM messages WHERE message_id = %s", (message_id,))
        .fetchone()
    )
    return row


def counts(db: Any, campaign: MadeCampaign) -> dict[str, int]:
    row = (
        db.cursor(row_factory=dict_row)
        .execute(
            "SELECT queued, sending, sent, failed, uncertain, suppressed, expired, cancelled FROM batches WHERE batch_id = %s",
            (campaign.batch_id,),
        )
        .fetchone()
    )
    return {name: value for name, value in row.items() if value}


def counted(db: Any, campaign: MadeCampaign) -> dict[str, int]:
    rows = db.execute(
        "SELECT status, count(*) FROM messages WHERE campaign_id = %s GROUP BY status", (campaign.campaign_id,)
    ).fetchall()
    return dict(rows)


def test_a_mark_and_a_result_move_the_message_and_its_batchs_counters(
    db: Any, database_url: str, campaign: MadeCampaign
) -> None:
    async def work(ledger: Ledger) -> None:
        assert await ledger.exchange(None, mark(campaign, 0)) == "marked"
        assert counts(db, campaign) == {"queued": 4, "sending": 1}
        assert await ledger.exchange(result(campaign.message_ids[0]), mark(campaign, 1)) == "marked"

    with_ledger(database_url, work)
    assert counts(db, campaign) == {"queued": 3, "sending": 1, "sent": 1} == counted(db, campaign)
    sent = message(db, campaign.message_ids[0])
    assert (sent["status"], sent["attempt"], sent["reply"]) == ("sent", 1, "250 2.0.0 OK")


def test_many_connections_share_group_commits(db: Any, database_url: str) -> None:
    campaign = a_sending_campaign(db, an_account(db), 400)

    async def one(ledger: Ledger, ids: list[int]) -> None:
        previous = None
        for message_id in ids:
            assert await ledger.exchange(previous, Mark(message_id, 0, 1, campaign.campaign_id)) == "marked"
            previous = result(message_id)
        await ledger.exchange(previous, None)

    async def work(ledger: Ledger) -> int:
        await asyncio.gather(*(one(ledger, campaign.message_ids[n::20]) for n in range(20)))
        return ledger.groups

    groups = with_ledger(database_url, work)
    assert counts(db, campaign) == {"sent": 400}
    assert groups < 200


def test_neighbours_that_go_together_stay_in_their_pages(db: Any, database_url: str) -> None:
    """An update that finds no room there writes three index entries besides, and leaves as many dead ones."""
    campaign = a_sending_campaign(db, an_account(db), 400)
    groups = [campaign.message_ids[n : n + 8] for n in range(0, 400, 8)]
    reply = "250 2.0.0 Ok: 6849 bytes queued as 278543A25"

    async def work(ledger: Ledger) -> None:
        sent: list[int] = []
        for group in [*groups, []]:
            pairs = zip_longest((result(number)._replace(reply=reply) for number in sent), group)
            answers = [
                ledger.hand_over(known, Mark(number, 0, 1, campaign.campaign_id) if number else None)
                for known, number in pairs
            ]
            assert {await answer for answer in answers} == ({"marked"} if group else {"none"})
            sent = group

    before = pages(db, campaign)
    with_ledger(database_url, work)
    assert counts(db, campaign) == {"sent": 400}
    moved = [number for number, page in pages(db, campaign).items() if page != before[number]]
    assert len(moved) <= 400 * 0.02


def pages(db: Any, campaign: MadeCampaign) -> dict[int, int]:
    """On which page of the table each message is."""
    return dict(
        db.execute(
            "SELECT message_id, (ctid::text::point)[0]::integer FROM messages WHERE campaign_id = %s",
            (campaign.campaign_id,),
        ).fetchall()
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE campaigns SET status = 'paused', epoch = epoch + 1", "paused"),
        ("UPDATE campaigns SET status = 'cancelled', epoch = epoch + 1", "cancelled"),
        ("UPDATE campaigns SET epoch = epoch + 1", "another epoch"),
        ("UPDATE messages SET attempt = 1", "another attempt has begun"),
        ("UPDATE messages SET status = 'cancelled'", "no longer queued"),
    ],
    ids=lambda value: value if not value.startswith("UPDATE") else "",
)
def test_a_mark_is_refused_when_the_message_may_not_go(
    db: Any, database_url: str, campaign: MadeCampaign, change: str, why: str
) -> None:
    db.execute(change.encode())

    async def work(ledger: Ledger) -> str:
        return await ledger.exchange(None, mark(campaign, 0))

    assert with_ledger(database_url, work) == "stopped", why
    assert message(db, campaign.message_ids[0])["status"] != "sending"


@pytest.mark.parametrize("reason", ["unsubscribe", "hard_bounce", "complaint", "manual"])
def test_a_suppression_that_was_committed_before_the_mark_settles_the_message(
    db: Any, database_url: str, campaign: MadeCampaign, reason: str
) -> None:
    db.execute(
        "INSERT INTO suppressions (account_id, email_key, reason) VALUES (%s, 'p1@people.test', %s)",
        (campaign.account_id, reason),
    )

    async def work(ledger: Ledger) -> str:
        return await ledger.exchange(None, mark(campaign, 0))

    assert with_ledger(database_url, work) == "suppressed"
    assert counts(db, campaign) == {"queued": 4, "suppressed": 1} == counted(db, campaign)


def test_a_result_of_an_earlier_attempt_withdraws_no_mark(db: Any, database_url: str, campaign: MadeCampaign) -> None:
    """A job that was taken back may run here again beside its first run, which is ended then."""
    message_id = campaign.message_ids[0]
    db.execute("UPDATE messages SET attempt = 1 WHERE message_id = %s", (message_id,))

    async def work(ledger: Ledger) -> str:
        wanted = ledger.hand_over(None, mark(campaign, 0, attempt=1))
        ledger.record(result(message_id, "uncertain", attempt=1))
        return await wanted

    assert with_ledger(database_url, work) == "marked"


def test_row_50_a_contact_that_was_deleted_between_two_tries_or_before_a_repeat_gets_nothing(
    db: Any, database_url: str, campaign: MadeCampaign
) -> None:
    """Its message was under way, or not there yet, when the contact was deleted."""
    message_id = campaign.message_ids[0]

    async def work(ledger: Ledger) -> str:
        await ledger.exchange(None, mark(campaign, 0))
        db.execute(
            "DELETE FROM contacts WHERE contact_id = (SELECT contact_id FROM messages WHERE message_id = %s)",
            (message_id,),
        )
        await ledger.exchange(result(message_id, "queued", "try_later"), None)
        return await ledger.exchange(None, mark(campaign, 0, attempt=1))

    assert with_ledger(database_url, work) == "suppressed"
    assert message(db, message_id)["status"] == "cancelled"
    assert counts(db, campaign) == {"queued": 4, "cancelled": 1} == counted(db, campaign)


def test_an_unsubscribe_does_not_stop_an_api_message_but_a_bounce_does(db: Any, database_url: str) -> None:
    account_id = an_account(db)
    first, second = (an_api_message(db, account_id, to=f"{name}@people.test") for name in ("first", "second"))
    for name, reason in (("first", "unsubscribe"), ("second", "hard_bounce")):
        db.execute(
            "INSERT INTO suppressions (account_id, email_key, reason) VALUES (%s, %s, %s)",
            (account_id, f"{name}@people.test", reason),
        )

    async def work(ledger: Ledger) -> list[str]:
        return [await ledger.exchange(None, Mark(message_id, 0, 0)) for message_id in (first, second)]

    assert with_ledger(database_url, work) == ["marked", "suppressed"]
    assert db.execute("SELECT message_id FROM due_messages").fetchall() == [(first,)]


def test_a_late_result_counts_only_when_nothing_newer_decided(
    db: Any, database_url: str, campaign: MadeCampaign
) -> None:
    """A frozen worker comes back: its message became uncertain meanwhile (true now: sent), or was tried again."""
    uncertain, retried = campaign.message_ids[:2]

    async def work(ledger: Ledger) -> None:
        await ledger.exchange(None, mark(campaign, 0))
        await ledger.exchange(None, mark(campaign, 1))
        db.execute("UPDATE messages SET status = 'uncertain' WHERE message_id = %s", (uncertain,))
        db.execute("UPDATE messages SET status = 'sending', attempt = 2 WHERE message_id = %s", (retried,))
        db.execute("UPDATE batches SET sending = 1, uncertain = 1")
        await ledger.exchange(result(uncertain), None)
        await ledger.exchange(result(retried), None)

    with_ledger(database_url, work)
    assert message(db, uncertain)["status"] == "sent"
    assert message(db, retried)["status"] == "sending"
    assert counts(db, campaign) == {"queued": 3, "sending": 1, "sent": 1} == counted(db, campaign)


def test_the_same_result_twice_counts_once(db: Any, database_url: str, campaign: MadeCampaign) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.exchange(None, mark(campaign, 0))
        for _ in range(2):
            await ledger.exchange(result(campaign.message_ids[0]), None)

    with_ledger(database_url, work)
    assert counts(db, campaign) == {"queued": 4, "sent": 1}
    assert db.execute("SELECT sum(sent) FROM throughput").fetchone() == (1,)


def test_a_mark_that_nobody_waits_for_any_more_is_withdrawn_before_it_is_given(
    db: Any, database_url: str, campaign: MadeCampaign
) -> None:
    """A worker that has to end while its marks are on their way: nothing of these messages has left."""

    async def work(ledger: Ledger) -> None:
        await ledger.exchange(None, mark(campaign, 0))
        done = campaign.message_ids[0]
        waiting = [ledger.hand_over(result(done), mark(campaign, 1)), ledger.hand_over(None, mark(campaign, 2))]
        for each, message_id in zip(waiting, campaign.message_ids[1:3], strict=True):
            each.cancel()
            ledger.record(result(message_id, "queued", "not_sent"))
        await ledger.flush()

    with_ledger(database_url, work)
    assert counts(db, campaign) == {"queued": 4, "sent": 1} == counted(db, campaign)
    assert message(db, campaign.message_ids[1])["attempt"] == 0


def test_a_temporary_failure_goes_back_to_the_queue_with_its_history(
    db: Any, database_url: str, campaign: MadeCampaign
) -> None:
    at = utc_now() + timedelta(minutes=6)

    async def work(ledger: Ledger) -> None:
        await ledger.exchange(None, mark(campaign, 0))
        await ledger.exchange(result(campaign.message_ids[0], "queued", "try_later", next_at=at, burn=1), None)

    with_ledger(database_url, work)
    row = message(db, campaign.message_ids[0])
    assert (row["status"], row["send_after"], row["burned"]) == ("queued", at, 1)
    assert db.execute("SELECT attempt, outcome, reply FROM attempts").fetchall() == [(1, "try_later", "250 2.0.0 OK")]
    assert counts(db, campaign) == {"queued": 5}


def test_an_api_message_that_is_tried_later_gets_one_wake_up_and_leaves_when_it_is_final(
    db: Any, database_url: str
) -> None:
    account_id = an_account(db)
    message_id = an_api_message(db, account_id)
    at = utc_now() + timedelta(minutes=1)

    async def work(ledger: Ledger) -> None:
        await ledger.exchange(None, Mark(message_id, 0, 0))
        await ledger.exchange(result(message_id, "queued", "try_later", next_at=at, is_api=True), None)
        assert db.execute("SELECT send_after, job_id FROM due_messages").fetchall() == [(at, None)]
        jobs = db.execute("SELECT task_name, args ->> 'id' FROM procrastinate_jobs").fetchall()
        assert jobs == [("send_due", str(account_id))]
        await ledger.exchange(None, Mark(message_id, 1, 0))
        await ledger.exchange(result(message_id, attempt=2, is_api=True), None)

    with_ledger(database_url, work)
    assert db.execute("SELECT count(*) FROM due_messages").fetchone() == (0,)


def test_row_23_a_hard_bounce_suppresses_the_address(db: Any, database_url: str, campaign: MadeCampaign) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.exchange(None, mark(campaign, 2))
        await ledger.exchange(result(campaign.message_ids[2], "failed", suppress=True), None)

    with_ledger(database_url, work)
    assert db.execute("SELECT email_key, reason FROM suppressions").fetchall() == [("p3@people.test", "hard_bounce")]


def test_a_message_that_cannot_be_made_fails_without_an_attempt(
    db: Any, database_url: str, campaign: MadeCampaign
) -> None:
    async def work(ledger: Ledger) -> None:
        ledger.settle_unsent(Unsent(campaign.message_ids[0], 0, "failed", "first_name is missing"))
        await ledger.flush()

    with_ledger(database_url, work)
    row = message(db, campaign.message_ids[0])
    assert (row["status"], row["attempt"], row["reply"]) == ("failed", 0, "first_name is missing")
    assert counts(db, campaign) == {"queued": 4, "failed": 1} == counted(db, campaign)


def test_row_06_results_are_kept_and_marks_held_back_while_the_database_cuts_connections(
    db: Any, database_url: str, campaign: MadeCampaign
) -> None:
    cut = b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mailtide-ledger'"

    async def work(ledger: Ledger) -> None:
        for n in range(5):
            assert await ledger.exchange(None, mark(campaign, n)) == "marked"
            db.execute(cut)
            await ledger.exchange(result(campaign.message_ids[n]), None)

    with_ledger(database_url, work)
    assert counts(db, campaign) == {"sent": 5}


def test_a_mark_whose_commit_was_not_acknowledged_is_recognised_when_it_is_repeated(
    db: Any, database_url: str, campaign: MadeCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT reached the server, its answer did not reach us: the message must be sent once, not stuck."""
    written = Ledger._commit_group
    lost: list[int] = []

    async def loses_its_answer(self: Ledger, *args: Any) -> tuple[list[int], list[int]]:
        marked, counted = await written(self, *args)
        if not lost:
            lost.extend(marked)
            raise psycopg.OperationalError("the connection was cut")
        return marked, counted

    monkeypatch.setattr(Ledger, "_commit_group", loses_its_answer)

    async def work(ledger: Ledger) -> str:
        return await ledger.exchange(None, mark(campaign, 0))

    assert with_ledger(database_url, work) == "marked"
    assert lost == [campaign.message_ids[0]]
    assert message(db, campaign.message_ids[0])["attempt"] == 1


def test_a_reply_is_kept_to_the_letter_whatever_it_contains(db: Any, database_url: str, campaign: MadeCampaign) -> None:
    reply = 'nil "quoted" \\ {brace}, comma \x00 NULL é'

    async def work(ledger: Ledger) -> None:
        await ledger.exchange(None, mark(campaign, 0))
        await ledger.exchange(Result(campaign.message_ids[0], 1, "failed", "failed", reply), None)

    with_ledger(database_url, work)
    assert message(db, campaign.message_ids[0])["reply"] == reply.replace("\x00", "")


def test_a_group_reads_its_own_rows_however_small_the_tables_were_when_it_was_planned(
    db: Any, database_url: str
) -> None:
    # All are empty, so that any plan costs nothing.
    db.execute("VACUUM ANALYZE messages, contacts, campaigns, batches, suppressions")
    made: list[MadeCampaign] = []

    async def send_two(ledger: Ledger) -> None:
        await ledger.flush()  # connected, and its plan made
        made.append(a_sending_campaign(db, an_account(db), 2000))
        for number in (0, 1):
            assert await ledger.exchange(None, mark(made[0], number)) == "marked"
            assert await ledger.exchange(result(made[0].message_ids[number]), None) == "none"

    updated = read = 0
    with_ledger(database_url, send_two)
    while updated < 4:  # its connection leaves its counts when it has ended
        updated, read = db.execute(
            "SELECT n_tup_upd, seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'messages'"
        ).fetchone()
    assert read < 100
    assert counts(db, made[0]) == {"queued": 1998, "sent": 2}
