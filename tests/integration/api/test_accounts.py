"""Signing in by demo, sessions, API keys, and the owner that `make admin` makes."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from app.auth.sessions import LIFETIME
from app.auth.throttle import Throttle
from app.clock import utc_now
from app.commands.accounts import create_owner
from app.commands.api_keys import make_secret
from app.db import transaction
from app.domain.errors import InvalidInput
from app.settings import Settings
from app.web import close_app, create_app

Api = Any  # the fixture of tests/integration/conftest.py


@pytest.fixture
def visitor(app: APIFlask) -> FlaskClient:
    return app.test_client()


def test_a_demo_visitor_gets_a_filled_account_of_their_own(app: APIFlask, api: Api) -> None:
    one, two = app.test_client(), app.test_client()
    first, second = one.post("/auth/demo"), two.post("/auth/demo")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["account"]["demo"]
    assert first.json["account"]["id"] != second.json["account"]["id"]
    me = one.get("/api/v1/me").json
    assert (me["account"]["id"], me["demo"]) == (first.json["account"]["id"], True)
    assert me["permissions"] == ["admin", "read", "send"]
    campaigns = {row["status"]: row for row in one.get("/api/v1/campaigns").json["data"]}
    assert set(campaigns) == {"sent", "scheduled"}  # nobody runs the engine here, so 'sending' is still 'scheduled'
    assert len(one.get("/api/v1/lists").json["data"]) == 2
    assert api.value("SELECT count(*) FROM accounts WHERE is_demo AND transport = 'sandbox'") == 2
    assert (
        api.value(
            "SELECT max_count FROM limits WHERE scope = 'account' AND account_id <> %(a)s LIMIT 1", a=api.account_id
        )
        == 10_000
    )


def test_the_seeded_ledger_adds_up(app: APIFlask, api: Api) -> None:
    app.test_client().post("/auth/demo")
    counts = api.row(
        "SELECT sum(total) AS total, sum(sent) AS sent, sum(failed) AS failed, sum(suppressed) AS gone FROM batches"
    )
    assert (counts["total"], counts["sent"] + counts["failed"] + counts["gone"]) == (480, 480)
    assert counts["failed"] == 7
    by_rows = api.rows(
        "SELECT b.batch_id FROM batches b JOIN messages m USING (batch_id) GROUP BY b.batch_id"
        " HAVING count(*) <> b.total OR count(*) FILTER (WHERE m.status = 'sent') <> b.sent"
        " OR min(m.message_id) <> b.first_message_id OR max(m.message_id) <> b.last_message_id"
    )
    assert by_rows == []
    assert api.value("SELECT sum(sent + failed) FROM throughput") == 480 - counts["gone"]
    assert api.value("SELECT count(*) FROM suppressions WHERE reason = 'hard_bounce'") == 7
    jobs = api.rows("SELECT task_name FROM procrastinate_jobs")
    assert [job["task_name"] for job in jobs] == ["launch_campaign", "launch_campaign"]


def test_the_account_that_make_seed_made_goes_to_one_visitor(app: APIFlask, api: Api, settings: Settings) -> None:
    from app.commands import demo

    with transaction(api.services.pool) as conn:
        assert demo.seed(conn, settings=settings, now=utc_now())
        assert not demo.seed(conn, settings=settings, now=utc_now())
    ids = {app.test_client().post("/auth/demo").json["account"]["id"] for _ in range(2)}
    assert len(ids) == 2
    assert api.value("SELECT count(*) FROM accounts WHERE is_demo") == 2


def test_without_demo_mode_there_is_no_demo(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"demo_mode": False}))
    try:
        client = app.test_client()
        assert client.post("/auth/demo").status_code == 404
        assert client.get("/auth/options").json == {"demo": False, "google": False, "signed_in": False}
        assert client.get("/auth/google/login").status_code == 404
    finally:
        close_app(app)


def test_the_session_cookie_is_closed_to_scripts_and_only_its_hash_is_stored(visitor: FlaskClient, api: Api) -> None:
    cookie = visitor.post("/auth/demo").headers["Set-Cookie"]
    assert cookie.startswith("mailtide=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    value = visitor.get_cookie("mailtide").value
    assert len(value) >= 43
    assert bytes(api.value("SELECT session_hash FROM sessions")) == hashlib.sha256(value.encode()).digest()


def test_over_https_the_cookie_is_secure_and_bound_to_the_host(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"base_url": "https://mail.example.test"}))
    try:
        cookie = app.test_client().post("/auth/demo", base_url="https://mail.example.test").headers["Set-Cookie"]
        assert cookie.startswith("__Host-mailtide=")
        assert "Secure" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
    finally:
        close_app(app)


def test_signing_out_ends_the_session_for_every_copy_of_its_cookie(app: APIFlask, visitor: FlaskClient) -> None:
    visitor.post("/auth/demo")
    copy = app.test_client()
    copy.set_cookie("mailtide", visitor.get_cookie("mailtide").value)
    assert copy.get("/api/v1/me").status_code == 200
    assert visitor.post("/auth/logout").status_code == 204
    assert visitor.get_cookie("mailtide") is None
    assert copy.get("/api/v1/me").status_code == 401


def test_a_session_ends_after_thirty_days(visitor: FlaskClient, api: Api) -> None:
    visitor.post("/auth/demo")
    assert api.value("SELECT expires_at - created_at FROM sessions") == LIFETIME
    api.conn.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
    assert visitor.get("/api/v1/me").status_code == 401


def test_a_made_up_cookie_is_nobody(visitor: FlaskClient) -> None:
    for value in ("x", "x" * 5000, "\u00e9", ""):
        visitor.set_cookie("mailtide", value)
        assert visitor.get("/api/v1/me").status_code == 401


def test_a_page_of_another_site_cannot_use_the_session(visitor: FlaskClient) -> None:
    visitor.post("/auth/demo")
    answer = visitor.post("/auth/logout", headers={"Origin": "https://evil.test"})
    assert (answer.status_code, answer.json["code"]) == (403, "cross_site")
    assert visitor.get("/api/v1/me").status_code == 200


def test_an_api_key_works_within_its_scopes_until_it_is_revoked(api: Api, app: APIFlask) -> None:
    made = api.post("/api-keys", {"name": "CI", "scopes": ["read"]})
    assert made.status_code == 201
    secret = made.json["secret"]
    assert secret.startswith("mt_")
    assert made.json["prefix"] == secret[:8]
    bearer, client = {"Authorization": f"Bearer {secret}"}, app.test_client()
    me = client.get("/api/v1/me", headers=bearer)
    assert (me.json["user"], me.json["scopes"]) == (None, ["read"])
    refused = client.post("/api/v1/api-keys", json={"name": "More", "scopes": ["admin"]}, headers=bearer)
    assert refused.status_code == 403
    listed = next(row for row in api.get("/api-keys").json["data"] if row["id"] == made.json["id"])
    assert "secret" not in listed
    assert api.delete(f"/api-keys/{made.json['id']}").status_code == 204
    assert client.get("/api/v1/me", headers=bearer).status_code == 401
    assert api.delete(f"/api-keys/{made.json['id']}").status_code == 404


def test_the_secret_is_stored_nowhere_not_even_for_a_repeated_request(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first = api.post("/api-keys", {"name": "CI", "scopes": ["read"]}, headers=key)
    second = api.post("/api-keys", {"name": "CI", "scopes": ["read"]}, headers=key)
    assert first.json["secret"].startswith("mt_")
    assert (second.json["id"], second.json["secret"]) == (first.json["id"], None)
    assert first.json["secret"].encode() not in bytes(api.value("SELECT response FROM idempotency_keys"))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["root"]}, "/scopes/0"),
        ({"name": "x\r\ny", "scopes": ["read"]}, "/name"),
        ({"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(api: Api, body: dict[str, Any], pointer: str) -> None:
    answer = api.post("/api-keys", body)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]


def test_an_expired_key_is_refused(api: Api) -> None:
    api.conn.execute("UPDATE api_keys SET expires_at = now() - interval '1 second'")
    assert api.get("/me").status_code == 401


def test_another_accounts_key_cannot_be_revoked(api: Api, make_api: Callable[..., Api]) -> None:
    made = api.post("/api-keys", {"name": "CI", "scopes": ["read"]}).json
    assert make_api().delete(f"/api-keys/{made['id']}").status_code == 404


def test_keys_are_256_random_bits_in_base_62() -> None:
    secrets = {make_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(secret) == 46 and secret[3:].isalnum() for secret in secrets)


def test_make_admin_twice_is_one_account_with_two_keys(api: Api, app: APIFlask) -> None:
    with transaction(api.services.pool) as conn:
        first = create_owner(conn, email="owner@example.test", limit_per_hour=500, now=utc_now())
        second = create_owner(conn, email="Owner@example.test", limit_per_hour=500, now=utc_now())
    assert first.account_id == second.account_id
    assert first.secret != second.secret
    me = app.test_client().get("/api/v1/me", headers={"Authorization": f"Bearer {second.secret}"}).json
    assert me["scopes"] == ["admin", "read", "send"]
    assert (me["demo"], me["account"]["transport"]) == (False, "relay")
    assert api.value("SELECT max_count FROM limits WHERE account_id = %(a)s", a=first.account_id) == 500
    with transaction(api.services.pool) as conn, pytest.raises(InvalidInput):
        create_owner(conn, email="nonsense", limit_per_hour=500, now=utc_now())


def test_the_throttle_lets_a_burst_through_then_one_at_a_time() -> None:
    throttle = Throttle(burst=3, every_s=2.0)
    assert [throttle.take("a", now_s=100.0) for _ in range(4)] == [0, 0, 0, 2.0]
    assert throttle.take("b", now_s=100.0) == 0
    assert throttle.take("a", now_s=102.0) == 0
    assert throttle.take("a", now_s=102.5) == 1.5
    assert timedelta(seconds=throttle.take("a", now_s=200.0)) == timedelta(0)
