"""Sessions: a random id in a cookie, its SHA-256 in the database. Flask-Login finds the user; nothing else knows it.

The cookie is HttpOnly, SameSite=Lax, and over https Secure with the __Host- prefix. Signing in makes a new session and ends
the one that was there, so a cookie that someone planted is worth nothing.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from flask import Flask, Request, Response
from flask_login import LoginManager, UserMixin, current_user

from app.api.context import Caller, services
from app.clock import utc_now
from app.commands.accounts import SignIn
from app.db import Conn, autocommit, count, maybe
from app.domain.team import SCOPES_OF
from sql import queries

LIFETIME = timedelta(days=30)
_ID_SIZE = 32  # bytes: twice what OWASP ASVS 5.0 § 7.2.3 asks for
_ID_LENGTH_MAX = 100


class SessionUser(UserMixin):  # type: ignore[misc]
    """What Flask-Login holds for a request."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def get_id(self) -> str:
        return str(self.caller.user_id)


def init_app(app: Flask) -> None:
    """Set up Flask-Login, and the signed cookie that holds state, nonce and verifier while someone is at the provider."""
    manager = LoginManager()
    manager.session_protection = None  # the id is not kept in Flask's own session
    manager.request_loader(_load_user)
    manager.init_app(app)
    # It would touch Flask's session, and so add Vary: Cookie, on each request; there is no remember-me cookie here.
    app.after_request_funcs[None].remove(manager._update_remember_cookie)
    app.config.update(
        SESSION_COOKIE_NAME="mailtide_sign_in",
        SESSION_COOKIE_PATH="/auth",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=_is_https(app.extensions["mailtide"].settings.public_url),
    )


def load_caller(request: Request) -> Caller | None:
    """Who the request's session belongs to. `request` is the current one."""
    user: Any = current_user
    return user.caller if user.is_authenticated else None


def begin_session(conn: Conn, request: Request, who: SignIn, *, now: datetime) -> str:
    """Make a session in the caller's transaction, end the one that the request came with, and return the cookie's value."""
    end_session(conn, request)
    count(conn, queries.users.prune_sessions, now=now)
    session_id = secrets.token_urlsafe(_ID_SIZE)
    count(
        conn,
        queries.users.insert_session,
        session_hash=_hash(session_id),
        user_id=who.user_id,
        account_id=who.account_id,
        now=now,
        expires_at=now + LIFETIME,
    )
    return session_id


def end_session(conn: Conn, request: Request) -> None:
    """Forget the request's session, if it has one."""
    session_id = _read_cookie(request)
    if session_id is not None:
        count(conn, queries.users.delete_session, session_hash=_hash(session_id))


def move_session(conn: Conn, request: Request, *, account_id: int, now: datetime) -> bool:
    """Have the request's session act in another account. False when its user is not a member there."""
    session_id = _read_cookie(request)
    if session_id is None:
        return False
    moved = count(conn, queries.users.move_session, session_hash=_hash(session_id), account_id=account_id, now=now)
    return moved == 1


def set_cookie(answer: Response, session_id: str) -> None:
    is_secure = _is_https(services().settings.public_url)
    answer.set_cookie(
        cookie_name(), session_id, max_age=LIFETIME, path="/", httponly=True, samesite="Lax", secure=is_secure
    )


def clear_cookie(answer: Response) -> None:
    is_secure = _is_https(services().settings.public_url)
    answer.delete_cookie(cookie_name(), path="/", httponly=True, samesite="Lax", secure=is_secure)


def cookie_name() -> str:
    return "__Host-mailtide" if _is_https(services().settings.public_url) else "mailtide"


def _load_user(request: Request) -> SessionUser | None:
    session_id = _read_cookie(request)
    if session_id is None:
        return None
    with autocommit(services().pool) as conn:
        row = maybe(conn, queries.users.find_session, session_hash=_hash(session_id), now=utc_now())
    if row is None:
        return None
    return SessionUser(
        Caller(
            account_id=row["account_id"],
            user_id=row["user_id"],
            api_key_id=None,
            scopes=SCOPES_OF[row["role"]],
            is_demo=row["is_demo"],
            is_admin=row["is_admin"],
        )
    )


def _read_cookie(request: Request) -> str | None:
    value = request.cookies.get(cookie_name())
    return value if value and len(value) <= _ID_LENGTH_MAX else None


def _hash(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode("utf-8", "replace")).digest()


def _is_https(url: str) -> bool:
    return url.startswith("https://")
