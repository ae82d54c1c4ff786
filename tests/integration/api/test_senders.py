"""Senders over the API."""

from typing import Any


def test_a_sender_is_made_changed_and_deleted(api: Any) -> None:
    made = api.post("/senders", {"name": "News", "email": "News@Example.test", "reply_to": "r@example.test"})
    assert made.status_code == 201, made.json
    assert (made.json["is_default"], made.json["relay_id"]) == (False, None)
    path = f"/senders/{made.json['id']}"
    changed = api.patch(path, {"name": "Other", "reply_to": None}).json
    assert (changed["name"], changed["reply_to"], changed["email"]) == ("Other", None, made.json["email"])
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_there_is_always_exactly_one_default(api: Any) -> None:
    first = api.get("/senders").json["data"][0]
    second = api.post("/senders", {"email": "b@example.test", "is_default": True}).json
    assert second["is_default"]
    assert not api.get(f"/senders/{first['id']}").json["is_default"]
    refused = api.patch(f"/senders/{second['id']}", {"is_default": False})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/is_default")
    assert api.delete(f"/senders/{second['id']}").json["code"] == "in_use"
    assert api.patch(f"/senders/{first['id']}", {"is_default": True}).json["is_default"]
    assert api.delete(f"/senders/{second['id']}").status_code == 204


def test_an_accounts_first_sender_is_its_default(api: Any) -> None:
    assert api.delete(f"/senders/{api.get('/senders').json['data'][0]['id']}").status_code == 204
    assert api.post("/senders", {"email": "a@example.test"}).json["is_default"]


def test_a_sender_that_a_campaign_uses_stays(api: Any) -> None:
    sender = api.get("/senders").json["data"][0]
    assert api.post("/campaigns", {"name": "News", "sender_id": sender["id"]}).status_code == 201
    assert api.delete(f"/senders/{sender['id']}").status_code == 409


def test_headers_cannot_be_injected_and_addresses_are_checked(api: Any) -> None:
    for body, pointer in (
        ({"email": "nobody"}, "/email"),
        ({"email": "a@example.test\r\nBcc: b@example.test"}, "/email"),
        ({"email": "a@example.test", "name": "A\r\nBcc: b@example.test"}, "/name"),
        ({"email": "a@example.test", "reply_to": "no"}, "/reply_to"),
        ({"email": "a@example.test", "relay_id": "rly_nope_"}, "/relay_id"),
        ({"name": "A"}, "/email"),
    ):
        answer = api.post("/senders", body)
        assert (answer.status_code, [fault["pointer"] for fault in answer.json["errors"]]) == (422, [pointer])


def test_another_accounts_sender_is_not_there(api: Any, make_api: Any) -> None:
    path, other = f"/senders/{api.get('/senders').json['data'][0]['id']}", make_api()
    answers = [other.get(path), other.patch(path, {"name": "B"}), other.delete(path)]
    assert {answer.status_code for answer in answers} == {404}


def test_senders_are_for_administrators_to_change(make_api: Any) -> None:
    sender = make_api(scopes=("read", "send"))
    assert sender.get("/senders").status_code == 200
    assert sender.post("/senders", {"email": "a@example.test"}).status_code == 403
