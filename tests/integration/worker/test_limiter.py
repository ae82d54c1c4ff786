"""Permits, against a real Valkey: no window of the limit's length ever holds more than the limit."""

import asyncio
import bisect
import random
import time
from typing import Any

import psycopg
import pytest
import redis

from worker import limiter as limiter_module
from worker.db import AsyncPool
from worker.limiter import SENTINEL, Lease, Limit, Limiter, LimiterDown


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules do not depend on the lengths; the tests' time does."""
    monkeypatch.setattr(limiter_module, "LEASE_S", 0.4)
    monkeypatch.setattr(limiter_module, "LEASE_MARGIN_S", 0.05)


def a_limit(account_id: int, max_count: int, window_s: int, limit_id: int = 1) -> Limit:
    return Limit(limit_id, account_id, None, max_count, window_s, cap=max_count)


async def warmed(limiter: Limiter) -> Limiter:
    while True:
        try:
            await limiter.warm()
            return limiter
        except LimiterDown:
            await asyncio.sleep(0.05)


def worst_window(times: list[float], window_s: float) -> int:
    times = sorted(times)
    return max((bisect.bisect_left(times, at + window_s) - index for index, at in enumerate(times)), default=0)


async def send_for(limiter: Limiter, limit: Limit, seconds: float, sends: list[float], *, dies: bool = False) -> None:
    """A sender: reserves, sends some of it, gives the rest back; or dies with the lease in its hands."""
    end = time.monotonic() + seconds
    lease = limiter.new_lease([limit])
    while time.monotonic() < end:
        try:
            grant = await limiter.top_up(lease, random.randint(1, 20))
        except LimiterDown:
            await asyncio.sleep(0.05)
            continue
        if grant.permits == 0:
            await asyncio.sleep(min(grant.free_in_s, 0.05))
            continue
        for _ in range(random.randint(0, grant.permits)):
            if not lease.is_valid():
                break
            lease.free -= 1
            lease.open += 1
            sends.append(time.time())
            lease.open -= 1
            lease.sent += 1
        if dies and random.random() < 0.3:
            lease = limiter.new_lease([limit])
    if not dies:
        await limiter.settle(lease)


def test_no_window_holds_more_than_the_limit_with_many_workers_and_some_that_die(
    with_pool: Any, account_id: int, redis_url: str
) -> None:
    async def work(pool: AsyncPool) -> list[float]:
        limiters = [await warmed(Limiter(redis_url, pool)) for _ in range(3)]
        limit = a_limit(account_id, max_count=60, window_s=1)
        sends: list[float] = []
        await asyncio.gather(*(send_for(each, limit, 4.0, sends, dies=n == 2) for n, each in enumerate(limiters)))
        return sends

    sends = with_pool(work)
    assert worst_window(sends, 1.0) <= 60
    assert len(sends) > 60, "the limit was never reached, so nothing was tested"


def test_what_was_sent_comes_free_one_window_later_and_what_was_not_at_once(
    with_pool: Any, account_id: int, redis_url: str
) -> None:
    async def work(pool: AsyncPool) -> None:
        limiter = await warmed(Limiter(redis_url, pool))
        limit = a_limit(account_id, max_count=10, window_s=60)
        lease = limiter.new_lease([limit])
        assert (await limiter.top_up(lease, 10)).permits == 10
        lease.free, lease.sent = 6, 4
        await limiter.settle(lease)
        free, wait_s = await limiter.free_permits(limit)
        assert (free, wait_s) == (6, 0.0)
        other = limiter.new_lease([limit])
        assert (await limiter.top_up(other, 100)).permits == 6
        third = limiter.new_lease([limit])
        refused = await limiter.top_up(third, 1)
        assert refused.permits == 0
        assert refused.blocked_by == limit
        assert 59.0 < refused.free_in_s <= 60.2

    with_pool(work)


def test_permits_of_messages_under_way_stay_with_a_lease_that_is_topped_up(
    with_pool: Any, account_id: int, redis_url: str
) -> None:
    async def work(pool: AsyncPool) -> None:
        limiter = await warmed(Limiter(redis_url, pool))
        limit = a_limit(account_id, max_count=10, window_s=60)
        lease = limiter.new_lease([limit])
        await limiter.top_up(lease, 4)
        lease.free, lease.open, lease.sent = 0, 1, 3
        grant = await limiter.top_up(lease, 100)
        assert grant.permits == 6
        assert (await limiter.free_permits(limit))[0] == 0

    with_pool(work)


def test_a_message_takes_a_permit_of_every_limit_or_of_none(with_pool: Any, account_id: int, redis_url: str) -> None:
    async def work(pool: AsyncPool) -> None:
        limiter = await warmed(Limiter(redis_url, pool))
        wide, narrow = a_limit(account_id, 100, 60, limit_id=1), a_limit(account_id, 3, 60, limit_id=2)
        lease = limiter.new_lease([wide, narrow])
        assert (await limiter.top_up(lease, 50)).permits == 3
        assert (await limiter.free_permits(wide))[0] == 97
        refused = await limiter.top_up(limiter.new_lease([wide, narrow]), 1)
        assert refused.permits == 0
        assert refused.blocked_by == narrow
        assert (await limiter.free_permits(wide))[0] == 97

    with_pool(work)


