"""Serving the built dashboard, or, where it was not built, a plain page that says what is running.

`frontend/dist` is looked at on each request for a page, so a new build needs no restart. The dashboard's own paths are
answered where Flask found no route: a catch-all route would turn an unknown path's 404 into 405 for other methods.
"""

import gzip
import mimetypes
from functools import lru_cache
from pathlib import Path

from apiflask import APIFlask
from flask import Response, request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.security import safe_join

from app.api.errors import answer_http_exception

DIST = Path(__file__).resolve().parent.parent / "frontend" / "dist"
#: What a page of the dashboard never lives under: an unknown path there is a 404 for programs.
_NOT_PAGES = ("/api/", "/auth/", "/assets/", "/u/")
_COMPRESSED = {
    "text/html", "text/css", "text/javascript", "application/javascript", "application/json", "image/svg+xml",
}  # fmt: skip

_PLAIN_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mailtide</title><style>
body{font:16px/1.6 system-ui,sans-serif;max-width:38rem;margin:12vh auto;padding:0 1.5rem;color:#16202b;background:#f4f8fb}
a{color:#0b63a5}code{background:#e3edf5;padding:.1em .35em;border-radius:.3em}
@media(prefers-color-scheme:dark){body{color:#e7eef5;background:#0e1620}a{color:#7cc4ff}code{background:#1d2a38}}
</style></head><body><h1>Mailtide is running</h1>
<p>The API answers under <code>/api/v1</code>. The dashboard has not been built on this machine:
<code>make run</code> builds it when it can reach the package registry.</p>
<ul><li><a href="/docs">The API, described</a> (<a href="/openapi.json">openapi.json</a>)</li>
<li><a href="/readyz">Is everything ready?</a></li><li><a href="/version">Version</a></li></ul></body></html>
"""


def register_dashboard(app: APIFlask) -> None:
    """Add `/`, `/assets/…` and the fallback that lets the dashboard's own paths be opened directly."""

    @app.get("/")
    @app.doc(hide=True)
    def show_dashboard() -> Response:
        return _answer_index()

    @app.get("/assets/<path:name>")
    @app.doc(hide=True)
    def get_asset(name: str) -> Response:
        answer = _answer_file(f"assets/{name}")
        # The file's name carries a hash of its content.
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer

    app.register_error_handler(404, _answer_not_found)


def _answer_not_found(error: Exception) -> Response:
    """A path of the dashboard opened directly, or a file beside its index; else 404."""
    assert isinstance(error, HTTPException)
    is_page = request.method in ("GET", "HEAD") and not request.path.startswith(_NOT_PAGES)
    if is_page and (DIST / "index.html").is_file():
        if "." in request.path.rsplit("/", 1)[-1]:
            try:
                return _answer_file(request.path.lstrip("/"))
            except NotFound:
                return answer_http_exception(error)
        if request.accept_mimetypes.accept_html:
            return _answer_index()
    return answer_http_exception(error)


def _answer_index() -> Response:
    if (DIST / "index.html").is_file():
        answer = _answer_file("index.html")
    else:
        answer = Response(_PLAIN_PAGE, mimetype="text/html")
    answer.headers["Cache-Control"] = "no-cache"
    return answer


def _answer_file(name: str) -> Response:
    """A file of the build, compressed where the client can read that. Raises NotFound."""
    joined = safe_join(str(DIST), name) if "\x00" not in name else None
    if joined is None or not Path(joined).is_file():
        raise NotFound
    path = Path(joined)
    mimetype = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    is_compressed = mimetype in _COMPRESSED and request.accept_encodings.quality("gzip") > 0
    answer = Response(_read(path, path.stat().st_mtime_ns, is_compressed), mimetype=mimetype)
    answer.headers["Vary"] = "Accept-Encoding"
    answer.headers["Cache-Control"] = "public, max-age=300"
    if is_compressed:
        answer.headers["Content-Encoding"] = "gzip"
    return answer


@lru_cache(maxsize=256)
def _read(path: Path, modified_ns: int, is_compressed: bool) -> bytes:
    """The build's files are few and small: each is read and compressed once."""
    body = path.read_bytes()
    return gzip.compress(body, 6, mtime=0) if is_compressed else body
