"""What each end of a conversation means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.outcome import (
    Accepted,
    Bounced,
    NotSent,
    Outcome,
    Refused,
    State,
    TryLater,
    Uncertain,
    decide_outcome,
)

STAGES = ("connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body")
HARD, SOFT = Bounced(suppress=True), Bounced(suppress=False)
RECIPIENT, RELAY = TryLater("recipient"), TryLater("relay")


@pytest.mark.parametrize(
    ("stage", "code", "enhanced", "expected"),
    [
        # Accepted: any 2yz after the dot, only there.
        ("body", 250, None, Accepted()),
        ("body", 250, "2.0.0", Accepted()),
        ("body", 251, None, Accepted()),
        ("body", 200, None, Accepted()),
        ("rcpt", 250, None, NotSent()),
        ("data", 354, None, NotSent()),
        ("body", 354, None, Uncertain()),
        # The recipient's: hard bounces.
        ("rcpt", 550, "5.1.1", HARD),
        ("body", 550, "5.1.1", HARD),
        ("rcpt", 550, "5.1.2", HARD),
        ("mail", 501, "5.1.3", HARD),
        ("rcpt", 553, "5.1.3", HARD),
        ("rcpt", 556, "5.1.10", HARD),
        ("rcpt", 550, "5.2.1", HARD),
        # Refused for good, but the address may be fine.
        ("rcpt", 550, None, SOFT),
        ("rcpt", 554, None, SOFT),
        ("rcpt", 552, "5.2.2", SOFT),
        ("rcpt", 550, "5.1.0", SOFT),
        ("rcpt", 550, "5.4.1", SOFT),
        ("body", 554, "5.6.0", SOFT),
        ("body", 552, "5.3.4", SOFT),
        ("mail", 552, "5.3.4", SOFT),
        ("mail", 552, None, SOFT),
        ("mail", 553, "5.6.7", SOFT),
        ("mail", 554, "5.6.3", SOFT),
        ("body", 500, None, SOFT),
        # The sender's: nobody is suppressed.
        ("auth", 535, "5.7.8", Refused()),
        ("auth", 535, None, Refused()),
        ("auth", 504, None, Refused()),
        ("mail", 530, "5.7.0", Refused()),
        ("mail", 530, None, Refused()),
        ("mail", 550, None, Refused()),
        ("mail", 553, "5.1.8", Refused()),
        ("rcpt", 553, "5.1.7", Refused()),
        ("rcpt", 550, "5.7.1", Refused()),
        ("rcpt", 554, "5.7.1", Refused()),
        ("body", 550, "5.7.26", Refused()),
        ("body", 550, "5.4.5", Refused()),
        ("rcpt", 550, "5.4.5", Refused()),
        ("rcpt", 503, "5.5.1", Refused()),
        ("data", 502, None, Refused()),
        ("rcpt", 521, None, Refused()),
        ("connect", 554, "5.7.1", Refused()),
        # Later, because of the recipient.
        ("rcpt", 450, None, RECIPIENT),
        ("rcpt", 450, "4.2.0", RECIPIENT),
        ("rcpt", 451, "4.7.1", RECIPIENT),
        ("rcpt", 452, "4.2.2", RECIPIENT),
        ("body", 451, None, RECIPIENT),
        ("data", 451, None, RECIPIENT),
        ("rcpt", 550, "5.4.4", RECIPIENT),
        # Later, because of the relay.
        ("rcpt", 421, "4.7.0", RELAY),
        ("body", 421, None, RELAY),
        ("connect", 421, None, RELAY),
        ("mail", 451, None, RELAY),
        ("mail", 452, "4.3.1", RELAY),
        ("rcpt", 454, "4.7.0", RELAY),
        ("body", 454, None, RELAY),
        ("body", 451, "4.3.0", RELAY),
        ("rcpt", 452, "4.3.1", RELAY),
        ("rcpt", 450, "4.7.28", RELAY),
        # Never came as far as a message.
        ("connect", 554, None, NotSent()),
        ("ehlo", 550, None, NotSent()),
        ("starttls", 454, "4.7.0", NotSent()),
        ("auth", 454, "4.7.0", NotSent()),
    ],
)
def test_an_answer_means(stage: str, code: int, enhanced: str | None, expected: Outcome) -> None:
    assert decide_outcome(state="replied", stage=stage, code=code, enhanced=enhanced) == expected


def test_5_4_4_is_try_later_not_bounced() -> None:
    assert decide_outcome(state="replied", stage="rcpt", code=554, enhanced="5.4.4") == TryLater("recipient")


@pytest.mark.parametrize("stage", STAGES)
def test_no_answer_after_the_dot_is_uncertain_whatever_was_said_before(stage: str) -> None:
    assert decide_outcome(state="uncertain", stage=stage, code=None, enhanced=None) == Uncertain()
    assert decide_outcome(state="uncertain", stage=stage, code=421, enhanced=None) == Uncertain()


@pytest.mark.parametrize("stage", STAGES)
def test_a_lost_connection_before_the_dot_is_nobodys_fault(stage: str) -> None:
    assert decide_outcome(state="not_sent", stage=stage, code=None, enhanced=None) == NotSent()


def test_a_relay_that_hangs_up_with_421_is_tried_later() -> None:
    assert decide_outcome(state="not_sent", stage="mail", code=421, enhanced="4.4.2") == TryLater("relay")


def test_wrong_credentials_found_while_connecting_are_the_senders() -> None:
    assert decide_outcome(state="not_sent", stage="auth", code=535, enhanced=None) == Refused()


STATUSES = st.none() | st.builds("{}.{}.{}".format, st.sampled_from((2, 4, 5)), st.integers(0, 7), st.integers(0, 30))


@given(
    state=st.sampled_from(("replied", "not_sent", "uncertain")),
    stage=st.sampled_from(STAGES),
    code=st.none() | st.integers(200, 599),
    enhanced=STATUSES,
)
def test_every_end_has_a_meaning_that_claims_no_more_than_was_said(
    state: State, stage: str, code: int | None, enhanced: str | None
) -> None:
    outcome = decide_outcome(state=state, stage=stage, code=code, enhanced=enhanced)
    if isinstance(outcome, Accepted):
        assert state == "replied" and stage == "body" and code is not None and 200 <= code < 300
    if isinstance(outcome, Bounced | Refused):
        assert code is not None and code >= 500
    if isinstance(outcome, Bounced) and outcome.suppress:
        assert enhanced in {"5.1.1", "5.1.2", "5.1.3", "5.1.10", "5.2.1"}
    if isinstance(outcome, Uncertain):
        assert state == "uncertain" or (stage == "body" and code is not None and code < 400)
    if isinstance(outcome, TryLater) and outcome.scope == "recipient":
        assert stage in {"rcpt", "data", "body", "mail"}
