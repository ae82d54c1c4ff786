"""Opaque public ids: `msg_4fG…` outside, a bigint inside, and no column or index for it.

An id is one AES block, (bigint, tag of its kind), enciphered under the installation's key and written in base 62. So ids
cannot be counted or guessed, an id of one kind is never taken for another, and a forged one fails its 64-bit tag.
Decided 2026-11-24: a stored random id would cost a column and an index of ~60 bytes for each of 100 million messages.
"""

import hashlib
import threading
from collections.abc import Iterable
from typing import Literal

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

Kind = Literal[
    "account", "user", "api_key", "relay", "sender", "contact", "list", "import", "suppression", "template",
    "campaign", "batch", "message", "limit", "inbox", "cursor",
]  # fmt: skip

PREFIXES: dict[Kind, str] = {
    "account": "acc", "user": "usr", "api_key": "key", "relay": "rly", "sender": "snd", "contact": "ctc",
    "list": "lst", "import": "imp", "suppression": "sup", "template": "tpl", "campaign": "cmp", "batch": "bat",
    "message": "msg", "limit": "lim", "inbox": "inb",
    "cursor": "cur",
}  # fmt: skip

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]  # two digits at once: half the divisions
_TO_THE_4TH = 62**4
_SIZE = 22  # 62 ** 22 > 2 ** 128
_TAGS: dict[str, bytes] = {kind: hashlib.blake2b(kind.encode(), digest_size=8).digest() for kind in PREFIXES}


class PublicIds:
    """Translate between bigints and public ids under one installation's key (16 bytes)."""

    def __init__(self, id_key: bytes) -> None:
        # ECB on single blocks that never repeat is a plain permutation, which is what an id needs.
        self._cipher = Cipher(algorithms.AES(id_key), modes.ECB())  # noqa: S305
        self._own = threading.local()  # a context may be used by one thread at a time

    def encode(self, kind: Kind, number: int) -> str:
        return self.encode_many(kind, (number,))[0]

    def encode_many(self, kind: Kind, numbers: Iterable[int]) -> list[str]:
        """Encode many ids with one call into the cipher."""
        tag, prefix = _TAGS[kind], PREFIXES[kind]
        plain = b"".join(number.to_bytes(8) + tag for number in numbers)
        sealed = self._encryptor().update(plain)
        return [f"{prefix}_{_to_base62(sealed[at : at + 16])}" for at in range(0, len(sealed), 16)]

    def _encryptor(self) -> CipherContext:
        """Whole blocks go in, so in ECB mode nothing is left in it. Making one costs more than an id does."""
        found: CipherContext | None = getattr(self._own, "encryptor", None)
        if found is None:
            found = self._own.encryptor = self._cipher.encryptor()
        return found

    def decode(self, kind: Kind, text: str) -> int | None:
        """The bigint, or None for anything that this installation did not make as an id of this kind."""
        prefix, _, digits = text.partition("_")
        if prefix != PREFIXES[kind] or len(digits) != _SIZE or not digits.isascii():
            return None
        sealed = _from_base62(digits)
        if sealed is None:
            return None
        plain = self._cipher.decryptor().update(sealed)
        return int.from_bytes(plain[:8]) if plain[8:] == _TAGS[kind] else None


def _to_base62(block: bytes) -> str:
    # By four digits at once: division by what fits one of Python's own digits (30 bits) is the quick one. Written out, not a loop.
    left, e = divmod(int.from_bytes(block), _TO_THE_4TH)
    left, d = divmod(left, _TO_THE_4TH)
    left, c = divmod(left, _TO_THE_4TH)
    left, b = divmod(left, _TO_THE_4TH)
    left, a = divmod(left, _TO_THE_4TH)
    p = _PAIRS
    return (
        f"{p[left]}{p[a // 3844]}{p[a % 3844]}{p[b // 3844]}{p[b % 3844]}{p[c // 3844]}{p[c % 3844]}"
        f"{p[d // 3844]}{p[d % 3844]}{p[e // 3844]}{p[e % 3844]}"
    )


def _from_base62(digits: str) -> bytes | None:
    number = 0
    for digit in digits:
        value = _VALUE.get(digit)
        if value is None:
            return None
        number = number * 62 + value
    return number.to_bytes(16) if number < 1 << 128 else None
