"""How many messages a second the SMTP client hands over, alone, into the sink; and what each costs."""

import asyncio
import time
from collections import Counter

import uvloop

from app.settings import RelayAddress
from tests.bench.figures import combine
from tests.bench.options import Line, Lines, Options
from tests.bench.stack import running_sink
from worker.smtp.connection import Envelope, SmtpConnection

DEFAULT_N = 40_000
SIZE_BYTES = 2_000
CONNECTIONS = 10
TIMEOUT_S = 300.0


def run(options: Options) -> Lines:
    count = options.size(DEFAULT_N)
    with running_sink() as (port, sink_name):
        for ahead in (True, False):
            yield combine([
                {**uvloop.run(asyncio.wait_for(measure(port, count=count, ahead=ahead), TIMEOUT_S)), "sink": sink_name}
                for _ in range(options.repeats)
            ])  # fmt: skip


async def _deliver_many(address: RelayAddress, data: bytes, *, count: int, ahead: bool) -> Counter[str]:
    states: Counter[str] = Counter()
    envelopes = [Envelope("bounce@example.test", f"to{number}@example.test") for number in range(count)]
    connection = await SmtpConnection.open(address, helo_name="bench.example.test")
    for number, envelope in enumerate(envelopes):
        following = envelopes[number + 1] if ahead and number + 1 < count else None
        result = await connection.deliver(envelope, data, ahead=following)
        states[f"{result.state} {result.reply.code if result.reply else ''}".strip()] += 1
    await connection.close()
    return states


async def measure(port: int, *, count: int, ahead: bool) -> Line:
    address = RelayAddress("127.0.0.1", port, tls="none")
    line = b"x" * 70 + b"\r\n"
    data = b"Subject: bench\r\n\r\n" + line * max(1, SIZE_BYTES // len(line))
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    each = count // CONNECTIONS
    states = await asyncio.gather(*(_deliver_many(address, data, count=each, ahead=ahead) for _ in range(CONNECTIONS)))
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    total = sum(states, Counter())
    return {
        "bench": "smtp",
        "n": each * CONNECTIONS,
        "connections": CONNECTIONS,
        "size_bytes": len(data),
        "ahead": ahead,
        "per_s": round(each * CONNECTIONS / wall_s),
        "cpu_us": round(cpu_s / (each * CONNECTIONS) * 1e6, 1),
        "states": dict(total),
    }
