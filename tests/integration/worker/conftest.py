"""Asynchronous tests against the real servers, without a plugin: `run` is asyncio.run with a pool."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from tests.integration.worker.engine import RunEngine, make_runner
from worker import limiter
from worker.db import AsyncPool, make_pool

Opened = Callable[[Callable[[AsyncPool], Awaitable[Any]]], Any]


@pytest.fixture
def with_pool(database_url: str) -> Opened:
    """Run an async function with an open pool on the test's database."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncPool]:
        pool = make_pool(database_url, size=8, application_name="test")
        await pool.open()
        try:
            yield pool
        finally:
            await pool.close()

    def run(work: Callable[[AsyncPool], Awaitable[Any]]) -> Any:
        async def go() -> Any:
            async with opened() as pool:
                return await work(pool)

        return asyncio.run(go())

    return run


@pytest.fixture
def account_id(database_url: str) -> int:
    with psycopg.connect(database_url) as conn:
        row = conn.execute("INSERT INTO accounts (name) VALUES ('Test') RETURNING account_id").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def engine(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> RunEngine:
    """Run an async function with the worker's services; see `engine.py`. Leases are short: only the tests' time depends
    on it."""
    monkeypatch.setattr(limiter, "LEASE_S", 0.4)
    monkeypatch.setattr(limiter, "LEASE_MARGIN_S", 0.05)
    return make_runner(database_url, redis_url)
