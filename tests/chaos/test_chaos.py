"""One short round with a fixed seed: real processes, one fault of each family, and the judge. `make chaos` plays more."""

import sys

import pytest

from tests.chaos.plan import KINDS, Event, Plan, make_plan, plan_for_mutant
from tests.chaos.play import Round
from tests.chaos.stack import running_stack

EVENTS = (
    Event(1.5, "relay_loses_replies", 0.6, amount=0.3),
    Event(2.0, "kill", 0.2, target=1),
    Event(2.3, "redis_flush"),
    Event(2.5, "web_kill", 0.2),
    Event(2.8, "unsubscribe"),
    Event(3.0, "postgres_crash", 0.2),
    Event(3.8, "smtp_reset"),
    Event(4.2, "pause", 0.8, target=1),
    Event(4.5, "term", target=0),
)


def a_short_plan() -> Plan:
    plan = make_plan("test", lasts_s=5.0, scale=0.5, events=0)
    return Plan(plan.seed, plan.campaigns, plan.api, EVENTS, workers=2, chunking=True)


@pytest.mark.slow
def test_nothing_is_lost_and_every_bound_holds_in_a_round_of_kills_flushes_and_cuts() -> None:
    plan = a_short_plan()
    with running_stack(plan.seed) as stack:
        stack.add_workers(plan.workers)
        stack.add_web()
        outcome = Round(stack, plan, note=lambda line: print(line, file=sys.stderr)).run()
    assert outcome.verdict.breaches == [], outcome.as_json()
    assert outcome.verdict.lost == 0
    assert outcome.accepted > 1000
    assert outcome.chunked > 1000, "the relay's CHUNKING was not used"
    assert outcome.posts > 60 and outcome.post_tries > outcome.posts, "no post was ever repeated"
    assert outcome.done["kill"] == 1 and outcome.done["web_kill"] == 1 and outcome.done["postgres_crash"] == 1
    assert outcome.verdict.windows["account"][0] > 50, "the limit was never put to the test"


def test_the_same_seed_makes_the_same_plan_and_another_seed_another() -> None:
    assert make_plan("a.1") == make_plan("a.1")
    assert make_plan("a.1") != make_plan("a.2")


def test_every_kind_of_fault_can_be_played_and_comes_up_in_some_plan() -> None:
    assert all(callable(getattr(Round, f"_do_{kind}")) for kind in KINDS)
    seen = {event.kind for number in range(60) for event in make_plan(str(number)).events}
    assert seen == set(KINDS)


def test_some_plans_have_a_relay_that_takes_several_messages_at_once_and_some_not() -> None:
    assert {make_plan(str(number)).chunking for number in range(10)} == {True, False}


def test_a_plan_for_every_mutant_has_what_brings_it_to_light() -> None:
    assert plan_for_mutant("no-lease", "s").account_limit[0] < plan_for_mutant("no-lease", "s").campaigns[0].recipients
    assert all(plan_for_mutant(name, "s").events for name in ("no-mark", "no-fence", "no-reconciler"))
