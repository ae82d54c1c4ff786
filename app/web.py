"""The web process: builds the Flask application from its settings. `app/wsgi.py` hands it to granian.

Order of a request: request id → same-origin check → route → `@requires` → body → command or read → JSON. POST /messages with an
API key is answered before Flask: `app/api/direct.py`. Every failure leaves through `app/api/errors.py`, every answer gets its security headers in `app/serving.py`.
"""

import logging
import sys
import time
import uuid

import redis
import structlog
from apiflask import APIFlask
from flask import Flask, Response, g, request
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.api import (
    api_keys,
    campaigns,
    contacts,
    direct,
    health,
    imports,
    inbox,
    limits,
    lists,
    me,
    messages,
    overview,
    relays,
    senders,
    suppressions,
    team,
    templates,
    unsubscribe,
)  # fmt: skip
from app.api.callers import require_same_origin
from app.api.context import Services, read_request_id, services
from app.api.errors import register_errors
from app.api.openapi import register_openapi
from app.auth import routes as auth_routes
from app.dashboard import register_dashboard
from app.db import open_pool
from app.serving import serve
from app.settings import Settings

log = structlog.get_logger(__name__)
_is_debugging = False

BODY_SIZE_MAX = 1024 * 1024
IMPORT_SIZE_MAX = 1024 * 1024 * 1024
REDIS_TIMEOUT_S = 0.5  # the page must not hang on a counter

BLUEPRINTS = (
    me.blueprint, api_keys.blueprint, messages.blueprint, campaigns.blueprint, templates.blueprint, contacts.blueprint,
    lists.blueprint, suppressions.blueprint, imports.blueprint, senders.blueprint, relays.blueprint, limits.blueprint,
    team.blueprint, inbox.blueprint, overview.blueprint, health.blueprint, unsubscribe.blueprint, auth_routes.blueprint,
)  # fmt: skip


def create_app(settings: Settings) -> APIFlask:
    """Build the application. Opens the database pool in the background; nothing else is started."""
    configure_logging(settings)
    app = APIFlask("app", title="Mailtide", version="1", spec_path=None, docs_path=None, static_folder=None)  # type: ignore[arg-type]
    app.url_map.strict_slashes = True
    app.config.update(
        MAX_CONTENT_LENGTH=BODY_SIZE_MAX, MAX_FORM_MEMORY_SIZE=BODY_SIZE_MAX, PROPAGATE_EXCEPTIONS=False,
        SECRET_KEY=settings.secret_key or uuid.uuid4().hex, JSON_SORT_KEYS=False,
    )  # fmt: skip
    app.extensions["mailtide"] = Services(
        settings=settings,
        pool=open_pool(
            settings.postgres_url, size=settings.web_threads + 2, is_behind_pooler=settings.is_behind_pooler
        ),
        redis=open_redis(settings.valkey_url),
    )
    if not _is_debugging:  # then each request is logged, by Flask
        app.wsgi_app = direct.Direct(app.wsgi_app, app.extensions["mailtide"], body_size_max=BODY_SIZE_MAX)  # type: ignore[method-assign]
    serve(app, over_tls=settings.public_url.startswith("https://"))
    register_errors(app)
    app.before_request(_begin)
    app.after_request(_finish)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    register_openapi(app)
    register_dashboard(app)
    return app


def open_redis(url: str) -> redis.Redis:
    """A client that gives up quickly and once: redis-py's own retries would hold a page for eight seconds."""
    return redis.Redis.from_url(
        url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )


def close_app(app: Flask) -> None:
    """Give the connections back. For tests and for an orderly end."""
    held: Services = app.extensions["mailtide"]
    held.pool.close()
    held.redis.close()


def configure_logging(settings: Settings) -> None:
    """Logs go to stderr, one event a line: for people, or as JSON for machines."""
    global _is_debugging
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    _is_debugging = level <= logging.DEBUG
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        shared += [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _begin() -> None:
    g.request_id = read_request_id(request.headers.get("X-Request-Id", ""))
    g.started_at = time.perf_counter()
    if direct.FAILURE in request.environ:
        raise request.environ[direct.FAILURE]
    if request.path.startswith("/api/v1/imports"):
        request.max_content_length = IMPORT_SIZE_MAX
    # One-click unsubscribe (RFC 8058) is posted by mail providers without cookies; its link is signed.
    if not request.path.startswith("/u/"):
        require_same_origin(request, services())


def _finish(answer: Response) -> Response:
    if "request_id" in g:
        answer.headers.add("X-Request-Id", g.request_id)
        if answer.status_code >= 500 or _is_debugging:
            _log_request(answer)
    return answer


def _log_request(answer: Response) -> None:
    """A line for each request would cost more than some requests do: without LOG_LEVEL=debug, only what went wrong."""
    duration_ms = round((time.perf_counter() - g.started_at) * 1000, 1)
    write = log.warning if answer.status_code >= 500 else log.debug
    write(
        "request", method=request.method, path=request.path, status=answer.status_code, duration_ms=duration_ms,
        request_id=g.request_id,
    )  # fmt: skip
