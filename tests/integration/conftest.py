"""An application on a fresh database, and a client that speaks to it as one account.

def test_…(api):            # api.get("/limits"), api.post("/messages", {…})
def test_…(api, make_api):  # other = make_api(): the same installation, another account
"""

import hashlib
import itertools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from psycopg.rows import dict_row
from werkzeug.test import TestResponse

from app.api.context import Services
from app.settings import Settings
from app.web import close_app, create_app

_numbers = itertools.count(1)


@dataclass
class Api:
    """One account's view of the API, with an API key of its own."""

    app: APIFlask
    client: FlaskClient
    account_id: int
    key: str
    conn: psycopg.Connection[dict[str, Any]]  #: autocommit; for arranging and for looking

    @property
    def services(self) -> Services:
        return self.app.extensions["mailtide"]

    def id(self, kind: Any, number: int) -> str:
        return self.services.ids.encode(kind, number)

    def number(self, kind: Any, text: str) -> int:
        found = self.services.ids.decode(kind, text)
        assert found is not None, text
        return found

    def call(
        self, method: str, path: str, json: Any = None, *, headers: dict[str, str] | None = None, **options: Any
    ) -> TestResponse:
        """`path` is below /api/v1 unless it begins with `//`, which means the root."""
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"
        if json is not None:
            options["json"] = json
        return self.client.open(
            url, method=method, headers={"Authorization": f"Bearer {self.key}", **(headers or {})}, **options
        )

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.call("PATCH", path, json, **options)

    def delete(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.call("DELETE", path, json, **options)

    def rows(self, statement: str, **params: Any) -> list[dict[str, Any]]:
        return self.conn.execute(statement.encode(), params).fetchall()

    def row(self, statement: str, **params: Any) -> dict[str, Any]:
        found = self.rows(statement, **params)
        assert len(found) == 1, found
        return found[0]

    def value(self, statement: str, **params: Any) -> Any:
        return next(iter(self.row(statement, **params).values()))


def insert_account(conn: psycopg.Connection[Any], *, is_demo: bool = False, limit: int = 1000) -> int:
    """An account with what every account has: its limit and a default sender."""
    row = conn.execute(
        "INSERT INTO accounts (name, is_demo, transport) VALUES (%s, %s, 'sandbox') RETURNING account_id",
        (f"Account {next(_numbers)}", is_demo),
    ).fetchone()
    assert row is not None
    account_id = int(row["account_id"])
    conn.execute(
        "INSERT INTO limits (account_id, scope, max_count, window_s) VALUES (%s, 'account', %s, 3600)",
        (account_id, limit),
    )
    conn.execute(
        "INSERT INTO senders (account_id, name, email, is_default) VALUES (%s, 'Sender', %s, true)",
        (account_id, f"sender{account_id}@example.test"),
    )
    return account_id


def insert_api_key(
    conn: psycopg.Connection[Any], account_id: int, *, scopes: tuple[str, ...] = ("read", "send", "admin")
) -> str:
    """An API key; the secret comes back."""
    secret = f"mt_{secrets.token_urlsafe(32)}"
    conn.execute(
        "INSERT INTO api_keys (account_id, name, prefix, secret_hash, scopes) VALUES (%s, 'test', %s, %s, %s)",
        (account_id, secret[:8], hashlib.sha256(secret.encode()).digest(), list(scopes)),
    )
    return secret


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        _env_file=None, database_url=database_url, redis_url=redis_url, web_threads=6, demo_mode=True,
        secret_key="a-secret-for-tests-that-is-long-enough-0123456789", log_level="warning",
    )  # fmt: skip


@pytest.fixture
def app(settings: Settings) -> Iterator[APIFlask]:
    made = create_app(settings)
    yield made
    close_app(made)


@pytest.fixture
def make_api(app: APIFlask, database_url: str) -> Iterator[Callable[..., Api]]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:

        def make(
            *, is_demo: bool = False, scopes: tuple[str, ...] = ("read", "send", "admin"), limit: int = 1000,
            account_id: int | None = None,
        ) -> Api:  # fmt: skip
            account = account_id or insert_account(conn, is_demo=is_demo, limit=limit)
            key = insert_api_key(conn, account, scopes=scopes)
            return Api(app, app.test_client(), account, key, conn)

        yield make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
