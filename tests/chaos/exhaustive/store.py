"""The tables of one campaign in memory, and the named queries that the engine runs on them.

Says the same as `sql/queries/{batches,ledger,recovery}.sql`, one statement being one instant; what the statements
themselves do is tested against a real PostgreSQL in `tests/integration/worker`. A query that is not known here raises.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from tests.chaos.exhaustive.world import EPOCH, SILENCE_S, World

ACCOUNT, CAMPAIGN, LIMIT = 1, 1, 1
Row = dict[str, Any]
Undo = list[tuple["Message", dict[str, tuple[Any, Any]]]]  # each field: what it was, what it became


@dataclass
class Message:
    message_id: int
    batch_id: int
    recipient: str
    send_after: datetime = EPOCH
    status: str = "queued"
    attempt: int = 0
    burned: int = 0
    reply: str = ""
    settled_at: datetime | None = None
    marked_at: datetime | None = None
    marks: list[float] = field(default_factory=list)  # when each was committed, virtual seconds


@dataclass
class Batch:
    batch_id: int
    ordinal: int
    first: int
    last: int
    status: str = "queued"
    due_at: datetime = EPOCH
    job_id: int | None = None
    run: int = 0
    waiting_limit_id: int | None = None
    waiting_since: datetime | None = None


@dataclass
class Job:
    job_id: int
    task: str
    id: int
    epoch: int
    at: datetime
    status: str = "todo"


class Store:
    def __init__(self, world: World, *, policy: str, limit: tuple[int, int] | None, batches: int, each: int) -> None:
        self.world = world
        self.status, self.epoch, self.policy = "sending", 1, policy
        self.limit = limit
        self.resume_at: datetime | None = None
        self.resume_epoch = 0
        self.messages: dict[int, Message] = {}
        self.batches: dict[int, Batch] = {}
        self.jobs: dict[int, Job] = {}
        self.suppressed: set[str] = set()
        self.sends: list[tuple[datetime, int]] = []  # the table throughput
        self.undo: Undo | None = None  # of the transaction that runs the present statement
        self._job_ids = iter(range(100, 100_000))
        for ordinal in range(batches):
            first = ordinal * each + 1
            self.batches[ordinal + 1] = Batch(ordinal + 1, ordinal, first, first + each - 1)
            for message_id in range(first, first + each):
                self.messages[message_id] = Message(message_id, ordinal + 1, f"p{message_id}@people.test")
            self.defer("send_batch", ordinal + 1, 1, EPOCH)

    # -- for the driver --

    def defer(self, task: str, id_: int, epoch: int, at: datetime | None) -> Job:
        job = Job(next(self._job_ids), task, id_, epoch, at or self.world.now())
        self.jobs[job.job_id] = job
        return job

    def finish_job(self, job_id: int) -> None:
        """As procrastinate_finish_job_v1 does: whoever holds it now."""
        job = self.jobs.get(job_id)
        if job is not None and job.status in ("todo", "doing"):
            del self.jobs[job_id]

    def execute(self, text: bytes, params: Mapping[str, Any]) -> list[Row]:
        tag = re.match(rb"/\* ([a-z_]+)\.([a-z0-9_]+) \*/", text)
        assert tag is not None, text
        name = f"{tag[1].decode()}_{tag[2].decode()}"
        if name in _NOT_HERE:
            return []
        rows: list[Row] = getattr(self, name)(**params)
        return rows

    # -- batches.sql --

    def batches_claim(self, *, batch_id: int, epoch: int, job_id: int, now: datetime, **_: Any) -> list[Row]:
        batch = self.batches[batch_id]
        is_on = self.status == "sending" and self.epoch == epoch
        if batch.status != "queued" or batch.due_at > now + timedelta(seconds=1) or not is_on:
            return []
        batch.status, batch.job_id, batch.run = "running", job_id, batch.run + 1
        return [
            {
                "batch_id": batch_id, "run": batch.run, "account_id": ACCOUNT, "campaign_id": CAMPAIGN,
                "first_message_id": batch.first, "last_message_id": batch.last, "recipients": len(self.messages),
                "uncertain_policy": self.policy, "launched_at": EPOCH, "transport": "relay", "subject": "S",
                "preview_text": "", "html": None, "text_body": "Hi", "from_name": "N", "from_email": "news@sender.test",
                "reply_to": None, "relay_id": 1, "limits": self.launch_list_limits(),
            }
        ]  # fmt: skip

    def batches_list_messages(self, *, batch_id: int, until: datetime, **_: Any) -> list[Row]:
        return [
            {
                "message_id": m.message_id, "attempt": m.attempt, "burned": m.burned, "recipient": m.recipient,
                "attributes": {},
            }
            for m in self._of(batch_id)
            if m.status == "queued" and m.send_after <= until
        ]  # fmt: skip

    def batches_find_next_slot(self, *, batch_id: int, **_: Any) -> list[Row]:
        return [{"next_at": min((m.send_after for m in self._of(batch_id) if m.status == "queued"), default=None)}]

    def batches_release(
        self, *, batch_id: int, job_id: int, run: int, now: datetime, not_before: datetime
    ) -> list[Row]:
        batch = self.batches[batch_id]
        if (batch.job_id, batch.run, batch.status) != (job_id, run, "running"):
            return []
        self._check_put_down(batch)
        queued = [m.send_after for m in self._of(batch_id) if m.status == "queued"]
        batch.job_id = None
        batch.status = "queued" if queued else "done"
        if queued:
            batch.due_at = max(min(queued), not_before)
            if self.status == "sending":
                self.defer("send_batch", batch_id, self.epoch, batch.due_at)
        return [{"batch_id": batch_id, "campaign_id": CAMPAIGN, "status": batch.status}]

    def batches_wait_for_limit(
        self, *, batch_id: int, job_id: int, run: int, limit_id: int, now: datetime
    ) -> list[Row]:
        batch = self.batches[batch_id]
        if (batch.job_id, batch.run, batch.status) != (job_id, run, "running"):
            return []
        self._check_put_down(batch)
        batch.status, batch.job_id = "waiting", None
        batch.waiting_limit_id, batch.waiting_since = limit_id, now
        return [{"batch_id": batch_id}]

    def batches_finish_campaign(self, **_: Any) -> list[Row]:
        is_open = any(batch.status in ("queued", "running", "waiting") for batch in self.batches.values())
        if self.status != "sending" or is_open:
            return []
        self.status = "sent"
        return [{"campaign_id": CAMPAIGN}]

    def batches_claim_resume(self, *, limit_id: int, epoch: int) -> list[Row]:
        if self.resume_epoch != epoch or self.limit is None:
            return []
        self.resume_at = None
        return [
            {
                "limit_id": limit_id, "account_id": ACCOUNT, "scope": "campaign", "campaign_id": CAMPAIGN,
                "max_count": self.limit[0], "window_s": self.limit[1],
            }
        ]  # fmt: skip

    def batches_wake_waiting(self, *, limit_id: int, free: int, now: datetime) -> list[Row]:
        waiting = [batch for batch in self.batches.values() if batch.status == "waiting"]
        before, woken = 0, []
        for batch in sorted(waiting, key=lambda batch: (batch.due_at, batch.batch_id)):
            if before < max(free, 1):
                batch.status, batch.due_at = "queued", min(batch.due_at, now)
                batch.waiting_limit_id = batch.waiting_since = None
                if self.status == "sending":
                    self.defer("send_batch", batch.batch_id, self.epoch, None)
                woken.append({"batch_id": batch.batch_id})
            before += sum(m.status == "queued" for m in self._of(batch.batch_id))
        return woken

    def batches_has_waiting(self, **_: Any) -> list[Row]:
        return [{"waiting": any(batch.status == "waiting" for batch in self.batches.values())}]

    def batches_plan_resume(self, *, limit_id: int, at: datetime, now: datetime) -> list[Row]:
        planned = self.resume_at
        if planned is not None and planned <= at and planned >= now - timedelta(seconds=2):
            return []
        self.resume_at, self.resume_epoch = at, self.resume_epoch + 1
        return [{"id": self.defer("resume_limit", limit_id, self.resume_epoch, at).job_id}]

    def launch_list_limits(self, **_: Any) -> list[Row]:
        if self.limit is None:
            return []
        return [{"limit_id": LIMIT, "scope": "campaign", "max_count": self.limit[0], "window_s": self.limit[1]}]

    def relay_choice_pause_campaign(self, *, epoch: int, **_: Any) -> list[Row]:
        if self.epoch != epoch or self.status != "sending":
            return []
        self.pause()
        return [{"campaign_id": CAMPAIGN}]

    # -- ledger.sql --

    def ledger_commit_group(self, *, now: datetime, writer_id: int, **arrays: str) -> list[Row]:
        p = {name: _elements(text) for name, text in arrays.items()}
        self._check_marks(p)
        before = {m.message_id: m.status for m in self.messages.values()}
        settled, marked = [], []
        for number, attempt, status, reply in zip(
            p["result_ids"], p["result_attempts"], p["result_statuses"], p["result_replies"], strict=True
        ):
            m, was = self.messages[int(number)], before[int(number)]
            if m.attempt == int(attempt) and self._takes_result(was, status):
                self._change(m, status=status, reply=reply, settled_at=now)
                settled.append(m.message_id)
                if status in ("sent", "uncertain") and was == "sending":
                    self.sends.append((now, 1))
        for number, attempt, epoch in zip(p["mark_ids"], p["mark_attempts"], p["mark_epochs"], strict=True):
            m = self.messages[int(number)]
            is_next = before[m.message_id] == "queued" and m.attempt == int(attempt)
            is_on = self.status == "sending" and self.epoch == int(epoch)
            if is_next and is_on and m.recipient not in self.suppressed:
                self._change(
                    m, status="sending", attempt=m.attempt + 1, marked_at=now, marks=[*m.marks, self.world.clock_s]
                )
                marked.append(m.message_id)
        return [{"marked": marked, "settled": settled}]

    def _check_marks(self, p: dict[str, list[str]]) -> None:
        """The constraint batches_sending_is_held."""
        for number, attempt, epoch in zip(p["mark_ids"], p["mark_attempts"], p["mark_epochs"], strict=True):
            m = self.messages[int(number)]
            is_next = m.status == "queued" and m.attempt == int(attempt)
            is_on = self.status == "sending" and self.epoch == int(epoch) and m.recipient not in self.suppressed
            if is_next and is_on and self.batches[m.batch_id].job_id is None:
                raise psycopg.errors.CheckViolation("batches_sending_is_held")

    def _check_put_down(self, batch: Batch) -> None:
        if any(m.status == "sending" for m in self._of(batch.batch_id)):
            raise psycopg.errors.CheckViolation("batches_sending_is_held")

    def ledger_follow_up(self, **p: Any) -> list[Row]:
        for number, outcome, next_at, burn, is_bad in zip(
            p["ids"], p["outcomes"], p["next"], p["burns"], p["suppress"], strict=True
        ):
            m = self.messages[number]
            self._change(m, send_after=next_at or m.send_after, burned=m.burned + burn)
            if outcome == "uncertain" and m.status == "queued":
                self.sends.append((self.world.now(), 1))
            if is_bad:
                self.suppressed.add(m.recipient)
        return []

    # -- transactions: what a rolled back one changed is put back as it was, unless another changed it since --

    def _change(self, m: Message, **values: Any) -> None:
        if self.undo is not None:
            self.undo.append((m, {name: (getattr(m, name), value) for name, value in values.items()}))
        for name, value in values.items():
            setattr(m, name, value)

    @staticmethod
    def roll_back(undo: "Undo") -> None:
        for m, values in reversed(undo):
            if all(getattr(m, name) == new for name, (_, new) in values.items()):
                for name, (old, _) in values.items():
                    setattr(m, name, old)

    @staticmethod
    def _takes_result(before: str, status: str) -> bool:
        return before == "sending" or (before == "uncertain" and status != "queued")

    def ledger_list_marked(self, *, ids: list[int], attempts: list[int], times: list[datetime]) -> list[Row]:
        asked = [(self.messages[number], attempt) for number, attempt in zip(ids, attempts, strict=True)]
        return [
            {"message_id": m.message_id}
            for m, attempt in asked
            if m.attempt == attempt + 1 and m.status == "sending" and m.marked_at in times
        ]

    def ledger_settle_unmarked(self, *, ids: list[int], now: datetime) -> list[Row]:
        settled = []
        for message_id in ids:
            m = self.messages[message_id]
            if m.status == "queued" and m.recipient in self.suppressed:
                m.status, m.settled_at = "suppressed", now
                settled.append({"message_id": message_id})
        return settled

    def sent_recently_count_sending(self, **_: Any) -> list[Row]:
        return [{"sending": sum(m.status == "sending" for m in self.messages.values())}]

    def sent_recently_list_sends(self, *, window_s: int, **_: Any) -> list[Row]:
        now = self.world.now()
        ages = [((now - at).total_seconds(), n) for at, n in self.sends]
        return [{"age_s": age_s, "sent": n} for age_s, n in ages if age_s <= window_s]

    # -- recovery.sql --

    def recovery_list_stalled_jobs(self, **_: Any) -> list[Row]:
        heard = {
            job_id
            for process in self.world.processes
            for job_id in process.jobs
            if process.gone_at is None or self.world.clock_s - process.gone_at < SILENCE_S
        }
        return [
            {"id": job.job_id, "task_name": job.task, "args": {"id": job.id, "epoch": job.epoch}}
            for job in self.jobs.values()
            if job.status == "doing" and job.job_id not in heard
        ]

    def recovery_retry_job(self, *, job_id: int, at: datetime | None) -> list[Row]:
        job = self.jobs[job_id]
        job.status, job.at = "todo", at or self.world.now()
        return [{"done": None}]

    def recovery_release_job(self, *, job_id: int, now: datetime) -> list[Row]:
        uncertain = 0
        freed = [batch for batch in self.batches.values() if batch.job_id == job_id]
        for batch in freed:
            for m in self._of(batch.batch_id):
                if m.status == "sending":
                    m.status = "queued" if self.policy == "resend" else "uncertain"
                    m.settled_at, m.reply = now, "the sending process ended before a reply was recorded"
                    self.sends.append((now, 1))
                    uncertain += 1
            batch.status, batch.job_id = "queued", None
        return [{"batches": len(freed), "messages": 0, "uncertain": uncertain, "due_at": None}]

    def recovery_list_lost_holders(self) -> list[Row]:
        doing = {job.job_id for job in self.jobs.values() if job.status == "doing"}
        held = {batch.job_id for batch in self.batches.values() if batch.job_id is not None}
        return [{"job_id": job_id} for job_id in held - doing]

    def recovery_redefer_batches(self, *, now: datetime) -> list[Row]:
        live = {(job.id, job.epoch) for job in self.jobs.values() if job.task == "send_batch"}
        return [
            {"id": self.defer("send_batch", batch.batch_id, self.epoch, None).job_id}
            for batch in self.batches.values()
            if batch.status == "queued" and batch.due_at < now - timedelta(seconds=2)
            and self.status == "sending" and (batch.batch_id, self.epoch) not in live
        ]  # fmt: skip

    def recovery_replan_resumes(self, *, now: datetime) -> list[Row]:
        waits = any(
            batch.status == "waiting" and batch.waiting_since is not None
            and batch.waiting_since < now - timedelta(seconds=1)
            for batch in self.batches.values()
        )  # fmt: skip
        if not waits or any(j.task == "resume_limit" and j.epoch == self.resume_epoch for j in self.jobs.values()):
            return []
        self.resume_at, self.resume_epoch = now, self.resume_epoch + 1
        return [{"id": self.defer("resume_limit", LIMIT, self.resume_epoch, None).job_id}]

    def recovery_finish_campaigns(self, **_: Any) -> list[Row]:
        return self.batches_finish_campaign()

    # -- what people do --

    def pause(self) -> None:
        self.status, self.epoch = "paused", self.epoch + 1

    def resume(self) -> None:
        if self.status != "paused":
            return
        self.status, self.epoch = "sending", self.epoch + 1
        for batch in self.batches.values():
            if batch.status in ("queued", "waiting"):
                batch.status, batch.waiting_limit_id, batch.waiting_since = "queued", None, None
                self.defer("send_batch", batch.batch_id, self.epoch, max(batch.due_at, self.world.now()))

    def _of(self, batch_id: int) -> list[Message]:
        batch = self.batches[batch_id]
        return [self.messages[number] for number in range(batch.first, batch.last + 1)]


def _elements(text: str) -> list[str]:
    """The elements of an array in PostgreSQL's text form."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', text)
    return [plain or re.sub(r"\\(.)", r"\1", quoted) for quoted, plain in found]


#: Repairs of what these runs do not have: launches, API messages, closings, imports.
_NOT_HERE = {
    "recovery_redefer_launches", "recovery_redefer_due_messages", "recovery_redefer_closings",
    "recovery_redefer_imports", "recovery_settle_orphans", "recovery_list_outgrown",
}  # fmt: skip
