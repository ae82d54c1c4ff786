"""One recipient's copy of something: its states, its times, and why it went when it went.

queued → sending → sent | failed | uncertain        queued → suppressed | cancelled | expired
a temporary failure:  sending → queued, with a later send_after
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

#: An API message that has not been accepted this long after its slot expires, unless its deadline says otherwise.
DEADLINE_DEFAULT = timedelta(hours=24)
#: Messages of one account that are due within the same bucket share one wake-up.
WAKEUP_BUCKET_S = 5
TAGS_MAX = 20


class MessageStatus(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Slot(NamedTuple):
    """When a message goes, and until when it may be tried."""

    send_after: datetime
    deadline: datetime
    was_past: bool  #: the asked time had passed, so it goes now


def choose_slot(*, scheduled_at: datetime | None, deadline: datetime | None, now: datetime) -> Slot | str:
    """Decide when a message goes; a sentence instead when its deadline comes first. No time, or a past one, means now."""
    was_past = scheduled_at is not None and scheduled_at < now
    send_after = now if scheduled_at is None or was_past else scheduled_at
    if deadline is None:
        return Slot(send_after, send_after + DEADLINE_DEFAULT, was_past)
    if deadline <= send_after:
        return "must be later than the time at which the message may go"
    return Slot(send_after, deadline, was_past)


def floor_to_bucket(instant: datetime) -> datetime:
    """The start of the wake-up bucket that holds `instant`."""
    seconds = int(instant.timestamp())
    return datetime.fromtimestamp(seconds - seconds % WAKEUP_BUCKET_S, UTC)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One SMTP conversation that is over, or of which no reply was recorded."""

    attempt: int
    outcome: str
    reply: str | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wait:
    """Time that a message or its batch spent waiting for something."""

    reason: str  #: 'limit' | 'relay' | 'paused'
    started_at: datetime
    ended_at: datetime | None  #: None: it waits still
    window_s: int | None = None  #: of the limit


def explain(
    *, status: str, send_after: datetime, attempts: Sequence[Attempt], waits: Sequence[Wait], now: datetime
) -> list[str]:
    """Say in order why a message went later than its slot and what servers answered. One sentence each."""
    told: list[tuple[datetime, str]] = [(wait.started_at, _tell_wait(wait, now)) for wait in waits]
    told += [(attempt.settled_at or now, _tell_attempt(attempt)) for attempt in attempts]
    lines = [line for _, line in sorted(told, key=lambda pair: pair[0])]
    closing = _tell_status(status, send_after=send_after, is_retry=bool(attempts), now=now)
    return [*lines, closing] if closing else lines


def _tell_wait(wait: Wait, now: datetime) -> str:
    seconds = max(0, round(((wait.ended_at or now) - wait.started_at).total_seconds()))
    cause = {
        "limit": f"on the {describe_window(wait.window_s)} limit",
        "relay": "for its relay to take mail again",
        "paused": "while its campaign was paused",
    }[wait.reason]
    return f"has waited {seconds} s {cause}" if wait.ended_at is None else f"waited {seconds} s {cause}"


def describe_window(window_s: int | None) -> str:
    """Name a limit by its window: "hourly", "1-minute", "90-second"."""
    if window_s is None:
        return "sending"
    named = {1: "per-second", 60: "per-minute", 3600: "hourly", 86400: "daily"}.get(window_s)
    if named:
        return named
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if window_s % size == 0:
            return f"{window_s // size}-{unit}"
    return f"{window_s}-second"


def _tell_attempt(attempt: Attempt) -> str:
    said = attempt.reply or "the server's reply was not recorded"
    return {
        "sent": said,
        "failed": f"refused for good: {said}",
        "try_later": f"refused for now: {said}",
        "uncertain": f"may have been delivered: {said}",
        "expired": f"given up at its deadline: {said}",
    }.get(attempt.outcome, said)


def _tell_status(status: str, *, send_after: datetime, is_retry: bool, now: datetime) -> str | None:
    when = send_after.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if status == "queued" and send_after > now:
        return f"will be tried again at {when}" if is_retry else f"is scheduled for {when}"
    return {
        "queued": "is due and waits for its turn",
        "sending": "is being sent",
        "suppressed": "was not sent: its recipient is suppressed",
        "cancelled": "was cancelled before it was sent",
        "expired": "was not sent before its deadline",
    }.get(status)
