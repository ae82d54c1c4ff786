"""The worker's connections: asynchronous, autocommit, in UTC.

    rows = await many(pool, queries.batches.list_messages, batch_id=7, …)

Each call is one round trip on one pooled connection. What must be one transaction is one statement, or opens
`transaction(pool)`.
"""

import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool
from psycopg_pool.base import AttemptWithBackoff

from app.db import lend_latest_first
from sql import Query

AsyncConn = psycopg.AsyncConnection[DictRow]
AsyncPool = AsyncConnectionPool[AsyncConn]

CHECKED_FOR_S = 1.0
SESSION_OPTIONS = "-c timezone=UTC -c statement_timeout=120s -c idle_in_transaction_session_timeout=60s"


class _Connection(psycopg.AsyncConnection[DictRow]):
    checked_at_s = -math.inf  # monotonic


async def _check(conn: AsyncConn) -> None:
    """A connection that PostgreSQL ended is found out before it is given; one that has just answered is not asked again.

    Asking each time would double the round trips of short statements, and so of small batches.
    """
    assert isinstance(conn, _Connection)
    now_s = time.monotonic()
    if now_s - conn.checked_at_s > CHECKED_FOR_S:
        await AsyncConnectionPool.check_connection(conn)
        conn.checked_at_s = now_s


async def _configure(conn: AsyncConn) -> None:
    # Not as a pool keyword: psycopg would apply it to the constructor, which Procrastinate's connector overrides.
    await conn.set_autocommit(True)
    set_json_loads(orjson.loads, conn)


def connection_arguments(application_name: str) -> dict[str, Any]:
    return {
        "row_factory": dict_row,
        "application_name": application_name,
        "options": SESSION_OPTIONS,
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 15000,
    }


def make_pool(database_url: str, *, size: int, application_name: str) -> AsyncPool:
    """A closed pool: `await pool.open()`. Broken connections are replaced in the background."""
    # Every second and not after 1, 2, 4, 8 …: a database that is back after five seconds was found after fifteen, when this
    # process had been silent for so long that others took its work.
    AttemptWithBackoff.DELAY_BACKOFF = 1.0
    pool: AsyncPool = AsyncConnectionPool(
        database_url,
        min_size=min(2, size),
        max_size=size,
        timeout=10.0,
        max_idle=300.0,
        reconnect_timeout=600.0,
        configure=_configure,
        check=_check,
        connection_class=_Connection,
        # Sooner than psycopg's five: planning the claim of a batch takes longer than running it.
        kwargs={**connection_arguments(application_name), "prepare_threshold": 1},
        open=False,
    )
    lend_latest_first(pool)
    return pool


@asynccontextmanager
async def transaction(pool: AsyncPool) -> AsyncIterator[AsyncConn]:
    """One transaction on one connection: returning commits, raising rolls back."""
    async with pool.connection() as conn, conn.transaction():
        yield conn


async def one(at: AsyncPool | AsyncConn, query: Query, /, **params: Any) -> DictRow:
    assert query.arity == "one", query.name
    rows = await _fetch(at, query, params)
    assert len(rows) == 1, f"{query.name} returned {len(rows)} rows"
    return rows[0]


async def maybe(at: AsyncPool | AsyncConn, query: Query, /, **params: Any) -> DictRow | None:
    assert query.arity == "maybe", query.name
    rows = await _fetch(at, query, params)
    return rows[0] if rows else None


async def many(at: AsyncPool | AsyncConn, query: Query, /, **params: Any) -> list[DictRow]:
    assert query.arity == "many", query.name
    return await _fetch(at, query, params)


async def count(at: AsyncPool | AsyncConn, query: Query, /, **params: Any) -> int:
    assert query.arity == "count", query.name
    if isinstance(at, psycopg.AsyncConnection):
        return (await at.execute(query.text, params)).rowcount
    async with at.connection() as conn:
        return (await conn.execute(query.text, params)).rowcount


async def _fetch(at: AsyncPool | AsyncConn, query: Query, params: dict[str, Any]) -> list[DictRow]:
    if isinstance(at, psycopg.AsyncConnection):
        return await (await at.execute(query.text, params)).fetchall()
    async with at.connection() as conn:
        return await (await conn.execute(query.text, params)).fetchall()
