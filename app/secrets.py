"""Seal relay passwords for the database: AES-256-GCM under a key made from SECRET_KEY.

A sealed value is bound to its account and relay, so one that is copied into another row does not open. Layout: one
byte of format, 12 bytes of nonce, ciphertext with its tag.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_FORMAT = b"\x01"
_NONCE_SIZE = 12


class CannotOpen(Exception):
    """The value was sealed for another row or under another SECRET_KEY."""


class Sealer:
    """Seals and opens under one installation's SECRET_KEY."""

    def __init__(self, secret_key: str) -> None:
        key = HKDF(SHA256(), length=32, salt=None, info=b"mailtide relay passwords 1").derive(secret_key.encode())
        self._cipher = AESGCM(key)

    def seal_password(self, password: str, *, account_id: int, relay_id: int) -> bytes:
        nonce = os.urandom(_NONCE_SIZE)
        sealed = self._cipher.encrypt(nonce, password.encode(), _binding(account_id, relay_id))
        return _FORMAT + nonce + sealed

    def open_password(self, sealed: bytes, *, account_id: int, relay_id: int) -> str:
        """The password. Raises CannotOpen."""
        nonce, body = sealed[1 : 1 + _NONCE_SIZE], sealed[1 + _NONCE_SIZE :]
        if sealed[:1] != _FORMAT or len(nonce) != _NONCE_SIZE:
            raise CannotOpen("the stored relay password has an unknown format")
        try:
            return self._cipher.decrypt(nonce, body, _binding(account_id, relay_id)).decode()
        except InvalidTag:
            raise CannotOpen("the stored relay password was sealed under another SECRET_KEY") from None


def _binding(account_id: int, relay_id: int) -> bytes:
    return f"relay|{account_id}|{relay_id}".encode()
