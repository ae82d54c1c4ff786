"""`make doctor`: is this installation well? One line per check, and what to do about each that fails.

Checks are plain functions that return a sentence, or raise Ill with what to do. The invariants are questions in
`sql/queries/doctor.sql`; a healthy ledger answers each with no row. What a running worker is about to mend by itself may
show for a moment, so a failed question is asked again before it counts.
"""

import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from urllib.parse import urlsplit

import psycopg
import redis

from app.db import Conn, many, one
from app.settings import ConfigError, RelayAddress, Settings
from sql import Query, queries
from sql.migrate import MigrationError, pending

POSTGRES_MIN = 150000  # ON DELETE SET NULL (column)
WORKER_SILENT_S = 15  # the worker's heartbeat is every 3 s
GRACE_S = 30  # recovery from a killed worker takes less
CLOCK_SKEW_MAX_S = 1.0
DISK_FREE_MIN_BYTES = 200_000_000
ASK_AGAIN_AFTER_S = (2.0, 5.0)

#: What to do about a row that an invariant's question returns.
INVARIANTS = {
    "i1_campaign_without_launch": "is a worker running? It makes the job anew within seconds; if not, `make queue`",
    "i1_batch_without_job": "is a worker running? It makes the job anew within seconds; if not, `make queue`",
    "i1_running_batch_without_job": "is a worker running? It takes the batch back within seconds",
    "i1_waiting_batch_without_wakeup": "is a worker running? It makes the wake-up anew within seconds",
    "i1_message_without_job": "is a worker running? It makes the job anew within seconds; if not, `make queue`",
    "i1_held_message_without_job": "is a worker running? It takes the message back within seconds",
    "stalled_jobs": "is a worker running? It takes them back; else `make retry ID=…`",
    "failed_jobs": "read the worker's log, mend the cause, then `make retry ID=…`",
    "i7_counters_differ": "counters and rows change in one commit: please report this as a bug",
    "i7_batches_do_not_add_up": "batches and recipients are made in one commit: please report this as a bug",
    "i9_address_twice": "one address, one message: please report this as a bug",
    "sending_without_batch": "is a worker running? It settles them as uncertain within seconds",
    "campaign_not_closed": "is a worker running? It closes the campaign within seconds",
    "sent_campaign_has_open_batch": "please report this as a bug",
    "api_message_lost": "please report this as a bug",
    "api_message_due_though_final": "please report this as a bug",
    "i5_message_of_another_account": "please report this as a bug",
    "account_without_limit": "insert the account's row into `limits`",
    "invalid_index": "run REINDEX INDEX CONCURRENTLY on it",
}


class Ill(Exception):
    """A check failed. The message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Finding:
    name: str
    is_well: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.is_well else 'FAIL'}  {self.name:30}  {self.text}"


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check in turn, yielding each finding as it is known."""
    yield _check("versions", check_versions)
    yield _check("settings", lambda: check_settings(settings))
    yield _check("disk", lambda: check_disk(settings))
    yield _check("valkey", lambda: check_valkey(settings))
    yield _check("mail server", lambda: check_mail_server(settings))
    try:
        conn = psycopg.connect(
            settings.postgres_direct_url, row_factory=psycopg.rows.dict_row, autocommit=True, connect_timeout=5,
            options="-c timezone=UTC -c statement_timeout=120s", application_name="mailtide-doctor",
        )  # fmt: skip
    except (psycopg.OperationalError, ConfigError) as error:
        name = "DATABASE_DIRECT_URL" if settings.database_direct_url else "DATABASE_URL"
        yield Finding("database", False, f"{_first_line(error)}: is it running, and is {name} right?")
        return
    if settings.is_behind_pooler:
        yield _check("pooler", lambda: check_pooler(settings))
    with conn:
        yield _check("database", lambda: check_database(conn))
        migrations = _check("migrations", lambda: check_migrations(conn))
        yield migrations
        if not migrations.is_well:
            return
        yield _check("worker", lambda: check_worker(conn))
        for name, advice in INVARIANTS.items():
            yield _check(name, lambda: check_invariant(conn, getattr(queries.doctor, name), advice))  # noqa: B023