def test_nothing_is_given_for_a_lease_time_after_redis_lost_its_state(
    with_pool: Any, account_id: int, redis_url: str
) -> None:
    async def work(pool: AsyncPool) -> None:
        limiter = await warmed(Limiter(redis_url, pool))
        limit = a_limit(account_id, max_count=10, window_s=60)
        lease = limiter.new_lease([limit])
        await limiter.top_up(lease, 10)
        with redis.Redis.from_url(redis_url) as server:
            server.flushall()
        lost_at = time.monotonic()
        fresh = limiter.new_lease([limit])
        with pytest.raises(LimiterDown):
            await limiter.top_up(fresh, 1)
        await until_granted(limiter, fresh)
        assert time.monotonic() - lost_at >= limiter_module.LEASE_S

    with_pool(work)


async def until_granted(limiter: Limiter, lease: Lease) -> int:
    while True:
        try:
            return (await limiter.top_up(lease, 1_000)).permits
        except LimiterDown:
            await asyncio.sleep(0.02)


def test_row_10_a_lost_window_is_rebuilt_from_what_the_ledger_knows(
    with_pool: Any, account_id: int, redis_url: str, database_url: str
) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute(
            "INSERT INTO throughput (account_id, at_second, writer_id, sent) VALUES"
            " (%(a)s, date_trunc('second', now()) - interval '5 s', 1, 7),"
            " (%(a)s, date_trunc('second', now()) - interval '90 s', 1, 100)",
            {"a": account_id},
        )

    async def work(pool: AsyncPool) -> int:
        limiter = await warmed(Limiter(redis_url, pool))
        return (await limiter.top_up(limiter.new_lease([a_limit(account_id, 10, 60)]), 100)).permits

    assert with_pool(work) == 3


def test_a_lease_that_redis_forgot_is_not_valid_after_its_next_renewal(
    with_pool: Any, account_id: int, redis_url: str
) -> None:
    async def work(pool: AsyncPool) -> None:
        limiter = await warmed(Limiter(redis_url, pool))
        lease = limiter.new_lease([a_limit(account_id, 10, 60)])
        await limiter.top_up(lease, 5)
        await limiter._renew(lease)
        assert lease.is_valid()
        with redis.Redis.from_url(redis_url) as server:
            server.delete(SENTINEL)
        await limiter._renew(lease)
        assert not lease.is_valid()

    with_pool(work)


def test_without_redis_no_permit_is_given(with_pool: Any, account_id: int) -> None:
    async def work(pool: AsyncPool) -> None:
        limiter = Limiter("redis://127.0.0.1:1/0", pool)
        with pytest.raises(LimiterDown):
            await limiter.top_up(limiter.new_lease([a_limit(account_id, 10, 60)]), 1)

    with_pool(work)


def test_without_limits_no_redis_is_needed(with_pool: Any) -> None:
    async def work(pool: AsyncPool) -> int:
        limiter = Limiter("redis://127.0.0.1:1/0", pool)
        return (await limiter.top_up(limiter.new_lease([]), 5)).permits

    assert with_pool(work) == 5


def test_row_12_a_server_that_may_evict_counters_is_refused(with_pool: Any, account_id: int, redis_url: str) -> None:
    async def work(pool: AsyncPool) -> None:
        limiter = Limiter(redis_url, pool)
        await asyncio.sleep(0)
        with redis.Redis.from_url(redis_url) as server:
            server.config_set("maxmemory-policy", "allkeys-lru")
            try:
                end = time.monotonic() + 5
                while time.monotonic() < end:
                    try:
                        await limiter.warm()
                    except LimiterDown as error:
                        if "noeviction" in str(error):
                            return
                    await asyncio.sleep(0.05)
                pytest.fail("a server with allkeys-lru was accepted")
            finally:
                server.config_set("maxmemory-policy", "noeviction")

    with_pool(work)


def test_row_10_a_second_loss_is_waited_for_in_full_by_whoever_saw_only_the_first(
    with_pool: Any, account_id: int, redis_url: str
) -> None:
    """The first loss was mended by another process, whose new leases are still in use when the next one comes."""

    async def run(pool: AsyncPool) -> None:
        limit = a_limit(account_id, 10, 60)
        watching, working = await warmed(Limiter(redis_url, pool)), await warmed(Limiter(redis_url, pool))
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
            with pytest.raises(LimiterDown):
                await watching.top_up(watching.new_lease([limit]), 10)
            await warmed(working)
            lease = working.new_lease([limit])
            assert (await working.top_up(lease, 10)).permits == 10
            client.flushall()
        with pytest.raises(LimiterDown):
            await watching.top_up(watching.new_lease([limit]), 10)
        assert lease.is_valid()
        await warmed(watching)
        assert not lease.is_valid()
        await watching.close()
        await working.close()

    with_pool(run)
