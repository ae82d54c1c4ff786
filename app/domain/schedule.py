"""When a message is tried again, and into which wake-up a time falls. Imports the standard library only."""

from datetime import UTC, datetime, timedelta
from typing import Literal

Kind = Literal["api", "campaign"]

#: How long a message is worth delivering when nobody says otherwise.
LIFETIMES: dict[Kind, timedelta] = {"api": timedelta(hours=24), "campaign": timedelta(hours=72)}

#: Minutes to the next try; the last one repeats until the deadline. A person waits for an API message, so it begins soon;
#: a campaign begins after the five minutes that greylisting servers commonly ask for.
_STEPS_MIN: dict[Kind, tuple[int, ...]] = {
    "api": (1, 5, 15, 30, 60, 120, 240),
    "campaign": (6, 20, 60, 120, 240, 480),
}
_JITTER = 0.2  # of the delay, to both sides, so that a thousand failures of one moment do not come back in one
ATTEMPTS_MAX = 1_000  # the ledger's column is a smallint; 72 h of relay trouble at the shortest step make 720

_RELAY_STEP_S, _RELAY_STEP_MAX_S = 15, 300

WAKEUP_BUCKET_S = 5


def next_try(
    *, attempt: int, burned: int, kind: Kind, now: datetime, deadline: datetime, jitter: float
) -> datetime | None:
    """The time of the next try after a temporary failure, or None: expired.

    attempt   SMTP conversations so far, this one included.
    burned    of these, the temporary failures that were about the recipient: they choose the step. Trouble of the relay
              alone (0) keeps the first one, since the relay's own breaker paces it.
    now       aware.
    deadline  aware; a try at or after it is not worth making.
    jitter    -1 to 1, random.
    """
    assert -1.0 <= jitter <= 1.0
    if attempt >= ATTEMPTS_MAX:
        return None
    steps = _STEPS_MIN[kind]
    step_min = steps[min(max(burned, 1), len(steps)) - 1]
    at = now + timedelta(minutes=step_min * (1 + _JITTER * jitter))
    return at if at < deadline else None


def next_relay_try(*, attempt: int, now: datetime, deadline: datetime, jitter: float) -> datetime | None:
    """The time of the next try after trouble that was the relay's, or None: expired.

    The relay's own breaker paces how hard it is tried; the message only steps aside for the others, so it comes back soon:
    a quarter of a minute, then a half, up to five minutes. `attempt` and `jitter` as in `next_try`.
    """
    assert -1.0 <= jitter <= 1.0
    if attempt >= ATTEMPTS_MAX:
        return None
    at = now + timedelta(seconds=min(_RELAY_STEP_S * attempt, _RELAY_STEP_MAX_S) * (1 + _JITTER * jitter))
    return at if at < deadline else None


def wakeup_bucket(at: datetime) -> datetime:
    """The five seconds that `at` falls into, by their beginning, in UTC. SQL floors the same way."""
    seconds = int(at.timestamp() // WAKEUP_BUCKET_S) * WAKEUP_BUCKET_S
    return datetime.fromtimestamp(seconds, UTC)
