"""Plays one plan on a running stack: work, faults, repair, quiet, judgement."""

import heapq
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import redis

from app.commands import campaigns as campaign_commands
from app.commands.api_keys import ALL_SCOPES, create_api_key
from app.commands.unsubscribe import unsubscribe
from app.domain.errors import AppError
from app.public_ids import PublicIds
from tests.chaos import facts
from tests.chaos.judge import Facts, Faults, Limit, Post, Stop, Verdict, judge
from tests.chaos.plan import ApiPlan, CampaignPlan, Event, Plan
from tests.chaos.poster import Poster
from tests.chaos.proxy import Cut, Late, Swallow
from tests.chaos.stack import CONNECTIONS, START_PATIENCE_S, Stack, Worker
from tests.factories import a_scheduled_campaign, an_account, some_contacts
from worker.clock_loop import STALLED_AFTER_S
from worker.smtp.connection import BEHIND_IN_FLIGHT

TICK_S = 0.02
HASTEN_EVERY_S = 1.0
RECOVERY_MAX_S = 60.0
#: Messages that others must have sent of a frozen worker's before it comes back.
OVERTAKEN_MIN = 10
LOOK_EVERY_S = 0.2


@dataclass(slots=True)
class Launched:
    campaign_id: int
    plan: CampaignPlan


@dataclass(slots=True)
class Outcome:
    """One round, for the line of JSON that it becomes."""

    seed: str
    verdict: Verdict
    messages: int
    statuses: dict[str, int]
    accepted: int
    chunked: int  # of these, so many by BDAT
    posts: int
    post_tries: int
    done: dict[str, int]
    ends: int
    recovery_s: float
    recovery_max_s: float
    took_s: float
    exits: list[str]
    failed_jobs: int

    def as_json(self) -> dict[str, Any]:
        verdict = self.verdict
        return {
            "seed": self.seed, "ok": not verdict.breaches, "messages": self.messages, "accepted": self.accepted,
            "chunked": self.chunked, "posts": self.posts, "post_tries": self.post_tries,
            "lost": verdict.lost, "duplicated": verdict.duplicated, "duplicated_max": verdict.duplicated_max,
            "uncertain": verdict.uncertain, "uncertain_max": verdict.uncertain_max,
            "windows": {name: list(window) for name, window in verdict.windows.items()},
            "recovery_s": round(self.recovery_s, 1), "recovery_max_s": round(self.recovery_max_s, 1),
            "took_s": round(self.took_s, 1), "statuses": self.statuses, "faults": self.done, "worker_ends": self.ends,
            "exits": self.exits, "failed_jobs": self.failed_jobs, "breaches": verdict.breaches,
        }  # fmt: skip


