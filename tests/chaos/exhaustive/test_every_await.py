"""Two connections, six messages, and a fault at every await there is, one run for each.

The points are found by running once without a fault and counting the gates. Each run is judged by the relay's log against
the rows: see `engine.judge`.
"""

from dataclasses import replace

import pytest

from tests.chaos.exhaustive.engine import Outcome, Scenario, play
from tests.chaos.exhaustive.relay import MANNERS, Manner
from tests.chaos.exhaustive.world import Fault

#: Two processes with a connection each, or one process whose two connections share a group commit.
APART = Scenario(processes=2, slots=1)
TOGETHER = Scenario(processes=1, slots=2)
SHAPES = {"two workers": APART, "one worker, two connections": TOGETHER}


def every_point(scenario: Scenario, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    quiet = play(scenario, monkeypatch)
    assert quiet.breaches == []
    assert quiet.points > 20
    outcomes = []
    for point in range(quiet.points):
        outcome = play(replace(scenario, faults={point: fault}), monkeypatch)
        assert outcome.breaches == [], (outcome.trace, outcome.statuses)
        outcomes.append(outcome)
    return outcomes


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("policy", ["hold", "resend"])
@pytest.mark.parametrize(("shape", "fault"), [("two workers", "before"), *((shape, "after") for shape in SHAPES)])
def test_row_01_killed_at_every_await_nothing_is_lost_and_duplicates_are_bounded(
    shape: str, fault: Fault, policy: str, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = replace(SHAPES[shape], policy=policy, manner=manner, each=5 if manner == "records behind" else 3)
    outcomes = every_point(scenario, fault, monkeypatch)
    if policy == "hold":
        assert all(outcome.duplicates == 0 for outcome in outcomes)
        assert any(outcome.uncertain for outcome in outcomes)  # else the faults hit nothing
    else:
        assert all(set(outcome.statuses.values()) == {"sent"} for outcome in outcomes)
        assert any(outcome.duplicates for outcome in outcomes)


@pytest.mark.parametrize("manner", MANNERS)
def test_row_14_killed_at_every_await_under_a_limit_no_window_holds_more(
    manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_point(replace(APART, manner=manner, policy="resend", limit=(4, 10)), "after", monkeypatch)


@pytest.mark.parametrize("policy", ["hold", "resend"])
@pytest.mark.parametrize("fault", ["freeze", "long freeze"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("manner", MANNERS[1:])
def test_row_04_frozen_at_every_await_and_back_when_others_have_its_work(
    manner: Manner, shape: str, fault: Fault, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back at once, beside its successor, or when all is done: what it still has on its hands does no harm."""
    outcomes = every_point(replace(SHAPES[shape], policy=policy, manner=manner), fault, monkeypatch)
    assert all(outcome.freezes == 1 for outcome in outcomes)


@pytest.mark.parametrize("manner", MANNERS)
def test_row_04_frozen_at_every_await_under_a_limit_no_window_holds_more(
    manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permit is asked for again right before the body leaves: one that ran out in between is not used."""
    every_point(replace(APART, manner=manner, limit=(4, 10)), "long freeze", monkeypatch)


@pytest.mark.parametrize("manner", MANNERS[1:])
@pytest.mark.parametrize("fault", ["cut", "lost"])
def test_row_07_the_database_connection_cut_at_every_statement_before_or_after_its_commit(
    fault: Fault, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody died: what was marked is read again, nothing is repeated, and nothing is in doubt."""
    for outcome in every_point(replace(TOGETHER, manner=manner, limit=(4, 10)), fault, monkeypatch):
        assert outcome.duplicates == 0
        assert outcome.uncertain == 0


@pytest.mark.parametrize("manner", MANNERS[1:])
@pytest.mark.parametrize("policy", ["hold", "resend"])
@pytest.mark.parametrize("answer", ["lost_reply", "silent", "cut"])
def test_row_18_no_reply_to_the_dot_and_then_killed_at_every_await(
    answer: str, policy: str, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = replace(APART, policy=policy, manner=manner, answers={"p2@people.test": (answer,)})  # type: ignore[arg-type]
    for outcome in every_point(scenario, "after", monkeypatch):
        if policy == "hold":
            assert outcome.duplicates == 0


@pytest.mark.parametrize("manner", MANNERS[1:])
@pytest.mark.parametrize("answer", ["later", "later_after_body", "goodbye"])
def test_row_22_a_recipient_that_is_tried_later_arrives_once_wherever_the_worker_is_killed(
    answer: str, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = replace(APART, manner=manner, answers={"p2@people.test": (answer, answer), "p4@people.test": (answer,)})  # type: ignore[arg-type]
    quiet = play(scenario, monkeypatch)
    assert set(quiet.statuses.values()) == {"sent"}
    assert quiet.duplicates == 0
    every_point(scenario, "after", monkeypatch)


@pytest.mark.parametrize(("manner", "at_most"), [("pipelining", 1), ("records behind", 3)])
def test_row_28_paused_before_every_await_hardly_anything_more_leaves_on_each_connection(
    manner: Manner, at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is marked goes; a mark that is refused tells of the pause."""
    scenario = replace(APART, manner=manner, each=6)
    quiet = play(scenario, monkeypatch)
    for point in range(quiet.points):
        outcome = play(replace(scenario, pause_at=point), monkeypatch)
        assert outcome.breaches == []
        assert set(outcome.statuses.values()) == {"sent"}, point
        assert outcome.sent_while_paused <= at_most * scenario.processes, point


def test_row_02_every_worker_killed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for point in range(0, play(APART, monkeypatch).points, 3):
        faults: dict[int, Fault] = {point: "after", point + 1: "after", point + 7: "after", point + 8: "before"}
        outcome = play(replace(APART, policy="resend", faults=faults), monkeypatch)
        assert outcome.breaches == [], outcome.trace
