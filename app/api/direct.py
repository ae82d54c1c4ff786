"""POST /messages with an API key, past Flask: the same functions in the same order, on what WSGI says.

Flask's contexts, routing, hooks and views and Werkzeug's requests and answers take half of the processor time of the busiest
call: 390 µs with both, 268 with Werkzeug's alone, 190 with neither (two processes on two cores, where caches are cold;
`make bench ONLY=api`). Whatever is unusual about a request is left to Flask, and whatever fails is said by it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.exceptions import ClientDisconnected

from app.api.callers import load_by_key
from app.api.context import Services, read_request_id, require_scope
from app.api.idempotency import make_key
from app.api.inputs import parse_json, validate
from app.api.messages import MessageInput, send_one

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/api/v1/messages"
#: Where Flask finds what it shall say went wrong.
FAILURE = "mailtide.failure"


class Direct:
    """Answers the one call; everything else is `flask`'s, and so is every failure."""

    def __init__(self, flask: "WSGIApplication", services: Services, *, body_size_max: int) -> None:
        self.flask = flask
        self._services = services
        self._body_size_max = body_size_max

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not self._is_usual(environ):
            return self.flask(environ, start_response)
        try:
            headers, body = self._answer(environ)
        except Exception as error:
            environ[FAILURE] = error  # not done again: what it was about may have happened
            return self.flask(environ, start_response)
        start_response("201 CREATED", headers)
        return [body]

    def _is_usual(self, environ: "WSGIEnvironment") -> bool:
        size: str = environ.get("CONTENT_LENGTH", "")
        return (
            environ["PATH_INFO"] == PATH
            and environ["REQUEST_METHOD"] == "POST"
            and "HTTP_AUTHORIZATION" in environ
            and environ.get("CONTENT_TYPE") == "application/json"
            and not environ.get("QUERY_STRING")
            and (size.isascii() and size.isdigit() and len(size) < 10 and int(size) <= self._body_size_max)
        )

    def _answer(self, environ: "WSGIEnvironment") -> tuple[list[tuple[str, str]], bytes]:
        services = self._services
        who = load_by_key(environ["HTTP_AUTHORIZATION"], services, may_be_remembered=True)
        require_scope(who, "send")
        size = int(environ["CONTENT_LENGTH"])
        body = environ["wsgi.input"].read(size)
        if len(body) < size:
            raise ClientDisconnected
        given = validate(MessageInput, parse_json(body))
        asked, key = f"POST {PATH}?", environ.get("HTTP_IDEMPOTENCY_KEY")
        answer = send_one(services, who, make_key(key, account_id=who.account_id, asked=asked, body=body), given)
        headers = [
            ("Content-Type", "application/json"), ("Content-Length", str(len(answer.body))),
            ("X-Request-Id", read_request_id(environ.get("HTTP_X_REQUEST_ID", ""))),
        ]  # fmt: skip
        if answer.is_replayed:
            headers.append(("Idempotent-Replayed", "true"))
        return headers, answer.body