@dataclass(slots=True)
class Round:
    stack: Stack
    plan: Plan
    note: Callable[[str], None] = lambda line: None
    _agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)
    _begin: float = 0.0
    _accounts: dict[str, int] = field(default_factory=dict)
    _secrets: dict[str, str] = field(default_factory=dict)  # API keys, by account
    _poster: Poster | None = None
    _campaigns: list[Launched] = field(default_factory=list)
    _limits: list[Limit] = field(default_factory=list)
    _stops: list[Stop] = field(default_factory=list)
    _done: "Counter[str]" = field(default_factory=Counter)
    _exits: list[str] = field(default_factory=list)
    _ending: dict[int, float] = field(default_factory=dict)  # worker -> when it was told to end
    _ends: int = 0
    _addresses: Any = field(default_factory=lambda: itertools.count(1))
    _risky: int = 0  # conversations that were open when the relay cut them

    # -- the round --

    def run(self) -> Outcome:
        stack, plan = self.stack, self.plan
        self._begin = time.monotonic()
        log_size = stack.sink.log.stat().st_size
        before = stack.sink.ask(
            down=False, delay_s=plan.relay_delay_s, later=plan.later, refuse=plan.refuse, salt=plan.seed[:60],
            chunking=plan.chunking, cut=True,  # what is warm has been offered what was before
        )  # fmt: skip
        struck = stack.struck
        self._make_accounts()
        for worker in self._processes():
            worker.start()
        self._until_workers_work()
        if stack.web is not None:
            self._poster = Poster(stack.web.port, plan.seed)
        try:
            return self._play(before, struck, log_size)
        finally:
            if self._poster is not None:
                self._poster.close()

    def _play(self, before: dict[str, Any], struck: int, log_size: int) -> Outcome:
        """From the first launch to the verdict. What came before: the relay's counts, the proxy's, its log's size."""
        stack, plan = self.stack, self.plan
        self._begin = time.monotonic()
        for campaign in plan.campaigns:
            self._at(campaign.at_s, lambda campaign=campaign: self._launch(campaign))
        for api in plan.api:
            self._at(api.at_s, lambda api=api: self._post(api))
        if plan.faults_after:
            self._follow_agenda()
            self._until_accepted(before.get("accepted", 0) + plan.faults_after)
        for event in plan.events:
            self._in(event.at_s, lambda event=event: self._strike(event))
        self._follow_agenda()
        self._repair()
        repaired_at = time.monotonic()
        recovery_max_s = RECOVERY_MAX_S + self._backlog_s()
        self._until_quiet()
        recovery_s = time.monotonic() - repaired_at
        after = stack.sink.ask()
        ids = PublicIds(self._id_key())
        accounts = list(self._accounts.values())
        rows = stack.ask(lambda conn: facts.read_rows(conn, accounts))
        accepts = stack.sink.accepted(lambda text: ids.decode("message", text), since=log_size)
        # What an earlier round left behind was that round's breach.
        first_id = min((row.message_id for row in rows), default=0)
        accepts = [accept for accept in accepts if not 0 <= accept.message_id < first_id]

        def happened(what: str) -> int:
            return int(after.get(what, 0) - before.get(what, 0))

        lost = happened("replies_lost") + self._risky + stack.struck - struck
        most = stack.in_flight_max
        if plan.chunking:
            in_flight, marked = most, max(2, most)
        else:  # one on the wire and the next marked; behind these the record of one, and one more that may be marked
            in_flight, marked = (2, 4) if most >= BEHIND_IN_FLIGHT else (1, 2)
        faults = Faults(self._ends, CONNECTIONS, in_flight, marked, lost, happened("cut_bodies"))
        posts = self._posts(ids)
        verdict = judge(
            Facts(
                rows, accepts, self._limits, self._stops, posts, faults, recovery_s,
                recovery_max_s, facts.ask_doctor(stack.connect),
            )
        )  # fmt: skip
        tries = sum(posting.tries for posting in self._poster.postings) if self._poster else 0
        return Outcome(
            plan.seed, verdict, len(rows), dict(Counter(row.status for row in rows)), len(accepts),
            happened("chunked"), len(posts), tries, dict(self._done), self._ends, recovery_s, recovery_max_s, time.monotonic() - self._begin, self._exits,
            stack.ask(facts.count_failed_jobs),
        )  # fmt: skip

    def _processes(self) -> list[Worker]:
        return [*self.stack.workers, *([self.stack.web] if self.stack.web is not None else [])]

    def _posts(self, ids: PublicIds) -> list[Post]:
        return [
            Post(
                posting.key, posting.account_id, posting.recipients,
                tuple(ids.decode("message", text) or -1 for text in posting.ids), posting.refusal,
            )
            for posting in (self._poster.postings if self._poster is not None else ())
        ]  # fmt: skip

    def _until_workers_work(self) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while self.stack.ask(facts.count_live_workers) < len(self.stack.workers):
            self._look_after_workers()
            assert time.monotonic() < deadline, f"the workers do not start: see {self.stack.folder}"
            time.sleep(0.1)

    def _until_accepted(self, count: int) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while self.stack.sink.ask().get("accepted", 0) < count and time.monotonic() < deadline:
            time.sleep(TICK_S)

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (at_s, next(self._order), act))

    def _in(self, seconds: float, act: Callable[[], None]) -> None:
        self._at(time.monotonic() - self._begin + seconds, act)

    def _follow_agenda(self) -> None:
        while self._agenda or self._ending:
            self._look_after_workers()
            if self._agenda and self._agenda[0][0] <= time.monotonic() - self._begin:
                heapq.heappop(self._agenda)[2]()
            else:
                time.sleep(TICK_S)

    # -- the work --

    def _make_accounts(self) -> None:
        count, window_s = self.plan.account_limit

        def make_tight(conn: Any) -> int:
            account_id = an_account(conn, limit=count, transport="relay")
            conn.execute("UPDATE limits SET window_s = %s WHERE account_id = %s", (window_s, account_id))
            return account_id

        self._accounts["open"] = self._tuples(lambda conn: an_account(conn, transport="relay"))
        self._accounts["tight"] = self._tuples(make_tight)
        self._limits.append(Limit("account", count, window_s, self._accounts["tight"]))
        for name, account_id in self._accounts.items():
            self._secrets[name] = self.stack.ask(
                lambda conn, account_id=account_id: create_api_key(
                    conn, account_id=account_id, name="chaos", scopes=ALL_SCOPES, expires_at=None, now=facts.utc_now()
                )
            ).secret

    def _launch(self, plan: CampaignPlan) -> None:
        account_id = self._accounts[plan.account]
        number = next(self._addresses)

        def launch(conn: Any) -> int:
            contacts = some_contacts(conn, account_id, plan.recipients, domain=f"c{number}.a{account_id}.test")
            campaign_id = a_scheduled_campaign(conn, account_id, contacts, uncertain_policy=plan.policy)
            if plan.limit is not None:
                conn.execute(
                    "INSERT INTO limits (account_id, scope, campaign_id, max_count, window_s)"
                    " VALUES (%s, 'campaign', %s, %s, %s)",
                    (account_id, campaign_id, *plan.limit),
                )
            return campaign_id

        campaign_id = self._tuples(launch)
        self._campaigns.append(Launched(campaign_id, plan))
        if plan.limit is not None:
            self._limits.append(Limit(f"campaign {len(self._campaigns)}", *plan.limit, account_id, campaign_id))

    def _post(self, plan: ApiPlan) -> None:
        assert self._poster is not None, "this plan needs a web"
        account_id = self._accounts[plan.account]
        at = {"scheduled_at": _later(facts.utc_now(), plan.in_s).isoformat()} if plan.in_s else {}
        messages = [
            {"to": f"m{next(self._addresses)}@api.a{account_id}.test", "subject": "Your code", "text": "12345", **at}
            for _ in range(plan.messages)
        ]
        secret = self._secrets[plan.account]
        self._poster.post(account_id=account_id, secret=secret, messages=messages, together=plan.together)

    def _tuples(self, work: Callable[[Any], int]) -> int:
        """`tests/factories.py` reads plain tuples."""

        def go(conn: Any) -> int:
            conn.row_factory = psycopg.rows.tuple_row
            return work(conn)

        return self.stack.ask(go)

    # -- the faults --

    def _strike(self, event: Event) -> None:
        self.note(f"{event.at_s:5.1f} s  {event.kind}  lasts {event.lasts_s:.1f} s")
        if getattr(self, f"_do_{event.kind}")(event) is not False:
            self._done[event.kind] += 1

    def _a_worker(self, event: Event) -> Worker | None:
        up = [
            worker for worker in self.stack.workers
            if worker.is_up and not worker.is_frozen and worker.number not in self._ending
        ]  # fmt: skip
        return up[event.target % len(up)] if up else None

    def _do_kill(self, event: Event) -> bool:
        worker = self._a_worker(event)
        if worker is None:
            return False
        worker.kill()
        self._ends += 1
        self._in(event.lasts_s, worker.start)
        return True

    def _do_kill_all(self, event: Event) -> None:
        for worker in self.stack.workers:
            if worker.is_up:
                worker.kill()
                self._ending.pop(worker.number, None)
                self._ends += 1
                self._in(event.lasts_s, worker.start)
        web = self.stack.web
        if web is not None:
            web.kill()
            self._in(event.lasts_s, web.start)

    def _do_freeze(self, event: Event) -> bool:
        worker = self._a_worker(event)
        if worker is None:
            return False
        frozen = worker.process
        worker.signal(signal.SIGSTOP)
        worker.is_frozen = True

        def thaw() -> None:
            if worker.process is frozen:
                worker.signal(signal.SIGCONT)
                worker.is_frozen = False

        self._in(event.lasts_s, thaw)
        return True

    def _do_freeze_long(self, event: Event) -> bool:
        """Bring a worker back only when others have gone on with what it had under way: fencing is all that stops it."""
        worker = self._a_worker(event)
        if worker is None:
            return False
        worker.signal(signal.SIGSTOP)  # before anything that takes time: it is to hold work that is far from done
        worker.is_frozen = True
        self._ends += 1
        frozen, since = worker.process, self.stack.ask(facts.read_clock)
        accounts = list(self._accounts.values())
        until = time.monotonic() + event.lasts_s

        def look() -> None:
            if worker.process is not frozen:
                return
            # Only the silence of STALLED_AFTER_S takes anything from it; what changed hands before was not its.
            taken_from = since + STALLED_AFTER_S - 1.0
            count = self.stack.ask(lambda conn: facts.count_overtaken(conn, accounts, since=taken_from))
            is_all_done = not any(self.stack.ask(lambda conn: facts.read_open(conn, accounts)).values())
            if count < OVERTAKEN_MIN and not is_all_done and time.monotonic() < until:
                self._in(LOOK_EVERY_S, look)
                return
            self._done["overtaken"] += count >= OVERTAKEN_MIN
            worker.signal(signal.SIGCONT)
            worker.is_frozen = False

        self._in(STALLED_AFTER_S - 1.0, look)
        return True

    def _do_term(self, event: Event) -> bool:
        worker = self._a_worker(event)
        if worker is None:
            return False
        worker.is_wanted = False
        worker.signal(signal.SIGTERM)
        self._ending[worker.number] = time.monotonic()
        return True

    def _do_web_kill(self, event: Event) -> bool:
        web = self.stack.web
        if web is None or not web.is_up:
            return False
        web.kill()
        self._in(event.lasts_s, web.start)
        return True

    def _do_web_term(self, event: Event) -> bool:
        web = self.stack.web
        if web is None or not web.is_up:
            return False
        web.signal(signal.SIGTERM)  # it comes back when it has ended: see `_look_after_workers`
        return True

    def _do_postgres_crash(self, event: Event) -> None:
        self.stack.restart_postgres(event.lasts_s)

    def _do_postgres_disconnect(self, event: Event) -> None:
        share = event.amount

        def disconnect(conn: Any) -> None:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mailtide%%'"
                " AND hashfloat8(pid + %s) %% 100 < %s",
                (share, 100 * share),
            )

        self.stack.ask(disconnect)

    def _do_postgres_hang(self, event: Event) -> None:
        proxy = self.stack.postgres_proxy
        self.stack.proxies.do(proxy.hang)
        self._ends += 1  # with other trouble it may be away for long enough to be given up
        self._in(event.lasts_s, lambda: self.stack.proxies.do(proxy.go_on))

    def _do_postgres_cut(self, event: Event) -> None:
        # In the answer, so that what was asked for happened.
        cut = Cut("down", after_bytes=int(event.amount * 300), with_reset=event.target % 2 == 0, times=2)
        self.stack.proxies.do(lambda: self.stack.postgres_proxy.arm(cut))

    def _do_redis_flush(self, event: Event) -> None:
        with suppress(redis.RedisError), self.stack.redis as client:
            client.flushall()

    def _do_redis_restart(self, event: Event) -> None:
        valkey = self.stack.valkey
        with suppress(redis.RedisError), self.stack.redis as client:
            client.shutdown(nosave=True, now=True)
        valkey.stop()

        def start() -> None:
            if valkey.process is None:
                valkey.start()

        self._in(event.lasts_s, start)

    def _do_redis_pause(self, event: Event) -> None:
        with suppress(redis.RedisError), self.stack.redis as client:
            client.client_pause(int(event.lasts_s * 1000), all=True)

    def _do_redis_hang(self, event: Event) -> None:
        proxy = self.stack.redis_proxy
        self.stack.proxies.do(proxy.hang)
        self._in(event.lasts_s, lambda: self.stack.proxies.do(proxy.go_on))

    def _do_relay_down(self, event: Event) -> None:
        self._risky += self.stack.sink.ask()["connections"]
        self.stack.sink.ask(down=True)
        self._in(event.lasts_s, lambda: self._set_relay(down=False))

    def _do_relay_loses_replies(self, event: Event) -> None:
        self._for_a_while(event, {"lose_replies": 0.02 + 0.2 * event.amount}, {"lose_replies": 0.0})

    def _do_relay_cuts_bodies(self, event: Event) -> None:
        self._for_a_while(event, {"cut_body": 0.02 + 0.2 * event.amount}, {"cut_body": 0.0})

    def _do_relay_busy(self, event: Event) -> None:
        self._for_a_while(event, {"busy": 0.05}, {"busy": 0.0})

    def _do_relay_slow(self, event: Event) -> None:
        self._for_a_while(event, {"delay_s": 0.1 + 0.5 * event.amount}, {"delay_s": self.plan.relay_delay_s})

    def _do_smtp_reset(self, event: Event) -> None:
        self.stack.proxies.do(self.stack.smtp_proxy.reset)

    def _do_smtp_cut(self, event: Event) -> None:
        where = (
            Cut("up", after_bytes=int(event.amount * 3000), times=3),
            Cut("down", after_bytes=int(event.amount * 300), times=3),
            Cut("up", pattern=b"\r\n.\r\n", times=3, with_reset=True),
            Cut("up", pattern=b"MAIL", times=2),
        )[event.target % 4]
        self.stack.proxies.do(lambda: self.stack.smtp_proxy.arm(where))

    def _do_smtp_late(self, event: Event) -> None:
        self.stack.proxies.do(lambda: self.stack.smtp_proxy.arm(Late(event.lasts_s, times=3)))

    def _do_smtp_swallow(self, event: Event) -> None:
        # With one message under way a reply that is missing is noticed, since the next answers another command. With
        # several it would not be; but TCP loses no reply without all that follow it.
        swallow = Swallow(times=2, and_all_after=self.plan.chunking)
        self.stack.proxies.do(lambda: self.stack.smtp_proxy.arm(swallow))

    def _for_a_while(self, event: Event, then: dict[str, Any], afterwards: dict[str, Any]) -> None:
        self._set_relay(**then)
        self._in(event.lasts_s, lambda: self._set_relay(**afterwards))

    def _set_relay(self, **changes: Any) -> None:
        self.stack.sink.ask(**changes)

    # -- people --

    def _do_pause(self, event: Event) -> bool:
        return self._command(event, campaign_commands.pause, "a pause", ends_in_s=event.lasts_s)

    def _do_cancel(self, event: Event) -> bool:
        return self._command(event, campaign_commands.cancel, "a cancel", only_cancellable=True)

    def _command(
        self, event: Event, command: Callable[..., None], what: str, *, only_cancellable: bool = False,
        ends_in_s: float | None = None,
    ) -> bool:  # fmt: skip
        found = [one for one in self._campaigns if one.plan.may_be_cancelled or not only_cancellable]
        if not found:
            return False
        campaign = found[event.target % len(found)]
        ids = {"account_id": self._accounts[campaign.plan.account], "campaign_id": campaign.campaign_id}
        try:
            self.stack.ask(lambda conn: command(conn, now=facts.utc_now(), **ids))
        except AppError:
            return False
        stop = Stop(what, self.stack.ask(facts.read_clock), campaign_id=campaign.campaign_id)
        if ends_in_s is None:
            self._stops.append(stop)
        else:
            self._in(ends_in_s, lambda: self._resume(stop, ids))
        return True

    def _resume(self, stop: Stop, ids: dict[str, int]) -> None:
        until = self.stack.ask(facts.read_clock)
        with suppress(AppError):
            self.stack.ask(lambda conn: campaign_commands.resume(conn, now=facts.utc_now(), **ids))
        self._stops.append(Stop(stop.what, stop.since, until, campaign_id=stop.campaign_id))

    def _do_unsubscribe(self, event: Event) -> bool:
        accounts = list(self._accounts.values())
        chosen = self.stack.ask(
            lambda conn: conn.execute(
                "SELECT message_id, account_id, recipient FROM messages WHERE account_id = ANY(%s)"
                " AND campaign_id IS NOT NULL AND status = 'queued' ORDER BY message_id %% 101, message_id LIMIT 20",
                (accounts,),
            ).fetchall()
        )
        for row in chosen:
            self.stack.ask(
                lambda conn, row=row: unsubscribe(
                    conn, account_id=row["account_id"], message_id=row["message_id"], now=facts.utc_now()
                )
            )
            self._stops.append(
                Stop(
                    "an unsubscribe", self.stack.ask(facts.read_clock), account_id=row["account_id"],
                    recipient=row["recipient"],
                )
            )  # fmt: skip
        return bool(chosen)

    # -- afterwards --

    def _look_after_workers(self) -> None:
        web = self.stack.web
        if web is not None and web.is_wanted and web.process is not None and not web.is_up:
            web.start()
        for worker in self.stack.workers:
            told_at = self._ending.get(worker.number)
            if told_at is not None:
                self._look_after_ending(worker, told_at)
            elif worker.is_wanted and worker.process is not None and not worker.is_up:
                self._exits.append(f"worker {worker.number} ended by itself: {worker.process.returncode}")
                self._ends += 1
                worker.start()

    def _look_after_ending(self, worker: Worker, told_at: float) -> None:
        waited_s = time.monotonic() - told_at
        if worker.is_up and waited_s < 15.0:
            return
        del self._ending[worker.number]
        assert worker.process is not None
        if worker.is_up:
            worker.kill()
            self._ends += 1
            self._exits.append(f"worker {worker.number} did not end within {waited_s:.0f} s of SIGTERM")
        elif worker.process.returncode not in (0, -signal.SIGTERM):  # the latter: it was only starting
            self._ends += 1
            self._exits.append(f"worker {worker.number} ended with {worker.process.returncode} after SIGTERM")
        worker.start()

    def _repair(self) -> None:
        """End every fault, and let what was paused go on."""
        stack = self.stack
        for proxy in (stack.smtp_proxy, stack.postgres_proxy, stack.redis_proxy):
            stack.proxies.do(proxy.disarm)
            stack.proxies.do(proxy.go_on)
        stack.proxies.do(stack.smtp_proxy.reset)  # whoever waits for a swallowed reply would wait ten minutes
        self._set_relay(down=False, lose_replies=0.0, cut_body=0.0, busy=0.0, delay_s=self.plan.relay_delay_s)
        if stack.valkey.process is None:
            stack.valkey.start()
        for worker in self._processes():
            worker.signal(signal.SIGCONT)
            worker.is_frozen = False
            worker.start()
        for campaign in self._campaigns:
            ids = {"account_id": self._accounts[campaign.plan.account], "campaign_id": campaign.campaign_id}
            with suppress(AppError):
                stack.ask(lambda conn, ids=ids: campaign_commands.resume(conn, now=facts.utc_now(), **ids))

    def _backlog_s(self) -> float:
        """How long the limits alone make the rest take, generously."""
        accounts = list(self._accounts.values())
        rows = self.stack.ask(lambda conn: facts.read_rows(conn, accounts))
        waits = [0.0]
        for limit in self._limits:
            left = sum(
                row.status in ("queued", "sending") and row.account_id == limit.account_id
                and limit.campaign_id in (None, row.campaign_id)
                for row in rows
            )  # fmt: skip
            waits.append(1.5 * limit.window_s * (1 + left / limit.max_count))
        return max(waits)

    def _until_quiet(self) -> None:
        accounts = list(self._accounts.values())
        deadline = time.monotonic() + self.plan.quiet_within_s
        hastened_at = 0.0
        while time.monotonic() < deadline:
            self._look_after_workers()
            still = self.stack.ask(lambda conn: facts.read_open(conn, accounts))
            still["posts"] = self._poster.open_count if self._poster is not None else 0
            if not any(still.values()):
                return
            if time.monotonic() - hastened_at > HASTEN_EVERY_S:
                hastened_at = time.monotonic()
                self.stack.ask(lambda conn: facts.hasten(conn, accounts))
            time.sleep(0.2)
        self.note(f"not quiet: {still}")

    def _id_key(self) -> bytes:
        row = self.stack.ask(lambda conn: conn.execute("SELECT id_key FROM installation").fetchone())
        assert row is not None
        return bytes(row["id_key"])


def _later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)
