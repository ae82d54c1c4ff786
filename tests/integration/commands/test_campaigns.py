"""What a person does with a campaign, down to the rows and jobs."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from app.commands import campaigns
from app.domain.audience import ContactsAudience, GivenContact, ImportAudience, ListsAudience
from app.domain.errors import Conflict, InvalidInput, NotFound, WrongState
from tests.integration.campaign_rows import assert_ledger_adds_up, materialise

Conn = psycopg.Connection[dict[str, Any]]
NOW = datetime(2030, 1, 1, 9, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)


@pytest.fixture
def conn(database_url: str) -> Iterator[Conn]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as opened:
        yield opened


@pytest.fixture
def account_id(conn: Conn) -> int:
    return add_account(conn)


def add_account(conn: Conn) -> int:
    account_id = int(value(conn, "INSERT INTO accounts (name) VALUES ('Test') RETURNING account_id"))
    conn.execute(
        "INSERT INTO senders (account_id, email, is_default) VALUES (%s, 'a@example.test', true)", (account_id,)
    )
    conn.execute(
        "INSERT INTO limits (account_id, scope, max_count, window_s) VALUES (%s, 'account', 1000, 3600)", (account_id,)
    )
    return account_id


def value(conn: Conn, statement: str, *params: Any) -> Any:
    row = conn.execute(statement, params).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return next(iter(row.values()))


def audience(*addresses: str, **attributes: str) -> ContactsAudience:
    return ContactsAudience(tuple(GivenContact(address, attributes) for address in addresses))


def make(conn: Conn, account_id: int, *addresses: str, **changes: Any) -> int:
    wanted: Any = {
        "name": "News", "subject": "Hello", "html": "<p>Hello</p>",
        "audience": audience(*(addresses or ("a@example.test", "b@example.test", "c@example.test"))), **changes,
    }  # fmt: skip
    with conn.transaction():
        return campaigns.create(conn, account_id=account_id, changes=wanted, now=NOW)


def get(conn: Conn, campaign_id: int) -> dict[str, Any]:
    row = conn.execute("SELECT * FROM campaigns WHERE campaign_id = %s", (campaign_id,)).fetchone()
    assert row is not None
    return row


def jobs(conn: Conn, task: str) -> list[dict[str, Any]]:
    return conn.execute(
        "SELECT queue_name, args, scheduled_at FROM procrastinate_jobs WHERE task_name = %s ORDER BY id", (task,)
    ).fetchall()


def launched(conn: Conn, account_id: int, *addresses: str, at: datetime | None = None, **changes: Any) -> int:
    campaign_id = make(conn, account_id, *addresses, **changes)
    with conn.transaction():
        campaigns.launch(conn, account_id=account_id, campaign_id=campaign_id, scheduled_at=at, now=NOW)
    return campaign_id


def begin(conn: Conn, campaign_id: int, status: str = "sending") -> None:
    """What the engine does with the first batch, and with the last."""
    conn.execute("UPDATE campaigns SET status = %s, started_at = %s WHERE campaign_id = %s", (status, NOW, campaign_id))


# --- writing


def test_a_new_campaign_is_a_draft_with_the_default_sender_and_its_contacts(conn: Conn, account_id: int) -> None:
    campaign_id = make(conn, account_id, "a@example.test", "b@example.test", "A@example.test")
    row = get(conn, campaign_id)
    assert (row["status"], row["epoch"], row["audience_duplicates"]) == ("draft", 0, 1)
    assert row["sender_id"] is not None
    assert value(conn, "SELECT count(*) FROM campaign_contacts WHERE campaign_id = %s", campaign_id) == 2


def test_contacts_given_again_keep_their_attributes_and_gain_the_new_ones(conn: Conn, account_id: int) -> None:
    make(conn, account_id, audience=audience("a@example.test", city="Oslo", plan="free"))
    make(conn, account_id, audience=audience("A@EXAMPLE.test", plan="paid"))
    assert value(conn, "SELECT attributes FROM contacts") == {"city": "Oslo", "plan": "paid"}


def test_of_an_address_given_twice_the_last_one_counts(conn: Conn, account_id: int) -> None:
    first, last = GivenContact("a@example.test", {"city": "Oslo"}), GivenContact("A@example.test", {"city": "Rome"})
    make(conn, account_id, audience=ContactsAudience((first, last)))
    assert value(conn, "SELECT attributes FROM contacts") == {"city": "Rome"}


def test_a_merge_tag_that_the_audience_has_no_value_for_is_refused_and_nothing_is_stored(
    conn: Conn, account_id: int
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(conn, account_id, html="<p>{{ frist_name }}</p>", audience=audience("a@example.test", first_name="Ada"))
    assert [fault.pointer for fault in caught.value.faults] == ["/html"]
    assert value(conn, "SELECT count(*) FROM campaigns") == 0
    assert value(conn, "SELECT count(*) FROM contacts") == 0


def test_the_merge_tags_of_an_import_are_those_of_its_mapping(conn: Conn, account_id: int) -> None:
    import_id = value(
        conn,
        "INSERT INTO imports (account_id, status, mapping) VALUES (%s, 'done', %s) RETURNING import_id",
        account_id, '{"email": "E-Mail", "first_name": "Vorname"}',
    )  # fmt: skip
    make(conn, account_id, html="{{ first_name }} {{ email }}", audience=ImportAudience(import_id))
    with pytest.raises(InvalidInput):
        make(conn, account_id, html="{{ city }}", audience=ImportAudience(import_id))


def test_the_merge_tags_of_lists_are_those_of_their_contacts(conn: Conn, account_id: int) -> None:
    list_id = value(conn, "INSERT INTO lists (account_id, name) VALUES (%s, 'All') RETURNING list_id", account_id)
    contact_id = value(
        conn,
        "INSERT INTO contacts (account_id, email, attributes) VALUES (%s, 'a@example.test', %s) RETURNING contact_id",
        account_id, '{"city": "Oslo"}',
    )  # fmt: skip
    conn.execute("INSERT INTO list_contacts VALUES (%s, %s, %s)", (account_id, list_id, contact_id))
    make(conn, account_id, html="{{ city }}", audience=ListsAudience((list_id, list_id)))
    with pytest.raises(InvalidInput):
        make(conn, account_id, html="{{ plan }}", audience=ListsAudience((list_id,)))


def test_another_accounts_sender_import_and_list_are_unknown(conn: Conn, account_id: int) -> None:
    other = add_account(conn)
    sender_id = value(conn, "SELECT sender_id FROM senders WHERE account_id = %s", other)
    import_id = value(conn, "INSERT INTO imports (account_id) VALUES (%s) RETURNING import_id", other)
    list_id = value(conn, "INSERT INTO lists (account_id, name) VALUES (%s, 'All') RETURNING list_id", other)
    for changes, pointer in (
        ({"sender_id": sender_id}, "/sender_id"),
        ({"audience": ImportAudience(import_id)}, "/audience/import_id"),
        ({"audience": ListsAudience((list_id,))}, "/audience/list_ids/0"),
    ):
        with pytest.raises(InvalidInput) as caught:
            make(conn, account_id, **changes)
        assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_a_draft_is_changed_only_where_it_was_asked_for(conn: Conn, account_id: int) -> None:
    campaign_id = make(conn, account_id)
    with conn.transaction():
        campaigns.update(
            conn, account_id=account_id, campaign_id=campaign_id, now=LATER,
            changes={"subject": "Other", "limit": campaigns.LimitChoice(60, 60)},
        )  # fmt: skip
    row = get(conn, campaign_id)
    assert (row["name"], row["subject"], row["html"], row["updated_at"]) == ("News", "Other", "<p>Hello</p>", LATER)
    assert row["audience"]["kind"] == "contacts"
    assert value(conn, "SELECT max_count FROM limits WHERE campaign_id = %s", campaign_id) == 60
    with conn.transaction():
        campaigns.update(
            conn, account_id=account_id, campaign_id=campaign_id, now=LATER, changes={"limit": None, "audience": None}
        )
    assert get(conn, campaign_id)["audience"] is None
    assert value(conn, "SELECT count(*) FROM limits WHERE campaign_id = %s", campaign_id) == 0
    assert value(conn, "SELECT count(*) FROM campaign_contacts") == 0


def test_a_launched_campaign_can_be_neither_changed_nor_deleted(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id, at=LATER)
    with pytest.raises(WrongState, match="scheduled, so it cannot be changed"):
        campaigns.update(conn, account_id=account_id, campaign_id=campaign_id, changes={"subject": "x"}, now=NOW)
    with pytest.raises(WrongState, match="cannot be deleted"):
        campaigns.delete(conn, account_id=account_id, campaign_id=campaign_id)


def test_a_deleted_draft_leaves_its_contacts_and_takes_its_limit(conn: Conn, account_id: int) -> None:
    campaign_id = make(conn, account_id, limit=campaigns.LimitChoice(10, 60))
    with conn.transaction():
        campaigns.delete(conn, account_id=account_id, campaign_id=campaign_id)
    assert value(conn, "SELECT count(*) FROM campaigns") == 0
    assert value(conn, "SELECT count(*) FROM limits WHERE scope = 'campaign'") == 0
    assert value(conn, "SELECT count(*) FROM campaign_contacts") == 0
    assert value(conn, "SELECT count(*) FROM contacts") == 3


def test_a_copy_is_a_draft_with_the_same_contacts_and_limit(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id, limit=campaigns.LimitChoice(10, 60))
    with conn.transaction():
        copy_id = campaigns.duplicate(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    row = get(conn, copy_id)
    assert (row["name"], row["status"], row["epoch"], row["scheduled_at"]) == ("Copy of News", "draft", 0, None)
    assert value(conn, "SELECT count(*) FROM campaign_contacts WHERE campaign_id = %s", copy_id) == 3
    assert value(conn, "SELECT max_count FROM limits WHERE campaign_id = %s", copy_id) == 10


def test_another_accounts_campaign_is_not_there(conn: Conn, account_id: int) -> None:
    campaign_id, other = make(conn, account_id), add_account(conn)
    for command in (campaigns.launch, campaigns.pause, campaigns.resume, campaigns.cancel, campaigns.duplicate,
                    campaigns.unschedule, campaigns.retry_failed):  # fmt: skip
        with pytest.raises(NotFound):
            command(conn, account_id=other, campaign_id=campaign_id, now=NOW)
    assert get(conn, campaign_id)["status"] == "draft"


# --- launching


def test_a_launch_now_commits_the_state_and_one_job_together(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id)
    row = get(conn, campaign_id)
    assert (row["status"], row["epoch"], row["scheduled_at"], row["launched_at"]) == ("scheduled", 1, NOW, NOW)
    assert jobs(conn, "launch_campaign") == [
        {"queue_name": "control", "args": {"id": campaign_id, "epoch": 1}, "scheduled_at": None}
    ]


def test_a_launch_that_rolls_back_leaves_no_job(conn: Conn, account_id: int) -> None:
    campaign_id = make(conn, account_id)
    with pytest.raises(ZeroDivisionError), conn.transaction():
        campaigns.launch(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
        raise ZeroDivisionError
    assert get(conn, campaign_id)["status"] == "draft"
    assert jobs(conn, "launch_campaign") == []


def test_a_launch_for_later_wakes_half_a_minute_before(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id, at=LATER)
    assert get(conn, campaign_id)["scheduled_at"] == LATER
    assert jobs(conn, "launch_campaign")[0]["scheduled_at"] == LATER - timedelta(seconds=30)


def test_a_time_that_has_passed_means_now_and_the_answer_says_so(conn: Conn, account_id: int) -> None:
    campaign_id = make(conn, account_id)
    with conn.transaction():
        was_past = campaigns.launch(
            conn, account_id=account_id, campaign_id=campaign_id, scheduled_at=NOW - timedelta(days=1), now=NOW
        )
    assert was_past
    assert get(conn, campaign_id)["scheduled_at"] == NOW


def test_a_second_launch_is_refused_and_makes_no_second_job(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id)
    with pytest.raises(WrongState, match="cannot be launched"), conn.transaction():
        campaigns.launch(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
    assert len(jobs(conn, "launch_campaign")) == 1


def test_two_launches_at_once_make_one_job(conn: Conn, account_id: int, database_url: str) -> None:
    campaign_id = make(conn, account_id)
    ready = threading.Barrier(4)

    def launch(_: int) -> bool:
        with psycopg.connect(database_url, row_factory=dict_row) as own:
            ready.wait()
            try:
                campaigns.launch(own, account_id=account_id, campaign_id=campaign_id, now=NOW)
            except WrongState:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(launch, range(4))) == 1
    assert len(jobs(conn, "launch_campaign")) == 1


def test_a_launch_names_all_that_is_missing(conn: Conn, account_id: int) -> None:
    conn.execute("DELETE FROM senders")
    campaign_id = make(conn, account_id, subject=" ", html=None, audience=None)
    with pytest.raises(InvalidInput) as caught:
        campaigns.launch(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
    assert [fault.pointer for fault in caught.value.faults] == ["/audience", "/sender_id", "/subject", "/html"]


def test_a_launch_waits_for_its_import(conn: Conn, account_id: int) -> None:
    import_id = value(
        conn, "INSERT INTO imports (account_id, status) VALUES (%s, 'importing') RETURNING import_id", account_id
    )
    campaign_id = make(conn, account_id, audience=ImportAudience(import_id))
    with pytest.raises(Conflict, match="still running") as caught:
        campaigns.launch(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
    assert caught.value.error_code == "import_not_done"


def test_a_launch_for_nobody_is_refused(conn: Conn, account_id: int) -> None:
    list_id = value(conn, "INSERT INTO lists (account_id, name) VALUES (%s, 'Empty') RETURNING list_id", account_id)
    campaign_id = make(conn, account_id, audience=ListsAudience((list_id,)))
    with pytest.raises(InvalidInput) as caught:
        campaigns.launch(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
    assert caught.value.error_code == "empty_audience"


def test_a_launch_taken_back_is_a_draft_again_and_unmakes_its_messages(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id, at=LATER)
    materialise(conn, campaign_id, now=LATER)
    with conn.transaction():
        campaigns.unschedule(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
    row = get(conn, campaign_id)
    assert (row["status"], row["epoch"], row["scheduled_at"], row["materialised_at"]) == ("draft", 2, None, None)
    assert value(conn, "SELECT count(*) FROM messages") == 0
    assert value(conn, "SELECT count(*) FROM batches") == 0


def test_a_launch_that_has_begun_cannot_be_taken_back(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id)
    materialise(conn, campaign_id, now=NOW)
    begin(conn, campaign_id)
    with pytest.raises(WrongState, match="being sent, so it cannot be taken back"):
        campaigns.unschedule(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)


# --- pause, resume, cancel


def test_a_pause_makes_the_jobs_stale(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id)
    with conn.transaction():
        campaigns.pause(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    row = get(conn, campaign_id)
    assert (row["status"], row["epoch"], row["paused_at"]) == ("paused", 2, LATER)
    with pytest.raises(WrongState, match="is paused, so it cannot be paused"):
        campaigns.pause(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)


def test_a_campaign_paused_before_its_messages_were_made_is_launched_again_when_it_goes_on(
    conn: Conn, account_id: int
) -> None:
    campaign_id = launched(conn, account_id, at=LATER)
    with conn.transaction():
        campaigns.pause(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
        campaigns.resume(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
    assert (get(conn, campaign_id)["status"], get(conn, campaign_id)["epoch"]) == ("scheduled", 3)
    assert jobs(conn, "launch_campaign")[-1] == {
        "queue_name": "control", "args": {"id": campaign_id, "epoch": 3},
        "scheduled_at": LATER - timedelta(seconds=30),
    }  # fmt: skip


def test_going_on_wakes_each_open_batch_once_and_notes_why_it_was_late(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id, *(f"{name}@example.test" for name in "abcdef"))
    first, second, third = materialise(
        conn, campaign_id, now=NOW, statuses={"a@example.test": "sent", "b@example.test": "sent"}
    )
    begin(conn, campaign_id)
    limit_id = value(conn, "SELECT limit_id FROM limits WHERE account_id = %s", account_id)
    conn.execute(
        "UPDATE batches SET status = 'waiting', waiting_limit_id = %s, waiting_since = %s WHERE batch_id = %s",
        (limit_id, NOW, second),
    )
    conn.execute(
        "INSERT INTO waits (account_id, batch_id, limit_id, reason, started_at) VALUES (%s, %s, %s, 'limit', %s)",
        (account_id, second, limit_id, NOW),
    )
    conn.execute("UPDATE batches SET due_at = %s WHERE batch_id = %s", (LATER + timedelta(hours=1), third))
    paused_at = NOW + timedelta(minutes=1)
    with conn.transaction():
        campaigns.pause(conn, account_id=account_id, campaign_id=campaign_id, now=paused_at)
        campaigns.resume(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    row = get(conn, campaign_id)
    assert (row["status"], row["epoch"], row["paused_at"]) == ("sending", 3, None)
    assert jobs(conn, "send_batch") == [
        {"queue_name": "batches", "args": {"id": second, "epoch": 3}, "scheduled_at": None},
        {"queue_name": "batches", "args": {"id": third, "epoch": 3}, "scheduled_at": LATER + timedelta(hours=1)},
    ]
    states = {b["batch_id"]: b for b in conn.execute("SELECT * FROM batches").fetchall()}
    assert [states[batch]["status"] for batch in (first, second, third)] == ["done", "queued", "queued"]
    assert states[second]["due_at"] == LATER
    waits = conn.execute("SELECT batch_id, reason, started_at, ended_at FROM waits ORDER BY wait_id").fetchall()
    assert waits == [
        {"batch_id": second, "reason": "limit", "started_at": NOW, "ended_at": paused_at},
        {"batch_id": second, "reason": "paused", "started_at": paused_at, "ended_at": LATER},
    ]


def test_a_campaign_that_goes_on_before_its_time_is_scheduled_and_after_it_sending(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id, at=LATER)
    materialise(conn, campaign_id, now=LATER)
    before, after = LATER - timedelta(seconds=10), LATER + timedelta(seconds=10)
    with conn.transaction():
        campaigns.pause(conn, account_id=account_id, campaign_id=campaign_id, now=before)
        campaigns.resume(conn, account_id=account_id, campaign_id=campaign_id, now=before)
    assert (get(conn, campaign_id)["status"], get(conn, campaign_id)["started_at"]) == ("scheduled", None)
    assert {job["scheduled_at"] for job in jobs(conn, "send_batch")} == {LATER}
    with conn.transaction():
        campaigns.pause(conn, account_id=account_id, campaign_id=campaign_id, now=before)
        campaigns.resume(conn, account_id=account_id, campaign_id=campaign_id, now=after)
    assert (get(conn, campaign_id)["status"], get(conn, campaign_id)["started_at"]) == ("sending", after)


def test_a_campaign_whose_last_batch_ended_while_it_was_paused_is_sent_when_it_goes_on(
    conn: Conn, account_id: int
) -> None:
    campaign_id = launched(conn, account_id, "a@example.test")
    materialise(conn, campaign_id, now=NOW, statuses={"a@example.test": "sent"})
    begin(conn, campaign_id)
    with conn.transaction():
        campaigns.pause(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
        campaigns.resume(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    assert (get(conn, campaign_id)["status"], get(conn, campaign_id)["finished_at"]) == ("sent", LATER)


def test_a_cancel_leaves_the_queued_messages_to_one_job(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id)
    with conn.transaction():
        campaigns.cancel(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    row = get(conn, campaign_id)
    assert (row["status"], row["epoch"], row["finished_at"]) == ("cancelled", 2, LATER)
    assert [job["args"] for job in jobs(conn, "close_campaign")] == [{"id": campaign_id, "epoch": 2}]
    with pytest.raises(WrongState):
        campaigns.cancel(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)


# --- retrying and settling

MIXED = {
    "a@example.test": "sent", "b@example.test": "failed", "c@example.test": "uncertain", "d@example.test": "failed",
}  # fmt: skip


def finished(conn: Conn, account_id: int, status: str = "sent") -> int:
    campaign_id = launched(conn, account_id, *MIXED)
    materialise(conn, campaign_id, now=NOW, statuses=MIXED)
    begin(conn, campaign_id, status)
    return campaign_id


def test_retrying_queues_the_failed_messages_again_and_keeps_what_they_were_told(conn: Conn, account_id: int) -> None:
    campaign_id = finished(conn, account_id)
    with conn.transaction():
        retried = campaigns.retry_failed(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    assert retried == 2
    assert (get(conn, campaign_id)["status"], get(conn, campaign_id)["epoch"]) == ("sending", 2)
    assert_ledger_adds_up(conn, campaign_id)
    assert value(conn, "SELECT count(*) FROM messages WHERE status = 'queued' AND send_after = %s", LATER) == 2
    remembered = conn.execute("SELECT attempt, outcome, reply FROM attempts").fetchall()
    assert remembered == [{"attempt": 1, "outcome": "failed", "reply": "550 5.1.1 no"}] * 2
    assert [job["args"]["epoch"] for job in jobs(conn, "send_batch")] == [2, 2]
    assert value(conn, "SELECT count(*) FROM batches WHERE status = 'queued' AND due_at = %s", LATER) == 2


def test_retrying_while_the_rest_is_sent_leaves_the_running_jobs_valid(conn: Conn, account_id: int) -> None:
    campaign_id = finished(conn, account_id, "sending")
    with conn.transaction():
        campaigns.retry_failed(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    assert get(conn, campaign_id)["epoch"] == 1


def test_retrying_while_paused_waits_for_going_on(conn: Conn, account_id: int) -> None:
    campaign_id = finished(conn, account_id, "paused")
    with conn.transaction():
        campaigns.retry_failed(conn, account_id=account_id, campaign_id=campaign_id, now=NOW)
    assert get(conn, campaign_id)["status"] == "paused"
    assert jobs(conn, "send_batch") == []
    with conn.transaction():
        campaigns.resume(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    assert len(jobs(conn, "send_batch")) == 2


def test_retrying_nothing_is_refused_and_does_not_reopen_the_campaign(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id, "a@example.test")
    materialise(conn, campaign_id, now=NOW, statuses={"a@example.test": "sent"})
    begin(conn, campaign_id, "sent")
    with pytest.raises(WrongState, match="No message failed"), conn.transaction():
        campaigns.retry_failed(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    assert (get(conn, campaign_id)["status"], get(conn, campaign_id)["epoch"]) == ("sent", 1)


def test_accepting_counts_the_uncertain_messages_as_sent(conn: Conn, account_id: int) -> None:
    campaign_id = finished(conn, account_id)
    with conn.transaction():
        settled = campaigns.settle_uncertain(
            conn, account_id=account_id, campaign_id=campaign_id, action="accept", now=LATER
        )
    assert settled == 1
    assert_ledger_adds_up(conn, campaign_id)
    assert value(conn, "SELECT sum(sent) FROM batches WHERE campaign_id = %s", campaign_id) == 2
    assert get(conn, campaign_id)["status"] == "sent"
    with pytest.raises(WrongState, match="No message is uncertain"), conn.transaction():
        campaigns.settle_uncertain(conn, account_id=account_id, campaign_id=campaign_id, action="accept", now=LATER)


def test_resending_queues_only_the_uncertain_messages(conn: Conn, account_id: int) -> None:
    campaign_id = finished(conn, account_id)
    with conn.transaction():
        settled = campaigns.settle_uncertain(
            conn, account_id=account_id, campaign_id=campaign_id, action="resend", now=LATER
        )
    assert settled == 1
    assert_ledger_adds_up(conn, campaign_id)
    assert value(conn, "SELECT recipient FROM messages WHERE status = 'queued'") == "c@example.test"
    assert value(conn, "SELECT outcome FROM attempts") == "uncertain"
    assert len(jobs(conn, "send_batch")) == 1


def test_another_campaigns_messages_in_the_same_range_are_left_alone(conn: Conn, account_id: int) -> None:
    campaign_id = launched(conn, account_id, *MIXED)
    other_id = launched(conn, account_id, *MIXED)
    materialise(conn, campaign_id, now=NOW, batch_size=2, statuses=MIXED)
    materialise(conn, other_id, now=NOW, batch_size=2, statuses=MIXED)
    conn.execute("UPDATE batches SET first_message_id = 1, last_message_id = 100")
    begin(conn, campaign_id, "sent")
    with conn.transaction():
        campaigns.retry_failed(conn, account_id=account_id, campaign_id=campaign_id, now=LATER)
    assert_ledger_adds_up(conn, campaign_id)
    assert_ledger_adds_up(conn, other_id)
    assert value(conn, "SELECT sum(failed) FROM batches WHERE campaign_id = %s", other_id) == 2
