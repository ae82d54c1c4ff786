"""Send a run of messages on one connection: permit -> mark -> SMTP -> result, one round trip and one commit for each.

    marked    a queue: they may go. The envelope of its first leaves in the same write as the body of the one before it

    deliver(current, the first of marked) -> result -> ledger.exchange(result, mark of the next) -> marked …

The next body leaves only after the exchange: so when this process is killed at any point, at most one message of the
connection may have been accepted without a record, and at most two are marked. For a relay that may have more in doubt
(`records_behind`) the exchange begins when the next body has left, and is over before the one after it does: twice as many of
both. `_send_in_flight` has its own bound.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import zip_longest
from typing import Literal, NamedTuple, assert_never

from app.content.compiled import CompiledContent, RenderFault
from app.domain.links import sign_unsubscribe
from app.domain.outcome import Accepted, Bounced, NotSent, Refused, TryLater, Uncertain, decide_outcome
from app.domain.schedule import Kind, next_relay_try, next_try
from worker.ledger import Mark, MarkAnswer, Result, Unsent
from worker.limiter import Lease, Limit, LimiterDown
from worker.services import WorkerServices
from worker.smtp.chunked import ChunkedStream
from worker.smtp.connection import DeliveryResult, Envelope, RelayUnavailable, SmtpConnection, Stage
from worker.smtp.pool import RelayPool

PERMITS_FIRST = 20  # asked for at once; doubles while they are used up within LEASE_USE_S
PERMITS_MAX = 500
LEASE_USE_S = 0.5  # what was sent is stamped at least this often, so that the window moves with the sends
LIMITER_PAUSE_S = 0.5
RENDERED_USE_S = 0.5  # a message that was made longer ago is made again
LARGE_SIZE = 64 * 1024  # bytes; of larger messages one is made ahead, however many may be in flight
OVERTAKEN = "this process was silent, and another took over"
STOPPED = "its campaign was paused or cancelled first"

#: A campaign may take weeks under its limits; what ends a message's tries is how long its own recipient has refused it.
#: With the steps of `next_try`, the 13th such failure is 72 h after the first.
NO_DEADLINE = datetime.max.replace(tzinfo=UTC)
AT_ONCE = datetime.min.replace(tzinfo=UTC)
CAMPAIGN_BURNED_MAX = 13

# How often the relay may refuse us in a row, with nothing accepted in between, before we take it that it means us.
# At RCPT many servers say 5.7.1 about one recipient ("relay access denied"), so it takes more of them.
REFUSALS_AT_RCPT_MAX = 20
REFUSALS_MAX = 3


class Item(NamedTuple):
    """A queued message with what it takes to send it."""

    message_id: int
    attempt: int
    burned: int
    recipient: str
    variables: Mapping[str, object]
    public_id: str
    content: CompiledContent
    deadline: datetime


class Outgoing(NamedTuple):
    item: Item
    envelope: Envelope
    data: bytes


class _Coming(NamedTuple):
    """An exchange under way, with the message whose mark it asks for."""

    outgoing: Outgoing | None
    answer: asyncio.Future[MarkAnswer]


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run ended.

    done      nothing is left to take             limit     no permit: `limit`, `wait_s`
    stopped   paused, cancelled, or another's     relay     the connection ended or the relay is away: `wait_s`
    shutdown  this process is asked to stop       refused   the relay refuses us as a sender: `reason`
    limiter_down  Redis is away or being rebuilt: nothing may be sent without a permit
    """

    kind: Literal["done", "stopped", "shutdown", "limit", "limiter_down", "relay", "refused"]
    wait_s: float = 0.0
    limit: Limit | None = None
    reason: str = ""


@dataclass(slots=True)
class Refusals:
    """Refusals of us as a sender, in a row, over all connections of a process to one relay."""

    at_rcpt: int = 0
    elsewhere: int = 0

    def note(self, stage: str) -> bool:
        """Count one, and say whether it is time to stop."""
        if stage == "rcpt":
            self.at_rcpt += 1
        else:
            self.elsewhere += 1
        return stage == "auth" or self.at_rcpt >= REFUSALS_AT_RCPT_MAX or self.elsewhere >= REFUSALS_MAX

    def clear(self) -> None:
        self.at_rcpt = self.elsewhere = 0


