"""Permits: an exact sliding window over all workers, in Redis, rebuilt from PostgreSQL whenever Redis has lost it.

For each limit one sorted set (member -> release time, µs of Redis TIME) and one hash (member -> permits, `total`, `gen`),
under one hash tag. A lease occupies the window until its deadline + window. Settling a lease re-stamps what was sent
with now + window, rounded up to a bucket edge, and gives the rest back. Rounding up can only wait longer. So in ANY
window of that length at most N messages are sent, also when a worker dies between reserve and settle: its lease ages out.

Loss is noticed by a sentinel, `mt:gen` = the server's run_id. While it is missing or another server's, no permit is given:
whoever notices first waits until every lease of the old generation has run out, then writes it. A limit whose hash is
missing is loaded from the ledger (table `throughput` and what is being sent) before its first permit.

Redis unreachable -> LimiterDown: nothing is sent, nothing fails (fail closed).
Measured 2026-11-24 on the sketch this grew from: 23 µs in the server for a call.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio as redis_async
from redis.asyncio.client import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sql import queries
from worker.db import AsyncPool, many, one

log = logging.getLogger("mailtide.limiter")

LEASE_S = 2.0  # a lease that nobody renews is over after this
LEASE_MARGIN_S = 0.3  # a holder stops this long before
RENEW_EVERY_S = 0.6
TIMEOUT_S = 1.0
SENTINEL = "mt:gen"
LOSS = "mt:loss"

_EXCHANGE = """
-- Stamp what a lease has sent, and let it hold `keep` + a grant of up to `want` from now on.
-- KEYS: sentinel, then zset and hash of each limit.
-- ARGV: run_id, lease, lease_us, want (-1: only look), sent, keep, then of each limit: cap, window_us, bucket_us
-- Returns {granted, index of the limit that blocks or 0, µs until its next release};
--   granted -1: the limit at `index` is not loaded; -2: Redis has lost its state.
local clock = redis.call('TIME'); local now = clock[1] * 1000000 + clock[2]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-2, 0, 0} end
local limits = (#KEYS - 1) / 2
local lease, lease_us, want = 'l|' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local sent, keep = tonumber(ARGV[5]), tonumber(ARGV[6])
for i = 1, limits do
  if redis.call('HEXISTS', KEYS[2 * i + 1], 'gen') == 0 then return {-1, i, 0} end
end
local grant, blocked, free_us = want, 0, 0
if want < 0 then grant = 1000000000 end
for i = 1, limits do
  local z, h = KEYS[2 * i], KEYS[2 * i + 1]
  local cap, window, bucket = tonumber(ARGV[3 * i + 4]), tonumber(ARGV[3 * i + 5]), tonumber(ARGV[3 * i + 6])
  local gone = redis.call('ZRANGEBYSCORE', z, '-inf', string.format('%.0f', now), 'LIMIT', 0, 1000)
  for _, m in ipairs(gone) do
    redis.call('HINCRBY', h, 'total', -tonumber(redis.call('HGET', h, m) or 0))
    redis.call('HDEL', h, m); redis.call('ZREM', z, m)
  end
  if want >= 0 then
    local held = tonumber(redis.call('HGET', h, lease) or 0)
    if sent > 0 then
      local edge = math.ceil((now + window) / bucket) * bucket
      local b = 'b|' .. string.format('%.0f', edge)
      redis.call('ZADD', z, string.format('%.0f', edge), b); redis.call('HINCRBY', h, b, sent)
    end
    if held > 0 or sent > 0 or keep > 0 then redis.call('HINCRBY', h, 'total', sent + keep - held) end
    if keep > 0 then redis.call('HSET', h, lease, keep) elseif held > 0 then redis.call('HDEL', h, lease) end
  end
  local free = cap - tonumber(redis.call('HGET', h, 'total') or 0)
  if free < grant then grant = math.max(free, 0) end
  if free < 1 and want ~= 0 then
    local first = redis.call('ZRANGE', z, 0, 0, 'WITHSCORES')
    -- A lease is about to be settled: its permits come back one window from now, not when it would run out.
    local at = now + window + bucket
    if first[2] then at = math.min(at, tonumber(first[2])) end
    if at - now > free_us then blocked, free_us = i, at - now end
  end
  redis.call('PEXPIRE', z, math.ceil(window / 1000) + 600000)
  redis.call('PEXPIRE', h, math.ceil(window / 1000) + 600000)
end
if want < 0 then return {grant, blocked, string.format('%.0f', free_us)} end
for i = 1, limits do
  local z, h, window = KEYS[2 * i], KEYS[2 * i + 1], tonumber(ARGV[3 * i + 5])
  if keep + grant > 0 then
    redis.call('ZADD', z, string.format('%.0f', now + lease_us + window), lease)
    if grant > 0 then redis.call('HINCRBY', h, lease, grant); redis.call('HINCRBY', h, 'total', grant) end
  else
    redis.call('ZREM', z, lease)
  end
end
return {grant, blocked, string.format('%.0f', free_us)}
"""

_RENEW = """
-- Push a lease's deadline. KEYS: sentinel, then the zset of each limit. ARGV: run_id, lease, lease_us, windows in µs.
local clock = redis.call('TIME'); local now = clock[1] * 1000000 + clock[2]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  if not redis.call('ZSCORE', KEYS[i], 'l|' .. ARGV[2]) then return 0 end
end
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], string.format('%.0f', now + ARGV[3] + ARGV[i + 2]), 'l|' .. ARGV[2])
end
return 1
"""

_LOAD = """
-- Give a limit back what the ledger knows, unless somebody did already.
-- KEYS: sentinel, zset, hash. ARGV: run_id, window_us, bucket_us, then pairs: age_us of a send, how many.
local clock = redis.call('TIME'); local now = clock[1] * 1000000 + clock[2]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[3], 'gen') == 1 then return 0 end
redis.call('DEL', KEYS[2], KEYS[3])
local window, bucket, total = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
for i = 4, #ARGV, 2 do
  local edge = math.ceil((now + window - tonumber(ARGV[i])) / bucket) * bucket
  local n = tonumber(ARGV[i + 1])
  if edge > now and n > 0 then
    local b = 'b|' .. string.format('%.0f', edge)
    redis.call('ZADD', KEYS[2], string.format('%.0f', edge), b); redis.call('HINCRBY', KEYS[3], b, n)
    total = total + n
  end
