"""How many messages a second the sandbox stores. Client, sandbox and PostgreSQL (fsync on) share the machine."""

import asyncio
import sys
import time

import uvloop

from app.embedded import free_port
from app.public_ids import PublicIds
from app.settings import RelayAddress
from tests.bench.figures import combine
from tests.bench.options import Line, Lines, Options
from tests.bench.proc import cpu_s
from tests.bench.rows import relayed_account, value
from tests.bench.stack import Stack, running_stack
from worker.smtp.connection import Envelope, SmtpConnection

DEFAULT_N = 20_000
CONNECTIONS = 10
SIZE_BYTES = 2_000
TIMEOUT_S = 300.0

_MESSAGES = """
INSERT INTO messages (account_id, send_after, recipient)
SELECT %(account_id)s, now(), 'to' || n || '@example.test' FROM generate_series(1, %(count)s) AS n RETURNING message_id
"""


async def _deliver(port: int, names: list[str], line_count: int) -> None:
    connection = await SmtpConnection.open(RelayAddress("127.0.0.1", port, tls="none"), helo_name="bench.example.test")
    envelopes = [Envelope("from@example.test", f"to{number}@example.test") for number in range(len(names))]
    body = (b"x" * 70 + b"\r\n") * line_count
    for number, name in enumerate(names):
        data = f"Message-ID: <{name}@example.test>\r\nSubject: bench\r\n\r\n".encode() + body
        following = envelopes[number + 1] if number + 1 < len(names) else None
        result = await connection.deliver(envelopes[number], data, ahead=following)
        assert result.reply is not None and result.reply.code == 250, result
    await connection.close()


async def _deliver_all(port: int, names: list[str], *, connections: int, line_count: int) -> float:
    began_s = time.perf_counter()
    await asyncio.gather(*(_deliver(port, names[at::connections], line_count) for at in range(connections)))
    return time.perf_counter() - began_s


def run(options: Options) -> Lines:
    with running_stack() as stack:
        yield combine([_measure(stack, options.size(DEFAULT_N)) for _ in range(options.repeats)])


def _measure(stack: Stack, count: int) -> Line:
    with stack.connect() as conn:
        conn.execute("TRUNCATE inbox, messages")
        rows = conn.execute(_MESSAGES, {"account_id": relayed_account(conn), "count": count}).fetchall()
        key = value(conn, "SELECT id_key FROM installation")
    names = PublicIds(bytes(key)).encode_many("message", [row[0] for row in rows])
    port = free_port()
    sandbox = stack.start([sys.executable, "-m", "worker.sandbox"], SANDBOX_PORT=str(port))
    stack.wait_for_port(sandbox, port)
    before_s = cpu_s(sandbox.pid)
    deliver = _deliver_all(port, names, connections=CONNECTIONS, line_count=SIZE_BYTES // 72)
    wall_s = uvloop.run(asyncio.wait_for(deliver, TIMEOUT_S))
    used_s = cpu_s(sandbox.pid) - before_s
    stack.stop(sandbox)
    with stack.connect() as conn:
        stored = value(conn, "SELECT count(*) FROM inbox")
    assert stored == count, f"{stored} of {count} are in the inbox"
    return {
        "bench": "sandbox", "n": count, "connections": CONNECTIONS, "per_s": round(count / wall_s),
        "cpu_us": round(used_s / count * 1e6),
    }  # fmt: skip
