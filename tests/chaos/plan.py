"""What a round does and when, from its seed alone: the same seed, the same plan. What the machine makes of it differs."""

import math
import random
from dataclasses import dataclass

#: kind -> (how often, seconds it lasts from, to, at most so many in a round)
KINDS: dict[str, tuple[int, float, float, int]] = {
    # processes
    "kill": (6, 0.2, 2.0, 6),
    "kill_all": (1, 0.2, 1.0, 1),
    "freeze": (3, 0.5, 5.0, 3),
    # Until others have taken over what it had under way and gone on with it, at most so long: it comes back as a zombie.
    "freeze_long": (2, 22.0, 25.0, 1),
    "term": (2, 0.0, 0.0, 2),
    "web_kill": (3, 0.1, 1.0, 3),
    "web_term": (1, 0.0, 0.0, 2),
    # PostgreSQL
    "postgres_crash": (2, 0.1, 1.5, 2),
    "postgres_disconnect": (3, 0.0, 0.0, 4),
    "postgres_hang": (1, 0.5, 4.0, 1),
    "postgres_cut": (3, 0.0, 0.0, 4),
    # Redis
    "redis_flush": (4, 0.0, 0.0, 5),
    "redis_restart": (2, 0.0, 1.5, 2),
    "redis_pause": (2, 0.3, 3.0, 2),
    "redis_hang": (1, 0.5, 3.0, 1),
    # the relay and the way to it
    "relay_down": (2, 0.2, 2.0, 2),
    "relay_loses_replies": (3, 0.5, 1.5, 2),
    "relay_cuts_bodies": (2, 0.5, 1.5, 2),
    "relay_busy": (1, 0.3, 1.0, 1),
    "relay_slow": (2, 0.5, 2.5, 2),
    "smtp_reset": (3, 0.0, 0.0, 3),
    "smtp_cut": (4, 0.0, 0.0, 6),
    "smtp_late": (2, 0.5, 3.0, 2),
    "smtp_swallow": (1, 0.0, 0.0, 1),
    # people
    "pause": (3, 0.5, 3.0, 3),
    "unsubscribe": (3, 0.0, 0.0, 4),
    "cancel": (1, 0.0, 0.0, 1),
}
FIRST_FAULT_S = 2.0
LAST_AT_S = {"freeze_long": 6.0}  # later there may be nothing left that others could take from it
WORKERS = 3
# A day: how often something breaks in it, and after how long each kind may come up as often again as in one round.
HOURS = 24
FAULTS_PER_S = 0.4
ROUND_S = 30.0


@dataclass(frozen=True, slots=True)
class Event:
    at_s: float
    kind: str
    lasts_s: float = 0.0
    target: int = 0  # which worker, campaign, … : modulo how many there are
    amount: float = 0.5  # 0 … 1, for whatever the kind needs


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """`account`: "open" has no limit, "tight" has one of its own. `limit`: (messages, seconds) of the campaign."""

    account: str
    recipients: int
    policy: str
    at_s: float
    limit: tuple[int, int] | None = None
    may_be_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class ApiPlan:
    """Messages that are posted at one moment, for now or for `in_s` later: `together` in one request, or one in each."""

    account: str
    messages: int
    at_s: float
    in_s: float = 0.0
    together: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    seed: str
    campaigns: tuple[CampaignPlan, ...]
    api: tuple[ApiPlan, ...]
    events: tuple[Event, ...]
    account_limit: tuple[int, int] = (100, 3)
    relay_delay_s: float = 0.02
    chunking: bool = False  # the relay offers it, and the workers use it
    later: float = 0.03
    refuse: float = 0.02
    workers: int = WORKERS
    faults_after: int = 0  # the events' clock begins when the relay has accepted so many
    quiet_within_s: float = 150.0


