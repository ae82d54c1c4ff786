"""Several faults, any interleaving, a relay of moods: Hypothesis looks for the schedule that breaks an invariant."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.chaos.exhaustive.engine import Scenario, play
from tests.chaos.exhaustive.relay import MANNERS

FAULTS = st.sampled_from(["before", "after", "freeze", "long freeze", "cut", "lost"])
ANSWERS = st.sampled_from(
    ["accept", "later", "later_after_body", "refuse", "lost_reply", "silent", "cut", "goodbye"]
)  # fmt: skip
RECIPIENTS = st.integers(1, 6).map(lambda n: f"p{n}@people.test")

SCENARIOS = st.builds(
    Scenario,
    policy=st.sampled_from(["hold", "resend"]),
    manner=st.sampled_from(MANNERS),
    processes=st.integers(1, 2),
    slots=st.integers(1, 2),
    batches=st.just(2),
    each=st.integers(3, 5),
    limit=st.sampled_from([None, (4, 10), (1, 2)]),
    answers=st.dictionaries(RECIPIENTS, st.lists(ANSWERS, max_size=3).map(tuple), max_size=4),
    faults=st.dictionaries(st.integers(0, 120), FAULTS, max_size=4),
    pause_at=st.none() | st.integers(0, 80),
)


#: A retry that falls within the moment that a batch is taken ahead of its time: the run waits for it.
A_RETRY_AHEAD_OF_ITS_TIME = Scenario(
    policy="resend", manner="records behind", processes=1, slots=2,
    answers={
        "p4@people.test": ("goodbye", "cut"), "p3@people.test": ("refuse", "refuse", "silent"),
        "p5@people.test": ("lost_reply", "later_after_body", "later_after_body"), "p2@people.test": ("accept", "cut", "silent"),
    },
    faults={19: "lost"},
)  # fmt: skip


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@example(scenario=A_RETRY_AHEAD_OF_ITS_TIME, turns=[2, 1, 0])
@given(scenario=SCENARIOS, turns=st.lists(st.integers(0, 3), max_size=60))
def test_row_52_no_schedule_of_faults_breaks_an_invariant(
    scenario: Scenario, turns: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(turns)
    round_robin = iter(range(10**9))
    outcome = play(scenario, monkeypatch, choose=lambda count: next(left, next(round_robin)) % count)
    assert outcome.breaches == [], outcome.trace
