"""Finding out who calls: an API key in the Authorization header, else a session cookie. Never both.

An unsafe request that a browser made for another site is refused before anything else (CSRF). All browsers say so, by
Sec-Fetch-Site or Origin; a client that sends neither is no browser, and the cookie's SameSite=Lax is the second belt.
"""

import hashlib
import time
from urllib.parse import urlsplit

from flask import Request

from app.api.context import ALL_SCOPES, Caller, Services
from app.clock import utc_now
from app.db import autocommit, count, maybe
from app.domain.errors import NotPermitted, NotSignedIn
from sql import queries

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
KEY_PREFIX = "mt_"
KEY_LENGTH_MAX = 200
REMEMBERED_S = 10.0
REMEMBERED_MAX = 1000


def load_caller(request: Request, services: Services, *, may_be_remembered: bool = False) -> Caller | None:
    """The caller, or None without credentials. Raises NotSignedIn for a key that is wrong, expired or revoked.

    may_be_remembered  what was known of a key up to ten seconds ago will do: the caller checks it again by itself.
    """
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        return load_by_key(authorization, services, may_be_remembered=may_be_remembered)
    from app.auth.sessions import load_caller as load_by_session

    found: Caller | None = load_by_session(request)
    return found


def require_same_origin(request: Request, services: Services) -> None:
    """Refuse what another site's page made a browser send. Raises NotPermitted."""
    if request.method in SAFE_METHODS or "Authorization" in request.headers:
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site not in (None, "same-origin", "none"):
        is_foreign = True
    elif origin is None:
        is_foreign = False
    else:
        is_foreign = origin not in (_origin_of(request.host_url), _origin_of(services.settings.public_url))
    if is_foreign:
        raise NotPermitted("This request was made by a page of another site.", code="cross_site")


def load_by_key(authorization: str, services: Services, *, may_be_remembered: bool) -> Caller:
    """`load_caller`, of what the Authorization header says."""
    scheme, _, secret = authorization.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret.startswith(KEY_PREFIX) or len(secret) > KEY_LENGTH_MAX:
        raise NotSignedIn("Authorization must look like `Bearer mt_…`, with an API key.", code="bad_api_key")
    secret_hash = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
    if may_be_remembered:
        known = services.remembered.get(secret_hash)
        if known is not None and known[1] > time.monotonic():
            return known[0]
    now = utc_now()
    with autocommit(services.pool) as conn:
        row = maybe(conn, queries.callers.find_api_key, secret_hash=secret_hash, now=now)
        if row is None:
            raise NotSignedIn("This API key is not known, has expired or was revoked.", code="bad_api_key")
        if row["is_use_unnoted"]:
            count(conn, queries.callers.note_api_key_use, api_key_id=row["api_key_id"], now=now)
    scopes = ALL_SCOPES.intersection(row["scopes"])
    found = Caller(
        account_id=row["account_id"], user_id=None, api_key_id=row["api_key_id"], scopes=scopes,
        is_demo=row["is_demo"], is_admin="admin" in scopes,
    )  # fmt: skip
    if may_be_remembered:
        if len(services.remembered) >= REMEMBERED_MAX:
            services.remembered.clear()
        services.remembered[secret_hash] = found, time.monotonic() + REMEMBERED_S
    return found


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
