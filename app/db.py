"""Connections, transactions, and calling the named queries of `sql/`.

    with transaction(pool) as conn:                 # returning commits, raising rolls back
        row = maybe(conn, queries.campaigns.launch, campaign_id=7, now=now)

Rows come back as dicts. Only this module builds pools for the web and for commands; the worker has its own in
`worker/db.py`, because its connections are asynchronous.
"""

import math
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout
from psycopg_pool.base import AttemptWithBackoff, BasePool

from app.domain.errors import Unavailable
from sql import Query

Conn = psycopg.Connection[DictRow]
Pool = ConnectionPool[Conn]

CHECKED_FOR_S = 1.0
SESSION_OPTIONS = "-c timezone=UTC -c statement_timeout=20s -c idle_in_transaction_session_timeout=30s"


class _Connection(psycopg.Connection[DictRow]):
    checked_at_s = -math.inf  # monotonic


def _check(conn: Conn) -> None:
    """A connection that PostgreSQL ended is found out before it is given; one that has just answered is not asked again.

    Else each connection that was open when PostgreSQL restarted would cost one request a 503, in each web process.
    """
    assert isinstance(conn, _Connection)
    now_s = time.monotonic()
    if now_s - conn.checked_at_s > CHECKED_FOR_S:
        ConnectionPool.check_connection(conn)
        conn.checked_at_s = now_s


class _LatestFirst(deque[Any]):
    append = deque.appendleft


def lend_latest_first(pool: BasePool) -> None:
    """Have a pool, not open yet, lend the connection that came back last, not the one that has rested longest.

    In turn, each of ten has its plans made anew and its PostgreSQL process out of the processor's caches: 162 µs of PostgreSQL
    for each POST /messages against 132 (`make bench ONLY=api`). The pool has no option for it.
    """
    pool._pool = _LatestFirst()


def open_pool(
    database_url: str, *, size: int, application_name: str = "mailtide-web", is_behind_pooler: bool = False
) -> Pool:
    """Open a pool of at most `size` connections. It connects in the background, so a start survives a database that
    is not up yet; `transaction` then raises Unavailable.

    is_behind_pooler  each transaction may be on another of PgBouncer's connections: no prepared statements, and no
                      options, which it refuses; time limits are in `deploy/pgbouncer.ini`. The time zone it does pass on.
    """
    session: dict[str, Any] = {"options": SESSION_OPTIONS}
    if is_behind_pooler:
        os.environ["PGTZ"] = "UTC"  # libpq has no other way to say it at the start
        session = {"prepare_threshold": None}
    AttemptWithBackoff.DELAY_BACKOFF = 1.0  # look for a database that was away each second: see worker/db.py
    pool: Pool = ConnectionPool(
        database_url,
        min_size=min(2, size),
        max_size=size,
        timeout=3.0,
        max_idle=300.0,
        reconnect_timeout=600.0,
        check=_check,
        connection_class=_Connection,
        kwargs={
            "row_factory": dict_row,
            "application_name": application_name,
            "connect_timeout": 5,
            **session,
        },
        open=False,
    )
    lend_latest_first(pool)
    pool.open()
    return pool


@contextmanager
def transaction(pool: Pool) -> Iterator[Conn]:
    """One transaction on one connection. Returning commits; raising rolls back.

    Raises Unavailable when the database cannot be reached or goes away in between.
    """
    try:
        with pool.connection() as conn:
            yield conn
    except (PoolTimeout, psycopg.OperationalError) as error:
        if isinstance(error, psycopg.errors.QueryCanceled):
            raise Unavailable("The database took too long over this. Try again, or narrow the request.") from error
        raise Unavailable("The database cannot be reached at the moment.") from error


@contextmanager
def autocommit(pool: Pool) -> Iterator[Conn]:
    """A connection on which each statement is its own transaction: one round trip where `transaction` takes three.

    For reads, and for commands that are one statement. Raises Unavailable like `transaction`.
    """
    with transaction(pool) as conn:
        conn.autocommit = True  # known to the client only, so it costs nothing
        try:
            yield conn
        finally:
            if not conn.closed:
                conn.autocommit = False


def one(conn: Conn, query: Query, /, **params: Any) -> DictRow:
    """Run a `:one` query. No row is a bug."""
    assert query.arity == "one", query.name
    row = conn.execute(query.text, params).fetchone()
    assert row is not None, f"{query.name} returned no row"
    return row


def maybe(conn: Conn, query: Query, /, **params: Any) -> DictRow | None:
    """Run a `:maybe` query."""
    assert query.arity == "maybe", query.name
    return conn.execute(query.text, params).fetchone()


def many(conn: Conn, query: Query, /, **params: Any) -> list[DictRow]:
    """Run a `:many` query."""
    assert query.arity == "many", query.name
    return conn.execute(query.text, params).fetchall()


def count(conn: Conn, query: Query, /, **params: Any) -> int:
    """Run a `:count` query and return how many rows it touched."""
    assert query.arity == "count", query.name
    return conn.execute(query.text, params).rowcount
