"""Limits over HTTP, and what is read from the engine's counters."""

import time
from datetime import UTC, datetime

import redis

from app.web import open_redis


def fill(api, limit_id: int, members: dict[str, tuple[int, float]]) -> int:
    """Write the engine's counters: member → (permits, seconds from now). Returns Redis's now in µs."""
    client: redis.Redis = api.services.redis
    seconds, micros = client.time()
    now_us = seconds * 1_000_000 + micros
    total = 0
    for member, (permits, offset_s) in members.items():
        client.zadd(f"mt:{{{limit_id}}}:z", {member: now_us + int(offset_s * 1_000_000)})
        client.hset(f"mt:{{{limit_id}}}:h", member, permits)
        total += permits
    client.hset(f"mt:{{{limit_id}}}:h", mapping={"total": total, "gen": 1})
    return now_us


def test_an_account_has_its_limit_unused_at_first(api) -> None:
    said = api.get("/limits").json["data"]
    assert len(said) == 1
    assert (said[0]["scope"], said[0]["limit"], said[0]["window_s"]) == ("account", 1000, 3600)
    assert (said[0]["used"], said[0]["next_free_at"], said[0]["degraded"]) == (0, None, False)


def test_used_counts_what_has_not_been_released(api) -> None:
    fill(api, api.value("SELECT limit_id FROM limits"), {"old": (50, -10), "a": (300, 100), "b": (100, 200)})
    said = api.get("/limits").json["data"][0]
    assert (said["used"], said["next_free_at"]) == (400, None)


def test_a_full_limit_says_when_the_next_message_may_go(api) -> None:
    now_us = fill(api, api.value("SELECT limit_id FROM limits"), {"old": (50, -10), "b": (900, 200), "a": (100, 100)})
    said = api.get("/limits").json["data"][0]
    assert said["used"] == 1000
    free_at = datetime.fromisoformat(said["next_free_at"])
    assert abs((free_at - datetime.fromtimestamp(now_us / 1e6 + 100, UTC)).total_seconds()) < 0.001


def test_without_redis_nothing_is_claimed(api, monkeypatch) -> None:
    monkeypatch.setattr(api.services, "redis", open_redis("redis://127.0.0.1:1"))
    started_at = time.monotonic()
    said = api.get("/limits").json["data"][0]
    assert (said["used"], said["next_free_at"], said["degraded"]) == (None, None, True)
    assert api.get("/overview").status_code == 200
    assert time.monotonic() - started_at < 2, "a page must not wait for a counter"


def test_a_limit_is_changed_both_ways(api) -> None:
    path = f"/limits/{api.get('/limits').json['data'][0]['id']}"
    assert api.patch(path, {"limit": 5, "window_s": 60}).json["limit"] == 5
    assert api.patch(path, {"limit": 0}).json["window_s"] == 60
    assert api.row("SELECT max_count, window_s, resume_epoch FROM limits") == {
        "max_count": 0, "window_s": 60, "resume_epoch": 2,
    }  # fmt: skip
    for bad in ({}, {"limit": -1}, {"limit": 1.5}, {"limit": "5"}, {"window_s": 0}, {"window_s": 2_592_001}, {"x": 1}):
        assert api.patch(path, bad).status_code == 422, bad


def test_who_waits_on_a_limit_is_woken_when_it_changes(api) -> None:
    limit_id = api.value("SELECT limit_id FROM limits")
    path = f"/limits/{api.id('limit', limit_id)}"
    api.patch(path, {"limit": 5})
    assert api.value("SELECT count(*) FROM procrastinate_jobs") == 0
    api.rows(
        """WITH c AS (INSERT INTO campaigns (account_id, name) VALUES (%(a)s, 'News') RETURNING campaign_id)
        INSERT INTO batches (account_id, campaign_id, ordinal, due_at, total, queued, status, waiting_limit_id)
        SELECT %(a)s, campaign_id, 1, now(), 1, 1, 'waiting', %(l)s FROM c RETURNING 1""",
        a=api.account_id, l=limit_id,
    )  # fmt: skip
    api.patch(path, {"limit": 10})
    assert api.row("SELECT task_name, args FROM procrastinate_jobs") == {
        "task_name": "resume_limit", "args": {"id": limit_id, "epoch": 2},
    }  # fmt: skip


def test_a_demo_account_can_lower_its_limit_but_not_raise_it(make_api) -> None:
    demo = make_api(is_demo=True)
    path = f"/limits/{demo.get('/limits').json['data'][0]['id']}"
    for more in ({"limit": 1001}, {"limit": 0}, {"window_s": 60}):
        answer = demo.patch(path, more)
        assert (answer.status_code, answer.json["code"]) == (403, "demo_not_allowed"), more
    assert demo.patch(path, {"limit": 10}).status_code == 200


def test_another_accounts_limit_does_not_exist(api, make_api) -> None:
    theirs = make_api().get("/limits").json["data"][0]["id"]
    assert api.patch(f"/limits/{theirs}", {"limit": 5}).status_code == 404
