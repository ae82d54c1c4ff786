"""Answer a repeated POST with its first answer. The record commits with the command's rows, or not at all.

1. lock (account, key) for this transaction; taken: the first is still running      -> IdempotencyInProgress
2. an answer is there, for the same request                                         -> that answer
   an answer is there, for another request                                          -> KeyReused
3. none: run the command, then store its answer with `keep_answer`
"""

from dataclasses import dataclass
from datetime import datetime

from app.db import Conn, count, maybe, one
from app.domain.errors import Conflict, Fault, InvalidInput
from sql import queries

KEY_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    account_id: int
    key: str
    request_hash: bytes  #: SHA-256 of method, path and body


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    status: int
    body: bytes


def in_progress() -> Conflict:
    return Conflict(
        "The first request with this Idempotency-Key is still running. Repeat it in a moment.",
        code="idempotency_in_progress",
    )


def key_reused() -> InvalidInput:
    detail = "This Idempotency-Key was used for another request. Use a new key for a new request."
    return InvalidInput(detail, [Fault("", detail, "idempotency_key_reused")], code="idempotency_key_reused")


def find_answer(conn: Conn, key: IdempotencyKey) -> StoredAnswer | None:
    """Lock the key, then look. The look is a statement of its own, so that it sees what committed before the lock.

    Raises Conflict while the first request runs; InvalidInput when the key belongs to another request.
    """
    if not one(conn, queries.idempotency.lock_key, account_id=key.account_id, key=key.key)["is_locked"]:
        raise in_progress()
    row = maybe(conn, queries.idempotency.find_answer, account_id=key.account_id, key=key.key)
    if row is None:
        return None
    if bytes(row["request_hash"]) != key.request_hash:
        raise key_reused()
    return StoredAnswer(row["status_code"], bytes(row["response"]))


def keep_answer(conn: Conn, key: IdempotencyKey, answer: StoredAnswer, *, now: datetime) -> None:
    """Store the answer in the command's transaction."""
    count(
        conn,
        queries.idempotency.insert_answer,
        account_id=key.account_id,
        key=key.key,
        request_hash=key.request_hash,
        status_code=answer.status,
        response=answer.body,
        now=now,
    )
