"""PostgreSQL's disk is full in the middle of a campaign: a small file system of its own, filled and emptied.

Once all its files are there: it refuses what needs room, and lives. Once its WAL only: it crashes, and cannot start again.
"""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from app.embedded import EmbeddedPostgres, EmbeddedValkey
from app.public_ids import PublicIds
from sql.migrate import migrate
from tests.acceptance.stack import wait_for
from tests.chaos import facts
from tests.chaos.judge import Facts, Faults, judge
from tests.chaos.proxy import ProxyThread
from tests.chaos.stack import CONNECTIONS, Sink, Stack
from tests.factories import a_scheduled_campaign, an_account, some_contacts

DISK_SIZE = {"data": "192m", "wal": "64m"}
PEOPLE = 4000


def why_not() -> str | None:
    """Why this machine may not have a small disk; None when it may."""
    if os.geteuid() != 0:
        return "only root may mount a small file system"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
            return None
        return f"this machine may not mount a small file system: {done.stderr.strip()}"


pytestmark = [pytest.mark.skipif(why_not() is not None, reason=str(why_not())), pytest.mark.slow]


@contextmanager
def small_disk(folder: Path, *, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def move_wal(postgres: EmbeddedPostgres, disk: Path) -> None:
    wal, moved = postgres.folder / "pgdata/pg_wal", disk / "pg_wal"
    postgres.stop()
    shutil.copytree(wal, moved)
    owner = wal.stat()
    for path in (moved, *moved.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    moved.chmod(0o700)
    shutil.rmtree(wal)
    wal.symlink_to(moved)
    postgres.start()


@dataclass
class Place:
    """What is on the small disk, and everything else."""

    what: str
    disk: Path
    stack: Stack


@pytest.fixture(params=["data", "wal"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """All on this host; PostgreSQL's files, or its WAL, on the small disk, the relay's log and all else on the large one."""
    what = request.param
    folder = Path(tempfile.mkdtemp(prefix="mailtide-disk-"))
    folder.chmod(0o755)
    valkey, proxies = EmbeddedValkey(folder / "valkey"), ProxyThread()
    with small_disk(folder / "small", size=DISK_SIZE[what]) as disk:
        postgres = EmbeddedPostgres(
            disk if what == "data" else folder / "postgres", options=("max_wal_size=32MB", "min_wal_size=32MB")
        )
        sink: Sink | None = None
        made: Stack | None = None
        try:
            postgres.start()
            if what == "wal":
                move_wal(postgres, disk)
            migrate(postgres.url)
            valkey.start()
            sink = Sink(folder, "disk")
            made = Stack(
                folder, postgres, valkey, sink, proxies,
                proxies.open(sink.port), proxies.open(postgres.port), proxies.open(valkey.port),
            )  # fmt: skip
            made.add_workers(1)
            made.workers[0].environment |= {
                "DATABASE_URL": postgres.url, "SMTP_URL": f"smtp://127.0.0.1:{sink.port}?tls=none",
            }  # fmt: skip
            made.workers[0].start()
            yield Place(what, disk, made)
        finally:
            if made is not None:
                print(made.workers[0].log.read_text()[-6000:])
                made.stop_workers()
            with suppress(OSError):
                print((postgres.folder / "postgres.log").read_text()[-3000:])
            proxies.close()
            if sink is not None:
                sink.stop()
            valkey.stop()
            postgres.stop(mode="immediate")
    shutil.rmtree(folder, ignore_errors=True)


class Ballast:
    """A file that takes what is left of the disk, and gives it back."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def fill(self) -> None:
        with self._path.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65536))

    def is_full(self) -> bool:
        """Whatever was freed meanwhile, as by a checkpoint, is taken, too."""
        self.fill()
        try:
            (self._path.parent / "probe").write_bytes(bytes(8192))
        except OSError as error:
            return error.errno == errno.ENOSPC
        return False

    def empty(self) -> None:
        self._path.unlink()
        (self._path.parent / "probe").unlink(missing_ok=True)


def launch(stack: Stack) -> int:
    def go(conn: psycopg.Connection[object]) -> int:
        conn.row_factory = psycopg.rows.tuple_row  # type: ignore[assignment]
        # Else their updates find room in their own pages, and a disk without any stops nothing for a while.
        conn.execute("ALTER TABLE messages SET (fillfactor = 100)")
        account_id = an_account(conn, transport="relay")
        a_scheduled_campaign(conn, account_id, some_contacts(conn, account_id, PEOPLE), uncertain_policy="resend")
        return account_id

    return stack.ask(go)  # type: ignore[arg-type]


def is_writable(place: Place) -> bool:
    """Ask for more room than there is."""
    try:
        with place.stack.connect() as conn:
            if place.what == "data":
                conn.execute(
                    "CREATE TEMPORARY TABLE probe AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 3000)"
                )
            else:
                conn.execute("SELECT pg_logical_emit_message(false, 'probe', repeat('x', 20000000))")
        return True
    except psycopg.OperationalError:
        return False


def test_row_08_a_full_disk_stops_the_campaign_and_it_goes_on_by_itself_when_there_is_room(place: Place) -> None:
    stack = place.stack
    stack.sink.ask(delay_s=0.03)
    account_id = launch(stack)
    wait_for(lambda: stack.sink.ask().get("accepted", 0) > 200)
    ballast = Ballast(place.disk)
    ballast.fill()
    wait_for(lambda: ballast.is_full() and not is_writable(place))
    # It stays full until PostgreSQL can take no more: nothing is sent that is not marked, so the sending ends.
    seen = [-1, 0]

    def has_stopped() -> bool:
        ballast.is_full()
        seen.append(stack.sink.ask()["accepted"])
        return len(seen) > 8 and len(set(seen[-8:])) == 1

    wait_for(has_stopped, 60.0, every_s=0.25)
    stopped_at = seen[-1]
    assert stopped_at < PEOPLE, "the campaign ended before the disk was full"
    assert "the ledger cannot reach the database" in stack.workers[0].log.read_text()
    ballast.empty()
    stack.sink.ask(delay_s=0.0)

    def final() -> bool:
        if stack.postgres.process is not None and stack.postgres.process.poll() is not None:
            stack.postgres.start()  # it gave up; whoever supervises it starts it again
        stack.workers[0].start()  # likewise
        stack.ask(lambda conn: facts.hasten(conn, [account_id]))
        return not any(stack.ask(lambda conn: facts.read_open(conn, [account_id])).values())

    wait_for(final, 90.0, every_s=0.5)
    ids = PublicIds(bytes(stack.ask(lambda conn: conn.execute("SELECT id_key FROM installation").fetchone())["id_key"]))  # type: ignore[index]
    verdict = judge(
        Facts(
            stack.ask(lambda conn: facts.read_rows(conn, [account_id])),
            stack.sink.accepted(lambda text: ids.decode("message", text), since=0),
            faults=Faults(ends=1, connections=CONNECTIONS), ill=facts.ask_doctor(stack.connect),
        )
    )  # fmt: skip
    assert verdict.breaches == []
    assert verdict.lost == 0
