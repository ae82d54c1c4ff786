"""The questions that are put to an installation under load, in the order in which they are asked.

Each yields lines: {"load": case, "what": …, figures, "bound": …, "ok": …}. The bounds are for two cores that the client, the
relays and PostgreSQL share with what is measured; `tests/bench` has the figures of an idle machine.
"""

import itertools
import math
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import orjson

from app.commands import campaigns as campaign_commands
from tests.bench.figures import percentile
from tests.bench.http_client import load, post
from tests.bench.options import Line, Lines, say, wait_for
from tests.chaos import facts
from tests.chaos.load.installation import CONCURRENCY, Installation

QUEUED, CAMPAIGNS, IN_FLIGHT, REQUESTS, FUTURE = 1_000_000, 200, 2_000, 20_000, 50_000
SMALL = 100  # recipients of a small campaign, at any scale
EXPAND_PER_S_MIN = 20_000
SMALL_MAX_S = 10.0
LATENESS_P99_MAX_MS = 1_000
API_P95_MAX_MS = 5_000
WAITING_JOBS_MAX = 25_000
MEMORY_MAX_MB = 120.0  # of a worker
GROWTH_MAX_MB = 60.0
CANCEL_PER_S_MIN = 40_000
#: Messages of small campaigns: each batch of 25 costs some ten round trips to the database beside its own.
SMALL_BATCHES_PER_S_MIN = 500
PATIENCE_S = 240.0


class Crowd:
    """The installation, and the big campaign that is under way in it."""

    def __init__(self, installation: Installation) -> None:
        self.here = installation
        self.count = installation.size(QUEUED)
        self.account_id = installation.account()
        self._list_id = 0
        self.campaign_id = 0

    def launch(self) -> float:
        """Launch the big campaign; seconds until its messages are there."""
        here = self.here
        self._list_id = self._list_id or here.audience(self.account_id, self.count)
        began = time.monotonic()
        self.campaign_id = here.launch(self.account_id, self._list_id)
        question = "SELECT materialised_at IS NOT NULL FROM campaigns WHERE campaign_id = %s"
        wait_for(lambda: here.value(question, self.campaign_id), "the audience is expanded", PATIENCE_S, every_s=0.05)
        return time.monotonic() - began

    def need_backlog(self) -> None:
        """See to it that the big campaign is under way, with half of it still to go."""
        if not self.campaign_id or self.here.sent(self.campaign_id) > self.count // 2:
            self.launch()
        self.here.wait_for_sent(self.campaign_id, 1, PATIENCE_S)


def play(installation: Installation, chosen: list[str]) -> Lines:
    """Ask the chosen questions. Raises KeyError for one that there is not, TimeoutError when nothing moves any more."""
    crowd = Crowd(installation)
    for name in chosen:
        say(f"{name} begins")
        for line in CASES[name](crowd):
            yield {"load": name, **line}


def _line(what: str, is_ok: bool, *, bound: str, **figures: object) -> Line:
    return {"what": what, **figures, "bound": bound, "ok": is_ok}


# -- a million queued --------------------------------------------------------------------------------------------------


def queue(crowd: Crowd) -> Lines:
    here, took_s = crowd.here, crowd.launch()
    bound_s = 5.0 + crowd.count / EXPAND_PER_S_MIN
    yield _line(
        "launched", took_s <= bound_s, bound=f"<= {bound_s:.0f} s", messages=crowd.count, seconds=round(took_s, 1)
    )
    jobs = here.value("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'")
    yield _line("jobs that wait for it", jobs <= WAITING_JOBS_MAX, bound=f"<= {WAITING_JOBS_MAX}", jobs=jobs)


def fairness(crowd: Crowd) -> Lines:
    """A small campaign, of another account and of the same one, while the big one is under way."""
    for what, account_id in (("another account's", crowd.here.account()), ("the same account's", crowd.account_id)):
        yield _small(crowd, f"{what} campaign of {SMALL} beside one of {crowd.here.size(QUEUED)}", account_id)


def slow_relay(crowd: Crowd) -> Lines:
    """A campaign through a relay that takes 200 ms for each reply must not hold all slots until it is done."""
    here = crowd.here
    crowd.need_backlog()
    account_id = here.account(relay_port=here.slow_port)
    slow_id = here.launch(account_id, here.audience(account_id, 2_000))
    here.wait_for_sent(slow_id, 20, PATIENCE_S)
    yield _small(crowd, f"campaign of {SMALL} beside one on a slow relay", here.account())
    before, since = here.sent(slow_id), time.monotonic()
    here.wait_for_sent(slow_id, before + 1, PATIENCE_S)
    took_s = time.monotonic() - since
    yield _line(
        "the slow relay's campaign goes on",
        took_s <= SMALL_MAX_S,
        bound=f"<= {SMALL_MAX_S} s",
        seconds=round(took_s, 1),
    )
    _cancel(crowd, slow_id, account_id)


