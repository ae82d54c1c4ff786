"""When a campaign will be done."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.forecast import HORIZON, forecast
from app.domain.limits import LimitFacts, Use, api_reserve, campaign_ceiling

T = datetime(2030, 1, 1, 9, tzinfo=UTC)


def limit(count: int, window_s: int, *, used: tuple[Use, ...] = (), scope: str = "account") -> LimitFacts:
    return LimitFacts(scope, count, window_s, count, used)


def seconds(**wanted: object) -> float:
    told = forecast(starts_at=T, per_second=100.0, **wanted)  # type: ignore[arg-type]
    return (told.finishes_at - T).total_seconds()


def test_without_a_limit_the_speed_of_the_relay_decides() -> None:
    told = forecast(1000, starts_at=T, per_second=100.0)
    assert told.finishes_at == T + timedelta(seconds=10)
    assert told.binding_limit is None
    assert told.per_hour == 360_000


def test_nobody_is_done_at_once() -> None:
    assert forecast(0, starts_at=T).finishes_at == T


def test_a_limit_that_is_not_reached_does_not_bind() -> None:
    told = forecast(100, starts_at=T, limits=[limit(1000, 3600)], per_second=100.0)
    assert told.binding_limit is None
    assert told.finishes_at == T + timedelta(seconds=1)


def test_a_burst_waits_for_the_window_each_time_it_is_full() -> None:
    # 120 at once, 120 a minute later, … the fifth 120 four minutes later.
    assert seconds(recipients=600, limits=[limit(120, 60)]) == pytest.approx(4 * 60, abs=3)


def test_what_was_used_before_is_waited_for() -> None:
    used = (Use(T + timedelta(seconds=50), 120),)
    told = forecast(10, starts_at=T, limits=[limit(120, 60, used=used)], per_second=100.0)
    assert (told.finishes_at - T).total_seconds() == pytest.approx(50, abs=1)
    assert told.binding_limit is not None
    assert told.binding_limit.max_count == 120


def test_what_is_free_again_before_the_start_does_not_count() -> None:
    used = (Use(T - timedelta(seconds=1), 120),)
    assert seconds(recipients=10, limits=[limit(120, 60, used=used)]) < 1


def test_the_slower_of_two_limits_binds() -> None:
    slow, fast = limit(10, 60, scope="campaign"), limit(1000, 3600)
    told = forecast(100, starts_at=T, limits=[fast, slow], per_second=100.0)
    assert told.binding_limit is slow
    assert told.per_hour == 600


def test_smooth_pacing_spreads_evenly() -> None:
    told = forecast(61, starts_at=T, limits=[limit(60, 3600)], pacing="smooth", per_second=100.0)
    assert (told.finishes_at - T).total_seconds() == pytest.approx(3600, abs=1)
    assert told.binding_limit is not None


def test_a_limit_that_would_take_a_million_steps_is_foretold_at_once_and_has_an_end() -> None:
    told = forecast(1_000_000, starts_at=T, limits=[limit(1, 60)], per_second=100.0)
    assert told.finishes_at - T == pytest.approx(timedelta(seconds=60_000_000), rel=0.01)
    assert forecast(10**9, starts_at=T, limits=[limit(1, 2_592_000)]).finishes_at == T + HORIZON


@settings(max_examples=60, deadline=None)
@given(
    recipients=st.integers(1, 3000),
    max_count=st.integers(1, 500),
    window_s=st.integers(1, 4000),
    per_second=st.integers(1, 1000),
)
def test_no_forecast_promises_more_than_the_limit_allows(
    recipients: int, max_count: int, window_s: int, per_second: int
) -> None:
    told = forecast(recipients, starts_at=T, limits=[limit(max_count, window_s)], per_second=float(per_second))
    full_windows = (recipients - 1) // max_count
    took = (told.finishes_at - T).total_seconds()
    assert took >= full_windows * window_s * 0.999
    assert took >= recipients / per_second * 0.999 - 1
    assert (told.binding_limit is None) or took >= window_s * 0.9


def test_a_campaign_larger_than_the_accounts_limit_leaves_a_share_to_api_messages() -> None:
    assert api_reserve(1000) == 40
    assert campaign_ceiling(1000, scope="account", recipients=1001) == 960
    assert campaign_ceiling(1000, scope="account", recipients=1000) == 1000
    assert campaign_ceiling(1000, scope="campaign", recipients=5000) == 1000
    assert campaign_ceiling(1, scope="account", recipients=5) == 1
