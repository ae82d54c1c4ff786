"""Whether a message costs the same when there are many: in one campaign, and of old ones in the table. Also what stays on disk."""

from tests.bench.figures import combine, figure, ratio
from tests.bench.options import Line, Lines, Options, say
from tests.bench.rows import LEDGER_TABLES, Conn, value
from tests.bench.send import Setup, send
from tests.bench.stack import Stack, running_stack

DEFAULT_N = 1_000_000
SETUP = Setup(processes=1, connections=10)
OLD_CHUNK = 250_000
COST_AT_MOST, COST_WITH_OLD_AT_MOST = 1.2, 1.3
BYTES_AT_MOST = 400
WORKER_AT_MOST_MB = 120

_OLD_MESSAGES = b"""
INSERT INTO messages (
    account_id, campaign_id, batch_id, contact_id, send_after, marked_at, settled_at, attempt, status, recipient, reply
)
SELECT
    1000000000, 1000000000 + n / 100000, 1000000000 + n / 500, n, at, at + interval '2 s', at + interval '2.01 s', 1,
    'sent', 'somebody' || n || '@people' || n %% 997 || '.test', '250 2.0.0 Ok: queued as ' || md5(n::text)
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
    LATERAL (SELECT now() - interval '400 days' + n * interval '0.5 s' AS at) AS old
"""


def run(options: Options) -> Lines:
    largest = options.size(DEFAULT_N)
    small, middle = max(100, largest // 100), max(100, largest // 10)
    with running_stack() as stack:
        smalls, middles = _send(stack, small, options.repeats), _send(stack, middle, options.repeats)
        # It takes minutes: once. The small ones are over in seconds, where chance is larger, and are measured again behind it:
        # a machine that others use may be another one by then.
        (large_line,) = _send(stack, largest, 1)
        with stack.connect() as conn:
            disk = _disk(conn, largest)
        smalls += _send(stack, small, options.repeats)
        medians = [combine(lines) for lines in (smalls, middles, [large_line])]
        yield from ({**line, "old_rows": 0} for line in medians)
        yield disk
        with_old = yield from _with_old(stack, options, middle)
        yield from _summary(medians, with_old, disk)


def _send(stack: Stack, size: int, repeats: int) -> list[Line]:
    say(f"scale: {size} messages, {repeats} times")
    return [send(stack, count=size, setup=SETUP, bench="scale") for _ in range(repeats)]


def _summary(medians: list[Line], with_old: Line, disk: Line) -> Lines:
    small, middle, large = medians
    for name, line, against, at_most in (
        (f"cost at {large['n']:,} : at {small['n']:,}", large, small, COST_AT_MOST),
        (f"cost with {with_old['old_rows']:,} old rows : without", with_old, middle, COST_WITH_OLD_AT_MOST),
    ):
        yield ratio(
            name, 1 / line["per_s"], 1 / against["per_s"], at_most=at_most, n=line["n"], per_s=line["per_s"],
            against_per_s=against["per_s"], cpu_ratio=round(_cpu_us(line) / max(1, _cpu_us(against)), 3),
        )  # fmt: skip
    yield figure(
        "database bytes per finished message", disk["ledger_bytes"], unit="B", at_most=BYTES_AT_MOST, n=large["n"]
    )
    yield figure(
        "worker memory", large["worker_rss_mb"], unit="MB", at_most=WORKER_AT_MOST_MB, n=large["n"],
        small_mb=small["worker_rss_mb"],
    )  # fmt: skip


def _cpu_us(line: Line) -> float:
    return float(line["worker_cpu_us"] + line["postgres_cpu_us"])


def _disk(conn: Conn, count: int) -> Line:
    """Bytes for each message, with indexes and TOAST; `ledger` is all that stays of a sent campaign but its contacts."""
    sizes = {table: value(conn, "SELECT pg_total_relation_size(%s::regclass)", table) for table in LEDGER_TABLES}
    heap = value(conn, "SELECT pg_relation_size('messages'::regclass)")
    hot = value(
        conn,
        "SELECT round(100.0 * n_tup_hot_upd / greatest(n_tup_upd, 1), 1)::float8 FROM pg_stat_user_tables"
        " WHERE relname = 'messages'",
    )
    return {
        "bench": "scale", "what": "disk", "n": count, "messages_bytes": round(sizes["messages"] / count),
        "heap_bytes": round(heap / count), "ledger_bytes": round(sum(sizes.values()) / count), "hot_updates_percent": hot,
    }  # fmt: skip


def _with_old(stack: Stack, options: Options, size: int) -> "Lines":
    with stack.connect() as conn:
        _insert_old(conn, options.old_rows)
    lines = []
    for _ in range(options.repeats):
        say(f"scale: {size} messages beside {options.old_rows} old ones")
        lines.append(send(stack, count=size, setup=SETUP, bench="scale", keep_messages=True))
    line = {**combine(lines), "old_rows": options.old_rows}
    yield line
    return line


def _insert_old(conn: Conn, count: int) -> None:
    """Messages that were sent long ago. The indexes are made anew behind them, as the migrations define them."""
    indexes = conn.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'messages' AND indexname NOT IN"
        " (SELECT conname FROM pg_constraint)"
    ).fetchall()
    conn.execute("SET synchronous_commit = off")
    for name, _ in indexes:
        conn.execute(f'DROP INDEX "{name}"'.encode())
    for first in range(1, count + 1, OLD_CHUNK):
        if first % (OLD_CHUNK * 10) == 1:
            say(f"scale: {first - 1:,} of {count:,} old messages are in")
        conn.execute(_OLD_MESSAGES, {"first": first, "last": min(count, first + OLD_CHUNK - 1)})
    for _, definition in indexes:
        conn.execute(definition.encode())
    conn.execute("RESET synchronous_commit")
    conn.execute("VACUUM (ANALYZE) messages")