def dead_relay(crowd: Crowd) -> Lines:
    """A relay that takes connections and never says a word must not hold the slots of others while it is waited for."""
    here = crowd.here
    crowd.need_backlog()
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        account_id = here.account(relay_port=silent.getsockname()[1])
        dead_id = here.launch(account_id, here.audience(account_id, 500))
        question = "SELECT count(*) FROM batches WHERE campaign_id = %s AND run > 0"
        wait_for(lambda: here.value(question, dead_id) >= CONCURRENCY, "its batches are taken", PATIENCE_S)
        yield _small(crowd, f"campaign of {SMALL} beside one on a relay that says nothing", here.account())
    _cancel(crowd, dead_id, account_id)


def _small(crowd: Crowd, what: str, account_id: int) -> Line:
    here = crowd.here
    crowd.need_backlog()
    campaign_id = here.launch(
        account_id, here.audience(account_id, SMALL) if account_id != crowd.account_id else _few(here, account_id)
    )
    sent_before, began = here.sent(crowd.campaign_id), time.monotonic()
    sent = here.finish(campaign_id, PATIENCE_S)
    beside_per_s = (here.sent(crowd.campaign_id) - sent_before) / (time.monotonic() - began)
    return _line(
        what,
        sent.seconds <= SMALL_MAX_S,
        bound=f"<= {SMALL_MAX_S} s",
        seconds=round(sent.seconds, 2),
        beside_per_s=round(beside_per_s),
    )


def _few(here: Installation, account_id: int) -> int:
    """A short list of contacts that the account has already."""
    return int(
        here.value(
            "WITH made AS (INSERT INTO lists (account_id, name) VALUES (%s, 'Few') RETURNING account_id, list_id),"
            " listed AS (INSERT INTO list_contacts (account_id, list_id, contact_id)"
            " SELECT made.account_id, made.list_id, few.contact_id FROM made, LATERAL (SELECT contact_id FROM contacts"
            " WHERE contacts.account_id = made.account_id ORDER BY contact_id LIMIT %s) AS few)"
            " SELECT list_id FROM made",
            account_id,
            SMALL,
        )
    )


# -- many campaigns at one instant ------------------------------------------------------------------------------------


def campaigns(crowd: Crowd) -> Lines:
    here, count = crowd.here, crowd.here.size(CAMPAIGNS)
    crowd.need_backlog()
    accounts = [here.account() for _ in range(count)]
    lists = [here.audience(account_id, SMALL) for account_id in accounts]
    in_s = 5.0 + count / 20
    ids = [here.launch(account_id, list_id, in_s=in_s) for account_id, list_id in zip(accounts, lists, strict=True)]
    question = "SELECT count(*) FROM campaigns WHERE campaign_id = ANY(%s) AND finished_at IS NOT NULL"
    wait_for(lambda: here.value(question, ids) == count, f"{count} campaigns are sent", PATIENCE_S, every_s=0.1)
    last_s = here.value(
        "SELECT extract(epoch FROM max(finished_at) - min(scheduled_at))::float8 FROM campaigns WHERE campaign_id = ANY(%s)",
        ids,
    )
    lateness_ms = here.value(
        "SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY lateness_ms) FROM batches WHERE campaign_id = ANY(%s)", ids
    )
    bound_s = 10.0 + count * SMALL / SMALL_BATCHES_PER_S_MIN
    yield _line(
        f"{count} campaigns of {SMALL} at one instant", last_s <= bound_s, bound=f"all within {bound_s:.0f} s",
        last_s=round(last_s, 1), per_s=round(count * SMALL / last_s),
    )  # fmt: skip
    yield _line(
        "a batch is taken as soon as a slot is free", lateness_ms <= LATENESS_P99_MAX_MS,
        bound=f"p99 <= {LATENESS_P99_MAX_MS} ms", p99_ms=round(lateness_ms),
    )  # fmt: skip


# -- the API ----------------------------------------------------------------------------------------------------------


def future(crowd: Crowd) -> Lines:
    """Messages for later, in requests of a thousand, over the next day; and some for the next seconds, to see them go."""
    here, count = crowd.here, crowd.here.size(FUTURE)
    account_id = here.account()
    secret, begin = here.key(account_id), datetime.now(UTC) + timedelta(hours=1)
    size = min(1_000, count)
    slots = (begin + timedelta(seconds=86_400 * n / count) for n in itertools.count())
    requests = (
        _batch(secret, f"future-{number}", [next(slots) for _ in range(size)])
        for number in range(math.ceil(count / size))
    )
    measured = load(here.web_port, requests, connections=4, timeout_s=PATIENCE_S)
    jobs = here.value("SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'")
    yield _line(
        f"{count} messages for the next day", set(measured.statuses) == {201}, bound="all accepted",
        statuses=measured.statuses, seconds=round(measured.seconds, 1), per_s=round(count / measured.seconds), jobs=jobs,
    )  # fmt: skip
    yield from _punctual(crowd, account_id, secret)


