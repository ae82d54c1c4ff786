"""Judges a round: the relay's own log against the rows. Pure: give it facts, get a verdict.

I1  nothing lost: all is final, and what counts as sent was accepted
I2  no body without a mark before it; an address hears twice only where the rows say that it was in doubt, and there
    are no more doubts and duplicates than kills allow
I3  nothing marked after a pause, a cancel or an unsubscribe was committed
I4  in no window more than its limit
I5  every message to its own recipient
I6  final in time after the last fault
I8  what was refused or given up was not accepted
I9  an address once in a campaign; a post with an Idempotency-Key, however often it was repeated, once
I7 and I9 are also questions of `make doctor`, whose answers come with the facts.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: Clocks of two processes on one machine, as `worker.clock` follows the database's; and a message's way to the relay.
CLOCK_TOLERANCE_S = 0.25
SHOWN = 3
CRASH_REPLY = "the sending process ended before a reply was recorded"


@dataclass(frozen=True, slots=True)
class Row:
    """A message as the database has it when all is quiet. Times are Unix seconds."""

    message_id: int
    account_id: int
    campaign_id: int | None
    recipient: str
    status: str
    attempt: int
    resends: bool  # its policy for uncertain outcomes
    marks: tuple[float, ...] = ()  # of all attempts that are known, in any order
    doubts: int = 0  # attempts that ended uncertain, the latest one included
    crash_doubts: int = 0  # of these, the ones for which a process's end is to blame


@dataclass(frozen=True, slots=True)
class Accept:
    """A line of the relay's log."""

    message_id: int
    recipient: str
    at: float


