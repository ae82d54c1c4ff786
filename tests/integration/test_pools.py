"""Both pools lend the connection that came back last: its plans are made, and its server process is warm."""

import asyncio

import psycopg

from app.db import Pool, open_pool, transaction
from worker.db import AsyncPool, make_pool


def _pid(conn: psycopg.Connection | psycopg.AsyncConnection) -> int:  # type: ignore[type-arg]
    return conn.info.backend_pid


def test_the_web_lends_the_connection_that_came_back_last(database_url: str) -> None:
    pool: Pool = open_pool(database_url, size=3)
    try:
        with transaction(pool) as first, transaction(pool) as second, transaction(pool) as third:
            borrowed = [_pid(first), _pid(second), _pid(third)]
        with transaction(pool) as conn:  # the first was the last to be given back
            lent = _pid(conn)
        with transaction(pool) as conn:
            assert [lent, _pid(conn)] == [borrowed[0]] * 2
    finally:
        pool.close()


def test_the_worker_lends_the_connection_that_came_back_last(database_url: str) -> None:
    async def go() -> None:
        pool: AsyncPool = make_pool(database_url, size=3, application_name="test")
        await pool.open()
        try:
            async with pool.connection() as first, pool.connection() as second, pool.connection() as third:
                borrowed = [_pid(first), _pid(second), _pid(third)]
            async with pool.connection() as conn:
                lent = _pid(conn)
            async with pool.connection() as conn:
                assert [lent, _pid(conn)] == [borrowed[0]] * 2
        finally:
            await pool.close()

    asyncio.run(go())