class Run:
    """Sends `items` on one connection until they end or something else does. Use once."""

    def __init__(
        self,
        services: WorkerServices,
        items: Iterator[Item],
        *,
        kind: Kind,
        epoch: int,
        campaign_id: int | None = None,
        resend_uncertain: bool,
        account_id: int,
        lease: Lease,
        refusals: Refusals,
        how_many: Callable[[], int],
        not_before: datetime = AT_ONCE,
    ) -> None:
        self._services = services
        self._items = items
        self._kind: Kind = kind
        self._epoch = epoch
        self._campaign_id = campaign_id
        self._resend_uncertain = resend_uncertain
        self._account_id = account_id
        self._lease = lease
        self._refusals = refusals
        self._unsubscribe_base = f"{services.settings.public_url}/u/"
        self._how_many = how_many  # messages that are still to be taken: no more permits than that
        self._not_before = not_before  # nothing is marked before this instant
        self._permits = PERMITS_FIRST
        self._ending: Ending | None = None
        self._is_overtaken = False
        self._rendered: deque[tuple[Outgoing | Unsent, float]] = deque()  # before their turn, and when (monotonic)
        self._is_large = False  # the latest of these
        self._meanwhile: Callable[[], None] | None = None  # what to do while the ledger commits
        self._behind: Result | None = None  # it is recorded when the next body has left
        self._coming: _Coming | None = None
        self._taking: list[Outgoing] = []  # their marks are or will be asked for, and the answers are not here
        self.sent = 0

    async def send_through(self, relay: RelayPool) -> Ending:
        """`send_on` one of the relay's connections."""
        try:
            async with relay.connection() as connection:
                return await self.send_on(connection)
        except RelayUnavailable as error:
            return Ending("relay", wait_s=max(relay.blocked_for_s, 1.0), reason=error.reason)

    async def send_on(self, connection: SmtpConnection) -> Ending:
        """Send, and return why it ended. Every message taken has its result in the ledger when this returns."""
        if self._kind == "campaign":  # API messages have deadlines, and other connections that could send them
            self._meanwhile = partial(self._render_ahead, connection)
        if connection.in_flight_max > 1:
            return await self._send_in_flight(connection)
        current: Outgoing | None = None
        marked: deque[Outgoing] = deque()
        result: Result | None = None
        try:
            marked.extend(await self._take_first(connection))
            while marked:
                current = marked.popleft()
                if connection.pipelining and not marked:
                    marked.extend(await self._catch_up(connection) or await self._take(None, connection))
                if not self._lease.is_valid():
                    marked.extend(await self._catch_up(connection))
                    await self._give_up([current, *marked], "its permit ran out before it could be sent")
                    connection.drop_ahead()
                    return Ending("relay", wait_s=0.0)
                delivery = await connection.deliver(
                    current.envelope, current.data, ahead=marked[0].envelope if marked else None,
                    may_send=self._lease.is_valid, meanwhile=partial(self._record_behind, connection),
                )  # fmt: skip
                result = self._judge(current.item, delivery)
                current = None
                marked.extend(await self._catch_up(connection))
                if not connection.usable:
                    await self._exchange(result)
                    await self._give_up(marked, delivery.reason or "the connection ended")
                    return self._ending or Ending("relay", reason=connection.why)
                if connection.records_behind and marked and not self._must_stop:
                    self._behind = result
                else:
                    marked.extend(await self._take(result, connection))
                if self._must_stop:
                    # Marked before the pause or cancel, but its body has not left: it need not go.
                    connection.drop_ahead()
                    await self._give_up(marked, OVERTAKEN if self._is_overtaken else STOPPED)
                    break
        except asyncio.CancelledError:
            for known in (self._behind, result):  # what was handed over before counts once
                if known is not None:
                    self._services.ledger.record(known)
            self._record_interruption(current, marked, connection)
            raise
        finally:
            await self._services.limiter.settle(self._lease)
        return self._ending or Ending("done")

    async def _send_in_flight(self, connection: SmtpConnection) -> Ending:
        """`send_on` for a relay that may have several messages under way on one connection (CHUNKING).

        All that has been answered is recorded, and as many next ones are marked, in one group: so a commit serves as many
        messages as are in flight, and its time bounds a connection no more than the round trip does.
        """
        stream = ChunkedStream(connection)
        flying: deque[Outgoing] = deque()
        answered: list[Result] = []
        taking: list[Outgoing] = []
        try:
            while True:
                free = connection.in_flight_max - len(flying) if stream.has_room else 0
                taking = []
                if not self._is_overtaken:
                    await self._prepare_some(connection, free, taking)
                    await self._until_due()
                is_last = not taking
                taking = await self._exchange_some(answered, taking)
                answered = []
                await self._submit(stream, taking, flying)
                if not flying and is_last:
                    break
                await self._read_answers(stream, flying, answered, enough=connection.in_flight_max // 2)
        except asyncio.CancelledError:
            stream.abandon()
            unknown = DeliveryResult("uncertain", Stage.BODY, None, "this process ended before the relay answered")
            answered += [self._judge(outgoing.item, unknown) for outgoing in flying]
            for result in answered:  # what was handed over before counts once
                self._services.ledger.record(result)
            self._record_not_sent(*taking)
            raise
        finally:
            stream.abandon()  # whatever ended this: the next user of the connection must not read these answers
            await self._services.limiter.settle(self._lease)
        if not connection.usable:
            return self._ending or Ending("relay", reason=connection.why)
        return self._ending or Ending("done")

    async def _read_answers(
        self, stream: ChunkedStream, flying: deque[Outgoing], answered: list[Result], *, enough: int
    ) -> None:
        """Read at least one answer, and all that are here. While `enough` are not, wait for more until the ledger gathers.

        What has been answered and is not recorded takes the place of one in flight, so the bound of what a kill leaves in
        doubt is the same; and those still in flight keep the relay busy meanwhile.
        """
        has_waited = False
        while flying:
            if answered and not stream.has_answer:
                missing = min(enough - len(answered), len(flying))
                if has_waited or missing <= 0:
                    return
                await stream.until_answers(missing, or_until=self._services.ledger.next_gathering())
                has_waited = True
                continue
            delivery = await stream.next_delivery()
            answered.append(self._judge(flying.popleft().item, delivery))

    async def _prepare_some(self, connection: SmtpConnection, count: int, prepared: list[Outgoing]) -> None:
        while len(prepared) < count and connection.usable:
            outgoing = await self._prepare(connection)
            if outgoing is None:
                return
            prepared.append(outgoing)

    async def _exchange_some(self, results: list[Result], wanted: list[Outgoing]) -> list[Outgoing]:
        """Record results and ask for marks, all in one group; return those that are marked and may go."""
        marks = [self._mark(outgoing) for outgoing in wanted]
        handed_over = [self._services.ledger.hand_over(*pair, self._meanwhile) for pair in zip_longest(results, marks)]
        answers = [self._heed(await answer) for answer in handed_over]
        marked: list[Outgoing] = []
        for outgoing, answer in zip(wanted, answers, strict=False):  # there may be more results than marks
            if answer in ("marked", "overtaken_marked"):
                marked.append(outgoing)
            else:
                self._note_refused_mark(answer)
        if self._is_overtaken:
            await self._give_up(marked, OVERTAKEN)
            return []
        return marked

    async def _submit(self, stream: ChunkedStream, taken: list[Outgoing], flying: deque[Outgoing]) -> None:
        """Write marked messages, or record why they were not. `taken` is empty when all that became of them is recorded."""
        if taken and not self._lease.is_valid():
            await self._give_up(taken, "its permit ran out before it could be sent")
            self._ending = self._ending or Ending("relay", wait_s=0.0)
            taken.clear()
            return
        refused: list[Result] = []
        for outgoing, decided in zip(taken, stream.submit([(o.envelope, o.data) for o in taken]), strict=True):
            if decided is None:
                flying.append(outgoing)
            else:
                refused.append(self._judge(outgoing.item, decided))
        taken.clear()
        for recorded in [self._services.ledger.hand_over(result, None) for result in refused]:
            self._heed(await recorded)

    def _mark(self, outgoing: Outgoing) -> Mark:
        return Mark(outgoing.item.message_id, outgoing.item.attempt, self._epoch, self._campaign_id)

    def _note_refused_mark(self, answer: MarkAnswer) -> None:
        """Its permit is free again. A campaign's others would be refused, too; an API message may have been cancelled alone."""
        self._lease.open -= 1
        self._lease.free += 1
        if answer == "stopped" and self._kind == "campaign":
            self._ending = self._ending or Ending("stopped")

    @property
    def _is_stopped(self) -> bool:
        return self._ending is not None and self._ending.kind == "stopped"

    @property
    def _must_stop(self) -> bool:
        return self._is_overtaken or self._is_stopped

    def _record_interruption(
        self, current: Outgoing | None, marked: Iterable[Outgoing], connection: SmtpConnection
    ) -> None:
        """This process ends before its relay has answered: record what is known, instead of leaving it to be guessed.

        current  marked and without a result; on the wire if the connection says how that ended.
        """
        if current is not None and connection.interrupted is not None:
            self._services.ledger.record(self._judge(current.item, connection.interrupted))
            current = None
        self._record_not_sent(current, *marked, *self._taking)

    def _record_not_sent(self, *marked: Outgoing | None) -> None:
        """Nothing of these has left, whether or not their marks were given."""
        for outgoing in marked:
            if outgoing is not None:
                self._lease.open = max(0, self._lease.open - 1)  # it may have been on its way back already
                self._services.ledger.record(self._result(outgoing.item, "queued", "not_sent", "this process ended"))

    # -- before the wire --

    async def _take_first(self, connection: SmtpConnection) -> list[Outgoing]:
        """Mark the first messages, with PIPELINING those that follow it closely, too: one commit for all."""
        wanted = self._taking = []
        depth = 3 if connection.records_behind else 2 if connection.pipelining else 1
        await self._prepare_some(connection, depth, wanted)
        await self._until_due()
        taken = await self._exchange_some([], wanted)
        if self._is_stopped:
            await self._give_up(taken, STOPPED)
            taken = []
        self._taking = []
        return taken or await self._take(None, connection)  # suppressed, or the campaign is stopped

    async def _until_due(self) -> None:
        """Wait for the instant that this run is for. The event loop's timers know milliseconds only, and may end too soon."""
        wait_s = self._seconds_until_due()
        while wait_s > 0.0:
            await asyncio.sleep(wait_s)
            wait_s = self._seconds_until_due()

    def _seconds_until_due(self) -> float:
        return (self._not_before - self._services.now()).total_seconds()

    async def _take(self, result: Result | None, connection: SmtpConnection) -> list[Outgoing]:
        """Record `result`, and mark the next message: that one, or none when there is none to send: see `_ending`."""
        while True:
            coming = await self._take_behind(result, connection)
            taken = await self._arrived(coming)
            if taken or coming is None or coming.outgoing is None or self._must_stop:
                return taken
            result = None

    async def _record_behind(self, connection: SmtpConnection) -> None:
        """Hand over the result that waits for this, and ask for the next mark."""
        if self._behind is not None:
            self._coming = await self._take_behind(self._behind, connection)
            self._behind = None

    async def _catch_up(self, connection: SmtpConnection) -> list[Outgoing]:
        """Wait until the result before the latest is recorded; return the message that was marked with it."""
        await self._record_behind(connection)
        coming, self._coming = self._coming, None
        return await self._arrived(coming)

    async def _take_behind(self, result: Result | None, connection: SmtpConnection) -> "_Coming | None":
        """`_take`, to be waited for with `_arrived`. A mark that is refused brings no other."""
        outgoing = await self._prepare(connection)
        if outgoing is None:
            return _Coming(None, self._services.ledger.hand_over(result, None)) if result is not None else None
        self._taking = [outgoing]
        return _Coming(outgoing, self._services.ledger.hand_over(result, self._mark(outgoing), self._meanwhile))

    async def _arrived(self, coming: "_Coming | None") -> list[Outgoing]:
        """The message whose mark was asked for, if it was given."""
        if coming is None:
            return []
        answer = self._heed(await coming.answer)
        outgoing, self._taking = coming.outgoing, []
        if outgoing is None:
            return []
        if answer == "marked":
            return [outgoing]
        if answer == "overtaken_marked":
            await self._give_up([outgoing], OVERTAKEN)
        else:
            self._note_refused_mark(answer)
        return []

    async def _prepare(self, connection: SmtpConnection) -> Outgoing | None:
        """The next message that can be made, with a permit for it."""
        if self._services.stopping.is_set():
            self._ending = self._ending or Ending("shutdown")
        if self._ending is not None:
            return None
        while (outgoing := self._next_rendered(connection)) is not None:
            if isinstance(outgoing, Unsent):
                self._services.ledger.settle_unsent(outgoing)
                continue
            if not await self._have_permit():
                return None
            return outgoing
        return None

    def _next_rendered(self, connection: SmtpConnection) -> Outgoing | Unsent | None:
        if self._rendered:
            outgoing, made_at = self._rendered.popleft()
            if isinstance(outgoing, Unsent) or time.monotonic() - made_at < RENDERED_USE_S:
                return outgoing
            return self._render(outgoing.item, connection)  # its Date is old
        item = next(self._items, None)
        return None if item is None else self._render(item, connection)

    def _render_ahead(self, connection: SmtpConnection) -> None:
        """Make the next message while PostgreSQL works for this one. It is not marked, has no permit, and may never go."""
        if self._ending is not None or len(self._rendered) >= (1 if self._is_large else connection.in_flight_max):
            return
        item = next(self._items, None)
        if item is None:
            return
        made = self._render(item, connection)
        self._is_large = isinstance(made, Outgoing) and len(made.data) > LARGE_SIZE
        self._rendered.append((made, time.monotonic()))

    def _render(self, item: Item, connection: SmtpConnection) -> Outgoing | Unsent:
        now = max(self._services.now(), self._not_before)  # made a little ahead, its Date is its time's
        if now >= item.deadline:
            return Unsent(item.message_id, item.attempt, "expired", "its deadline passed before it could be sent")
        unsubscribe_url = None
        if self._kind == "campaign" or item.content.uses_unsubscribe_url:
            token = sign_unsubscribe(self._services.link_key, account_id=self._account_id, message_id=item.message_id)
            unsubscribe_url = f"{self._unsubscribe_base}{token}"
        made = item.content.render(
            recipient=item.recipient, variables=item.variables, message_public_id=item.public_id,
            unsubscribe_url=unsubscribe_url, date=now, eight_bit=connection.eight_bit_mime,
            smtputf8=connection.smtputf8,
        )  # fmt: skip
        if isinstance(made, RenderFault):
            return Unsent(item.message_id, item.attempt, "failed", f"cannot be made: {made.reason}")
        envelope = Envelope(
            made.sender, made.recipient, made.eight_bit, made.smtputf8, len(made.data), made.is_canonical
        )
        return Outgoing(item, envelope, made.data)

    async def _have_permit(self) -> bool:
        """Take one permit, asking for more when the lease is used up or old."""
        lease = self._lease
        in_time = time.monotonic() - lease.asked_at < LEASE_USE_S
        if lease.free < 1 or (lease.limits and not in_time):
            if lease.free < 1 and in_time:
                self._permits = min(self._permits * 2, PERMITS_MAX)
            left = self._how_many() + len(self._rendered)
            want = max(1, min(self._permits, left + 1))
            try:
                grant = await self._services.limiter.top_up(lease, want)
            except LimiterDown as error:
                self._ending = Ending("limiter_down", wait_s=LIMITER_PAUSE_S, reason=str(error))
                return False
            if grant.permits == 0:
                self._ending = Ending("limit", wait_s=grant.free_in_s, limit=grant.blocked_by)
                return False
        lease.free -= 1
        lease.open += 1
        return True

    # -- after the wire --

    def _judge(self, item: Item, delivery: DeliveryResult) -> Result:
        """What one conversation came to, as the ledger will have it."""
        reply = delivery.reply
        outcome = decide_outcome(
            state=delivery.state, stage=delivery.stage, code=reply.code if reply else None,
            enhanced=reply.enhanced if reply and reply.code >= 400 else None,
        )  # fmt: skip
        words = reply.line if reply else delivery.reason
        lease = self._lease
        lease.open -= 1
        match outcome:
            case Accepted():
                self._refusals.clear()
                self.sent += 1
                lease.sent += 1
                return self._result(item, "sent", "sent", words)
            case Uncertain():
                lease.sent += 1
                if self._resend_uncertain:
                    return self._try_again(item, "uncertain", words, burn=1)
                return self._result(item, "uncertain", "uncertain", words)
            case Bounced(suppress=suppress):
                return self._result(item, "failed", "failed", words, suppress=suppress)
            case Refused():
                if self._refusals.note(str(delivery.stage)):
                    self._ending = self._ending or Ending("refused", reason=f"the relay refuses this sender: {words}")
                return self._result(item, "failed", "failed", words)
            case TryLater(scope=scope):
                if scope == "relay":
                    return self._step_aside(item, words)
                return self._try_again(item, "try_later", words, burn=1)
            case NotSent():
                return self._result(item, "queued", "not_sent", words)
        assert_never(outcome)

    def _try_again(self, item: Item, outcome: Literal["try_later", "uncertain"], words: str, *, burn: int) -> Result:
        """Back to the queue for its next try, or expired when there is none before the deadline."""
        if self._kind == "campaign" and item.burned + burn >= CAMPAIGN_BURNED_MAX:
            return self._result(item, "expired", "expired", words, burn=burn)
        at = next_try(
            attempt=item.attempt + 1, burned=item.burned + burn, kind=self._kind, now=self._services.now(),
            deadline=item.deadline, jitter=random.uniform(-1, 1),  # noqa: S311
        )  # fmt: skip
        if at is None:
            return self._result(item, "expired", "expired", words, burn=burn)
        return self._result(item, "queued", outcome, words, next_at=at, burn=burn)

    def _step_aside(self, item: Item, words: str) -> Result:
        """Back to the queue for a while: the relay's trouble, which burns none of the recipient's tries."""
        at = next_relay_try(
            attempt=item.attempt + 1, now=self._services.now(), deadline=item.deadline,
            jitter=random.uniform(-1, 1),  # noqa: S311
        )  # fmt: skip
        if at is None:
            return self._result(item, "expired", "expired", words)
        return self._result(item, "queued", "try_later", words, next_at=at)

    def _result(
        self, item: Item, status: Literal["sent", "failed", "uncertain", "expired", "queued"],
        outcome: Literal["sent", "failed", "uncertain", "expired", "try_later", "not_sent"], words: str, *,
        next_at: datetime | None = None, burn: int = 0, suppress: bool = False,
    ) -> Result:  # fmt: skip
        return Result(
            item.message_id,
            item.attempt + 1,
            status,
            outcome,
            words,
            next_at,
            burn,
            suppress,
            is_api=self._kind == "api",
        )

    async def _give_up(self, marked: Iterable[Outgoing], reason: str) -> None:
        """Take marks back: these messages certainly were not sent."""
        for outgoing in marked:
            self._lease.open -= 1
            await self._exchange(self._result(outgoing.item, "queued", "not_sent", reason))

    async def _exchange(self, result: Result) -> None:
        self._heed(await self._services.ledger.exchange(result, None))

    def _heed(self, answer: MarkAnswer) -> MarkAnswer:
        if answer in ("overtaken", "overtaken_marked"):
            # This process stood still and was taken for dead: what it had marked is another's to send by now.
            self._is_overtaken = True
            self._ending = Ending("stopped")
        return answer
