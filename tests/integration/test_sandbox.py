"""The SMTP sandbox: what it keeps, whose it is, and what it refuses."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from app.embedded import EmbeddedPostgres, free_port
from app.public_ids import PublicIds
from app.settings import RelayAddress
from sql.migrate import migrate
from tests.integration.smtp.scripted import run
from worker.sandbox import MESSAGE_SIZE_MAX, Sandbox
from worker.sandbox_store import SandboxStore
from worker.smtp.connection import DeliveryResult, Envelope, SmtpConnection, Timeouts

PATIENT = Timeouts(end_s=20.0)


class Ledger:
    """An account with messages, made straight in the database."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        with psycopg.connect(database_url) as conn:
            key = conn.execute("SELECT id_key FROM installation").fetchone()
            assert key is not None
            self.ids = PublicIds(bytes(key[0]))

    def add_account(self, *, messages: int) -> tuple[int, list[int]]:
        with psycopg.connect(self.database_url) as conn:
            account = conn.execute("INSERT INTO accounts (name) VALUES ('one') RETURNING account_id").fetchone()
            assert account is not None
            rows = conn.execute(
                "INSERT INTO messages (account_id, send_after, recipient)"
                " SELECT %s, now(), 'x@example.test' FROM generate_series(1, %s) RETURNING message_id",
                (account[0], messages),
            ).fetchall()
            return account[0], [row[0] for row in rows]

    def write(self, message_id: int, text: bytes = b"hello\r\n", *, headers: bytes = b"Subject: hi\r\n") -> bytes:
        name = self.ids.encode("message", message_id).encode()
        return b"Message-ID: <" + name + b"@us.test>\r\n" + headers + b"\r\n" + text

    def inbox(self) -> list[dict[str, object]]:
        with psycopg.connect(self.database_url, row_factory=dict_row) as conn:
            return conn.execute("SELECT * FROM inbox ORDER BY inbox_id").fetchall()


@asynccontextmanager
async def sandbox_at(database_url: str, *, kept: int = 50_000) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(SandboxStore(database_url, kept_per_account=kept), host="127.0.0.1", port=0)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[SmtpConnection]:
    connection = await SmtpConnection.open(
        RelayAddress("127.0.0.1", port, tls="none"), helo_name="us.test", timeouts=PATIENT
    )
    try:
        yield connection
    finally:
        await connection.close()


def to(address: str) -> Envelope:
    return Envelope("bounces@us.test", address)


def line_of(result: DeliveryResult) -> str:
    assert result.state == "replied" and result.reply is not None, result
    return result.reply.line


def test_a_message_is_in_its_accounts_inbox_once_it_is_accepted(database_url: str) -> None:
    ledger = Ledger(database_url)
    (first, (one,)), (second, (two,)) = ledger.add_account(messages=1), ledger.add_account(messages=1)
    subject = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n an alle\r\n"

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox, client_of(sandbox.port) as connection:
            assert connection.pipelining and connection.size_max == MESSAGE_SIZE_MAX
            data = ledger.write(one, b".dot\r\n..\r\n", headers=subject)
            result = await connection.deliver(to("ada@example.test"), data, ahead=to("bob@example.test"))
            assert line_of(result).startswith("250 ")
            (row,) = ledger.inbox()
            assert (row["account_id"], row["message_id"], row["raw"]) == (first, one, data)
            assert (row["mail_from"], row["rcpt_to"]) == ("bounces@us.test", "ada@example.test")
            assert (row["subject"], row["size_bytes"]) == ("Grüße an alle", len(data))
            assert line_of(await connection.deliver(to("bob@example.test"), ledger.write(two))).startswith("250 ")
            assert [row["account_id"] for row in ledger.inbox()] == [first, second]

    run(scenario())


def test_mail_that_is_not_mailtides_is_refused(database_url: str) -> None:
    ledger = Ledger(database_url)
    account_id, (one, gone) = ledger.add_account(messages=2)
    with psycopg.connect(database_url) as conn:
        conn.execute("DELETE FROM messages WHERE message_id = %s", (gone,))
    other_kind = ledger.ids.encode("campaign", one).replace("cmp", "msg").encode()

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox, client_of(sandbox.port) as connection:
            for data in (
                b"Subject: spam\r\n\r\nbuy\r\n",
                b"Message-ID: <msg_0000000000000000000000@us.test>\r\n\r\nx\r\n",
                b"Message-ID: <" + other_kind + b"@us.test>\r\n\r\nx\r\n",
                b"Subject: x\r\n\r\n" + ledger.write(one),  # in the text, not in the header
                ledger.write(gone),
                b"",
            ):
                line = line_of(await connection.deliver(to("a@example.test"), data))
                assert line == "550 5.7.1 this sandbox takes only Mailtide's own mail"
            assert ledger.inbox() == []
            assert line_of(await connection.deliver(to("a@example.test"), ledger.write(one))).startswith("250 ")
            assert [row["account_id"] for row in ledger.inbox()] == [account_id]

    run(scenario())


