"""Signed tokens for links in mail: they name one message of one account, and nothing else can be read or made from them.

A token is account_id, message_id (8 bytes each) and a MAC of 16 bytes, in URL-safe base64: 43 characters. It carries no
address, works for years (no expiry: RFC 8058 links must), and one made for account A says so, so it cannot act in B.
"""

import base64
import binascii
import hashlib
import hmac

_MAC_SIZE = 16  # bytes: 128 bits, the least that OWASP ASVS 11.5.1 asks of an unguessable value
_TOKEN_SIZE = 43  # characters for 32 bytes of base64 without padding
_PURPOSE = b"unsubscribe\x00"  # a MAC for one purpose must not be valid for another


def sign_unsubscribe(link_key: bytes, *, account_id: int, message_id: int) -> str:
    """Make the token of one message's unsubscribe link. link_key: 32 bytes, the installation's."""
    named = account_id.to_bytes(8) + message_id.to_bytes(8)
    return base64.urlsafe_b64encode(named + _mac(link_key, named)).rstrip(b"=").decode("ascii")


def read_unsubscribe(link_key: bytes, token: str) -> tuple[int, int] | None:
    """The (account_id, message_id) that a token names, or None for anything that sign_unsubscribe did not make."""
    if len(token) != _TOKEN_SIZE or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    named, mac = raw[:16], raw[16:]
    if not hmac.compare_digest(mac, _mac(link_key, named)):
        return None
    account_id, message_id = int.from_bytes(named[:8]), int.from_bytes(named[8:])
    # The last base64 digit has two spare bits: only the one spelling that we write is taken.
    if sign_unsubscribe(link_key, account_id=account_id, message_id=message_id) != token:
        return None
    return account_id, message_id


def _mac(link_key: bytes, named: bytes) -> bytes:
    # Keyed BLAKE2b (RFC 7693): one is made for every message, and HMAC-SHA-256 takes five times as long.
    return hashlib.blake2b(_PURPOSE + named, key=link_key, digest_size=_MAC_SIZE).digest()
