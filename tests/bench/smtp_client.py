"""How many messages a second the SMTP client hands over, alone: `python -m tests.bench.smtp_client`.

The other side is Postfix's smtp-sink (Debian package `postfix`), started on a free port, unless `--port` names a server.
Prints one line of JSON. Both sides share the machine, as in the figures of the README.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import time
from collections import Counter
from contextlib import closing
from socket import create_connection

import uvloop

from app.embedded import free_port
from app.settings import RelayAddress
from worker.smtp.connection import Envelope, SmtpConnection

SINK = shutil.which("smtp-sink", path="/usr/sbin:/usr/local/sbin:/usr/bin")


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


async def measure(port: int, *, connections: int, count: int, size: int, ahead: bool) -> dict[str, object]:
    address = RelayAddress("127.0.0.1", port, tls="none")
    line = b"x" * 70 + b"\r\n"
    data = b"Subject: bench\r\n\r\n" + line * max(1, size // len(line))
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    each = count // connections
    states = await asyncio.gather(*(_deliver_many(address, data, count=each, ahead=ahead) for _ in range(connections)))
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    total = sum(states, Counter())
    return {
        "bench": "smtp_client",
        "connections": connections,
        "messages": each * connections,
        "size_bytes": len(data),
        "ahead": ahead,
        "messages_per_s": round(each * connections / wall_s),
        "cpu_us_per_message": round(cpu_s / (each * connections) * 1e6, 1),
        "states": dict(total),
    }


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            with closing(create_connection(("127.0.0.1", port), 1)):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--count", type=int, default=40_000)
    parser.add_argument("--size", type=int, default=2_000, help="bytes")
    parser.add_argument("--no-ahead", action="store_true")
    args = parser.parse_args()
    sink = None
    port = args.port
    if not port:
        if SINK is None:
            raise SystemExit("smtp-sink is not installed: apt-get install postfix, or give --port")
        port = free_port()
        sink = subprocess.Popen([SINK, "-u", "nobody", f"127.0.0.1:{port}", "1000"], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(json.dumps(runner.run(measure(
                port, connections=args.connections, count=args.count, size=args.size, ahead=not args.no_ahead
            ))))  # fmt: skip
    finally:
        if sink is not None:
            sink.terminate()
            sink.wait(5)


if __name__ == "__main__":
    main()
