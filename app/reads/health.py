"""Is everything here that the work needs? Each check answers by itself, so one that fails hides no other."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import redis

from app.db import Conn, Pool, autocommit, many, one
from app.domain.errors import AppError
from sql import queries
from sql.migrate import list_migrations

#: A worker beats every three seconds; after this long it is gone and its jobs go back.
HEARTBEAT_AGE_MAX_S = 15.0


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    is_ok: bool
    detail: str
    value: float | None = None  #: an age in seconds, or a count


def check_all(pool: Pool, client: redis.Redis, *, now: datetime) -> list[Check]:
    """Run all checks. Raises nothing."""
    checks: list[Check] = []
    try:
        with autocommit(pool) as conn:
            checks += [
                Check("database", True, "answers"),
                _guard("migrations", lambda: _check_migrations(conn)),
                _guard("worker", lambda: _check_heartbeat(conn, now)),
                _guard("oldest_due_work", lambda: _check_oldest_due(conn, now)),
            ]
    except (AppError, psycopg.Error):
        checks.append(Check("database", False, "cannot be reached"))
    checks.append(_check_redis(client))
    return checks


def list_job_counts(conn: Conn, *, now: datetime) -> list[dict[str, Any]]:
    return many(conn, queries.health.list_jobs, now=now)


def get_recent_results(conn: Conn, *, now: datetime) -> dict[str, Any]:
    return many(conn, queries.health.list_recent_results, now=now)[0]


def _guard(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except psycopg.Error as error:
        return Check(name, False, type(error).__name__)


def _check_migrations(conn: Conn) -> Check:
    row = one(conn, queries.health.get_migration)
    newest = len(list_migrations())
    if row["version"] == newest:
        return Check("migrations", True, f"at {newest:04d}", 0)
    if row["version"] > newest:
        return Check("migrations", False, f"the database is at {row['version']:04d}, newer than this code")
    missing = newest - row["version"]
    return Check("migrations", False, f"{missing} pending: run `make migrate`", missing)


def _check_heartbeat(conn: Conn, now: datetime) -> Check:
    row = one(conn, queries.health.get_heartbeat, now=now)
    if row["last_heartbeat"] is None:
        return Check("worker", False, "no worker has been seen")
    age_s = max(0.0, (now - row["last_heartbeat"]).total_seconds())
    detail = f"{row['alive']} alive, last heard of {age_s:.0f} s ago"
    return Check("worker", age_s <= HEARTBEAT_AGE_MAX_S, detail, round(age_s, 1))


def _check_oldest_due(conn: Conn, now: datetime) -> Check:
    """Told, never a reason to be unready: a backlog is work, not a fault."""
    due_since = one(conn, queries.health.get_oldest_due, now=now)["due_since"]
    if due_since is None:
        return Check("oldest_due_work", True, "nothing is overdue", 0)
    age_s = round((now - due_since).total_seconds(), 1)
    return Check("oldest_due_work", True, f"due for {age_s:.1f} s", age_s)


def _check_redis(client: redis.Redis) -> Check:
    try:
        client.ping()
    except redis.RedisError:
        return Check("redis", False, "cannot be reached: nothing is sent until it is back")
    return Check("redis", True, "answers")
