"""A day in half a minute, and what the soak calls growth."""

import sys

import pytest

from tests.chaos.plan import HOURS, KINDS, make_day
from tests.chaos.soak import Sample, Samples, find_growth, first_and_second_half, live_a_day, most_growth_mb
from tests.chaos.stack import running_stack


@pytest.mark.slow
def test_after_a_day_of_faults_rows_and_relay_agree_the_doctor_is_content_and_nothing_has_grown() -> None:
    with running_stack("day") as stack:
        stack.add_workers(2)
        stack.add_web()
        day = live_a_day(stack, "day", lasts_s=24.0)
    print(day.doctor_says, file=sys.stderr)
    assert day.breaches == [], day.as_json()
    assert day.doctor_exit == 0
    assert day.outcome.accepted > 500 and day.outcome.posts > 20


def test_a_day_has_sends_in_every_hour_faults_all_day_and_an_hour_as_the_limits_window() -> None:
    plan = make_day("d", lasts_s=240.0)
    hours = {int(campaign.at_s // 10) for campaign in plan.campaigns}
    assert hours == set(range(HOURS))
    assert plan.account_limit[1] == 10
    assert max(event.at_s for event in plan.events) > 200
    assert {event.kind for event in plan.events} <= set(KINDS)
    noon, midnight = plan.campaigns[12:16], plan.campaigns[:2]
    assert min(one.recipients for one in noon if one.account == "open") > max(one.recipients for one in midnight)


def test_a_process_that_grows_after_it_is_warm_is_found_and_one_that_was_started_anew_is_not() -> None:
    grows = [Sample(1, age, 80.0 + age) for age in (1.0, 20.0, 60.0)]
    assert most_growth_mb(grows) == 40.0
    renewed = [Sample(1, 20.0, 80.0), Sample(2, 1.0, 40.0), Sample(2, 20.0, 81.0)]
    assert most_growth_mb(renewed) == 0.0
    assert find_growth(Samples(memory={"worker 0": grows, "web": renewed})) == [
        "a process of worker 0 grew by 40 MB, allowed 15"
    ]


def test_a_table_that_is_larger_in_the_second_half_of_the_day_is_found() -> None:
    assert first_and_second_half([1, 5, 2, 9, 3]) == (5, 9)
    assert first_and_second_half([]) == (0, 0)
    found = find_growth(Samples(table_kb={"procrastinate_jobs": [3_000, 3_000, 9_000, 9_000], "wakeups": [10, 10, 90]}))
    assert found == ["procrastinate_jobs had 3000 kB in the first half of the day and 9000 kB in the second"]
