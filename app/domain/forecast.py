"""When a campaign will be done, and which limit decides that. Pure: the facts come in as arguments."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.limits import LimitFacts

#: Messages per second to assume when nothing was measured yet: modest for a relay near by, five connections.
ASSUMED_PER_SECOND = 500.0
#: Steps of the simulation before the rest is extrapolated at the steady rate: a live page asks each second.
STEPS_MAX = 2000
#: A forecast beyond this is not a time any more.
HORIZON = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Forecast:
    starts_at: datetime
    finishes_at: datetime
    binding_limit: LimitFacts | None
    per_hour: int


def forecast(
    recipients: int,
    *,
    starts_at: datetime,
    limits: Sequence[LimitFacts] = (),
    pacing: str = "burst",
    per_second: float = ASSUMED_PER_SECOND,
) -> Forecast:
    """Foretell the end of sending `recipients` messages from `starts_at` on.

    limits      those that apply, with what is used of them already; no limit at all is an empty sequence.
    pacing      'burst' sends as fast as allowed and then waits for the window; 'smooth' spreads evenly.
    per_second  what the relay and the workers do when no limit holds them; above 0.

    `binding_limit` is the slowest of the limits that made the campaign wait. `per_hour` is the steady rate.
    """
    steady = min([per_second, *(limit.per_second for limit in limits)])
    finish, waited_on = _simulate(recipients, starts_at=starts_at, limits=limits, per_second=per_second)
    if pacing == "smooth" and limits and recipients > 1:
        spread = _later(starts_at, (recipients - 1) / steady)
        if spread > finish:
            finish = spread
            waited_on = waited_on or {index for index, limit in enumerate(limits) if limit.per_second <= steady}
    binding = min((limits[index] for index in waited_on), key=lambda limit: limit.per_second, default=None)
    return Forecast(starts_at, finish, binding, max(1, round(steady * 3600)))


def _simulate(
    recipients: int, *, starts_at: datetime, limits: Sequence[LimitFacts], per_second: float
) -> tuple[datetime, set[int]]:
    """Play the windows: send what all limits allow, wait for the next release, and so on.

    Returns the end and the indexes of the limits that were waited on. Times inside are seconds after `starts_at`.
    """
    releases: list[list[tuple[float, int]]] = []
    free: list[int] = []
    for limit in limits:
        pending = [((use.free_at - starts_at).total_seconds(), use.count) for use in limit.used]
        pending = [(at_s, count) for at_s, count in pending if at_s > 0]
        heapq.heapify(pending)
        releases.append(pending)
        free.append(limit.ceiling - sum(count for _, count in pending))
    at_s, remaining, waited_on = 0.0, recipients, set[int]()
    # A slice is small beside the windows, so that its permits come back spread as they were taken.
    slice_s = max([1.0, min((limit.window_s for limit in limits), default=HORIZON.total_seconds()) / 60])
    slice_max = max(1, int(per_second * slice_s))
    for _ in range(STEPS_MAX):
        if remaining <= 0:
            return _later(starts_at, at_s), waited_on
        for index in range(len(limits)):
            while releases[index] and releases[index][0][0] <= at_s:
                free[index] += heapq.heappop(releases[index])[1]
        full = [index for index in range(len(limits)) if free[index] <= 0]
        if full:
            waited_on.update(full)
            at_s = max(releases[index][0][0] for index in full)
            continue
        taken = min([remaining, slice_max, *free])
        for index, limit in enumerate(limits):
            free[index] -= taken
            heapq.heappush(releases[index], (at_s + limit.window_s, taken))
        at_s += taken / per_second
        remaining -= taken
    steady = min([per_second, *(limit.per_second for limit in limits)])
    return _later(starts_at, at_s + remaining / steady), waited_on


def _later(at: datetime, seconds: float) -> datetime:
    return at + min(timedelta(seconds=min(seconds, HORIZON.total_seconds())), HORIZON)
