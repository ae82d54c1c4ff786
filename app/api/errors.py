"""The one table from what went wrong to what HTTP says: RFC 9457 problem+json for every status, 404, 405 and 500 included."""

from http import HTTPStatus
from typing import Any

import orjson
import structlog
from apiflask import APIFlask
from apiflask.exceptions import HTTPError
from flask import Response, g, request
from werkzeug.exceptions import HTTPException

from app.domain.errors import (
    AppError,
    Conflict,
    Fault,
    InvalidInput,
    LimitReached,
    NotFound,
    NotPermitted,
    NotSignedIn,
    TooLarge,
    Unavailable,
)  # fmt: skip

log = structlog.get_logger(__name__)

STATUS_OF: dict[type[AppError], int] = {
    InvalidInput: 422,
    NotSignedIn: 401,
    NotPermitted: 403,
    NotFound: 404,
    Conflict: 409,
    TooLarge: 413,
    LimitReached: 429,
    Unavailable: 503,
}
#: What was sent cannot even be read: 400 rather than 422.
_UNREADABLE = {"not_json"}
_CODES = {
    400: "bad_request", 401: "not_signed_in", 403: "not_permitted", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 409: "conflict", 411: "length_required", 413: "too_large", 414: "uri_too_long",
    415: "unsupported_media_type", 416: "range_not_satisfiable", 422: "invalid_input", 429: "limit_reached",
    500: "internal_error", 501: "not_implemented", 503: "unavailable",
}  # fmt: skip
#: Werkzeug's sentences speak of browsers; ours say what to change.
_DETAILS = {
    404: "There is nothing at this path.",
    405: "This path does not know that method.",
    413: "The body is too large: at most 1 MiB, except for imports.",
}


def problem(
    status: int, *, detail: str, code: str | None = None, faults: tuple[Fault, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    """One problem+json answer. `code` is the stable word that clients switch on."""
    code = code or _CODES.get(status, "error")
    body: dict[str, Any] = {
        "type": f"urn:mailtide:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": [{"pointer": fault.pointer, "detail": fault.detail, "code": fault.code} for fault in faults],
    }
    if "request_id" in g:
        body["request_id"] = g.request_id
    answer = Response(orjson.dumps(body), status=status, content_type="application/problem+json")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers.update(headers or {})
    return answer


def register_errors(app: APIFlask) -> None:
    """Make every failure leave through `problem`."""
    app.register_error_handler(AppError, _answer_app_error)
    app.register_error_handler(HTTPException, answer_http_exception)
    app.register_error_handler(HTTPError, _answer_apiflask_error)
    app.register_error_handler(Exception, _answer_bug)


def _answer_app_error(error: Exception) -> Response:
    assert isinstance(error, AppError)
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    if error.error_code in _UNREADABLE:
        status = 400
    faults = error.faults if isinstance(error, InvalidInput) else ()
    headers: dict[str, str] = {}
    if isinstance(error, LimitReached | Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        log.warning("unavailable", path=request.path, cause=repr(error.__cause__ or error))
    return problem(status, detail=error.message, code=error.error_code, faults=faults, headers=headers)


def answer_http_exception(error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.code or 500
    if status < 400:  # a redirect, as for a missing slash at the end
        answer = error.get_response()
        return Response(answer.get_data(), status=status, headers=list(answer.headers))
    headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    return problem(status, detail=_DETAILS.get(status) or error.description or error.name, headers=headers)


def _answer_apiflask_error(error: Exception) -> Response:
    assert isinstance(error, HTTPError)
    return problem(error.status_code, detail=error.message or "The request cannot be answered.")


def _answer_bug(error: Exception) -> Response:
    log.error("bug", method=request.method, path=request.path, exc_info=error)
    return problem(500, detail="Something went wrong on our side. It was logged under this request's id.")