def _punctual(crowd: Crowd, account_id: int, secret: str) -> Lines:
    here = crowd.here
    crowd.need_backlog()
    begin = datetime.now(UTC) + timedelta(seconds=5)
    slots = [begin + timedelta(milliseconds=47 * n) for n in range(300)]
    load(here.web_port, iter([_batch(secret, "soon", slots)]), connections=1, timeout_s=PATIENCE_S)
    question = "SELECT count(*) FROM messages WHERE account_id = %s AND status = 'sent' AND send_after < %s"
    until = begin + timedelta(seconds=600)
    wait_for(lambda: here.value(question, account_id, until) == len(slots), "they are sent", PATIENCE_S)
    late = here.value(
        "SELECT array_agg(1000 * extract(epoch FROM marked_at - send_after)::float8) FROM messages"
        " WHERE account_id = %s AND status = 'sent' AND send_after < %s", account_id, until,
    )  # fmt: skip
    p99 = percentile(late, 0.99)
    yield _line(
        "messages of their own instants while campaigns are under way", p99 <= LATENESS_P99_MAX_MS,
        bound=f"p99 <= {LATENESS_P99_MAX_MS} ms", p50_ms=round(percentile(late, 0.5), 1), p99_ms=round(p99, 1),
    )  # fmt: skip


def api(crowd: Crowd) -> Lines:
    """So many clients at once, each with one request under way; none is turned away, none hangs."""
    here = crowd.here
    crowd.need_backlog()
    in_flight, count = here.size(IN_FLIGHT), here.size(REQUESTS)
    secret = here.key(here.account())
    later = datetime.now(UTC) + timedelta(hours=3)
    requests = (_one(secret, f"api-{number}", later) for number in range(count))
    measured = load(here.web_port, requests, connections=in_flight, timeout_s=PATIENCE_S)
    times_ms, p95_ms = measured.times_ms, percentile(measured.times_ms, 0.95)
    yield _line(
        f"POST /messages with {in_flight} in flight", p95_ms <= API_P95_MAX_MS and measured.statuses == {201: count},
        bound=f"p95 <= {API_P95_MAX_MS} ms, all accepted", statuses=measured.statuses,
        p50_ms=round(percentile(times_ms, 0.5)), p95_ms=round(p95_ms), max_ms=round(max(times_ms)),
        per_s=round(count / measured.seconds),
    )  # fmt: skip


def _one(secret: str, key: str, at: datetime) -> bytes:
    return _post(secret, "/api/v1/messages", key, _message(f"{key}@load.test", at))


def _batch(secret: str, key: str, slots: list[datetime]) -> bytes:
    messages = [_message(f"{key}-{number}@load.test", at) for number, at in enumerate(slots)]
    return _post(secret, "/api/v1/messages/batch", key, {"messages": messages})


def _message(to: str, at: datetime) -> dict[str, object]:
    return {"to": to, "subject": "Your code", "text": "12345", "scheduled_at": at.isoformat()}


def _post(secret: str, path: str, key: str, body: dict[str, object]) -> bytes:
    return post(path, orjson.dumps(body), Authorization=f"Bearer {secret}", Idempotency_Key=key)


# -- the end ----------------------------------------------------------------------------------------------------------


def memory(crowd: Crowd) -> Lines:
    """After all of the above: what the processes hold, and whether it grew with the work."""
    here = crowd.here
    for name, child, before_mb in (
        ("worker", here.worker, here.worker_before_mb),
        ("web", here.web, here.web_before_mb),
    ):
        now_mb = here.rss_mb(child)
        is_ok = now_mb - before_mb <= GROWTH_MAX_MB and (name == "web" or now_mb <= MEMORY_MAX_MB)
        yield _line(
            f"memory of the {name}", is_ok, bound=f"+{GROWTH_MAX_MB:.0f} MB", before_mb=round(before_mb), now_mb=round(now_mb)
        )  # fmt: skip


def cancel(crowd: Crowd) -> Lines:
    """The big campaign is given up: none of its messages stays behind, and the ledger is well."""
    here = crowd.here
    took_s = _cancel(crowd, crowd.campaign_id, crowd.account_id)
    bound_s = 5.0 + crowd.count / CANCEL_PER_S_MIN
    yield _line("the rest is cancelled", took_s <= bound_s, bound=f"<= {bound_s:.0f} s", seconds=round(took_s, 1))
    ill = facts.ask_doctor(here.stack.connect_dict)
    yield _line("the doctor's invariants", not ill, bound="none broken", broken=ill)


def _cancel(crowd: Crowd, campaign_id: int, account_id: int) -> float:
    """Cancel a campaign and wait until nothing of it is open. Returns how long that took."""
    here, began = crowd.here, time.monotonic()
    with here.stack.connect_dict() as conn:
        campaign_commands.cancel(conn, account_id=account_id, campaign_id=campaign_id, now=datetime.now(UTC))
    question = "SELECT coalesce(sum(queued + sending), 0) FROM batches WHERE campaign_id = %s"
    wait_for(lambda: here.value(question, campaign_id) == 0, "it is cancelled", PATIENCE_S, every_s=0.1)
    return time.monotonic() - began


CASES: dict[str, Callable[[Crowd], Iterator[Line]]] = {
    "queue": queue,
    "fairness": fairness,
    "slow_relay": slow_relay,
    "dead_relay": dead_relay,
    "future": future,
    "api": api,
    "campaigns": campaigns,
    "memory": memory,
    "cancel": cancel,
}
