"""The judge, on hand-made logs: it passes what is allowed, and names the invariant of everything else."""

import dataclasses

import pytest

from tests.chaos.judge import Accept, Facts, Faults, Limit, Post, Row, Stop, Verdict, judge, worst_window

ROW = Row(1, 10, 5, "p1@x.test", "sent", 1, resends=True, marks=(100.0,))
ACCEPT = Accept(1, "p1@x.test", 100.5)
ONE_KILL = Faults(ends=1, connections=4)


def row(**changes: object) -> Row:
    return dataclasses.replace(ROW, **changes)  # type: ignore[arg-type]


def of(rows: list[Row], accepts: list[Accept], **facts: object) -> Verdict:
    return judge(Facts(rows, accepts, **facts))  # type: ignore[arg-type]


def named(verdict: Verdict) -> set[str]:
    return {breach.partition(":")[0] for breach in verdict.breaches}


def test_a_message_that_was_marked_accepted_and_recorded_is_fine() -> None:
    verdict = of([ROW], [ACCEPT])
    assert verdict.breaches == []
    assert (verdict.lost, verdict.duplicated, verdict.uncertain) == (0, 0, 0)


@pytest.mark.parametrize("status", ["queued", "sending"])
def test_a_message_that_is_not_final_is_lost(status: str) -> None:
    verdict = of([row(status=status)], [])
    assert named(verdict) == {"I1"}
    assert verdict.lost == 1


def test_counted_as_sent_and_never_accepted_is_lost() -> None:
    verdict = of([ROW], [])
    assert named(verdict) == {"I1"}
    assert verdict.lost == 1


@pytest.mark.parametrize("status", ["failed", "expired", "suppressed", "cancelled"])
def test_accepted_and_recorded_as_not_sent_is_a_breach_unless_it_was_in_doubt(status: str) -> None:
    assert named(of([row(status=status)], [ACCEPT])) == {"I8"}
    doubted = row(status=status, doubts=1, crash_doubts=1)
    assert of([doubted], [ACCEPT], faults=ONE_KILL).breaches == []


def test_uncertain_may_have_been_accepted_or_not() -> None:
    uncertain = row(status="uncertain", doubts=1, crash_doubts=1, resends=False)
    assert of([uncertain], [ACCEPT], faults=ONE_KILL).breaches == []
    assert of([uncertain], [], faults=ONE_KILL).breaches == []


def test_a_body_without_a_mark_before_it_is_a_breach() -> None:
    assert named(of([row(marks=())], [ACCEPT])) == {"I2"}
    assert named(of([row(marks=(101.0,))], [ACCEPT])) == {"I2"}


def test_a_duplicate_that_was_in_doubt_is_allowed_under_resend_and_counted() -> None:
    again = row(marks=(100.0, 120.0), doubts=1, crash_doubts=1, attempt=2)
    verdict = of([again], [ACCEPT, Accept(1, "p1@x.test", 120.5)], faults=ONE_KILL)
    assert verdict.breaches == []
    assert (verdict.duplicated, verdict.duplicated_max) == (1, 4)
    assert (verdict.uncertain, verdict.uncertain_max) == (1, 8)


def test_a_duplicate_that_was_never_in_doubt_is_a_breach_whatever_the_bound() -> None:
    assert named(of([ROW], [ACCEPT, ACCEPT], faults=ONE_KILL)) == {"I2"}


def test_a_duplicate_under_hold_is_a_breach_even_if_in_doubt() -> None:
    held = row(resends=False, doubts=1, crash_doubts=1)
    assert named(of([held], [ACCEPT, ACCEPT], faults=ONE_KILL)) == {"I2"}


def test_more_duplicates_than_the_kills_allow_are_a_breach() -> None:
    rows = [row(message_id=n, recipient=f"p{n}@x.test", doubts=1) for n in range(3)]
    accepts = [Accept(n, f"p{n}@x.test", 100.5 + again) for n in range(3) for again in (0, 1)]
    allowed = of(rows, accepts, faults=Faults(replies_lost=3))
    assert allowed.breaches == []
    assert any("3 duplicates, at most 2" in line for line in of(rows, accepts, faults=Faults(replies_lost=2)).breaches)


def test_more_doubts_than_two_for_each_connection_of_a_killed_worker_are_a_breach() -> None:
    rows = [
        row(message_id=n, recipient=f"p{n}@x.test", status="uncertain", doubts=1, crash_doubts=1, resends=False)
        for n in range(9)
    ]
    assert of(rows[:8], [], faults=ONE_KILL).breaches == []
    assert named(of(rows, [], faults=ONE_KILL)) == {"I2"}


def test_lost_replies_do_not_excuse_doubts_after_a_kill() -> None:
    doubted = row(status="uncertain", doubts=1, crash_doubts=1)
    assert named(of([doubted], [], faults=Faults(replies_lost=5))) == {"I2"}


def test_a_cut_body_excuses_a_doubt_and_no_duplicate() -> None:
    doubted = row(doubts=1)
    assert of([doubted], [ACCEPT], faults=Faults(bodies_cut=1)).breaches == []
    assert named(of([doubted], [ACCEPT, ACCEPT], faults=Faults(bodies_cut=1))) == {"I2"}


