"""Contacts, lists and suppressions over the API."""

from collections.abc import Callable
from typing import Any

import pytest

from app.reads import contacts as contact_reads

Api = Any  # the fixture of tests/integration/conftest.py


def make(api: Api, email: str, **fields: Any) -> dict[str, Any]:
    made = api.post("/contacts", {"email": email, **fields})
    assert made.status_code == 201, made.json
    found: dict[str, Any] = made.json
    return found


def test_a_contact_is_made_changed_and_deleted(api: Api) -> None:
    made = make(api, "ada@x.test", attributes={"first_name": "Ada", "age": 36, "vip": True, "gone": None})
    assert made["attributes"] == {"first_name": "Ada", "age": "36", "vip": "true"}
    changed = api.patch(f"/contacts/{made['id']}", {"attributes": {"age": None, "city": "London"}}).json
    assert changed["attributes"] == {"first_name": "Ada", "vip": "true", "city": "London"}
    assert api.patch(f"/contacts/{made['id']}", {"email": "countess@x.test"}).json["email"] == "countess@x.test"
    assert api.delete(f"/contacts/{made['id']}").status_code == 204
    assert api.get(f"/contacts/{made['id']}").status_code == 404


def test_an_address_is_one_contact_whatever_its_case(api: Api) -> None:
    make(api, "ada@x.test")
    again = api.post("/contacts", {"email": "ADA@x.test"})
    assert (again.status_code, again.json["code"]) == (409, "already_exists")
    other = make(api, "ben@x.test")
    assert api.patch(f"/contacts/{other['id']}", {"email": "Ada@x.test"}).status_code == 409
    assert api.patch(f"/contacts/{other['id']}", {"email": "Ben@x.test"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/email"),
        ({"email": "not an address"}, "/email"),
        ({"email": "a@x.test\r\nBcc: b@x.test"}, "/email"),
        ({"email": "a@x.test", "colour": 1}, "/colour"),
        ({"email": "a@x.test", "attributes": {"a b": "x"}}, "/attributes/a b"),
        ({"email": "a@x.test", "attributes": {"email": "x"}}, "/attributes/email"),
        ({"email": "a@x.test", "attributes": {"x": ["y"]}}, "/attributes/x"),
        ({"email": "a@x.test", "attributes": {"x": "a\0b"}}, "/attributes/x"),
        ({"email": "a@x.test", "attributes": {f"a{n}": "x" for n in range(65)}}, "/attributes"),
        ({"email": "a@x.test", "attributes": {"x": "y" * 20_000, "z": "y" * 20_000}}, "/attributes"),
    ],
)
def test_a_contact_that_cannot_be_stored_is_refused_with_a_pointer(
    api: Api, body: dict[str, Any], pointer: str
) -> None:
    answer = api.post("/contacts", body)
    assert answer.status_code == 422, answer.json
    assert [fault["pointer"] for fault in answer.json["errors"]] == [pointer]
    assert api.value("SELECT count(*) FROM contacts") == 0


def test_contacts_come_by_page_newest_first_and_are_found_by_address_and_name(api: Api) -> None:
    for number in range(5):
        make(api, f"p{number}@x.test", attributes={"last_name": f"Numeral{number}"})
    first = api.get("/contacts?limit=3").json
    assert [row["email"] for row in first["data"]] == ["p4@x.test", "p3@x.test", "p2@x.test"]
    second = api.get(f"/contacts?limit=3&cursor={first['next_cursor']}").json
    assert [row["email"] for row in second["data"]] == ["p1@x.test", "p0@x.test"]
    assert second["next_cursor"] is None
    assert [row["email"] for row in api.get("/contacts?q=P3@X.test").json["data"]] == ["p3@x.test"]
    assert [row["email"] for row in api.get("/contacts?q=numeral2").json["data"]] == ["p2@x.test"]
    assert api.get("/contacts?q=%25").json["data"] == []


def test_a_search_looks_through_so_many_contacts_at_a_time_and_goes_on_where_it_stopped(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_reads, "SCAN_LIMIT", 4)
    for number in range(10):
        make(api, f"{'rare' if number in (0, 1, 7) else 'p'}{number}@x.test")
    found, sizes, cursor = [], [], ""
    while cursor is not None:
        page = api.get(f"/contacts?q=rare&limit=1{cursor and f'&cursor={cursor}'}").json
        found += [row["email"] for row in page["data"]]
        sizes.append(len(page["data"]))
        cursor = page["next_cursor"]
        assert len(sizes) < 10
    assert found == ["rare7@x.test", "rare1@x.test", "rare0@x.test"]
    assert 0 in sizes, "a page without a match is a page, and not the end"


