"""POST /messages with an API key is answered before Flask. What comes back is what Flask would have said."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import orjson
import psycopg
import pytest
from apiflask import APIFlask
from flask import Response
from werkzeug.test import Client, TestResponse

from app.api import direct
from app.serving import Answers
from app.settings import Settings
from app.web import BODY_SIZE_MAX, close_app, create_app
from tests.integration.conftest import Api

FINE = {"to": "ada@people.test", "subject": "Hello", "text": "Hello there"}
JSON = {"Content-Type": "application/json"}
REQUESTS: dict[str, tuple[bytes, dict[str, str]]] = {
    "fine": (orjson.dumps(FINE), JSON),
    "with its own request id": (orjson.dumps(FINE), {**JSON, "X-Request-Id": "mine-1"}),
    "with a request id that is none": (orjson.dumps(FINE), {**JSON, "X-Request-Id": "<mine>"}),
    "with a charset": (orjson.dumps(FINE), {"Content-Type": "application/json; charset=utf-8"}),
    "with a query": (orjson.dumps(FINE), {**JSON, "X-Query": "a=b"}),
    "of another site": (orjson.dumps(FINE), {**JSON, "Origin": "https://other.test", "Sec-Fetch-Site": "cross-site"}),
    "as a form": (b"to=ada", {"Content-Type": "application/x-www-form-urlencoded"}),
    "without a body": (b"", JSON),
    "not JSON": (b"{", JSON),
    "NaN": (b'{"to": NaN}', JSON),
    "with NUL": (orjson.dumps({**FINE, "subject": "a\0b"}), JSON),
    "with a field that is none": (orjson.dumps({**FINE, "tpo": "x"}), JSON),
    "without an address": (orjson.dumps({"subject": "Hello", "text": "x"}), JSON),
    "without content": (orjson.dumps({"to": "ada@people.test", "subject": "Hello"}), JSON),
    "with a tag that nobody knows": (orjson.dumps({**FINE, "text": "{{ nobody }}"}), JSON),
    "of another's sender": (orjson.dumps({**FINE, "sender_id": "snd_x"}), JSON),
    "too large": (orjson.dumps({**FINE, "text": "x" * BODY_SIZE_MAX}), JSON),
    "with a key that is empty": (orjson.dumps(FINE), {**JSON, "Idempotency-Key": ""}),
    "with a wrong secret": (orjson.dumps(FINE), {**JSON, "Authorization": "Bearer mt_wrong"}),
    "with another scheme": (orjson.dumps(FINE), {**JSON, "Authorization": "Basic eDp5"}),
}
Post = Callable[..., TestResponse]


def _post(wsgi: Any, secret: str) -> Post:
    client = Client(wsgi, Response)

    def post(body: bytes, headers: dict[str, str]) -> TestResponse:
        query = headers.get("X-Query", "")
        return client.post(
            direct.PATH, data=body, query_string=query, headers={"Authorization": f"Bearer {secret}", **headers}
        )

    return post


def _direct(app: APIFlask) -> direct.Direct:
    answers = app.wsgi_app
    assert isinstance(answers, Answers)
    found = answers._inner
    assert isinstance(found, direct.Direct)
    return found


@pytest.mark.parametrize("what", REQUESTS)
def test_what_comes_back_is_what_flask_says(app: APIFlask, api: Api, what: str) -> None:
    shortly, flask = _post(_direct(app), api.key), _post(_direct(app).flask, api.key)
    body, headers = REQUESTS[what]
    for key in ({}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}) if "Idempotency-Key" not in headers else ({},):
        ours = shortly(body, {**headers, **{name: f"{value}-1" for name, value in key.items()}})
        theirs = flask(body, {**headers, **{name: f"{value}-2" for name, value in key.items()}})
        assert ours.status == theirs.status
        assert _said(ours) == _said(theirs)
        assert sorted(ours.headers.keys()) == sorted(theirs.headers.keys())
        assert ours.headers.get("X-Request-Id") == "mine-1" or what != "with its own request id"


def _said(answer: TestResponse) -> dict[str, Any]:
    return {
        name: value
        for name, value in answer.get_json().items()
        if name not in ("id", "created_at", "scheduled_at", "request_id")
    }


def test_what_flask_answers_elsewhere_is_left_to_it(app: APIFlask, api: Api) -> None:
    client = Client(_direct(app), Response)
    headers = {"Authorization": f"Bearer {api.key}"}
    assert client.get(direct.PATH, headers=headers).status_code == 200
    assert client.post(direct.PATH, data=b"{}", headers=JSON).status_code == 401
    assert client.post(f"{direct.PATH}/", data=b"{}", headers=headers).status_code == 404


def test_a_body_that_ends_too_soon_stores_nothing(app: APIFlask, api: Api) -> None:
    body = orjson.dumps(FINE)
    with Client(_direct(app), Response).post(
        direct.PATH, input_stream=BytesIO(body), headers={**JSON, "Authorization": f"Bearer {api.key}"},
        environ_overrides={"CONTENT_LENGTH": str(len(body) + 10)},
    ) as answer:  # fmt: skip
        assert answer.status_code == 400
    assert api.value("SELECT count(*) FROM messages") == 0


def test_what_failed_is_not_done_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message may have been stored: doing it twice could send twice."""
    asked = []
    posts = api.services.posts
    ask = posts.ask

    def break_after(post: Any) -> Any:
        asked.append(ask(post))
        raise psycopg.OperationalError("the connection was lost after the commit")

    monkeypatch.setattr(posts, "ask", break_after)
    assert api.call("POST", "/messages", json=FINE).status_code == 500
    assert len(asked) == 1
    assert api.value("SELECT count(*) FROM messages") == 1


def test_each_request_is_logged_by_flask_when_someone_wants_to_see_them(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"log_level": "debug"}))
    try:
        assert isinstance(app.wsgi_app, Answers)
        assert not isinstance(app.wsgi_app._inner, direct.Direct)
    finally:
        close_app(app)
