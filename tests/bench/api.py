"""POST /messages and /messages/batch with idempotency keys, against the Express API that is replaced. One client for both."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import orjson

from app.commands.api_keys import create_api_key
from app.embedded import free_port
from tests.bench import node
from tests.bench.figures import combine, percentile, ratio
from tests.bench.http_client import load, post
from tests.bench.options import Line, Lines, Options, say, wait_for
from tests.bench.proc import cpu_s, family, rss_mb
from tests.bench.rows import relayed_account
from tests.bench.stack import Stack, answers, running_stack

DEFAULT_N = 10_000
CONNECTIONS = 16
# Fewer: with 16 each batch waits longer, and leaves the caches meanwhile. With 4 the kernel gives all to one process at times.
BATCH_CONNECTIONS = 8
BATCH_SIZES = (100, 500)  # a body may have 1 MiB
BATCH_REQUESTS = 192  # a second or so, in which the end, when not every connection has something left, hardly counts
WARM_UP = 300
WARM_UP_BATCHES = 32
RATIO_AT_LEAST = 1.0
BATCH_RATIO_AT_LEAST = 10
HTML = "<html><body>" + "<p>a paragraph with enough words to be one.</p>\n" * 20 + "</body></html>"  # 1 kB

MakeRequest = Callable[[int], bytes]


def run(options: Options) -> Lines:
    count = options.size(DEFAULT_N)
    with running_stack() as stack:
        secret = _make_key(stack)
        web, web_port = stack.start_web()
        express_port = free_port()
        express = node.start(stack, "api.mjs", express_port)
        wait_for(lambda: answers(express_port), "Express listens", 30, every_s=0.05)
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        numbers = itertools.count()
        ours, theirs = _ours(secret, later), _theirs(later)
        _measure(stack, "warm-up", web_port, ours, numbers, min(count, WARM_UP))
        _measure(stack, "warm-up", express_port, theirs, numbers, min(count, WARM_UP))
        # Each connection to PostgreSQL plans the batch's statements once, which would be a third of a short measurement.
        for size in BATCH_SIZES:
            _measure(stack, "warm-up", web_port, _ours_batch(secret, later, size), numbers, WARM_UP_BATCHES, size=size)
        found: dict[str, list[Line]] = {}
        for turn in range(options.repeats):
            say(f"api: turn {turn + 1} of {options.repeats}")
            for name, port, pid, make, size in (
                ("POST /messages", web_port, web.pid, ours, 1),
                ("Express POST", express_port, express.pid, theirs, 1),
                *((f"POST /messages/batch of {size}", web_port, web.pid, _ours_batch(secret, later, size), size) for size in BATCH_SIZES),
            ):  # fmt: skip
                # As many messages in batches as one by one, and enough requests for both processes to have as many.
                requests = count if size == 1 else max(count // size, min(count, BATCH_REQUESTS))
                line = _measure(stack, name, port, make, numbers, requests, pid, size)
                found.setdefault(name, []).append(line)
        memory_mb = round(rss_mb(family(web.pid)))
        yield from _summary({name: combine(lines) for name, lines in found.items()}, memory_mb)


def _summary(medians: dict[str, Line], memory_mb: int) -> Lines:
    yield from medians.values()
    yield {"bench": "api", "what": "memory", "web_rss_mb": memory_mb}
    one, express = medians["POST /messages"], medians["Express POST"]
    yield ratio(
        "POST /messages", one["per_s"], express["per_s"], at_least=RATIO_AT_LEAST, ours_per_s=one["per_s"],
        baseline_per_s=express["per_s"], n=one["n"],
    )  # fmt: skip
    batch = max((line for line in medians.values() if line["batch_size"] > 1), key=lambda line: line["messages_per_s"])
    yield ratio(
        "batch : Express, per message", batch["messages_per_s"], express["per_s"], at_least=BATCH_RATIO_AT_LEAST,
        ours_per_s=batch["messages_per_s"], baseline_per_s=express["per_s"], batch_size=batch["batch_size"], n=batch["n"],
    )  # fmt: skip
    yield ratio(
        "batch : one by one", batch["messages_per_s"], one["messages_per_s"], at_least=BATCH_RATIO_AT_LEAST,
        batch_size=batch["batch_size"], messages_per_s=batch["messages_per_s"], n=batch["n"],
    )  # fmt: skip


def _measure(
    stack: Stack, name: str, port: int, make: MakeRequest, numbers: Iterator[int], count: int, pid: int = 0,
    size: int = 1,
) -> Line:  # fmt: skip
    requests = [make(number) for number in itertools.islice(numbers, count)]  # before the clock runs
    connections = min(count, CONNECTIONS if size == 1 else BATCH_CONNECTIONS)
    cpu_before, postgres_before = _family_cpu_s(pid), stack.postgres_cpu_s()
    measured = load(port, iter(requests), connections=connections, timeout_s=60 + count * size / 100)
    assert measured.statuses == {201: count}, f"{name}: {measured.statuses}"
    per_s = count / measured.seconds
    return {
        "bench": "api", "what": name, "n": count * size, "batch_size": size, "connections": connections,
        "per_s": round(per_s, 1 if size > 1 else None), "messages_per_s": round(per_s * size),
        "p50_ms": round(percentile(measured.times_ms, 0.5), 2), "p99_ms": round(percentile(measured.times_ms, 0.99), 2),
        "cpu_us": round((_family_cpu_s(pid) - cpu_before) / count / size * 1e6),
        "postgres_cpu_us": round((stack.postgres_cpu_s() - postgres_before) / count / size * 1e6),
    }  # fmt: skip


def _family_cpu_s(pid: int) -> float:
    return sum(cpu_s(member) for member in family(pid)) if pid else 0.0


def _make_key(stack: Stack) -> str:
    with stack.connect() as conn:
        account_id = relayed_account(conn)
    with stack.connect_dict() as conn:
        made = create_api_key(
            conn, account_id=account_id, name="Bench", scopes=("read", "send"), expires_at=None, now=datetime.now(UTC)
        )
    return made.secret


def _ours(secret: str, later: str) -> MakeRequest:
    def make(number: int) -> bytes:
        return _send(secret, "/api/v1/messages", number, _message(number, later))

    return make


def _ours_batch(secret: str, later: str, size: int) -> MakeRequest:
    def make(number: int) -> bytes:
        messages = [_message(number * size + index, later) for index in range(size)]
        return _send(secret, "/api/v1/messages/batch", number, {"messages": messages})

    return make


def _message(number: int, later: str) -> Line:
    return {"to": f"p{number}@people.test", "subject": "Hello", "html": HTML, "scheduled_at": later}


def _send(secret: str, path: str, number: int, body: Line) -> bytes:
    return post(path, orjson.dumps(body), Authorization=f"Bearer {secret}", Idempotency_Key=f"bench-{number}")


def _theirs(later: str) -> MakeRequest:
    def make(number: int) -> bytes:
        body = {
            "recipient": f"p{number}@people.test", "subject": "Hello", "body": HTML, "scheduledAt": later,
            "idempotencyKey": f"bench-{number}",
        }  # fmt: skip
        return post("/schedule", orjson.dumps(body))

    return make
