"""Reading Idempotency-Key, and marking an answer that is given again."""

import hashlib

from flask import Request, Response

from app.commands.idempotency import KEY_LENGTH_MAX, IdempotencyKey, StoredAnswer
from app.domain.errors import Fault, InvalidInput


def read_key(
    request: Request, *, account_id: int, user_id: int | None = None, body_hash: bytes | None = None
) -> IdempotencyKey | None:
    """The request's key, or None without one. `body_hash` stands for a body that was streamed and is gone.

    user_id  whose session it is: another person's request with the same key and body is another request.

    Raises InvalidInput for a key that is empty, over 255 characters, or not plain printable ASCII.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    body = body_hash if body_hash is not None else request.get_data(cache=True)
    asked = f"{request.method} {request.full_path}"
    return make_key(key, account_id=account_id, user_id=user_id, asked=asked, body=body)


def make_key(
    key: str | None, *, account_id: int, asked: str, body: bytes, user_id: int | None = None
) -> IdempotencyKey | None:
    """`read_key`, of what a request says: `asked` is its method and path with query, `body` its body or what stands for it."""
    if key is None:
        return None
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not (key.isascii() and key.isprintable()):
        detail = f"Idempotency-Key must be 1 to {KEY_LENGTH_MAX} printable ASCII characters."
        raise InvalidInput(detail, [Fault("", detail, "bad_idempotency_key")], code="bad_idempotency_key")
    digest = hashlib.sha256(f"{asked}\n{user_id or ''}".encode("utf-8", "surrogatepass"))
    digest.update(body)
    return IdempotencyKey(account_id, key, digest.digest())


def replay(answer: StoredAnswer) -> Response:
    response = Response(answer.body, status=answer.status, content_type="application/json")
    response.headers["Idempotent-Replayed"] = "true"
    return response
