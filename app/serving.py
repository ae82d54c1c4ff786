"""Between the server and Flask: what every request pays for, made cheap.

Measured 2026-11-24, POST /messages, share of the web process's time: granian's path for iterators 21 %, which Flask's answers
take because they are wrapped in one; opening Flask's cookie session 6 %, which only the sign-in with Google needs; eight
security headers by way of Werkzeug's Headers took 15 µs more than a list does; looking for garbage 2 %.
"""

import gc
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

WHOLE_SIZE_MAX = 1024 * 1024  # bytes; larger answers stay iterators, so that memory stays flat

#: Scripts only from our own files. Styles also inline and pictures from anywhere over https, because a mail's preview in a
#: sandboxed frame without scripts inherits this policy.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob: https:; "
    "font-src 'self' data:; connect-src 'self'; frame-src 'self' blob: data:; manifest-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
#: On every answer, unless its view said otherwise.
FIXED_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
OVER_TLS_HEADERS = (*FIXED_HEADERS, ("Strict-Transport-Security", "max-age=31536000"))


class Answers:
    """Put on every answer the headers that all have, and hand the server one of known, moderate size as one list.

    Streams pass through as they are.
    """

    def __init__(self, inner: "WSGIApplication", *, over_tls: bool) -> None:
        self._inner = inner
        self._fixed = OVER_TLS_HEADERS if over_tls else FIXED_HEADERS

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        is_whole = False

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> "Callable[[bytes], object]":
            nonlocal is_whole
            given = {name.lower(): value for name, value in headers}
            is_whole = int(given.get("content-length", WHOLE_SIZE_MAX + 1)) <= WHOLE_SIZE_MAX
            headers += [header for header in self._fixed if header[0].lower() not in given]
            # A 304 would put its policy in the place of the one that the stored answer came with (RFC 9111 § 3.2).
            if "content-security-policy" not in given and not status.startswith("304"):
                is_page = given.get("content-type", "").startswith("text/html")
                headers.append(("Content-Security-Policy", PAGE_POLICY if is_page else DATA_POLICY))
            return start_response(status, headers, exc_info)

        pieces = self._inner(environ, start)
        if not is_whole:
            return pieces
        try:
            return list(pieces)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()


class SignInSessions(SecureCookieSessionInterface):
    """Flask's own session for `/auth/…`, where authlib keeps what it began; an empty one elsewhere, unread and unsigned."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return super().open_session(app, request) if request.path.startswith("/auth/") else self.session_class()


def calm_collector() -> None:
    """The application stays, and hardly anything of a request is garbage in cycles: look less often, at less."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def serve(app: Flask, *, over_tls: bool) -> None:
    app.session_interface = SignInSessions()
    app.wsgi_app = Answers(app.wsgi_app, over_tls=over_tls)  # type: ignore[method-assign]
