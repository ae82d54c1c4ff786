"""What every route uses: the services, who is calling, permissions, commands and their answers.

    @blueprint.post("/things")
    @requires("send")                       # outermost, so that nothing is read for a stranger
    @blueprint.input(ThingIn)
    @blueprint.output(ThingOut, 201)        # for the documentation; the view returns a Response
    def create_thing(json_data: ThingIn) -> Response:
        account_id = caller().account_id
        return run_command(lambda conn: things.create(conn, account_id=account_id, …, now=utc_now()), status=201)

    @blueprint.get("/things/<thing_id>")
    @requires("read")
    def get_thing(thing_id: str) -> Response:
        with reading() as conn:
            return etag_json(reads.get_thing(conn, account_id=caller().account_id, thing_id=parse_id("thing", thing_id)))

JSON goes out through `to_json`: datetimes as RFC 3339 UTC with Z, bytes refused.
"""

import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, ParamSpec, TypeVar

import orjson
import psycopg
import redis
from flask import Request, Response, current_app, g, request

import app.api.inputs  # noqa: F401  # registers how bodies are read, before any blueprint is made
from app.api.idempotency import read_key, replay
from app.clock import utc_now
from app.commands.idempotency import StoredAnswer, find_answer, keep_answer
from app.commands.messages import Post, PostOutcome, create_each
from app.db import Conn, Pool, autocommit, transaction
from app.domain.errors import NotFound, NotPermitted, NotSignedIn
from app.grouping import Grouped
from app.public_ids import Kind, PublicIds
from app.reads.overview import PastHours
from app.settings import Settings

__all__ = [
    "Caller", "Scope", "Services", "caller", "etag_json", "json_response", "parse_id", "reading", "requires",
    "run_command", "services", "to_json",
]  # fmt: skip

Scope = Literal["read", "send", "admin"]
ALL_SCOPES: frozenset[str] = frozenset(("read", "send", "admin"))
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_JSON_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class Services:
    """What the web process holds. One for each app, made by create_app."""

    settings: Settings
    pool: Pool
    redis: redis.Redis
    _keys: tuple[PublicIds, bytes] | None = None
    #: the last readiness checks, and when they were made
    checked: tuple[float, list[Any]] | None = None
    past_hours: PastHours = field(default_factory=PastHours)
    #: takes the messages of all POST /messages that wait at the same time, in one commit
    posts: Grouped[Post, PostOutcome] = field(init=False)
    #: SHA-256 of an API key → its caller, and until when (monotonic) that may be taken without asking
    remembered: "dict[bytes, tuple[Caller, float]]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        def create(posts: list[Post]) -> list[PostOutcome]:
            with autocommit(self.pool) as conn:
                return create_each(conn, posts)

        self.posts = Grouped(create, undone_by=psycopg.Error, identity=lambda post: post.identity)

    @property
    def ids(self) -> PublicIds:
        return self._load_keys()[0]

    @property
    def link_key(self) -> bytes:
        return self._load_keys()[1]

    def _load_keys(self) -> tuple[PublicIds, bytes]:
        """Read on first use, so that the process starts while the database is still coming up."""
        if self._keys is None:
            from app.db import one
            from sql import queries

            with autocommit(self.pool) as conn:
                row = one(conn, queries.installation.get_keys)
            self._keys = PublicIds(bytes(row["id_key"])), bytes(row["link_key"])
        return self._keys


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, in which account. Exactly one of user_id and api_key_id is given."""

    account_id: int
    user_id: int | None
    api_key_id: int | None
    scopes: frozenset[str]
    is_demo: bool
    is_admin: bool


def services() -> Services:
    found: Services = current_app.extensions["mailtide"]
    return found


def caller() -> Caller:
    """The caller of the current request. Only in routes with `@requires`."""
    found: Caller = g.caller
    return found


def requires(scope: Scope, *, is_rechecked: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """State who may use a route. A session has the scopes of its user's role; an API key those it was made with.

    is_rechecked  the command's own statement checks that the key still holds, so what was known of it some seconds ago will
                  do here: that saves the busiest call a round trip.

    Raises NotSignedIn without a valid key or session, NotPermitted without the scope.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            g.caller = authorise(request, services(), scope, is_rechecked=is_rechecked)
            return view(*args, **kwargs)

        guarded._requires = scope  # type: ignore[attr-defined]
        return guarded

    return decorate


