"""Messages per second into a sink, with the full ledger on: each is marked, sent, recorded, and counted by the limiter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from tests.bench import node
from tests.bench.figures import combine, figure, ratio, rounded
from tests.bench.options import Line, Lines, Options, say, wait_for
from tests.bench.proc import cpu_s, rss_mb
from tests.bench.rows import clear, launched_campaign, listed_contacts, relayed_account, value
from tests.bench.stack import Sink, Stack, running_stack, smtp_url

DEFAULT_N = 50_000
#: Where they go twice as fast: 50,000 are sent in little more than a second, of which the beginning is a part.
CHUNKED_N = 100_000
BASELINE_N_MAX = 10_000  # its rate does not change with N, and it takes long
BASELINE_CONCURRENCY = (5, 10, 20, 50)
RATIO_AT_LEAST = 12
LEDGER_RATIO_AT_LEAST = 0.7
#: A relay's setting: messages of a connection that may be in doubt; under way at once where CHUNKING is offered.
IN_FLIGHT = 48


@dataclass(frozen=True, slots=True)
class Setup:
    """Connections are per process."""

    processes: int
    connections: int
    is_ledger_on: bool = True
    in_flight: int = 1  # messages on a connection, where the server offers CHUNKING

    @property
    def module(self) -> str:
        return "worker.main" if self.is_ledger_on else "tests.bench.null_ledger"


SETUPS = tuple(Setup(processes, connections) for processes in (1, 2) for connections in (5, 10, 20))
#: For servers that offer CHUNKING: most large ones do, smtp-sink does not.
CHUNKED = tuple(replace(setup, in_flight=IN_FLIGHT) for setup in SETUPS)


def run(options: Options) -> Lines:
    """The figures of the issue are those of the best of ours against the best of the baseline, whatever the sink."""
    with running_stack() as stack:
        plain = _compare(stack, options, SETUPS, stack.sink, options.size(DEFAULT_N), pairs=2 * options.repeats)
        yield from _summary(plain, plain.baselines, suffix=", without CHUNKING")
        # Single measurements lie up to a third apart, and this ratio is near its bound: its median is of many.
        count = options.size(CHUNKED_N)
        chunked = _compare(stack, options, CHUNKED, stack.chunking_sink, count, pairs=8 * options.repeats)
        yield from _summary(chunked, plain.baselines + chunked.baselines)


@dataclass(frozen=True, slots=True)
class Compared:
    """Medians of what was measured into one sink."""

    ours: list[Line]
    pairs: list[tuple[Line, Line]]  # ours at its best once more, each beside one with a ledger that writes nothing
    baselines: list[Line]


def _compare(
    stack: Stack, options: Options, setups: Sequence[Setup], sink: Sink, count: int, *, pairs: int
) -> Compared:  # fmt: skip
    """Ours and the baseline, turn by turn; then ours at its best, beside the same with a ledger that writes nothing."""
    ours: dict[Setup, list[Line]] = {setup: [] for setup in setups}
    theirs: dict[int, list[Line]] = {concurrency: [] for concurrency in BASELINE_CONCURRENCY}
    for turn in range(options.repeats):
        say(f"send into {sink.name}: turn {turn + 1} of {options.repeats}")
        for setup, lines in ours.items():
            lines.append(send(stack, count=count, setup=setup, sink=sink))
        for concurrency, lines in theirs.items():
            lines.append(send_baseline(stack, count=min(count, BASELINE_N_MAX), concurrency=concurrency, sink=sink))
    medians = {setup: combine(lines) for setup, lines in ours.items()}
    best = max(medians, key=lambda setup: medians[setup]["per_s"])
    beside = _beside_null_ledger(stack, pairs, best, count, sink)
    return Compared(list(medians.values()), beside, [combine(lines) for lines in theirs.values()])


def _beside_null_ledger(stack: Stack, pairs: int, setup: Setup, count: int, sink: Sink) -> list[tuple[Line, Line]]:
    """With the ledger on, off, off, on: so a machine that grows slower or quicker meanwhile is neither's gain."""
    lines: dict[bool, list[Line]] = {True: [], False: []}
    for pair in range(pairs):
        say(f"send into {sink.name}, ledger on and off: pair {pair + 1} of {pairs}")
        for is_ledger_on in (True, False) if pair % 2 == 0 else (False, True):
            setup = replace(setup, is_ledger_on=is_ledger_on)
            lines[is_ledger_on].append(send(stack, count=count, setup=setup, sink=sink))
    return list(zip(lines[True], lines[False], strict=True))


