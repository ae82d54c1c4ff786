"""Relays over the API."""

from typing import Any

import pytest

from app.secrets import Sealer

RELAY = {"name": "Main", "host": "smtp.example.com", "username": "me", "password": "s3cret-Passw0rd"}


def test_a_relay_is_made_with_a_password_that_never_comes_out(api: Any, settings: Any) -> None:
    made = api.post("/relays", RELAY)
    assert made.status_code == 201, made.json
    assert (made.json["port"], made.json["tls"], made.json["has_password"]) == (587, "starttls", True)
    for answer in (made, api.get("/relays"), api.get(f"/relays/{made.json['id']}")):
        assert "s3cret" not in answer.text
    row = api.row("SELECT relay_id, password_sealed FROM relays")
    assert b"s3cret" not in row["password_sealed"]
    opened = Sealer(settings.secret_key).open_password(
        bytes(row["password_sealed"]), account_id=api.account_id, relay_id=row["relay_id"]
    )
    assert opened == "s3cret-Passw0rd"


def test_a_changed_relay_keeps_its_password_and_null_takes_it_away(api: Any) -> None:
    path = f"/relays/{api.post('/relays', RELAY).json['id']}"
    before = api.value("SELECT password_sealed FROM relays")
    assert api.patch(path, {"name": "Other"}).json["has_password"]
    assert api.value("SELECT password_sealed FROM relays") == before
    assert not api.patch(path, {"password": None}).json["has_password"]


def test_a_stored_password_does_not_follow_to_another_server(api: Any) -> None:
    path = f"/relays/{api.post('/relays', RELAY).json['id']}"
    refused = api.patch(path, {"host": "smtp.elsewhere.example"})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/password")
    assert api.patch(path, {"host": "smtp.elsewhere.example", "password": "new"}).status_code == 200


def test_a_paused_relay_may_go_again_once_its_owner_has_changed_it(api: Any) -> None:
    path = f"/relays/{api.post('/relays', RELAY).json['id']}"
    api.conn.execute("UPDATE relays SET paused_at = now(), pause_reason = '535 5.7.8 no'")
    assert api.get(path).json["pause_reason"] == "535 5.7.8 no"
    assert api.patch(path, {"password": "right"}).json["paused_at"] is None


def test_one_relay_is_the_default(api: Any) -> None:
    first = api.post("/relays", {**RELAY, "is_default": True}).json
    second = api.post("/relays", {**RELAY, "name": "Second", "is_default": True}).json
    assert second["is_default"]
    assert not api.get(f"/relays/{first['id']}").json["is_default"]


def test_a_relay_that_senders_use_stays(api: Any) -> None:
    relay = api.post("/relays", RELAY).json
    assert api.post("/senders", {"email": "a@example.test", "relay_id": relay["id"]}).status_code == 201
    assert api.delete(f"/relays/{relay['id']}").json["code"] == "in_use"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"host": "127.0.0.1"}, "/host"),
        ({"host": "localhost"}, "/host"),
        ({"host": "169.254.169.254"}, "/host"),
        ({"host": "::ffff:127.0.0.1"}, "/host"),
        ({"host": "64:ff9b::7f00:1"}, "/host"),
        ({"host": "2130706433"}, "/host"),
        ({"host": "a.example.com\r\nX"}, "/host"),
        ({"port": 5432}, "/port"),
        ({"port": 70000}, "/port"),
        ({"tls": "none"}, "/tls"),
        ({"tls": "maybe"}, "/tls"),
        ({"username": None}, "/username"),
        ({"password": "a\r\nb"}, "/password"),
    ],
)
def test_a_relay_that_leads_inside_or_cannot_work_is_refused(api: Any, changes: dict[str, Any], pointer: str) -> None:
    answer = api.post("/relays", {**RELAY, **changes})
    assert (answer.status_code, [fault["pointer"] for fault in answer.json["errors"]]) == (422, [pointer])
    assert api.value("SELECT count(*) FROM relays") == 0


def test_a_demo_account_has_no_relay(make_api: Any) -> None:
    demo = make_api(is_demo=True)
    answer = demo.post("/relays", RELAY)
    assert (answer.status_code, answer.json["code"]) == (403, "demo_not_allowed")


def test_another_accounts_relay_is_not_there(api: Any, make_api: Any) -> None:
    relay, other = api.post("/relays", RELAY).json, make_api()
    path = f"/relays/{relay['id']}"
    answers = [other.get(path), other.patch(path, {"name": "B"}), other.delete(path)]
    assert {answer.status_code for answer in answers} == {404}
    assert other.post("/senders", {"email": "a@example.test", "relay_id": relay["id"]}).status_code == 422
