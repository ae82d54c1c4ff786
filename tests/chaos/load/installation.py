"""What is put under load: one web, one worker, a fast relay and, behind 200 ms of wire, a slow one. Real processes, fsync on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.commands.api_keys import create_api_key
from tests.bench.options import wait_for
from tests.bench.proc import family, rss_mb
from tests.bench.rows import launched_campaign, listed_contacts, relayed_account, value
from tests.bench.stack import Child, Stack, running_stack

SLOW_REPLY_MS = 200.0
CONCURRENCY = 5  # the product's default
ANALYZE_FROM = 10_000  # new contacts; for a few, looking at a million others anew would take longer than sending


@dataclass(frozen=True, slots=True)
class Sent:
    """A campaign's way from its launch to its last message."""

    seconds: float
    recipients: int


class Installation:
    """The processes, and the accounts that share them."""

    def __init__(self, stack: Stack, scale: float) -> None:
        self.stack, self.scale = stack, scale
        (self.worker,) = stack.start_workers(1, WORKER_CONCURRENCY=str(CONCURRENCY), RELAYS_ALLOW_PRIVATE="true")
        self.web, self.web_port = stack.start_web()
        _, self.slow_port = stack.start_proxy(stack.sink.port, round_trip_ms=SLOW_REPLY_MS)
        self.worker_before_mb = self.rss_mb(self.worker)
        self.web_before_mb = self.rss_mb(self.web)

    def size(self, count: int) -> int:
        """So many at scale 1; at least one."""
        return max(1, round(count * self.scale))

    # -- who sends --

    def account(self, *, relay_port: int | None = None) -> int:
        """An account of its own; with a port, on a relay of its own."""
        with self.stack.connect() as conn:
            account_id = relayed_account(conn)
            if relay_port is not None:
                conn.execute(
                    "INSERT INTO relays (account_id, name, host, port, tls, is_default)"
                    " VALUES (%s, 'Own', '127.0.0.1', %s, 'none', true)",
                    (account_id, relay_port),
                )
        return account_id

    def key(self, account_id: int) -> str:
        with self.stack.connect_dict() as conn:
            made = create_api_key(
                conn, account_id=account_id, name="Load", scopes=("read", "send"), expires_at=None,
                now=datetime.now(UTC),
            )  # fmt: skip
        return made.secret

    def audience(self, account_id: int, count: int) -> int:
        """A list of so many new contacts; its id."""
        with self.stack.connect() as conn:
            return listed_contacts(conn, account_id, count, analyze=count >= ANALYZE_FROM)

    def launch(self, account_id: int, list_id: int, *, in_s: float = 0.0) -> int:
        with self.stack.connect() as conn:
            return launched_campaign(conn, account_id, list_id, in_s=in_s)

    # -- what is so --

    def value(self, question: str, *params: Any) -> Any:
        with self.stack.connect() as conn:
            return value(conn, question, *params)

    def sent(self, campaign_id: int) -> int:
        question = "SELECT coalesce(sum(sent), 0) FROM batches WHERE campaign_id = %s"
        return int(self.value(question, campaign_id))

    def wait_for_sent(self, campaign_id: int, count: int, timeout_s: float) -> None:
        wait_for(lambda: self.sent(campaign_id) >= count, f"{count} messages are sent", timeout_s, every_s=0.05)

    def finish(self, campaign_id: int, timeout_s: float) -> Sent:
        """Wait until it is sent."""
        question = "SELECT finished_at IS NOT NULL FROM campaigns WHERE campaign_id = %s"
        wait_for(lambda: self.value(question, campaign_id), f"campaign {campaign_id} is sent", timeout_s, every_s=0.05)
        took = self.value(
            "SELECT extract(epoch FROM finished_at - launched_at)::float8 FROM campaigns WHERE campaign_id = %s",
            campaign_id,
        )
        return Sent(
            float(took), int(self.value("SELECT recipients FROM campaigns WHERE campaign_id = %s", campaign_id))
        )

    def rss_mb(self, child: Child) -> float:
        return rss_mb(family(child.pid))


@contextmanager
def running_installation(*, scale: float) -> Iterator[Installation]:
    with running_stack() as stack:
        yield Installation(stack, scale)
