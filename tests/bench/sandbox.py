"""How many messages a second the sandbox stores: `python -m tests.bench.sandbox`. Own PostgreSQL, fsync on.

Client, sandbox and database share the machine. Prints one line of JSON.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import uvloop

from app.embedded import EmbeddedPostgres, free_port
from app.public_ids import PublicIds
from app.settings import RelayAddress
from sql.migrate import migrate
from tests.bench.smtp_client import _wait_for
from worker.smtp.connection import Envelope, SmtpConnection

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=2_000, help="bytes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        postgres.start()
        try:
            url = postgres.create_database("bench")
            migrate(url)
            with psycopg.connect(url) as conn:
                account = conn.execute("INSERT INTO accounts (name) VALUES ('bench') RETURNING account_id").fetchone()
                key = conn.execute("SELECT id_key FROM installation").fetchone()
                assert account is not None and key is not None
                rows = conn.execute(_MESSAGES, {"account_id": account[0], "count": args.count}).fetchall()
            names = PublicIds(bytes(key[0])).encode_many("message", [row[0] for row in rows])
            port = free_port()
            environment = {**os.environ, "DATABASE_URL": url, "SANDBOX_PORT": str(port)}
            sandbox = subprocess.Popen([sys.executable, "-m", "worker.sandbox"], env=environment)
            try:
                _wait_for(port)
                time.sleep(0.5)
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    wall_s = runner.run(_deliver_all(
                        port, names, connections=args.connections, line_count=args.size // 72
                    ))  # fmt: skip
            finally:
                cpu = Path(f"/proc/{sandbox.pid}/stat").read_text().split()
                sandbox.terminate()
                status = sandbox.wait(10)
            with psycopg.connect(url) as conn:
                stored = conn.execute("SELECT count(*) FROM inbox").fetchone()
            cpu_s = (int(cpu[13]) + int(cpu[14])) / os.sysconf("SC_CLK_TCK")
            print(json.dumps({
                "bench": "sandbox", "connections": args.connections, "messages": args.count,
                "messages_per_s": round(args.count / wall_s), "stored": stored[0] if stored else None,
                "sandbox_cpu_us_per_message": round(cpu_s / args.count * 1e6), "exit": status,
            }))  # fmt: skip
        finally:
            postgres.stop(mode="immediate")


if __name__ == "__main__":
    main()
