"""Templates over the API."""

from typing import Any


def test_a_template_is_kept_changed_found_and_deleted(api: Any) -> None:
    made = api.post("/templates", {"name": "Welcome", "subject": "Hi {{ first_name }}", "html": "<p>Hi</p>"})
    assert made.status_code == 201, made.json
    path = f"/templates/{made.json['id']}"
    assert api.get(path).json == made.json
    changed = api.patch(path, {"text": "Hi"}).json
    assert (changed["name"], changed["html"], changed["text"]) == ("Welcome", "<p>Hi</p>", "Hi")
    assert [item["id"] for item in api.get("/templates?q=welc").json["data"]] == [made.json["id"]]
    assert "html" not in api.get("/templates").json["data"][0]
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.delete(path).status_code == 404


def test_a_name_is_taken_once(api: Any) -> None:
    first, second = api.post("/templates", {"name": "A"}), api.post("/templates", {"name": "B"})
    assert (first.status_code, second.status_code) == (201, 201)
    for answer in (api.post("/templates", {"name": "A"}), api.patch(f"/templates/{second.json['id']}", {"name": "A"})):
        assert (answer.status_code, answer.json["code"]) == (409, "already_exists")


def test_a_template_that_does_not_parse_is_refused_and_unknown_tags_are_not(api: Any) -> None:
    broken = api.post("/templates", {"name": "A", "html": "{{ first_name"})
    assert (broken.status_code, broken.json["errors"][0]["pointer"]) == (422, "/html")
    assert api.post("/templates", {"name": "A", "html": "{{ anything }}"}).status_code == 201


def test_another_accounts_template_is_not_there(api: Any, make_api: Any) -> None:
    path = f"/templates/{api.post('/templates', {'name': 'A'}).json['id']}"
    other = make_api()
    answers = [other.get(path), other.patch(path, {"name": "B"}), other.delete(path)]
    assert {answer.status_code for answer in answers} == {404}
    assert other.get("/templates").json["data"] == []
