"""When a message is tried again."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.schedule import ATTEMPTS_MAX, LIFETIMES, Kind, next_relay_try, next_try, wakeup_bucket

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FAR = NOW + timedelta(days=30)


@pytest.mark.parametrize(
    ("kind", "burned", "minutes"),
    [
        ("api", 1, 1), ("api", 2, 5), ("api", 3, 15), ("api", 4, 30), ("api", 5, 60), ("api", 6, 120), ("api", 7, 240),
        ("api", 8, 240), ("api", 99, 240),
        ("campaign", 1, 6), ("campaign", 2, 20), ("campaign", 3, 60), ("campaign", 4, 120), ("campaign", 5, 240),
        ("campaign", 6, 480), ("campaign", 7, 480),
    ],
)  # fmt: skip
def test_each_burned_try_waits_longer_until_the_last_step(kind: Kind, burned: int, minutes: int) -> None:
    at = next_try(attempt=burned, burned=burned, kind=kind, now=NOW, deadline=FAR, jitter=0.0)
    assert at == NOW + timedelta(minutes=minutes)


def test_trouble_of_the_relay_alone_keeps_the_first_step() -> None:
    at = next_try(attempt=40, burned=0, kind="campaign", now=NOW, deadline=FAR, jitter=0.0)
    assert at == NOW + timedelta(minutes=6)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 15), (2, 30), (10, 150), (20, 300), (500, 300)])
def test_a_message_steps_aside_for_the_relays_trouble_and_comes_back_soon(attempt: int, seconds: int) -> None:
    at = next_relay_try(attempt=attempt, now=NOW, deadline=FAR, jitter=0.0)
    assert at == NOW + timedelta(seconds=seconds)


def test_trouble_of_the_relay_expires_a_message_at_its_deadline_or_after_too_many_attempts() -> None:
    soon = NOW + timedelta(seconds=15)
    assert next_relay_try(attempt=1, now=NOW, deadline=soon, jitter=0.0) is None
    assert next_relay_try(attempt=1, now=NOW, deadline=soon, jitter=-0.01) is not None
    assert next_relay_try(attempt=ATTEMPTS_MAX, now=NOW, deadline=FAR, jitter=0.0) is None


def test_a_try_at_or_after_the_deadline_is_not_made() -> None:
    deadline = NOW + timedelta(minutes=5)
    assert next_try(attempt=2, burned=2, kind="api", now=NOW, deadline=deadline, jitter=0.0) is None
    assert next_try(attempt=2, burned=2, kind="api", now=NOW, deadline=deadline, jitter=-0.01) is not None


def test_attempts_end_before_the_ledgers_column_does() -> None:
    assert next_try(attempt=ATTEMPTS_MAX, burned=0, kind="api", now=NOW, deadline=FAR, jitter=0.0) is None


@pytest.mark.parametrize(("kind", "tries"), [("api", 12), ("campaign", 14)])
def test_a_lifetime_holds_so_many_tries(kind: Kind, tries: int) -> None:
    at: datetime | None = NOW
    count = 0
    while at is not None:
        count += 1
        at = next_try(attempt=count, burned=count, kind=kind, now=at, deadline=NOW + LIFETIMES[kind], jitter=0.0)
    assert count == tries


@given(jitter=st.floats(-1, 1), burned=st.integers(0, 50), kind=st.sampled_from(("api", "campaign")))
def test_jitter_moves_a_try_by_a_fifth_at_most(jitter: float, burned: int, kind: Kind) -> None:
    exact = next_try(attempt=1, burned=burned, kind=kind, now=NOW, deadline=FAR, jitter=0.0)
    moved = next_try(attempt=1, burned=burned, kind=kind, now=NOW, deadline=FAR, jitter=jitter)
    assert exact is not None and moved is not None
    assert abs(moved - exact) <= (exact - NOW) * 0.2 + timedelta(microseconds=1)


@given(seconds=st.floats(0, 4e9), hours=st.integers(-12, 14))
def test_a_bucket_is_the_last_multiple_of_five_seconds(seconds: float, hours: int) -> None:
    at = datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours, minutes=30)))
    bucket = wakeup_bucket(at)
    assert bucket <= at < bucket + timedelta(seconds=5)
    assert bucket.timestamp() % 5 == 0 and bucket.tzinfo is UTC