def test_recipients_that_misbehave_on_purpose(database_url: str) -> None:
    ledger = Ledger(database_url)
    _, (one, two) = ledger.add_account(messages=2)

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox, client_of(sandbox.port) as connection:
            bounced = await connection.deliver(to("x@bounce.test"), ledger.write(one), ahead=to("y@later.test"))
            assert (line_of(bounced), bounced.stage) == ("550 5.1.1 no such user here", "rcpt")
            later = await connection.deliver(to("y@later.test"), ledger.write(one), ahead=to("Y@Later.test"))
            assert line_of(later).startswith("451 4.7.1 ")
            assert line_of(await connection.deliver(to("Y@Later.test"), ledger.write(two))).startswith("451 4.7.1 ")
            assert line_of(await connection.deliver(to("y@later.test"), ledger.write(one))).startswith("250 ")
            began = asyncio.get_running_loop().time()
            assert line_of(await connection.deliver(to("z@slow.test"), ledger.write(two))).startswith("250 ")
            assert asyncio.get_running_loop().time() - began >= 1.9
            assert [row["rcpt_to"] for row in ledger.inbox()] == ["y@later.test", "z@slow.test"]

    run(scenario())


def test_many_connections_store_every_message_once(database_url: str) -> None:
    ledger = Ledger(database_url)
    _, ids = ledger.add_account(messages=400)

    async def deliver(port: int, own: list[int]) -> None:
        async with client_of(port) as connection:
            for number, message_id in enumerate(own):
                ahead = to(f"{own[number + 1]}@example.test") if number + 1 < len(own) else None
                data = ledger.write(message_id)
                result = await connection.deliver(to(f"{message_id}@example.test"), data, ahead=ahead)
                assert line_of(result).startswith("250 ")

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox:
            await asyncio.gather(*(deliver(sandbox.port, ids[at::8]) for at in range(8)))
        assert sorted(str(row["rcpt_to"]) for row in ledger.inbox()) == sorted(f"{one}@example.test" for one in ids)

    run(scenario())


def test_an_account_deleted_meanwhile_takes_only_its_own_mail_with_it(database_url: str) -> None:
    ledger = Ledger(database_url)
    (lost, (one,)), (_, (two,)) = ledger.add_account(messages=1), ledger.add_account(messages=1)
    with psycopg.connect(database_url) as conn:
        conn.execute("DELETE FROM accounts WHERE account_id = %s", (lost,))

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox:
            async with client_of(sandbox.port) as first, client_of(sandbox.port) as second:
                results = await asyncio.gather(
                    first.deliver(to("a@example.test"), ledger.write(one)),
                    second.deliver(to("b@example.test"), ledger.write(two)),
                )
                assert [line_of(result)[:3] for result in results] == ["550", "250"]

    run(scenario())


def test_only_the_newest_are_kept(database_url: str) -> None:
    ledger = Ledger(database_url)
    _, ids = ledger.add_account(messages=12)
    _, (other,) = ledger.add_account(messages=1)

    async def scenario() -> None:
        async with sandbox_at(database_url, kept=5) as sandbox, client_of(sandbox.port) as connection:
            for message_id in [other, *ids]:
                await connection.deliver(to("a@example.test"), ledger.write(message_id))
            await sandbox.store.prune()
            assert [row["message_id"] for row in ledger.inbox()] == [other, *ids[-5:]]

    run(scenario())


# -- the protocol, byte by byte --


