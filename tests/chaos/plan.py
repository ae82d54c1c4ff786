"""What a round does and when, from its seed alone: the same seed, the same plan. What the machine makes of it differs."""

import random
from dataclasses import dataclass

#: kind -> (how often, seconds it lasts from, to, at most so many in a round)
KINDS: dict[str, tuple[int, float, float, int]] = {
    # processes
    "kill": (6, 0.2, 2.0, 6),
    "kill_all": (1, 0.2, 1.0, 1),
    "freeze": (3, 0.5, 5.0, 3),
    "freeze_long": (2, 17.0, 20.0, 1),  # longer than it takes to be given up: it comes back as a zombie
    "term": (2, 0.0, 0.0, 2),
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
WORKERS = 3


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
    account: str
    messages: int
    at_s: float
    in_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    seed: str
    campaigns: tuple[CampaignPlan, ...]
    api: tuple[ApiPlan, ...]
    events: tuple[Event, ...]
    account_limit: tuple[int, int] = (100, 3)
    relay_delay_s: float = 0.02
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
    api = tuple(
        ApiPlan(chance.choice(("open", "tight")), chance.randint(1, 15), chance.uniform(0.5, lasts_s),
                chance.choice((0.0, 0.0, chance.uniform(0, 4))))
        for _ in range(10)
    )  # fmt: skip
    return Plan(seed, campaigns, api, _choose_events(chance, count=events, lasts_s=lasts_s))


def _choose_events(chance: random.Random, *, count: int, lasts_s: float) -> tuple[Event, ...]:
    events: list[Event] = []
    left = {kind: most for kind, (_, _, _, most) in KINDS.items()}
    while len(events) < count:
        kinds = [kind for kind in KINDS if left[kind]]
        kind = chance.choices(kinds, [KINDS[kind][0] for kind in kinds])[0]
        left[kind] -= 1
        _, least_s, most_s, _ = KINDS[kind]
        events.append(
            Event(
                chance.uniform(FIRST_FAULT_S, lasts_s), kind, chance.uniform(least_s, most_s), chance.randrange(1000),
                chance.random(),
            )
        )  # fmt: skip
    return tuple(sorted(events, key=lambda event: event.at_s))


def plan_for_mutant(name: str, seed: str) -> Plan:
    """A short round with what brings a broken engine to light."""
    big = CampaignPlan("open", 1500, "resend", 0.0)
    tight = CampaignPlan("tight", 400, "hold", 0.0)
    kills = tuple(Event(0.5 + 1.2 * number, "kill", 0.3, target=number) for number in range(3))
    campaigns, events, delay_s = {
        "no-mark": ((big,), kills, 0.05),
        # Twelve seconds' work left at the freeze, so that the zombie comes back to what others have sent.
        "no-fence": ((CampaignPlan("open", 3000, "resend", 0.0),), (Event(0.5, "freeze_long", 18.0),), 0.05),
        "no-lease": ((tight, big), (), 0.02),
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
        quiet_within_s=45.0,
    )
