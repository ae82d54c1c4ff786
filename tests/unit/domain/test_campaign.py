"""Which actions a campaign allows, and what it says about the others."""

import dataclasses
import re

import pytest

from app.domain.campaign import (
    FROM,
    Action,
    CampaignFacts,
    CampaignStatus,
    allowed_actions,
    blocked_actions,
    blocked_reason,
    missing_for_launch,
)  # fmt: skip
from sql import FOLDER

READY = CampaignFacts(CampaignStatus.DRAFT, has_subject=True, has_body=True, has_audience=True, has_sender=True)


def in_state(status: CampaignStatus, **facts: int) -> CampaignFacts:
    return dataclasses.replace(READY, status=status, **facts)


def test_the_states_are_those_of_the_database() -> None:
    text = (FOLDER / "migrations" / "0006_create_campaigns.sql").read_text(encoding="utf-8")
    check = re.search(r"campaigns_status_known CHECK \(\s*status IN \(([^)]*)\)", text)
    assert check is not None
    assert set(re.findall(r"'(\w+)'", check[1])) == {status.value for status in CampaignStatus}


def test_every_action_says_from_which_states_it_starts() -> None:
    assert set(FROM) == set(Action)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (CampaignStatus.DRAFT, {"edit", "delete", "test", "launch", "duplicate"}),
        (CampaignStatus.SCHEDULED, {"test", "unschedule", "pause", "cancel", "duplicate"}),
        (CampaignStatus.SENDING, {"test", "pause", "cancel", "duplicate"}),
        (CampaignStatus.PAUSED, {"test", "resume", "cancel", "duplicate"}),
        (CampaignStatus.SENT, {"test", "duplicate"}),
        (CampaignStatus.CANCELLED, {"test", "duplicate"}),
        (CampaignStatus.FAILED, {"test", "duplicate"}),
    ],
)
def test_each_state_allows_its_actions(status: CampaignStatus, expected: set[str]) -> None:
    assert set(allowed_actions(in_state(status))) == expected


@pytest.mark.parametrize("status", list(CampaignStatus))
def test_every_action_is_either_allowed_or_blocked_with_a_sentence(status: CampaignStatus) -> None:
    allowed, blocked = set(allowed_actions(in_state(status))), blocked_actions(in_state(status))
    assert allowed | set(blocked) == {action.value for action in Action}
    assert not allowed & set(blocked)
    assert all(reason.endswith(".") for reason in blocked.values())


@pytest.mark.parametrize(
    ("missing", "pointer"),
    [("has_audience", "/audience"), ("has_sender", "/sender_id"), ("has_subject", "/subject"), ("has_body", "/html")],
)
def test_a_launch_names_what_is_missing(missing: str, pointer: str) -> None:
    facts = dataclasses.replace(READY, **{missing: False})
    assert [item.pointer for item in missing_for_launch(facts)] == [pointer]
    assert "launch" in blocked_actions(facts)


def test_failed_messages_can_be_retried_while_it_is_sent_and_afterwards_but_not_once_it_is_cancelled() -> None:
    assert "retry_failed" in allowed_actions(in_state(CampaignStatus.SENT, failed=1))
    assert "retry_failed" in allowed_actions(in_state(CampaignStatus.SENDING, failed=1))
    reason = blocked_reason(Action.RETRY_FAILED, in_state(CampaignStatus.CANCELLED, failed=1))
    assert reason == "The campaign is cancelled, so it cannot be retried."
    assert blocked_reason(Action.RETRY_FAILED, in_state(CampaignStatus.SENT)) == "No message failed."


def test_uncertain_messages_can_be_settled_once_there_are_some() -> None:
    assert "settle_uncertain" in allowed_actions(in_state(CampaignStatus.SENT, uncertain=2))
    assert "settle_uncertain" in blocked_actions(in_state(CampaignStatus.SENT))
