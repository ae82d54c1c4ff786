"""POST /messages with an API key, past Flask's dispatch: the same functions in the same order, and Flask for whatever fails.

Flask's contexts, routing, hooks and views take about 200 µs of the processor time of the busiest call, which is 390 (two
processes on two cores, where caches are always cold); what the call is for takes the other half. Measured with
`make bench ONLY=api`: 3,199/s with them, 4,963/s without.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Request, Response

from app.api.context import Services, authorise, read_request_id
from app.api.inputs import read_json, validate
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
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST" or "HTTP_AUTHORIZATION" not in environ:
            return self.flask(environ, start_response)
        try:
            answer = self._answer(Request(environ))
        except Exception as error:
            environ[FAILURE] = error  # not done again: what it was about may have happened
            return self.flask(environ, start_response)
        return answer(environ, start_response)

    def _answer(self, request: Request) -> Response:
        request.max_content_length = self._body_size_max
        who = authorise(request, self._services, "send", is_rechecked=True)
        answer = send_one(request, who, self._services, validate(MessageInput, read_json(request)))
        answer.headers["X-Request-Id"] = read_request_id(request)
        return answer