def _summary(compared: Compared, baselines: Sequence[Line], *, suffix: str = "") -> Lines:
    on, off = (combine(lines) for lines in zip(*compared.pairs, strict=True))
    yield from (*compared.ours, {**on, "beside": "off"}, off, *compared.baselines)
    best, best_baseline = (max(lines, key=lambda line: line["per_s"]) for lines in (compared.ours, baselines))
    yield ratio(
        f"send{suffix}", best["per_s"], best_baseline["per_s"], at_least=RATIO_AT_LEAST, ours_per_s=best["per_s"],
        baseline_per_s=best_baseline["per_s"], ours_at=f"{best['processes']} x {best['connections']}",
        in_flight=best["in_flight"], baseline_at=best_baseline["concurrency"], n=best["n"],
    )  # fmt: skip
    yield ledger_ratio(f"ledger on : off{suffix}", compared.pairs)


def ledger_ratio(name: str, pairs: Sequence[tuple[Line, Line]]) -> Line:
    """The median of the pairs' ratios: what slows down one half of a pair counts no more than any other pair."""
    on, off = (combine(lines) for lines in zip(*pairs, strict=True))
    ratios = [with_it["per_s"] / without["per_s"] for with_it, without in pairs]
    return figure(
        name, median(ratios), unit="×", at_least=LEDGER_RATIO_AT_LEAST, on_per_s=on["per_s"], off_per_s=off["per_s"],
        pairs=[round(each, 3) for each in ratios], on_at=f"{on['processes']} x {on['connections']}",
        in_flight=on["in_flight"], n=on["n"],
    )  # fmt: skip


def send(
    stack: Stack, *, count: int, setup: Setup, sink: Sink | None = None, smtp_port: int | None = None,
    bench: str = "send", keep_messages: bool = False,
) -> Line:  # fmt: skip
    """Send `count` personalised messages and return what it took, from the claim of the first batch to the last result.

    smtp_port  of what stands before the sink.

    The audience is laid out before its instant, so what is measured is sending. Processor time is µs for each message.
    """
    say(f"{bench}: {count} messages, {setup}")
    sink = sink or stack.sink
    with stack.connect() as conn:
        clear(conn, keep_messages=keep_messages)
        account_id = relayed_account(conn)
        list_id = listed_contacts(conn, account_id, count)
        stack.rest()
        workers = stack.start_workers(
            setup.processes, module=setup.module, WORKER_CONCURRENCY=str(setup.connections),
            SMTP_URL=smtp_url(smtp_port or sink.port, in_flight=setup.in_flight),
        )  # fmt: skip
        campaign_id = launched_campaign(conn, account_id, list_id, in_s=2 + count / 40_000, ahead_s=1e6)
        laid_out = "SELECT materialised_at IS NOT NULL FROM campaigns WHERE campaign_id = %s"
        wait_for(lambda: value(conn, laid_out, campaign_id), "the audience is laid out", 60 + count / 10_000)
        before = _cpu(stack, sink, [worker.pid for worker in workers])
        is_sent = "SELECT status = 'sent' FROM campaigns WHERE campaign_id = %s"
        wait_for(lambda: value(conn, is_sent, campaign_id), "all is sent", 40 + count / 50, every_s=0.05)
        after = _cpu(stack, sink, [worker.pid for worker in workers])
        memory_mb = max(rss_mb([worker.pid]) for worker in workers)
        stack.stop(*workers)
        row = conn.execute(
            "SELECT sum(sent), extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM batches"
            " WHERE campaign_id = %s",
            (campaign_id,),
        ).fetchone()
    assert row is not None
    sent, seconds = row
    assert sent == count, f"{sent} of {count} were sent"
    worker_us, postgres_us, sink_us = ((b - a) / count * 1e6 for a, b in zip(before, after, strict=True))
    return {
        "bench": bench, "who": "ours", "n": count, "processes": setup.processes, "connections": setup.connections,
        "ledger": "on" if setup.is_ledger_on else "off", "per_s": rounded(count / seconds), "seconds": round(seconds, 2),
        "worker_cpu_us": round(worker_us), "postgres_cpu_us": round(postgres_us), "sink_cpu_us": round(sink_us),
        "worker_rss_mb": round(memory_mb), "sink": sink.name, "in_flight": setup.in_flight,
    }  # fmt: skip


def _cpu(stack: Stack, sink: Sink, workers: list[int]) -> tuple[float, float, float]:
    """Seconds used so far by the workers, PostgreSQL with all its backends, and the sink."""
    return sum(cpu_s(pid) for pid in workers), stack.postgres_cpu_s(), cpu_s(sink.process.pid)


def send_baseline(stack: Stack, *, count: int, concurrency: int, sink: Sink) -> Line:
    stack.rest()
    before = stack.postgres_cpu_s()
    line = node.run(stack, "send.mjs", count, concurrency, smtp_port=sink.port)
    postgres_us = round((stack.postgres_cpu_s() - before) / count * 1e6)
    return {"bench": "send", "who": "baseline", **line, "postgres_cpu_us": postgres_us, "sink": sink.name}
