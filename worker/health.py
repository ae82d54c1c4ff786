"""The worker's own port (WORKER_PORT): /healthz and /metrics, for probes. Off when the port is 0."""

import asyncio

from prometheus_client import generate_latest

from worker import metrics
from worker.services import WorkerServices

REQUEST_SIZE_MAX = 4096
REQUEST_TIMEOUT_S = 5.0


class _Off:
    def close(self) -> None:
        """Nothing listens."""


async def serve(services: WorkerServices) -> asyncio.Server | _Off:
    port = services.settings.worker_port
    if not port:
        return _Off()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await asyncio.wait_for(reader.readuntil(b"\r\n"), REQUEST_TIMEOUT_S)
            status, body = _respond(request[:REQUEST_SIZE_MAX], services)
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(answer, services.settings.host, port, limit=REQUEST_SIZE_MAX)


def _respond(request: bytes, services: WorkerServices) -> tuple[str, bytes]:
    path = request.split(b" ")[1] if request.count(b" ") >= 2 else b""
    if path == b"/healthz":
        return "200 OK", b"ok\n"
    if path == b"/metrics":
        metrics.groups.set(services.ledger.groups)
        metrics.entries.set(services.ledger.committed)
        metrics.limiter_calls.set(services.limiter.calls)
        metrics.limiter_rebuilds.set(services.limiter.rebuilds)
        return "200 OK", generate_latest()
    return "404 Not Found", b"not found\n"
