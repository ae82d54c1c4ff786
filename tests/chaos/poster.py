"""Posts messages to the API as a careful client does: with an Idempotency-Key, and again until it is answered.

Whatever happens to the web process, its database or the connection in between, each post is to be accepted exactly once. Some
first tries hang up before the answer is there, so that the repetition meets a request that is still running, or its record.
"""

import http.client
import json
import queue
import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

THREADS = 3
ANSWER_PATIENCE_S = 5.0
PAUSE_S = 0.1
HANGS_UP = 0.15  # share of posts whose first try does not wait for the answer


@dataclass(slots=True)
class Posting:
    """One post, and what became of it."""

    key: str
    account_id: int
    secret: str
    path: str
    body: bytes
    recipients: tuple[str, ...]
    ids: tuple[str, ...] = ()  # as the API says them
    refusal: str = ""
    tries: int = 0

    @property
    def is_answered(self) -> bool:
        return bool(self.ids or self.refusal)


class Poster:
    """Threads that post until everything is answered or `close` is called."""

    def __init__(self, port: int, seed: str) -> None:
        self.postings: list[Posting] = []
        self._port = port
        self._seed = seed
        self._todo: queue.Queue[Posting | None] = queue.Queue()
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._work, name="poster", daemon=True) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def post(self, *, account_id: int, secret: str, messages: Sequence[Mapping[str, object]], together: bool) -> None:
        """Post messages, in one request or in one each."""
        groups = [list(messages)] if together else [[message] for message in messages]
        for group in groups:
            path = "/api/v1/messages/batch" if together else "/api/v1/messages"
            body = json.dumps({"messages": group} if together else group[0]).encode()
            key = f"{self._seed}-{len(self.postings)}"
            posting = Posting(key, account_id, secret, path, body, tuple(str(message["to"]) for message in group))
            self.postings.append(posting)
            self._todo.put(posting)

    @property
    def open_count(self) -> int:
        return sum(not posting.is_answered for posting in self.postings)

    def close(self) -> None:
        self._closed.set()
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join(ANSWER_PATIENCE_S + 1)

    def _work(self) -> None:
        while not self._closed.is_set():
            posting = self._todo.get()
            if posting is None:
                return
            hangs_up = random.Random(posting.key).random() < HANGS_UP
            while not posting.is_answered and not self._closed.is_set():
                posting.tries += 1
                with suppress(OSError, http.client.HTTPException):
                    self._try(posting, waits=posting.tries > 1 or not hangs_up)
                if not posting.is_answered:
                    self._closed.wait(PAUSE_S)

    def _try(self, posting: Posting, *, waits: bool) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_PATIENCE_S)
        try:
            headers = {
                "Authorization": f"Bearer {posting.secret}", "Content-Type": "application/json",
                "Idempotency-Key": posting.key,
            }  # fmt: skip
            link.request("POST", posting.path, posting.body, headers)
            if waits:
                answer = link.getresponse()
                self._take(posting, answer.status, answer.read())
        finally:
            link.close()

    def _take(self, posting: Posting, status: int, body: bytes) -> None:
        """Keep what decides. 409: the first request with this key still runs; 429 and 5xx: not now."""
        if status == 201:
            answer = json.loads(body)
            posting.ids = tuple(message["id"] for message in answer.get("data", [answer]))
        elif status < 500 and status not in (409, 429):
            posting.refusal = f"{status} {body[:200].decode(errors='replace')}"