@dataclass(frozen=True, slots=True)
class Limit:
    name: str
    max_count: int
    window_s: float
    account_id: int
    campaign_id: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody forbade sending, from its commit until it was allowed again."""

    what: str
    since: float
    until: float = float("inf")
    campaign_id: int | None = None
    account_id: int | None = None
    recipient: str | None = None

    def forbids(self, row: Row) -> bool:
        if self.recipient is not None:
            return row.account_id == self.account_id and row.recipient == self.recipient and row.campaign_id is not None
        return row.campaign_id == self.campaign_id


@dataclass(frozen=True, slots=True)
class Faults:
    """What was done to it, as far as bounds depend on it."""

    ends: int = 0  # of a worker under way: killed, frozen or cut off until it was given up, ended by itself
    connections: int = 0  # to the relay, at most, for each worker
    in_flight: int = 1  # messages of one connection that the relay may have accepted and nobody has recorded, at most
    marked: int = 2  # messages of one connection that are marked and not recorded, at most
    replies_lost: int = 0  # the relay accepted and the answer may not have arrived
    bodies_cut: int = 0  # the relay did not accept, and the sender, who had written it all, cannot know


@dataclass(frozen=True, slots=True)
class Post:
    """A request with an Idempotency-Key that was repeated until it was answered; `message_ids` from its answer."""

    key: str
    account_id: int
    recipients: tuple[str, ...]  # no two posts have one in common
    message_ids: tuple[int, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    rows: Sequence[Row]
    accepts: Sequence[Accept]
    limits: Sequence[Limit] = ()
    stops: Sequence[Stop] = ()
    posts: Sequence[Post] = ()
    faults: Faults = Faults()
    recovery_s: float = 0.0
    recovery_max_s: float = 60.0
    ill: Sequence[str] = ()  # what `make doctor` found, each beginning with its invariant


@dataclass(slots=True)
class Verdict:
    breaches: list[str] = field(default_factory=list)
    lost: int = 0
    duplicated: int = 0
    duplicated_max: int = 0
    uncertain: int = 0
    uncertain_max: int = 0
    windows: dict[str, tuple[int, int]] = field(default_factory=dict)  # limit -> (most in any window, allowed)

    def note(self, invariant: str, what: str, culprits: Sequence[object]) -> None:
        if culprits:
            shown = ", ".join(str(culprit) for culprit in culprits[:SHOWN])
            self.breaches.append(f"{invariant}: {what}: {len(culprits)}, e.g. {shown}")


def judge(facts: Facts) -> Verdict:
    verdict = Verdict()
    accepts: dict[int, list[Accept]] = defaultdict(list)
    for accept in sorted(facts.accepts, key=lambda accept: accept.at):
        accepts[accept.message_id].append(accept)
    _judge_losses(facts, accepts, verdict)
    _judge_marks(facts, accepts, verdict)
    _judge_duplicates(facts, accepts, verdict)
    _judge_doubts(facts, verdict)
    _judge_stops(facts, verdict)
    _judge_limits(facts, verdict)
    _judge_recipients(facts, accepts, verdict)
    _judge_posts(facts, verdict)
    if facts.recovery_s > facts.recovery_max_s:
        verdict.breaches.append(f"I6: all final after {facts.recovery_s:.1f} s, allowed {facts.recovery_max_s:.1f} s")
    verdict.breaches += facts.ill
    return verdict


def _judge_losses(facts: Facts, accepts: dict[int, list[Accept]], verdict: Verdict) -> None:
    stuck = [(row.message_id, row.status) for row in facts.rows if row.status in ("queued", "sending")]
    unaccepted = [row.message_id for row in facts.rows if row.status == "sent" and not accepts.get(row.message_id)]
    verdict.lost = len(stuck) + len(unaccepted)
    verdict.note("I1", "messages that nobody brought to an end", stuck)
    verdict.note("I1", "counted as sent, but the relay never accepted them", unaccepted)
    denied = [
        (row.message_id, row.status)
        for row in facts.rows
        if row.status in ("failed", "expired", "suppressed", "cancelled")
        and len(accepts.get(row.message_id, ())) > row.doubts
    ]
    verdict.note("I8", "accepted by the relay, but recorded as not sent", denied)


def _judge_marks(facts: Facts, accepts: dict[int, list[Accept]], verdict: Verdict) -> None:
    unmarked = []
    for row in facts.rows:
        heard = accepts.get(row.message_id)
        if heard and (not row.marks or heard[0].at < min(row.marks) - CLOCK_TOLERANCE_S):
            unmarked.append(row.message_id)
    verdict.note("I2", "sent without a mark before it", unmarked)


def _judge_duplicates(facts: Facts, accepts: dict[int, list[Accept]], verdict: Verdict) -> None:
    unexplained, held = [], []
    for row in facts.rows:
        extra = max(0, len(accepts.get(row.message_id, ())) - 1)
        verdict.duplicated += extra
        if extra and not row.resends:
            held.append(row.message_id)
        elif extra > row.doubts:
            unexplained.append(row.message_id)
    verdict.note("I2", "sent twice although the policy is to hold", held)
    verdict.note("I2", "sent more often than was ever in doubt", unexplained)
    faults = facts.faults
    verdict.duplicated_max = faults.in_flight * (faults.ends * faults.connections + faults.replies_lost)
    if verdict.duplicated > verdict.duplicated_max:
        verdict.breaches.append(f"I2: {verdict.duplicated} duplicates, at most {verdict.duplicated_max} allowed")


def _judge_doubts(facts: Facts, verdict: Verdict) -> None:
    faults = facts.faults
    verdict.uncertain = sum(row.doubts for row in facts.rows)
    by_crash = sum(row.crash_doubts for row in facts.rows)
    crash_max = faults.marked * faults.ends * faults.connections
    verdict.uncertain_max = crash_max + faults.in_flight * (faults.replies_lost + faults.bodies_cut)
    if by_crash > crash_max:
        verdict.breaches.append(f"I2: {by_crash} in doubt after the end of a worker, at most {crash_max} allowed")
    if verdict.uncertain > verdict.uncertain_max:
        verdict.breaches.append(f"I2: {verdict.uncertain} in doubt, at most {verdict.uncertain_max} allowed")


def _judge_stops(facts: Facts, verdict: Verdict) -> None:
    for stop in facts.stops:
        late = [
            row.message_id
            for row in facts.rows
            if stop.forbids(row) and any(stop.since + CLOCK_TOLERANCE_S < mark < stop.until for mark in row.marks)
        ]
        verdict.note("I3", f"marked after {stop.what}", late)


def _judge_limits(facts: Facts, verdict: Verdict) -> None:
    known = {row.message_id: row for row in facts.rows}
    for limit in facts.limits:
        times = [
            accept.at
            for accept in facts.accepts
            if (row := known.get(accept.message_id)) is not None
            and row.account_id == limit.account_id
            and (limit.campaign_id is None or row.campaign_id == limit.campaign_id)
        ]
        most = worst_window(times, limit.window_s)
        verdict.windows[limit.name] = (most, limit.max_count)
        if most > limit.max_count:
            verdict.breaches.append(
                f"I4: {most} in {limit.window_s:g} s under the limit of {limit.name}, allowed {limit.max_count}"
            )


def worst_window(times: Iterable[float], window_s: float) -> int:
    """The most events in any half-open window of this length."""
    ordered = sorted(times)
    return max((bisect_left(ordered, begin + window_s) - at for at, begin in enumerate(ordered)), default=0)


def _judge_recipients(facts: Facts, accepts: dict[int, list[Accept]], verdict: Verdict) -> None:
    known = {row.message_id: row.recipient for row in facts.rows}
    verdict.note("I5", "accepted messages that have no row", [number for number in accepts if number not in known])
    wrong = [
        accept.message_id
        for accept in facts.accepts
        if accept.message_id in known and accept.recipient != known[accept.message_id]
    ]
    verdict.note("I5", "sent to somebody else", wrong)
    twice = [
        key
        for key, count in Counter(
            (row.campaign_id, row.recipient) for row in facts.rows if row.campaign_id is not None
        ).items()
        if count > 1
    ]
    verdict.note("I9", "addresses that a campaign has twice", twice)


def _judge_posts(facts: Facts, verdict: Verdict) -> None:
    made: dict[tuple[int, str], list[int]] = defaultdict(list)
    for row in facts.rows:
        if row.campaign_id is None:
            made[row.account_id, row.recipient].append(row.message_id)
    lost, several, other, open_ = [], [], [], []
    for post in facts.posts:
        found = [made.get((post.account_id, recipient), []) for recipient in post.recipients]
        if any(len(ids) > 1 for ids in found):
            several.append(post.key)
        elif post.refusal or not post.message_ids:
            open_.append((post.key, post.refusal or "no answer"))
        elif not all(found):
            lost.append(post.key)
        elif [ids[0] for ids in found] != list(post.message_ids):
            other.append(post.key)
    verdict.note("I1", "accepted by the API, but there is no such message", lost)
    verdict.note("I9", "posted with one Idempotency-Key, but there more than once", several)
    verdict.note("I5", "the API's answer names another message", other)
    verdict.note("I6", "posts that were not accepted in the end", open_)
