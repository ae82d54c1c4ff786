"""What a call of the limiter costs in Redis: with an empty window, and with a full hour in it. From the server's own count."""

import asyncio
import time
from typing import Any

import redis
import uvloop

from tests.bench.figures import figure, percentile
from tests.bench.options import Line, Lines, Options, say
from tests.bench.rows import LIMIT_THAT_NEVER_BINDS, relayed_account, value
from tests.bench.stack import Stack, running_stack
from worker.db import make_pool
from worker.limiter import Limit, Limiter, LimiterDown

DEFAULT_N = 50_000  # calls
CONNECTIONS = 20
PERMITS = (1, 20)  # asked for in a call
SERVER_US_AT_MOST = 200
WINDOW_S = 3600


def run(options: Options) -> Lines:
    count = options.size(DEFAULT_N)
    found: dict[tuple[int, bool], Line] = {}
    with running_stack() as stack:
        with stack.connect() as conn:
            account_id = relayed_account(conn)
            limit_id = value(conn, "SELECT limit_id FROM limits WHERE account_id = %s", account_id)
        limit = Limit(limit_id, account_id, None, LIMIT_THAT_NEVER_BINDS, WINDOW_S, cap=LIMIT_THAT_NEVER_BINDS)
        for is_full in (False, True):
            for permits in PERMITS:
                say(f"limiter: {count} calls for {permits} each, {'a full hour' if is_full else 'an empty window'}")
                line = uvloop.run(asyncio.wait_for(_measure(stack, limit, count, permits, is_full), 120 + count / 200))
                found[permits, is_full] = line
                yield line
    worst = max(found.values(), key=lambda line: line["server_us"])
    yield figure(
        "limiter, server time of a call", worst["server_us"], unit="µs", at_most=SERVER_US_AT_MOST,
        p99_us=worst["server_p99_us"], grants_per_s=max(line["grants_per_s"] for line in found.values()), n=count,
    )  # fmt: skip
    flat = max(found[permits, True]["server_us"] / found[permits, False]["server_us"] for permits in PERMITS)
    yield figure("limiter, full hour : empty window", flat, unit="×", at_most=1.5, n=count)


async def _measure(stack: Stack, limit: Limit, count: int, permits: int, is_full: bool) -> Line:
    pool = make_pool(stack.postgres.url, size=4, application_name="mailtide-bench")
    await pool.open()
    limiter = Limiter(stack.valkey.url, pool)
    try:
        await _until_warm(limiter)
        await limiter.free_permits(limit)  # loads the limit
        client = redis.Redis.from_url(stack.valkey.url, decode_responses=True)
        _fill(client, limit, 3600 if is_full else 0)
        entries = client.zcard(limit.keys[0])
        client.config_resetstat()
        client.config_set("slowlog-log-slower-than", SERVER_US_AT_MOST)
        client.slowlog_reset()
        waits_us: list[float] = []
        began = time.perf_counter()
        await asyncio.gather(
            *(_use(limiter, limit, count // CONNECTIONS, permits, waits_us) for _ in range(CONNECTIONS))
        )
        seconds = time.perf_counter() - began
        stats, spread = client.info("commandstats"), client.info("latencystats")
        slow = client.slowlog_len()
        client.close()
    finally:
        await limiter.close()
        await pool.close()
    return _line(stats, spread, waits_us, seconds, permits=permits, entries=entries, slow=slow)


def _line(
    stats: dict[str, Any], spread: dict[str, Any], waits_us: list[float], seconds: float, *, permits: int, entries: int,
    slow: int,
) -> Line:  # fmt: skip
    calls = stats["cmdstat_evalsha"]["calls"]
    percentiles = spread.get("latency_percentiles_usec_evalsha", {})
    return {
        "bench": "limiter", "n": calls, "permits": permits, "entries_before": entries,
        "server_us": stats["cmdstat_evalsha"]["usec_per_call"], "server_p99_us": percentiles.get("p99"),
        "server_p999_us": percentiles.get("p99.9"), "over_200_us": slow, "calls_per_s": round(calls / seconds),
        "grants_per_s": round(calls * permits / seconds), "client_p50_us": round(percentile(waits_us, 0.5)),
        "client_p99_us": round(percentile(waits_us, 0.99)),
    }  # fmt: skip


async def _use(limiter: Limiter, limit: Limit, calls: int, permits: int, waits_us: list[float]) -> None:
    """What a connection does: each call stamps what the one before let it send, and reserves anew."""
    lease = limiter.new_lease([limit])
    for _ in range(calls):
        began = time.perf_counter()
        grant = await limiter.top_up(lease, permits)
        waits_us.append((time.perf_counter() - began) * 1e6)
        assert grant.permits == permits, grant
        lease.free, lease.sent = 0, permits
    await limiter.settle(lease)


async def _until_warm(limiter: Limiter) -> None:
    while True:  # bounded by the caller's timeout
        try:
            await limiter.warm()
            return
        except LimiterDown:
            await asyncio.sleep(0.2)


def _fill(client: Any, limit: Limit, seconds: int) -> None:
    """Sends in each of the last seconds, in the limiter's own form: one stamp for each bucket, and its count."""
    zset, counts = limit.keys
    clock_s, clock_us = client.time()
    now_us = clock_s * 1_000_000 + clock_us
    pipeline = client.pipeline(transaction=False)
    for age in range(1, seconds):
        edge = ((now_us + limit.window_us) // limit.bucket_us - age) * limit.bucket_us
        pipeline.zadd(zset, {f"b|{edge}": edge})
        pipeline.hset(counts, f"b|{edge}", 10_000)
        pipeline.hincrby(counts, "total", 10_000)
    pipeline.execute()