end
redis.call('HSET', KEYS[3], 'gen', ARGV[1], 'total', total)
redis.call('PEXPIRE', KEYS[2], math.ceil(window / 1000) + 600000); redis.call('PEXPIRE', KEYS[3], math.ceil(window / 1000) + 600000)
return 1
"""


_RESTORE = """
-- Begin a new generation, once no lease of an earlier one can be in use. How long the loss is known stands in the
-- server, so that another loss, or another run of the server, begins the wait anew for everybody.
-- KEYS: sentinel, the loss. ARGV: run_id, µs to wait. Returns µs to go; 0: done by another; -1: done now.
local clock = redis.call('TIME'); local now = clock[1] * 1000000 + clock[2]
if redis.call('GET', KEYS[1]) == ARGV[1] then return '0' end
local loss = redis.call('HMGET', KEYS[2], 'run', 'at')
if loss[1] ~= ARGV[1] then
  redis.call('HSET', KEYS[2], 'run', ARGV[1], 'at', string.format('%.0f', now))
  return ARGV[2]
end
local left = loss[2] + ARGV[2] - now
if left > 0 then return string.format('%.0f', left) end
redis.call('DEL', KEYS[2]); redis.call('SET', KEYS[1], ARGV[1])
return '-1'
"""


class LimiterDown(Exception):
    """Redis cannot be asked, or its state is being rebuilt. Send nothing and try again in a moment."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max_count` messages in any `window_s` seconds. `cap` is what this caller may use of it."""

    limit_id: int
    account_id: int
    campaign_id: int | None
    max_count: int
    window_s: int
    cap: int

    @property
    def window_us(self) -> int:
        return self.window_s * 1_000_000

    @property
    def bucket_us(self) -> int:
        """Stamps are rounded up to this: 1/600 of the window, from 1 ms to 1 s."""
        return min(max(self.window_us // 600, 1_000), 1_000_000)

    @property
    def keys(self) -> tuple[str, str]:
        return f"mt:{{{self.limit_id}}}:z", f"mt:{{{self.limit_id}}}:h"


@dataclass(slots=True)
class Lease:
    """Permits that one connection holds, valid until `deadline` (monotonic seconds). Topped up, not replaced."""

    lease_id: str
    limits: tuple[Limit, ...]
    deadline: float = 0.0
    free: int = 0  # permits not given to a message yet
    open: int = 0  # permits of messages whose outcome is not known yet
    sent: int = 0  # messages that count, not stamped yet
    asked_at: float = 0.0

    def is_valid(self) -> bool:
        return time.monotonic() < self.deadline


@dataclass(frozen=True, slots=True)
class Grant:
    """How many permits came. With none: which limit blocks, and when to ask again."""

    permits: int
    blocked_by: Limit | None = None
    free_in_s: float = 0.0


@dataclass(slots=True)
class Limiter:
    """One for each process."""

    redis_url: str
    pool: AsyncPool
    _client: Redis | None = None
    _run_id: str | None = None
    _leases: dict[str, Lease] = field(default_factory=dict)
    _scripts: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    rebuilds: int = 0

    def new_lease(self, limits: Sequence[Limit]) -> Lease:
        """A lease that holds nothing yet. Without limits it is valid for ever and needs no Redis."""
        forever = float("inf")
        return Lease(secrets.token_hex(8), tuple(limits), deadline=0.0 if limits else forever)

    async def top_up(self, lease: Lease, want: int) -> Grant:
        """Stamp what the lease has sent, give back its free permits, and reserve up to `want` under all its limits.

        Permits of messages under way stay with the lease. Raises LimiterDown; what was sent is in the ledger by then,
        from which a lost Redis is rebuilt.
        """
        if not lease.limits:
            lease.free = want
            return Grant(want)
        for _ in range(len(lease.limits) + 2):
            asked_at = time.monotonic()
            keys, arguments = _exchange_arguments(lease.limits, lease, want)
            granted, index, free_us = await self._call("exchange", keys, arguments)
            if granted == -2:
                self._forget(lease)
                await self._restore()
            elif granted == -1:
                lease.sent = 0  # the ledger, from which the limit is loaded, has them
                await self._load(lease.limits[index - 1])
            else:
                lease.sent, lease.free, lease.asked_at = 0, granted, asked_at
                lease.deadline = asked_at + LEASE_S - LEASE_MARGIN_S
                self._leases[lease.lease_id] = lease
                return Grant(granted, lease.limits[index - 1] if index else None, int(free_us) / 1e6)
        raise LimiterDown("the limits could not be loaded")

    async def settle(self, lease: Lease) -> None:
        """Give a lease back. Never raises: a lease that cannot be settled ages out."""
        self._leases.pop(lease.lease_id, None)
        if not lease.limits or lease.deadline == 0.0:
            return
        try:
            keys, arguments = _exchange_arguments(lease.limits, lease, 0)
            await self._call("exchange", keys, arguments)
        except LimiterDown:
            pass
        self._forget(lease)

    def _forget(self, lease: Lease) -> None:
        lease.free = lease.sent = 0
        lease.deadline = 0.0

    async def free_permits(self, limit: Limit) -> tuple[int, float]:
        """How many permits are free now, and seconds until the next when none is. Takes none."""
        for _ in range(3):
            keys, arguments = _exchange_arguments((limit,), Lease("", (limit,)), -1)
            free, _index, free_us = await self._call("exchange", keys, arguments)
            if free == -2:
                await self._restore()
            elif free == -1:
                await self._load(limit)
            else:
                return free, int(free_us) / 1e6
        raise LimiterDown("the limit could not be loaded")

    async def run(self) -> None:
        """Renew the leases in use, so that a slow relay does not let them run out. Runs until cancelled."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            for lease in list(self._leases.values()):
                await self._renew(lease)

    async def warm(self) -> None:
        """Make sure that Redis answers and holds a state, before the first permit is needed. Raises LimiterDown."""
        client = await self._connected()
        if await self._ask(client.get(SENTINEL)) != self._run_id:
            await self._restore()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _renew(self, lease: Lease) -> None:
        asked_at = time.monotonic()
        keys = [SENTINEL, *(limit.keys[0] for limit in lease.limits)]
        arguments = [lease.lease_id, int(LEASE_S * 1e6), *(limit.window_us for limit in lease.limits)]
        try:
            alive = await self._call("renew", keys, arguments)
        except LimiterDown:
            return
        if alive:
            lease.deadline = max(lease.deadline, asked_at + LEASE_S - LEASE_MARGIN_S)
        else:
            lease.deadline = 0.0

    async def _load(self, limit: Limit) -> None:
        """Tell Redis what the ledger knows of this limit's window."""
        # In this order: a message that settles in between is counted twice, never missed.
        moving = await one(
            self.pool, queries.sent_recently.count_sending, account_id=limit.account_id, campaign_id=limit.campaign_id
        )
        rows = await many(
            self.pool, queries.sent_recently.list_sends, account_id=limit.account_id, campaign_id=limit.campaign_id,
            window_s=limit.window_s, width_s=max(1, limit.window_s // 600),
        )  # fmt: skip
        pairs: list[int] = [0, moving["sending"]]
        for row in rows:
            pairs += [int(row["age_s"] * 1e6), row["sent"]]
        zset, counts = limit.keys
        await self._call("load", [SENTINEL, zset, counts], [limit.window_us, limit.bucket_us, *pairs])

    async def _restore(self) -> None:
        """Start a new generation once no lease of an old one can be in use any more.

        From the moment the loss was noticed no new lease is given; so after one lease's time all are over, and the
        ledger holds every send they covered. Raises LimiterDown until then.
        """
        await self._check_policy(await self._connected())
        wait_us = int((LEASE_S + LEASE_MARGIN_S) * 1e6)
        left_us = int(await self._call("restore", [SENTINEL, LOSS], [wait_us]))
        if left_us == wait_us:
            log.warning("the rate counter has lost its state: sending waits %.1f s, then it is rebuilt", LEASE_S)
        if left_us > 0:
            raise LimiterDown(f"the rate counter is being rebuilt, {left_us / 1e6:.1f} s to go")
        if left_us < 0:
            self.rebuilds += 1

    async def _check_policy(self, client: Redis) -> None:
        """Refuse a server that may forget counters on its own. A server that hides its configuration is believed."""
        try:
            policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy", "noeviction")
        except RedisError:
            return
        if policy != "noeviction":
            raise LimiterDown(f"Redis has maxmemory-policy {policy}: set it to noeviction, or limits could be exceeded")

    async def _call(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        self.calls += 1
        await self._connected()
        return await self._ask(self._scripts[name](keys=keys, args=[self._run_id, *arguments]))

    async def _connected(self) -> Redis:
        """The client, after making sure which server run answers it."""
        if self._client is None:
            self._client = redis_async.from_url(
                self.redis_url, decode_responses=True, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S,
                single_connection_client=False, max_connections=64, retry=Retry(NoBackoff(), 0),
            )  # fmt: skip
            scripts = {"exchange": _EXCHANGE, "renew": _RENEW, "load": _LOAD, "restore": _RESTORE}
            self._scripts = {name: self._client.register_script(text) for name, text in scripts.items()}
        if self._run_id is None:
            info = await self._ask(self._client.info("server"))
            self._run_id = str(info["run_id"])
        return self._client

    async def _ask(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except (RedisError, OSError) as error:
            # The next answer may come from another run of the server: ask it who it is.
            self._run_id = None
            raise LimiterDown(f"Redis cannot be reached: {error!r}") from error


def _exchange_arguments(limits: Sequence[Limit], lease: Lease, want: int) -> tuple[list[str], list[Any]]:
    keys = [SENTINEL]
    arguments: list[Any] = [lease.lease_id, int(LEASE_S * 1e6), want, lease.sent, lease.open]
    for limit in limits:
        keys += limit.keys
        arguments += [limit.cap, limit.window_us, limit.bucket_us]
    return keys, arguments