def _check(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except (Ill, ConfigError, MigrationError) as error:
        return Finding(name, False, _first_line(error))
    except (psycopg.Error, redis.RedisError, OSError) as error:
        return Finding(name, False, f"could not be checked: {_first_line(error)}")


def check_versions() -> str:
    parts = [f"Python {sys.version.split()[0]}"]
    if sys.version_info < (3, 11):  # noqa: UP036 - the very Python may be too old
        raise Ill(f"{parts[0]} is too old: 3.11 or newer is needed")
    procrastinate = version("procrastinate")
    if not procrastinate.startswith("3.10."):
        raise Ill(f"procrastinate {procrastinate} is not the 3.10 that the worker is written for: run `make setup`")
    return ", ".join([*parts, f"procrastinate {procrastinate}", f"granian {version('granian')}"])


def check_settings(settings: Settings) -> str:
    settings.require_secret()
    relay = settings.relay
    return (
        f"mail goes to {relay.host}:{relay.port} ({relay.tls})"
        if relay
        else "no SMTP_URL: all mail stays in the sandbox"
    )


def check_disk(settings: Settings) -> str:
    folder = settings.data_dir if settings.data_dir.exists() else settings.data_dir.resolve().parent
    free = shutil.disk_usage(folder).free
    if free < DISK_FREE_MIN_BYTES:
        raise Ill(f"only {free // 1_000_000} MB free at {folder}: make room")
    return f"{free // 1_000_000_000} GB free"


def check_valkey(settings: Settings) -> str:
    try:
        with redis.Redis.from_url(settings.valkey_url, socket_connect_timeout=3, socket_timeout=3) as client:
            info = client.info()
    except redis.RedisError as error:
        where = urlsplit(settings.valkey_url).netloc.rpartition("@")[2]
        raise Ill(f"no answer at {where} ({_first_line(error)}): nothing is sent until it is back") from error
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise Ill(f"maxmemory-policy is {policy}: set it to noeviction, or counters may vanish")
    return f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version')}"


def check_mail_server(settings: Settings) -> str:
    address: RelayAddress = settings.relay or settings.sandbox
    try:
        with socket.create_connection((address.host, address.port), timeout=5) as link:
            if address.tls == "implicit":
                return f"{address.host}:{address.port} takes connections"
            greeting = link.recv(512).decode(errors="replace").split("\n", 1)[0].strip()
            link.sendall(b"QUIT\r\n")
    except OSError as error:
        raise Ill(
            f"no answer at {address.host}:{address.port} ({_first_line(error)}): mail waits until it is back"
        ) from error
    if not greeting.startswith("220"):
        raise Ill(f"{address.host}:{address.port} greets with {greeting!r} instead of 220")
    return f"{address.host}:{address.port} greets with 220"


def check_pooler(settings: Settings) -> str:
    """The way that the web takes. It cannot set time limits there for itself."""
    with psycopg.connect(settings.postgres_url, autocommit=True, prepare_threshold=None, connect_timeout=5) as conn:
        row = conn.execute("SELECT current_setting('statement_timeout')").fetchone()
    if row is None or row[0] == "0":
        raise Ill("through DATABASE_URL a query may take for ever: take the connect_query of deploy/pgbouncer.ini")
    return f"answers, statement_timeout {row[0]}"


def check_database(conn: Conn) -> str:
    begin = time.perf_counter()
    server = one(conn, queries.doctor.get_server)
    took_ms = (time.perf_counter() - begin) * 1000
    number = int(server["version_num"])
    if number < POSTGRES_MIN:
        raise Ill(f"PostgreSQL {number // 10000} is too old: 15 or newer is needed")
    skew_s = abs((server["server_now"] - datetime.now(UTC)).total_seconds())
    if skew_s > CLOCK_SKEW_MAX_S:
        raise Ill(f"the database's clock differs from ours by {skew_s:.1f} s: run a time service on both machines")
    return f"PostgreSQL {number // 10000}.{number % 10000}, {took_ms:.1f} ms away"


def check_migrations(conn: Conn) -> str:
    # The migrator reads plain tuples.
    with psycopg.connect(conn.info.dsn, password=conn.info.password) as plain:
        todo = pending(plain)
    if todo:
        raise Ill(f"{len(todo)} to apply, the first is {todo[0].name}: run `make migrate`")
    return "all applied"


def check_worker(conn: Conn) -> str:
    workers = one(conn, queries.queue.count_live_workers, now=datetime.now(UTC), stalled_after_s=WORKER_SILENT_S)
    if not workers["live"]:
        raise Ill(f"no sign of life in {WORKER_SILENT_S} s: start `make run`, or `make worker`")
    return f"{workers['live']} alive"


def check_invariant(conn: Conn, query: Query, advice: str) -> str:
    """Ask until the answer is empty or patience ends."""
    for pause_s in (*ASK_AGAIN_AFTER_S, None):
        rows = many(conn, query, **_parameters(query))
        if not rows:
            return "none"
        if pause_s is not None:
            time.sleep(pause_s)
    shown = ", ".join(f"{row['what']} ({row['id']})" for row in rows[:3])
    raise Ill(f"{len(rows)}{'+' if len(rows) == 20 else ''}, e.g. {shown}: {advice}")


def _parameters(query: Query) -> dict[str, object]:
    known = {"now": datetime.now(UTC), "grace_s": GRACE_S}
    return {name: value for name, value in known.items() if f"%({name})s" in query.text.decode()}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