def test_a_mark_after_a_pause_is_a_breach_and_one_before_or_after_the_resume_is_not() -> None:
    pause = Stop("a pause", since=100.0, until=110.0, campaign_id=5)
    for mark, expected in ((99.0, set()), (100.1, set()), (105.0, {"I3"}), (110.5, set())):
        verdict = of([row(marks=(mark,))], [Accept(1, "p1@x.test", mark + 0.1)], stops=[pause])
        assert named(verdict) == expected, mark
    other = row(campaign_id=6, marks=(105.0,))
    assert of([other], [Accept(1, "p1@x.test", 105.1)], stops=[pause]).breaches == []


def test_a_mark_after_an_unsubscribe_is_a_breach_for_campaigns_alone() -> None:
    stop = Stop("an unsubscribe", since=50.0, account_id=10, recipient="p1@x.test")
    assert named(of([ROW], [ACCEPT], stops=[stop])) == {"I3"}
    assert of([row(campaign_id=None)], [ACCEPT], stops=[stop]).breaches == []
    assert of([row(account_id=11)], [ACCEPT], stops=[stop]).breaches == []


def test_the_worst_window_is_half_open_and_need_not_be_aligned() -> None:
    assert worst_window([], 3) == 0
    assert worst_window([0.0, 3.0], 3) == 1
    assert worst_window([0.0, 2.999], 3) == 2
    assert worst_window([0.0, 2.5, 2.6, 3.1, 5.4, 9.0], 3) == 4


def test_a_window_with_more_than_its_limit_is_a_breach() -> None:
    rows = [row(message_id=n, recipient=f"p{n}@x.test") for n in range(4)]
    accepts = [Accept(n, f"p{n}@x.test", 100.5 + n) for n in range(4)]
    limit = Limit("account", 3, 3.0, account_id=10)
    verdict = of(rows, accepts, limits=[limit])
    assert verdict.breaches == []
    assert verdict.windows == {"account": (3, 3)}
    assert named(of(rows, accepts, limits=[dataclasses.replace(limit, max_count=2)])) == {"I4"}
    other_campaign = dataclasses.replace(limit, max_count=2, campaign_id=99)
    assert of(rows, accepts, limits=[other_campaign]).windows == {"account": (0, 2)}


def test_a_duplicate_counts_against_its_limit() -> None:
    doubted = row(doubts=1)
    limit = Limit("account", 1, 3.0, account_id=10)
    verdict = of([doubted], [ACCEPT, ACCEPT], limits=[limit], faults=Faults(replies_lost=1))
    assert named(verdict) == {"I4"}


def test_a_message_to_somebody_else_or_from_nowhere_is_a_breach() -> None:
    assert named(of([ROW], [Accept(1, "other@x.test", 100.5)])) == {"I5"}
    assert "I5" in named(of([], [ACCEPT]))


def test_an_address_twice_in_one_campaign_is_a_breach() -> None:
    rows = [ROW, row(message_id=2)]
    accepts = [ACCEPT, Accept(2, "p1@x.test", 100.6)]
    assert named(of(rows, accepts)) == {"I9"}


def test_slow_recovery_and_what_the_doctor_found_are_breaches() -> None:
    assert named(of([ROW], [ACCEPT], recovery_s=61.0)) == {"I6"}
    assert named(of([ROW], [ACCEPT], ill=["I7: counters differ"])) == {"I7"}


def test_messages_marked_widen_the_bounds_of_a_kill_by_as_many() -> None:
    rows = [
        row(message_id=n, recipient=f"p{n}@x.test", status="uncertain", doubts=1, crash_doubts=1, resends=False)
        for n in range(13)
    ]
    kill = Faults(ends=1, connections=4, marked=3)
    assert of(rows[:12], [], faults=kill).breaches == []
    assert named(of(rows, [], faults=kill)) == {"I2"}


POSTED = row(campaign_id=None)
POST = Post("k", 10, ("p1@x.test",), (1,))


def test_a_post_that_was_accepted_once_is_fine_however_often_it_was_repeated() -> None:
    assert of([POSTED], [ACCEPT], posts=[POST]).breaches == []


def test_a_post_that_was_answered_and_has_no_message_is_lost() -> None:
    assert named(of([], [], posts=[POST])) == {"I1"}


@pytest.mark.parametrize("answered", [True, False])
def test_a_post_with_one_key_and_two_messages_is_a_breach(answered: bool) -> None:
    post = dataclasses.replace(POST, message_ids=(1,) if answered else ())
    twice = [POSTED, row(message_id=2, campaign_id=None)]
    verdict = of(twice, [ACCEPT, Accept(2, "p1@x.test", 100.6)], posts=[post])
    assert named(verdict) == {"I9"}


def test_an_answer_that_names_another_message_is_a_breach() -> None:
    assert named(of([POSTED], [ACCEPT], posts=[dataclasses.replace(POST, message_ids=(7,))])) == {"I5"}


@pytest.mark.parametrize("refusal", ["", "401 who are you"])
def test_a_post_that_is_never_accepted_is_a_breach(refusal: str) -> None:
    assert named(of([], [], posts=[dataclasses.replace(POST, message_ids=(), refusal=refusal)])) == {"I6"}