def authorise(request: Request, services: Services, scope: Scope, *, is_rechecked: bool = False) -> Caller:
    """The caller of a request, who may do what needs this scope. Raises as `requires` says."""
    from app.api.callers import load_caller

    found = load_caller(request, services, may_be_remembered=is_rechecked)
    if found is None:
        raise NotSignedIn("Sign in, or send an API key as `Authorization: Bearer mt_…`.")
    require_scope(found, scope)
    return found


def require_scope(found: Caller, scope: Scope) -> None:
    """Raises NotPermitted when the caller does not have it."""
    if scope not in found.scopes:
        raise NotPermitted(_scope_missing(found, scope), code="scope_missing")


def read_request_id(given: str) -> str:
    """What the client calls its request, if that is fit to be said again, or a new name."""
    return given if _REQUEST_ID.match(given) else os.urandom(16).hex()


def _scope_missing(found: Caller, scope: Scope) -> str:
    if found.user_id is not None:
        return "Only an owner of this account may do this. Ask one of them."
    return f"This API key has no `{scope}` scope."


def parse_id(kind: Kind, text: str) -> int:
    """The bigint behind a public id in a path. Raises NotFound for anything that is not one of this kind."""
    number = services().ids.decode(kind, text)
    if number is None:
        raise NotFound(f"There is no {kind.replace('_', ' ')} with this id.")
    return number


@contextmanager
def reading() -> Iterator[Conn]:
    """A connection for reads: every statement is its own transaction, which saves two round trips."""
    with autocommit(services().pool) as conn:
        yield conn


def run_command(
    command: Callable[[Conn], Any], *, status: int = 200, body_hash: bytes | None = None,
    unfold: Callable[[bytes], bytes] | None = None,
) -> Response:  # fmt: skip
    """Run one command in one transaction, once for each Idempotency-Key.

    command    (conn) -> what JSON can say; None for an answer without a body.
    body_hash  SHA-256 of a body that the view has streamed and that cannot be read again.
    unfold     makes the body of the answer of what `command` said, where that is shorter: only this is kept for a repetition.
    """
    key = read_key(request, account_id=caller().account_id, user_id=caller().user_id, body_hash=body_hash)
    with transaction(services().pool) as conn:
        answer = None if key is None else find_answer(conn, key)
        is_replayed = answer is not None
        if answer is None:
            result = command(conn)
            answer = StoredAnswer(status, b"" if result is None else to_json(result))
            if key is not None:
                keep_answer(conn, key, answer, now=utc_now())
    if unfold is not None:
        answer = StoredAnswer(answer.status, unfold(answer.body))
    if is_replayed:
        return replay(answer)
    return Response(answer.body, status=status, content_type="application/json")


def to_json(data: Any) -> bytes:
    return orjson.dumps(data, default=_encode_other, option=_JSON_OPTIONS)


def json_response(data: Any, status: int = 200) -> Response:
    return Response(b"" if data is None else to_json(data), status=status, content_type="application/json")


def etag_json(data: Any, status: int = 200) -> Response:
    """JSON with an ETag of its content; 304 without a body when the client has it already. For polled reads."""
    body = to_json(data)
    etag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    if request.if_none_match.contains_weak(etag.strip('"')):
        answer = Response(status=304)
    else:
        answer = Response(body, status=status, content_type="application/json")
    answer.headers["ETag"] = etag
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _encode_other(value: Any) -> Any:
    """What orjson does not know. A datetime without zone would be a bug, and orjson would let it pass: see `_utc`."""
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    from decimal import Decimal

    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"{type(value).__name__} cannot be said in JSON")
