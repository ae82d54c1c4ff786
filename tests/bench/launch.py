"""A large launch: from the launch job's start to all batches queued, and how late its first message is."""

import time

from tests.bench.figures import combine, figure
from tests.bench.options import Line, Lines, Options, say, wait_for
from tests.bench.rows import clear, launched_campaign, listed_contacts, relayed_account, value
from tests.bench.stack import Stack, running_stack

DEFAULT_N = 1_000_000
AHEAD_S = 30.0  # the product starts the job so long before T
FIRST_AT_MOST_MS = 50

_FIRST = b"""
SELECT
    extract(epoch FROM min(m.marked_at) - min(c.scheduled_at))::float8 * 1000,
    extract(epoch FROM min(m.settled_at) - min(c.scheduled_at))::float8 * 1000
FROM batches b
JOIN messages m ON m.message_id BETWEEN b.first_message_id AND b.last_message_id
JOIN campaigns c ON c.campaign_id = b.campaign_id
WHERE b.campaign_id = %s AND b.started_at IS NOT NULL
"""
_LAID_OUT = (
    "SELECT extract(epoch FROM clock_timestamp() - materialised_at)::float8 FROM campaigns"
    " WHERE campaign_id = %s AND materialised_at IS NOT NULL"
)


def run(options: Options) -> Lines:
    count = options.size(DEFAULT_N)
    found: list[Line] = []
    with running_stack() as stack:
        for turn in range(options.repeats):
            say(f"launch: an audience of {count}, turn {turn + 1} of {options.repeats}")
            found.append(_measure(stack, count))
    line = {**combine(found), "accepted_ms_each": [line["accepted_ms"] for line in found]}
    yield line
    yield figure("launch, first message after T", line["accepted_ms"], unit="ms", at_most=FIRST_AT_MOST_MS, n=count)
    before_t_s = min(line["before_t_s"] for line in found)
    yield figure("launch, all batches queued before T by", before_t_s, unit="s", at_least=0, n=count)


def _measure(stack: Stack, count: int) -> Line:
    with stack.connect() as conn:
        clear(conn)
        account_id = relayed_account(conn)
        list_id = listed_contacts(conn, account_id, count)
        conn.execute("VACUUM ANALYZE contacts, list_contacts")
        stack.rest()
        workers = stack.start_workers(1)
        campaign_id = launched_campaign(conn, account_id, list_id, in_s=AHEAD_S + 2, ahead_s=AHEAD_S)
        # The job stamps the campaign with its own start, and commits that together with all batches and their jobs.
        laid_out_s = wait_for(
            lambda: value(conn, _LAID_OUT, campaign_id), "all batches are queued", 120 + count / 5000, every_s=0.005
        )
        until_s: float = value(
            conn, "SELECT extract(epoch FROM scheduled_at - clock_timestamp())::float8 FROM campaigns WHERE campaign_id = %s",
            campaign_id,
        )  # fmt: skip
        # The first batches are still being sent then: autovacuum has a million new rows to look at, as it would in life.
        time.sleep(max(0.0, until_s) + 1.0)
        is_begun = "SELECT coalesce(sum(sent), 0) > 0 FROM batches WHERE campaign_id = %s"
        wait_for(lambda: value(conn, is_begun, campaign_id), "the first message is sent", 60)
        stack.stop(*workers)
        row = conn.execute(_FIRST, (campaign_id,)).fetchone()
        batches = value(conn, "SELECT count(*) FROM batches WHERE campaign_id = %s", campaign_id)
    assert row is not None
    start_ms, accepted_ms = row
    return {
        "bench": "launch", "n": count, "batches": batches, "laid_out_s": round(laid_out_s, 2),
        "per_s": round(count / laid_out_s), "before_t_s": round(until_s, 2), "start_ms": round(start_ms, 1),
        "accepted_ms": round(accepted_ms, 1),
    }  # fmt: skip