async def converse(port: int, wire: bytes, *, pieces: int = 0) -> list[str]:
    """Send bytes (cut into `pieces` of that size), end, and return all that the sandbox said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for at in range(0, len(wire), pieces or len(wire)):
            writer.write(wire[at : at + (pieces or len(wire))])
            await writer.drain()
            if pieces:
                await asyncio.sleep(0)
        return (await reader.read()).decode().split("\r\n")[:-1]
    except ConnectionError:
        return []
    finally:
        writer.close()


START = b"EHLO us.test\r\n"
ENVELOPE = b"MAIL FROM:<f@us.test>\r\nRCPT TO:<a@example.test>\r\nDATA\r\n"


def codes(lines: list[str]) -> list[str]:
    return [line[:3] for line in lines if line[3] == " "]


@pytest.mark.parametrize(
    "smuggled", [b"\n.\r\n", b"\r\n.\n", b"\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r\n\0.\r\n", b"\r\n. \r\n"]
)
def test_nothing_is_smuggled_behind_a_dot_that_is_none(database_url: str, smuggled: bytes) -> None:
    ledger = Ledger(database_url)
    _, (one,) = ledger.add_account(messages=1)
    wire = START + ENVELOPE + ledger.write(one, b"text" + smuggled + ENVELOPE + b"x\r\n") + b".\r\nQUIT\r\n"

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox:
            assert codes(await converse(sandbox.port, wire)) == ["220", "250", "250", "250", "354", "250", "221"]
            (row,) = ledger.inbox()
            assert b"MAIL FROM" in bytes(row["raw"])  # type: ignore[call-overload]

    run(scenario())


def test_a_pipelined_conversation_reads_the_same_however_it_is_cut(database_url: str) -> None:
    ledger = Ledger(database_url)
    _, ids = ledger.add_account(messages=3)
    wire = START + b"".join(ENVELOPE + ledger.write(one) + b".\r\n" for one in ids) + b"QUIT\r\n"
    expected = ["220", "250", *["250", "250", "354", "250"] * 3, "221"]

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox:
            for size in (0, 1, 2, 3, 7, 50):
                assert codes(await converse(sandbox.port, wire, pieces=size)) == expected
        assert len(ledger.inbox()) == 18

    run(scenario())


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"RCPT TO:<a@b.test>\r\nDATA\r\nFOO\r\nNOOP\r\nVRFY a\r\nHELO x\r\nQUIT\r\n",
         ["220", "503", "503", "502", "250", "252", "250", "221"]),
        (b"MAIL FROM:<f@us.test>\r\nMAIL FROM:<f@us.test>\r\nRSET\r\nMAIL FROM:<>\r\nDATA\r\nQUIT\r\n",
         ["220", "250", "503", "250", "250", "554", "221"]),
        (b"MAIL FROM:f\r\nMAIL FROM:<f@us.test> SIZE=99999999\r\nQUIT\r\n", ["220", "501", "552", "221"]),
        (b"MAIL FROM:<f@us.test>\r\nRCPT TO:a\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<c@b.test>\r\nQUIT\r\n",
         ["220", "250", "501", "250", "452", "221"]),
        (ENVELOPE + b".\r\nQUIT\r\n", ["220", "250", "250", "354", "550", "221"]),
        (b"NOOP\nQUIT\r\n", ["220", "500"]),
        (b"x" * 5_000, ["220", "500"]),
    ],
    ids=["out of order", "one at a time", "bad MAIL", "bad RCPT", "empty message", "bare LF", "long line"],
)  # fmt: skip
def test_what_a_stranger_may_send_gets_a_plain_answer(database_url: str, wire: bytes, expected: list[str]) -> None:
    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox:
            assert codes(await converse(sandbox.port, wire)) == expected

    run(scenario())


def test_a_message_over_the_size_is_refused_without_being_kept(database_url: str) -> None:
    ledger = Ledger(database_url)
    _, (one, two) = ledger.add_account(messages=2)
    big = ledger.write(one, b"x" * 998 + b"\r\n") + (b"y" * 998 + b"\r\n") * (MESSAGE_SIZE_MAX // 1_000 + 1)
    wire = START + ENVELOPE + big + b".\r\n" + ENVELOPE + ledger.write(two) + b".\r\nQUIT\r\n"

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox:
            answers = codes(await converse(sandbox.port, wire))
            assert answers[5:] == ["552", "250", "250", "354", "250", "221"]
        assert [row["message_id"] for row in ledger.inbox()] == [two]

    run(scenario())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.binary(max_size=80), wire=st.lists(st.binary(max_size=60), max_size=8))
def test_no_header_and_no_bytes_stop_it(
    shared: Callable[[bytes, bytes], None], header: bytes, wire: list[bytes]
) -> None:
    shared(header, b"".join(wire))


@pytest.fixture
def shared(database_url: str) -> Callable[[bytes, bytes], None]:
    """One message with this subject and one connection with these bytes; the sandbox must take the message."""
    ledger = Ledger(database_url)
    _, (one,) = ledger.add_account(messages=1)

    def check(header: bytes, wire: bytes) -> None:
        subject = header.replace(b"\r", b"").replace(b"\n", b"")

        async def scenario() -> None:
            async with sandbox_at(database_url) as sandbox:
                await converse(sandbox.port, wire + b"\r\nQUIT\r\n.\r\nQUIT\r\n")
                async with client_of(sandbox.port) as connection:
                    data = ledger.write(one, headers=b"Subject: " + subject + b"\r\n")
                    assert line_of(await connection.deliver(to("a@example.test"), data)).startswith("250 ")

        run(scenario())

    return check


# -- the database away, and the end --


def test_it_listens_once_it_can_store_and_without_a_database_all_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.sandbox._READY_MAX_S", 0.1)
    ledger = Ledger(database_url)
    (_, (one,)) = ledger.add_account(messages=1)

    async def scenario(url: str, expected: str) -> None:
        async with sandbox_at(url) as sandbox, client_of(sandbox.port) as connection:
            assert line_of(await connection.deliver(to("ada@example.test"), ledger.write(one))).startswith(expected)

    run(scenario(f"postgresql://127.0.0.1:{free_port()}/none", "451 "))
    monkeypatch.setattr("worker.sandbox._READY_MAX_S", 60.0)
    run(scenario(database_url, "250 "))


def test_while_postgres_is_away_it_says_later_and_then_goes_on(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres", options=("fsync=off",))
    postgres.start()
    try:
        database_url = postgres.create_database("own")
        migrate(database_url)
        ledger = Ledger(database_url)
        _, (one, two, three) = ledger.add_account(messages=3)

        async def scenario() -> None:
            async with sandbox_at(database_url) as sandbox, client_of(sandbox.port) as connection:
                assert line_of(await connection.deliver(to("a@example.test"), ledger.write(one))).startswith("250 ")
                await asyncio.to_thread(postgres.stop, mode="immediate")
                waiting = asyncio.create_task(connection.deliver(to("a@example.test"), ledger.write(two)))
                async with client_of(sandbox.port) as another:
                    while sandbox.store.is_connected:  # noqa: ASYNC110 - until it has noticed
                        await asyncio.sleep(0.01)
                    line = line_of(await another.deliver(to("a@example.test"), ledger.write(three)))
                    assert line.startswith("451 4.3.0 ")
                await asyncio.to_thread(postgres.start)
                # Its statement met the dead connection: looked up after the restart, not there, stored then.
                assert line_of(await waiting).startswith("250 ")
                assert line_of(await connection.deliver(to("a@example.test"), ledger.write(three))).startswith("250 ")
            assert [row["message_id"] for row in ledger.inbox()] == [one, two, three]

        run(scenario())
    finally:
        postgres.stop(mode="immediate")


def test_a_group_whose_answer_was_lost_is_not_stored_twice(database_url: str) -> None:
    ledger = Ledger(database_url)
    _, (one,) = ledger.add_account(messages=1)

    async def scenario() -> None:
        async with sandbox_at(database_url) as sandbox, client_of(sandbox.port) as connection:
            store = sandbox.store
            insert = store._insert
            calls = 0

            async def insert_and_lose_the_answer(group: list) -> list:  # type: ignore[type-arg]
                nonlocal calls
                calls += 1
                last_inbox_id = store._last_inbox_id
                verdicts = await insert(group)
                if calls > 1:
                    return verdicts
                store._last_inbox_id = last_inbox_id
                assert store._conn is not None
                await store._conn.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

            store._insert = insert_and_lose_the_answer  # type: ignore[method-assign]
            assert line_of(await connection.deliver(to("a@example.test"), ledger.write(one))).startswith("250 ")
            assert calls == 1 and len(ledger.inbox()) == 1

    run(scenario())


def test_sigterm_ends_the_process_cleanly_after_answering_what_it_got(database_url: str) -> None:
    ledger = Ledger(database_url)
    _, (one,) = ledger.add_account(messages=1)
    port = free_port()
    environment = {**os.environ, "DATABASE_URL": database_url, "SANDBOX_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "worker.sandbox"], env=environment, stderr=subprocess.PIPE, text=True
    )
    overdue = threading.Timer(20, process.kill)
    overdue.start()
    try:
        assert process.stderr is not None
        assert "sandbox_listening" in process.stderr.readline()

        async def scenario() -> None:
            async with client_of(port) as connection:
                # "Later" while its own connection to the database is still being made.
                while True:
                    line = line_of(await connection.deliver(to("a@example.test"), ledger.write(one)))
                    if line.startswith("250 "):
                        break
                    assert line.startswith("451 ")
                task = asyncio.create_task(connection.deliver(to("b@slow.test"), ledger.write(one)))
                while len(ledger.inbox()) < 2:  # noqa: ASYNC110 - until the other process has stored it
                    await asyncio.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                assert line_of(await task).startswith("250 ")

        run(scenario())
        assert process.wait() == 0
    finally:
        overdue.cancel()
        process.kill()
        process.wait()
