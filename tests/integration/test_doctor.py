"""The doctor finds a healthy ledger healthy, and each kind of damage."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from app import doctor
from app.db import Conn
from app.settings import load_settings
from sql import queries


@pytest.fixture
def conn(database_url: str, python: str, monkeypatch: pytest.MonkeyPatch):
    """A database with the demo account, in which a campaign was sent."""
    monkeypatch.setattr(doctor, "ASK_AGAIN_AFTER_S", ())
    environment = {**os.environ, "DATABASE_URL": database_url}
    root = Path(__file__).parent.parent.parent
    subprocess.run([python, "-m", "app.cli", "seed"], cwd=root, env=environment, check=True, capture_output=True)
    with psycopg.connect(database_url, row_factory=dict_row, autocommit=True) as conn:
        yield conn


def ill(conn: Conn) -> set[str]:
    found = set()
    for name, advice in doctor.INVARIANTS.items():
        try:
            doctor.check_invariant(conn, getattr(queries.doctor, name), advice)
        except doctor.Ill:
            found.add(name)
    return found


def test_every_question_has_advice_and_every_advice_a_question() -> None:
    asked = {query.name for query in queries.doctor if query.arity == "many"}
    assert asked == set(doctor.INVARIANTS)


def test_a_seeded_installation_is_well(conn: Conn) -> None:
    assert ill(conn) == set()


SENT = "(SELECT campaign_id FROM campaigns WHERE status = 'sent')"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (f"UPDATE messages SET status = 'failed' WHERE message_id = (SELECT min(message_id) FROM messages WHERE campaign_id = {SENT} AND status = 'sent')", "i7_counters_differ"),
        (f"DELETE FROM messages WHERE message_id = (SELECT min(message_id) FROM messages WHERE campaign_id = {SENT})", "i7_counters_differ"),
        (f"UPDATE campaigns SET recipients = recipients + 1 WHERE campaign_id = {SENT}", "i7_batches_do_not_add_up"),
        (f"UPDATE messages SET recipient = (SELECT recipient FROM messages WHERE campaign_id = {SENT} ORDER BY message_id LIMIT 1) WHERE message_id = (SELECT max(message_id) FROM messages WHERE campaign_id = {SENT})", "i9_address_twice"),
        (f"UPDATE batches SET status = 'queued' WHERE campaign_id = {SENT} AND ordinal = (SELECT max(ordinal) FROM batches WHERE campaign_id = {SENT})", "sent_campaign_has_open_batch"),
        (f"UPDATE batches SET status = 'running', job_id = 999999 WHERE campaign_id = {SENT} AND ordinal = (SELECT max(ordinal) FROM batches WHERE campaign_id = {SENT})", "i1_running_batch_without_job"),
        ("UPDATE campaigns SET scheduled_at = now() - interval '5 minutes' WHERE status = 'scheduled'; DELETE FROM procrastinate_jobs", "i1_campaign_without_launch"),
        ("INSERT INTO due_messages (message_id, account_id, send_after) VALUES (999999, 1, now() - interval '5 minutes')", "i1_message_without_job"),
        ("INSERT INTO due_messages (message_id, account_id, send_after) VALUES (999999, 1, now() - interval '5 minutes');"
         " INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at) VALUES"
         " ('messages', 'send_due', '{\"id\": 1, \"epoch\": 0}', now() + interval '1 day')", "i1_message_without_job"),
        ("INSERT INTO due_messages (message_id, account_id, send_after, job_id) VALUES (999999, 1, now(), 999999)", "i1_held_message_without_job"),
        ("INSERT INTO messages (account_id, send_after, recipient) VALUES (1, now(), 'a@example.test')", "api_message_lost"),
        (f"UPDATE messages SET account_id = 999 WHERE message_id = (SELECT min(message_id) FROM messages WHERE campaign_id = {SENT})", "i5_message_of_another_account"),
        ("INSERT INTO messages (account_id, send_after, recipient) VALUES (1, now(), 'a@example.test'); "
         "INSERT INTO message_contents (message_id, account_id, subject, deadline, body_of)"
         " SELECT max(message_id), 1, 's', now(), 999999 FROM messages", "i5_message_of_another_account"),
        ("UPDATE procrastinate_jobs SET status = 'failed'", "failed_jobs"),
        ("UPDATE procrastinate_jobs SET status = 'doing'", "stalled_jobs"),
        ("DELETE FROM limits WHERE scope = 'account'", "account_without_limit"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)  # fmt: skip
def test_row_51_damage_is_found(conn: Conn, damage: str, expected: str) -> None:
    for statement in damage.split("; "):
        conn.execute(statement.encode())
    assert expected in ill(conn)


def test_a_missing_worker_and_a_missing_valkey_are_found(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        database_url=database_url, redis_url="redis://127.0.0.1:1", secret_key="0123456789abcdef" * 3
    )
    findings = {finding.name: finding for finding in doctor.examine(settings)}
    assert not findings["worker"].is_well
    assert not findings["valkey"].is_well
    assert findings["database"].is_well
    assert findings["migrations"].is_well
