"""API keys: made once, shown once, stored as a hash."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.db import Conn, count, one
from app.domain.errors import Conflict, Fault, InvalidInput, NotFound
from sql import queries

ALL_SCOPES = frozenset(("read", "send", "admin"))
KEY_PREFIX = "mt_"
LIVE_KEYS_MAX = 200
_RANDOM_SIZE = 32  # bytes: 256 bits, so that a plain SHA-256 is enough (OWASP ASVS 5.0 § 6.5.2)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGIT_COUNT = 43  # 62 ** 43 > 2 ** 256
_PREFIX_SHOWN = 8


@dataclass(frozen=True, slots=True)
class MadeKey:
    row: dict[str, Any]
    secret: str


def create_api_key(
    conn: Conn, *, account_id: int, name: str, scopes: Collection[str], expires_at: datetime | None, now: datetime
) -> MadeKey:
    """Make a key. The secret is in the answer and nowhere else. Raises InvalidInput, Conflict at 200 live keys."""
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("The key would have expired.", [Fault("/expires_at", "must be in the future")])
    if one(conn, queries.api_keys.count_live, account_id=account_id)["live"] >= LIVE_KEYS_MAX:
        raise Conflict(f"The account has {LIVE_KEYS_MAX} API keys. Revoke one that is not used.", code="too_many_keys")
    secret = make_secret()
    row = one(
        conn,
        queries.api_keys.insert_api_key,
        account_id=account_id,
        name=name,
        prefix=secret[:_PREFIX_SHOWN],
        secret_hash=hash_secret(secret),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
        now=now,
    )
    return MadeKey(row, secret)


def revoke_api_key(conn: Conn, *, account_id: int, api_key_id: int, now: datetime) -> None:
    """End a key at once. Raises NotFound, also for one that was revoked before."""
    if count(conn, queries.api_keys.revoke, account_id=account_id, api_key_id=api_key_id, now=now) == 0:
        raise NotFound("There is no API key with this id.")


def make_secret() -> str:
    """`mt_` and 43 characters of base 62."""
    number = int.from_bytes(secrets.token_bytes(_RANDOM_SIZE))
    digits = []
    for _ in range(_DIGIT_COUNT):
        number, remainder = divmod(number, 62)
        digits.append(_DIGITS[remainder])
    return KEY_PREFIX + "".join(digits)


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
