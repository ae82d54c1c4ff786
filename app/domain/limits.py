"""Arithmetic of limits: N messages in any W seconds. The permits themselves are counted by the worker's limiter."""

from dataclasses import dataclass
from datetime import datetime

#: The share of an account's limit that campaigns larger than the limit leave to API messages, so that a password reset
#: does not wait for a newsletter.
API_RESERVE_PERCENT = 4


@dataclass(frozen=True, slots=True)
class Use:
    """`count` permits that are taken until `free_at`."""

    free_at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """One limit as a campaign meets it. `ceiling` is what the campaign may have of it in any window; at least 1."""

    scope: str
    max_count: int
    window_s: int
    ceiling: int
    used: tuple[Use, ...] = ()

    @property
    def per_second(self) -> float:
        return self.ceiling / self.window_s


def api_reserve(max_count: int) -> int:
    """How many permits of an account's limit stay with API messages."""
    return max_count * API_RESERVE_PERCENT // 100


def campaign_ceiling(max_count: int, *, scope: str, recipients: int) -> int:
    """How much of a limit one campaign may use in any window.

    Only an account's limit has a reserve, and only against a campaign that could use all of it.
    """
    if scope == "account" and recipients > max_count:
        return max(1, max_count - api_reserve(max_count))
    return max_count
