"""When a message goes, and how we explain why it went when it went."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.domain.message import (
    Attempt,
    Slot,
    Wait,
    choose_slot,
    describe_window,
    explain,
    floor_to_bucket,
)  # fmt: skip

NOW = datetime(2030, 1, 31, 9, 0, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_no_time_means_now_and_is_not_called_past() -> None:
    assert choose_slot(scheduled_at=None, deadline=None, now=NOW) == Slot(NOW, NOW + 24 * HOUR, False)


def test_a_past_time_means_now_and_says_so() -> None:
    assert choose_slot(scheduled_at=NOW - HOUR, deadline=None, now=NOW) == Slot(NOW, NOW + 24 * HOUR, True)


def test_the_default_deadline_counts_from_the_scheduled_time() -> None:
    slot = choose_slot(scheduled_at=NOW + HOUR, deadline=None, now=NOW)
    assert slot == Slot(NOW + HOUR, NOW + 25 * HOUR, False)


@pytest.mark.parametrize("deadline", [NOW - HOUR, NOW, NOW + HOUR], ids=["past", "now", "at the slot"])
def test_a_deadline_before_the_slot_is_refused(deadline: datetime) -> None:
    assert isinstance(choose_slot(scheduled_at=NOW + HOUR, deadline=deadline, now=NOW), str)


@pytest.mark.parametrize(
    ("second", "expected"), [(0, 0), (4.999, 0), (5, 5), (59.9, 55)], ids=["start", "end", "next", "last"]
)
def test_buckets_are_five_seconds(second: float, expected: int) -> None:
    start = NOW.replace(second=0)
    assert floor_to_bucket(start + timedelta(seconds=second)) == start + timedelta(seconds=expected)


def test_a_bucket_is_an_instant_whatever_the_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert floor_to_bucket(there) == floor_to_bucket(NOW)


@pytest.mark.parametrize(
    ("window_s", "words"),
    [(3600, "hourly"), (60, "per-minute"), (86400, "daily"), (7200, "2-hour"), (90, "90-second"), (None, "sending")],
)
def test_a_limit_is_named_by_its_window(window_s: int | None, words: str) -> None:
    assert describe_window(window_s) == words


def test_the_explanation_tells_waits_and_replies_in_order() -> None:
    wait = Wait("limit", NOW - timedelta(seconds=400), NOW - timedelta(seconds=88), 3600)
    later = Attempt(1, "try_later", "451 4.7.1 Greylisted", NOW - timedelta(seconds=60))
    sent = Attempt(2, "sent", "250 2.0.0 OK", NOW)
    told = explain(status="sent", send_after=NOW, attempts=[sent, later], waits=[wait], now=NOW)
    assert told == ["waited 312 s on the hourly limit", "refused for now: 451 4.7.1 Greylisted", "250 2.0.0 OK"]


def test_a_message_that_has_not_gone_says_what_it_waits_for() -> None:
    later = Attempt(1, "try_later", "451 4.7.1 Greylisted", NOW)
    when = NOW + timedelta(minutes=1)
    assert explain(status="queued", send_after=when, attempts=[], waits=[], now=NOW) == [
        "is scheduled for 2030-01-31 09:01:03 UTC"
    ]
    assert explain(status="queued", send_after=when, attempts=[later], waits=[], now=NOW)[-1] == (
        "will be tried again at 2030-01-31 09:01:03 UTC"
    )
    assert explain(status="suppressed", send_after=NOW, attempts=[], waits=[], now=NOW) == [
        "was not sent: its recipient is suppressed"
    ]
