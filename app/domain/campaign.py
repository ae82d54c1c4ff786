"""What a campaign may do in each state, and why not.

draft ──launch──▶ scheduled ──first batch──▶ sending ──last batch──▶ sent
  ▲                 │  │ ▲                     │  ▲                    │
  └──unschedule─────┘  │ └──────resume──┐      │  └───retry, resend────┘
                       └──pause──▶ paused ◀────┘
scheduled, sending, paused ──cancel──▶ cancelled;      launching that cannot be done ──▶ failed

The enum equals the CHECK campaigns_status_known (a test compares them). Clients show `allowed_actions` and the reasons of
`blocked_actions` as they are; no rule of this file lives twice.
"""

from dataclasses import dataclass
from enum import StrEnum


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Action(StrEnum):
    EDIT = "edit"
    DELETE = "delete"
    TEST = "test"
    LAUNCH = "launch"
    UNSCHEDULE = "unschedule"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY_FAILED = "retry_failed"
    SETTLE_UNCERTAIN = "settle_uncertain"
    DUPLICATE = "duplicate"


_S = CampaignStatus

#: From which states each action may start.
FROM: dict[Action, frozenset[CampaignStatus]] = {
    Action.EDIT: frozenset({_S.DRAFT}),
    Action.DELETE: frozenset({_S.DRAFT}),
    Action.TEST: frozenset(CampaignStatus),
    Action.LAUNCH: frozenset({_S.DRAFT}),
    Action.UNSCHEDULE: frozenset({_S.SCHEDULED}),
    Action.PAUSE: frozenset({_S.SCHEDULED, _S.SENDING}),
    Action.RESUME: frozenset({_S.PAUSED}),
    Action.CANCEL: frozenset({_S.SCHEDULED, _S.SENDING, _S.PAUSED}),
    Action.RETRY_FAILED: frozenset({_S.SENDING, _S.PAUSED, _S.SENT}),
    Action.SETTLE_UNCERTAIN: frozenset({_S.SENDING, _S.PAUSED, _S.SENT, _S.CANCELLED}),
    Action.DUPLICATE: frozenset(CampaignStatus),
}

#: What a person reads: "The campaign is <this>, so it cannot be <that>."
_STATE_WORDS: dict[CampaignStatus, str] = {
    _S.DRAFT: "a draft",
    _S.SCHEDULED: "scheduled",
    _S.SENDING: "being sent",
    _S.PAUSED: "paused",
    _S.SENT: "sent",
    _S.CANCELLED: "cancelled",
    _S.FAILED: "failed",
}
_ACTION_WORDS: dict[Action, str] = {
    Action.EDIT: "changed",
    Action.DELETE: "deleted",
    Action.TEST: "tested",
    Action.LAUNCH: "launched",
    Action.UNSCHEDULE: "taken back to a draft",
    Action.PAUSE: "paused",
    Action.RESUME: "resumed",
    Action.CANCEL: "cancelled",
    Action.RETRY_FAILED: "retried",
    Action.SETTLE_UNCERTAIN: "settled",
    Action.DUPLICATE: "duplicated",
}


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    """What the rules look at. Counts are sums over the campaign's batches."""

    status: CampaignStatus
    has_subject: bool
    has_body: bool
    has_audience: bool
    has_sender: bool
    failed: int = 0
    uncertain: int = 0


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that a launch needs. `pointer` is a JSON pointer to the campaign's field."""

    pointer: str
    detail: str


def missing_for_launch(facts: CampaignFacts) -> list[Missing]:
    """What has to be filled in before a launch, in the order of the compose page."""
    needs = (
        (facts.has_audience, Missing("/audience", "Choose who gets it: an import, lists or contacts.")),
        (facts.has_sender, Missing("/sender_id", "Choose a sender. There is none yet: make one under senders.")),
        (facts.has_subject, Missing("/subject", "Write a subject.")),
        (facts.has_body, Missing("/html", "Write the message, as html or text.")),
    )
    return [missing for is_there, missing in needs if not is_there]


def blocked_reason(action: Action, facts: CampaignFacts) -> str | None:
    """Why `action` cannot be done now, as a sentence, or None when it can."""
    if facts.status not in FROM[action]:
        return wrong_state_sentence(action, facts.status)
    if action is Action.LAUNCH and (missing := missing_for_launch(facts)):
        return " ".join(item.detail for item in missing)
    if action is Action.TEST:
        ready = facts.has_subject and facts.has_body and facts.has_sender
        return None if ready else "A test needs a sender, a subject and the message."
    if action is Action.RETRY_FAILED and facts.failed == 0:
        return "No message failed."
    if action is Action.SETTLE_UNCERTAIN and facts.uncertain == 0:
        return "No message is uncertain."
    return None


def wrong_state_sentence(action: Action, status: CampaignStatus) -> str:
    return f"The campaign is {_STATE_WORDS[status]}, so it cannot be {_ACTION_WORDS[action]}."


def allowed_actions(facts: CampaignFacts) -> list[str]:
    return [action.value for action in Action if blocked_reason(action, facts) is None]


def blocked_actions(facts: CampaignFacts) -> dict[str, str]:
    """Each action that is not allowed, with the reason."""
    reasons = ((action, blocked_reason(action, facts)) for action in Action)
    return {action.value: reason for action, reason in reasons if reason is not None}