def make_plan(seed: str, *, lasts_s: float = 14.0, events: int = 16, scale: float = 1.0) -> Plan:
    chance = random.Random(seed)

    def size(count: int) -> int:
        return int(count * scale * chance.uniform(0.7, 1.2))

    campaigns = (
        CampaignPlan("open", size(1500), "hold", chance.uniform(0, 1)),
        CampaignPlan("open", size(1500), "resend", chance.uniform(0, 3)),
        CampaignPlan("open", size(200), "resend", chance.uniform(0, 3), limit=(60, 2)),
        CampaignPlan("open", size(300), "hold", chance.uniform(1, 4), may_be_cancelled=True),
        CampaignPlan("tight", size(350), chance.choice(("hold", "resend")), chance.uniform(0, 2)),
    )
    bursts = tuple(
        ApiPlan(
            chance.choice(("open", "tight")), chance.randint(1, 15), chance.uniform(0.5, lasts_s),
            chance.choice((0.0, 0.0, chance.uniform(0, 4))), together=chance.random() < 0.5,
        )
        for _ in range(8)
    )  # fmt: skip
    stream = tuple(ApiPlan("open", 1, chance.uniform(0.5, lasts_s)) for _ in range(60))
    return Plan(
        seed, campaigns, bursts + stream, _choose_events(chance, count=events, lasts_s=lasts_s),
        chunking=chance.random() < 0.5,
    )  # fmt: skip


def make_day(seed: str, *, lasts_s: float) -> Plan:
    """A day in `lasts_s` seconds: an hour is a window of the limit, the sends follow the sun, and something breaks all day."""
    chance = random.Random(seed)
    hour_s = lasts_s / HOURS
    per_hour = max(20, int(40 * hour_s))  # of the tight account

    def wave(hour: int) -> float:
        return 0.15 + 0.85 * math.sin(math.pi * hour / HOURS) ** 2

    campaigns = [
        CampaignPlan(
            "open", int(100 * hour_s * wave(hour) * chance.uniform(0.7, 1.3)) + 10, chance.choice(("hold", "resend")),
            hour * hour_s, may_be_cancelled=hour % 8 == 7,
        )
        for hour in range(HOURS)
    ]  # fmt: skip
    campaigns += [CampaignPlan("tight", int(2.5 * per_hour), "hold", hour * hour_s) for hour in (3, 9, 15)]
    api = [
        ApiPlan(
            chance.choice(("open", "open", "tight")), chance.randint(1, 10), chance.uniform(0.5, lasts_s),
            chance.choice((0.0, 0.0, chance.uniform(0, 2 * hour_s))), together=chance.random() < 0.3,
        )
        for _ in range(int(lasts_s))
    ]  # fmt: skip
    times = math.ceil(lasts_s / ROUND_S)
    events = _choose_events(chance, count=int(lasts_s * FAULTS_PER_S), lasts_s=lasts_s, times=times)
    return Plan(
        seed, tuple(sorted(campaigns, key=lambda campaign: campaign.at_s)), tuple(api), events,
        account_limit=(per_hour, round(hour_s)), chunking=chance.random() < 0.5,
    )  # fmt: skip


def _choose_events(chance: random.Random, *, count: int, lasts_s: float, times: int = 1) -> tuple[Event, ...]:
    """`times`: how many rounds' share of each kind there may be."""
    events: list[Event] = []
    left = {kind: most * times for kind, (_, _, _, most) in KINDS.items()}
    while len(events) < count:
        kinds = [kind for kind in KINDS if left[kind]]
        kind = chance.choices(kinds, [KINDS[kind][0] for kind in kinds])[0]
        left[kind] -= 1
        _, least_s, most_s, _ = KINDS[kind]
        events.append(
            Event(
                chance.uniform(FIRST_FAULT_S, min(lasts_s, LAST_AT_S.get(kind, lasts_s) * times)), kind,
                chance.uniform(least_s, most_s), chance.randrange(1000), chance.random(),
            )
        )  # fmt: skip
    return tuple(sorted(events, key=lambda event: event.at_s))


def plan_for_mutant(name: str, seed: str) -> Plan:
    """A short round with what brings a broken engine to light; a sound one passes it."""
    big = CampaignPlan("open", 1000, "resend", 0.0)
    tight = CampaignPlan("tight", 400, "hold", 0.0)
    kills = tuple(Event(0.2 + 0.8 * number, "kill", 0.3, target=number) for number in range(3))
    # All ten batches are under way at once and take eight seconds, so the frozen worker holds some that are far from done;
    # the others are free to take them when they may, and go on with them when it comes back.
    zombie = (Event(0.0, "freeze_long", 30.0),)
    campaigns, events, delay_s = {
        "no-mark": ((big,), kills, 0.05),
        "no-fence": ((big,), zombie, 0.08),
        "no-lease": ((tight, big), (), 0.05),
        "no-reconciler": ((big,), kills, 0.05),
    }[name]
    return Plan(
        f"{seed}.{name}",
        campaigns,
        (),
        events,
        relay_delay_s=delay_s,
        later=0.0,
        refuse=0.0,
        faults_after=100,
        quiet_within_s=35.0,
    )