def test_a_list_counts_its_members_through_every_way_in_and_out(api: Api) -> None:
    news = api.post("/lists", {"name": "News", "description": "Weekly"}).json
    path = f"/lists/{news['id']}"
    ada = make(api, "ada@x.test", list_ids=[news["id"]])
    ben = make(api, "ben@x.test")
    added = api.post(
        f"{path}/contacts", {"contact_ids": [ada["id"], ben["id"]], "emails": ["New@x.test", "ben@x.test"]}
    )
    assert (added.json["added"], added.json["list"]["contact_count"]) == (2, 3)
    assert {row["email"] for row in api.get(f"/contacts?list_id={news['id']}").json["data"]} == {
        "ada@x.test",
        "ben@x.test",
        "New@x.test",
    }
    assert [row["email"] for row in api.get(f"/contacts?list_id={news['id']}&q=be").json["data"]] == ["ben@x.test"]
    removed = api.delete(f"{path}/contacts", {"emails": ["NEW@x.test", "nobody@x.test"]})
    assert (removed.json["removed"], removed.json["list"]["contact_count"]) == (1, 2)
    api.delete(f"/contacts/{ada['id']}")
    assert api.get(path).json["contact_count"] == 1
    assert api.get("/lists").json["data"][0]["contact_count"] == 1
    assert api.get(f"/contacts/{ben['id']}").json["list_ids"] == [news["id"]]
    assert api.delete(path).status_code == 204
    assert api.get(f"/contacts/{ben['id']}").json["list_ids"] == []


def test_lists_have_one_name_each(api: Api) -> None:
    api.post("/lists", {"name": "News"})
    other = api.post("/lists", {"name": "Other"}).json
    assert api.post("/lists", {"name": "News"}).status_code == 409
    assert api.patch(f"/lists/{other['id']}", {"name": "News"}).status_code == 409
    assert api.patch(f"/lists/{other['id']}", {"name": "More", "description": "x"}).json["name"] == "More"


def test_a_list_that_a_campaign_needs_is_not_deleted(api: Api) -> None:
    news = api.post("/lists", {"name": "News"}).json
    made = api.post("/campaigns", {"name": "C", "subject": "S", "text": "T", "audience": {"list_ids": [news["id"]]}})
    assert made.status_code == 201, made.json
    answer = api.delete(f"/lists/{news['id']}")
    assert (answer.status_code, answer.json["code"]) == (409, "in_use")


def test_a_suppression_is_made_once_found_and_lifted(api: Api) -> None:
    made = api.post("/suppressions", {"email": "Ada@x.test", "reason": "unsubscribe"})
    assert (made.status_code, made.json["email"]) == (201, "ada@x.test")
    stronger = api.post("/suppressions", {"email": "ada@x.test", "note": "asked by phone"}).json
    assert (stronger["id"], stronger["reason"]) == (made.json["id"], "manual")
    weaker = api.post("/suppressions", {"email": "ada@x.test", "reason": "unsubscribe"}).json
    assert (weaker["reason"], weaker["note"]) == ("manual", "asked by phone")
    assert [row["id"] for row in api.get("/suppressions?q=ADA").json["data"]] == [made.json["id"]]
    assert api.get("/suppressions?reason=complaint").json["data"] == []
    assert api.delete(f"/suppressions/{made.json['id']}").status_code == 204
    assert api.get(f"/suppressions/{made.json['id']}").status_code == 404


def test_another_accounts_ids_are_not_there_and_nothing_of_it_changes(api: Api, make_api: Callable[..., Api]) -> None:
    other = make_api()
    contact, list_ = make(api, "ada@x.test"), api.post("/lists", {"name": "News"}).json
    suppression = api.post("/suppressions", {"email": "ada@x.test"}).json
    theirs = other.post("/lists", {"name": "News"}).json
    for method, path, body in [
        ("GET", f"/contacts/{contact['id']}", None),
        ("PATCH", f"/contacts/{contact['id']}", {"attributes": {"x": "y"}}),
        ("DELETE", f"/contacts/{contact['id']}", None),
        ("GET", f"/lists/{list_['id']}", None),
        ("PATCH", f"/lists/{list_['id']}", {"name": "Mine"}),
        ("DELETE", f"/lists/{list_['id']}", None),
        ("POST", f"/lists/{list_['id']}/contacts", {"emails": ["b@x.test"]}),
        ("POST", f"/lists/{theirs['id']}/contacts", {"contact_ids": [contact["id"]]}),
        ("DELETE", f"/lists/{list_['id']}/contacts", {"emails": ["ada@x.test"]}),
        ("GET", f"/contacts?list_id={list_['id']}", None),
        ("POST", "/contacts", {"email": "c@x.test", "list_ids": [list_["id"]]}),
        ("GET", f"/suppressions/{suppression['id']}", None),
        ("DELETE", f"/suppressions/{suppression['id']}", None),
        ("GET", f"/contacts/{list_['id']}", None),
    ]:
        assert other.call(method, path, body).status_code == 404, (method, path)
    assert other.get("/contacts").json["data"] == []
    assert other.get("/contacts?q=ada@x.test").json["data"] == []
    assert other.get("/suppressions").json["data"] == []
    assert api.value("SELECT count(*) FROM contacts") == 1


def test_a_repeated_post_with_a_key_is_one_contact(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    first = api.post("/contacts", {"email": "a@x.test"}, headers=key)
    second = api.post("/contacts", {"email": "a@x.test"}, headers=key)
    assert (second.status_code, second.json) == (201, first.json)
