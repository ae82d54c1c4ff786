"""Limits, and how much of each is used now.

Use is read from the engine's counters in Redis, which this module never writes. For a limit with the id 7:
    zset mt:{7}:z   member → when its permits are free again, in µs of Redis TIME
    hash mt:{7}:h   member → its permits; and `total`, the sum of all that are still counted
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from psycopg.rows import DictRow

from app.db import Conn, many
from sql import queries

#: One consistent look in one round trip. Answers {used, next free µs or ""} ; expired members are not counted.
_READ_USE = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local used = tonumber(redis.call('HGET', KEYS[2], 'total') or '0')
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
for i = 1, #expired do
  used = used - tonumber(redis.call('HGET', KEYS[2], expired[i]) or '0')
end
local first = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {string.format('%.0f', used), first[2] and string.format('%.0f', tonumber(first[2])) or ''}
"""


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit is taken in the current window."""

    used: int
    first_free_at: datetime | None  #: when the oldest permits come back; None when none are out


def list_limits(conn: Conn, *, account_id: int) -> list[DictRow]:
    """The account's limits, its own first."""
    return many(conn, queries.limits.list_limits, account_id=account_id)


def read_uses(client: redis.Redis, limit_ids: Sequence[int]) -> list[Use] | None:
    """The use of each limit, in order; None when Redis is away."""
    if not limit_ids:
        return []
    try:
        pipe = client.pipeline(transaction=False)
        for limit_id in limit_ids:
            pipe.eval(_READ_USE, 2, f"mt:{{{limit_id}}}:z", f"mt:{{{limit_id}}}:h")
        return [_parse_use(answer) for answer in pipe.execute()]
    except redis.RedisError:
        return None


def add_use(rows: Sequence[DictRow], client: redis.Redis) -> list[dict[str, Any]]:
    """Each row with `used`, `next_free_at` and `degraded`: true when Redis is away and nothing is known."""
    uses = read_uses(client, [row["limit_id"] for row in rows])
    if uses is None:
        return [{**row, "used": None, "next_free_at": None, "degraded": True} for row in rows]
    return [
        {**row, "used": use.used, "next_free_at": find_next_free(row["max_count"], use), "degraded": False}
        for row, use in zip(rows, uses, strict=True)
    ]


def find_next_free(max_count: int, use: Use) -> datetime | None:
    """When the next message may go, if none may now."""
    return use.first_free_at if max_count > 0 and use.used >= max_count else None


def _parse_use(answer: Any) -> Use:
    used, free_us = answer
    free_at = datetime.fromtimestamp(int(free_us) / 1_000_000, UTC) if free_us else None
    return Use(max(0, int(used)), free_at)
