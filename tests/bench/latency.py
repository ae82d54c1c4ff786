"""The same over a slow wire: 20 ms there and back, 5 connections, into the sink and into a real Postfix, against Nodemailer."""

import time
from socket import create_connection

from tests.bench import node, postfix
from tests.bench.figures import combine, ratio
from tests.bench.options import Line, Lines, Options, say
from tests.bench.send import IN_FLIGHT, Setup, send
from tests.bench.stack import Stack, running_stack

DEFAULT_N = 2_500  # a batch for each connection
# Ours sends so many times as many into Postfix: a tenth of Nodemailer's seconds would be mostly its beginning.
POSTFIX_TIMES = 4
CONNECTIONS = 5
ROUND_TRIP_MS = 20.0
SINK_RATIO_AT_LEAST = 2
POSTFIX_RATIO_AT_LEAST = 10  # with CHUNKING, which it offers


def run(options: Options) -> Lines:
    count = options.size(DEFAULT_N)
    with running_stack() as stack:
        setup = Setup(processes=1, connections=CONNECTIONS, in_flight=IN_FLIGHT)
        sink = stack.sink
        yield from _measure(stack, sink.port, sink.name, count, count, options.repeats, setup, SINK_RATIO_AT_LEAST)
        if not postfix.is_available():
            say("latency: no Postfix here (Debian's package postfix, and root): that part is left out")
            return
        with postfix.running_postfix() as port:
            our_count = POSTFIX_TIMES * count
            yield from _measure(
                stack, port, "postfix", our_count, count, options.repeats, setup, POSTFIX_RATIO_AT_LEAST
            )
            ceilings = [postfix.measure_ceiling(port, our_count, CONNECTIONS) for _ in range(options.repeats)]
            yield {"bench": "latency", **combine(ceilings), "sink": "postfix", "round_trip_ms": 0}


def _measure(
    stack: Stack, target_port: int, target: str, our_count: int, their_count: int, repeats: int, setup: Setup,
    at_least: float,
) -> Lines:  # fmt: skip
    proxy, port = stack.start_proxy(target_port, round_trip_ms=ROUND_TRIP_MS)
    measured_ms = round(_round_trip_ms(port), 2)
    ours: list[Line] = []
    theirs: list[Line] = []
    for turn in range(repeats):
        say(f"latency into {target}: turn {turn + 1} of {repeats}")
        ours.append({**send(stack, count=our_count, setup=setup, smtp_port=port, bench="latency"), "sink": target})
        line = node.run(stack, "nodemailer.mjs", their_count, CONNECTIONS, smtp_port=port)
        theirs.append({"bench": "latency", "who": "Nodemailer", **line, "sink": target})
    stack.stop(proxy)
    our_line, their_line = ({**combine(lines), "round_trip_ms": measured_ms} for lines in (ours, theirs))
    yield our_line
    yield their_line
    name = "latency, Postfix" if target == "postfix" else "latency, sink"
    yield ratio(
        name, our_line["per_s"], their_line["per_s"], at_least=at_least, ours_per_s=our_line["per_s"],
        baseline_per_s=their_line["per_s"], n=our_count, round_trip_ms=measured_ms, in_flight=setup.in_flight,
    )  # fmt: skip


def _round_trip_ms(port: int) -> float:
    """The least of a few NOOPs through the proxy."""
    with create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.recv(4096)
        times = []
        for _ in range(10):
            began = time.perf_counter()
            wire.sendall(b"NOOP\r\n")
            wire.recv(4096)
            times.append(time.perf_counter() - began)
        wire.sendall(b"QUIT\r\n")
    return min(times) * 1000
