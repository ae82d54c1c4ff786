"""The team: who is let in, what they may do, and that an account always keeps an owner."""

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.commands.accounts import Identity, create_owner, sign_in
from app.commands.team import set_role
from app.db import transaction
from app.domain.errors import Conflict, NotPermitted

Api = Any  # the fixture of tests/integration/conftest.py
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@dataclass
class Person:
    """Somebody with a session, as a browser has it."""

    client: FlaskClient
    user_id: int
    id: str

    def call(self, method: str, path: str, json: Any = None) -> Any:
        return self.client.open(f"/api/v1{path}", method=method, json=json)


def enter(api: Api, *, role: str = "owner", email: str | None = None, user_id: int | None = None) -> Person:
    """Make somebody a member with a session, unless `user_id` says who it is already."""
    if user_id is None:
        user_id = api.value(
            "INSERT INTO users (iss, sub, email, name, last_login_at) "
            "VALUES ('https://id.test', %(sub)s, %(email)s, 'Somebody', now()) RETURNING user_id",
            sub=secrets.token_hex(4), email=email or f"{secrets.token_hex(4)}@example.test",
        )  # fmt: skip
        api.conn.execute(
            "INSERT INTO memberships (account_id, user_id, role, entered_at) VALUES (%s, %s, %s, now())",
            (api.account_id, user_id, role),
        )
    cookie = secrets.token_urlsafe(32)
    api.conn.execute(
        "INSERT INTO sessions (session_hash, user_id, account_id, expires_at) VALUES (%s, %s, %s, now() + interval '1 day')",
        (hashlib.sha256(cookie.encode()).digest(), user_id, api.account_id),
    )
    client = api.app.test_client()
    client.set_cookie("mailtide", cookie)
    return Person(client, user_id, api.id("user", user_id))


def identity(email: str, sub: str = "1") -> Identity:
    return Identity(iss="https://id.test", sub=sub, email=email, name="Ada", picture_url=None)


def come_in(api: Api, settings: Any, who: Identity) -> Any:
    with transaction(api.services.pool) as conn:
        return sign_in(conn, who, settings=settings, now=NOW)


def test_the_team_is_listed_with_who_you_are_and_who_never_came(api: Api) -> None:
    owner = enter(api, email="owner@example.test")
    added = owner.call("POST", "/team", {"email": "New@example.test"})
    assert added.status_code == 201, added.json
    assert (added.json["role"], added.json["pending"], added.json["you"]) == ("member", True, False)
    rows = owner.call("GET", "/team").json["data"]
    assert [(row["email"], row["role"], row["pending"], row["you"]) for row in rows] == [
        ("owner@example.test", "owner", False, True), ("New@example.test", "member", True, False),
    ]  # fmt: skip
    assert (rows[0]["last_login_at"] is None, rows[1]["last_login_at"]) == (False, None)
    assert rows[0]["joined_at"]
    first = owner.call("GET", "/team?limit=1").json
    assert owner.call("GET", f"/team?limit=1&cursor={first['next_cursor']}").json["data"] == rows[1:]


def test_a_key_of_admin_scope_adds_people_and_is_nobody_itself(api: Api) -> None:
    assert api.post("/team", {"email": "a@example.test", "role": "owner"}).status_code == 201
    assert [row["you"] for row in api.get("/team").json["data"]] == [False]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"email": "no"}, "/email"), ({"email": "a@b.test", "role": "admin"}, "/role"), ({}, "/email")],
)
def test_nonsense_is_refused(api: Api, body: dict[str, Any], pointer: str) -> None:
    answer = api.post("/team", body)
    assert (answer.status_code, [fault["pointer"] for fault in answer.json["errors"]]) == (422, [pointer])


def test_who_is_in_the_team_already_is_not_added_again(api: Api) -> None:
    enter(api, email="a@example.test")
    answer = api.post("/team", {"email": "A@Example.test", "role": "member"})
    assert (answer.status_code, answer.json["code"]) == (409, "already_member")
    assert api.value("SELECT count(*) FROM users") == 1


def test_a_person_who_is_known_here_is_let_in_at_once_and_known_to_the_account_when_they_enter_it(
    api: Api, make_api: Any
) -> None:
    other = make_api()
    known = enter(other, email="known@example.test")
    answer = api.post("/team", {"email": "known@example.test"})
    assert (answer.status_code, answer.json["id"]) == (201, known.id)
    # Adding an address tells nothing about whose it is, nor whether they use this installation.
    assert (answer.json["pending"], answer.json["name"], answer.json["last_login_at"]) == (True, "", None)
    assert [(row["name"], row["last_login_at"]) for row in api.get("/team").json["data"]] == [("", None)]
    accounts = {account["role"]: account for account in known.call("GET", "/me").json["accounts"]}
    assert (accounts["owner"]["current"], accounts["member"]["current"]) == (True, False)
    assert known.call("POST", "/me/account", {"account_id": accounts["member"]["id"]}).status_code == 200
    (row,) = api.get("/team").json["data"]
    assert (row["pending"], row["name"], row["last_login_at"] is None) == (False, "Somebody", False)


def test_an_invited_person_comes_in_although_no_domain_may_sign_up(api: Api, settings: Any) -> None:
    api.post("/team", {"email": "Invited@elsewhere.test", "role": "member"})
    who = come_in(api, settings, identity("invited@elsewhere.test"))
    assert who.account_id == api.account_id
    with pytest.raises(NotPermitted):  # the invitation was for one identity
        come_in(api, settings, identity("invited@elsewhere.test", sub="2"))


def test_somebody_whose_address_changed_to_an_invited_one_is_the_one_invited(
    api: Api, make_api: Any, settings: Any
) -> None:
    first, second = make_api(), api
    first.post("/team", {"email": "old@example.test", "role": "owner"})
    who = come_in(first, settings, identity("old@example.test"))
    second.post("/team", {"email": "new@example.test", "role": "member"})
    again = come_in(first, settings, identity("new@example.test"))
    assert (again.user_id, again.account_id) == (who.user_id, first.account_id)
    assert [(row["id"], row["name"]) for row in second.get("/team").json["data"]] == [(api.id("user", who.user_id), "")]
    assert api.value("SELECT count(*) FROM users") == 1


def test_a_withdrawn_invitation_lets_nobody_in(api: Api, settings: Any) -> None:
    enter(api)
    added = api.post("/team", {"email": "a@elsewhere.test"}).json
    assert api.delete(f"/team/{added['id']}").status_code == 204
    with pytest.raises(NotPermitted) as caught:
        come_in(api, settings, identity("a@elsewhere.test"))
    assert caught.value.error_code == "sign_up_closed"


def test_a_member_reads_and_sends_and_leaves_the_settings_alone(api: Api) -> None:
    member = enter(api, role="member")
    me = member.call("GET", "/me").json
    assert (me["role"], me["permissions"]) == ("member", ["read", "send"])
    assert member.call("POST", "/campaigns", {"name": "News"}).status_code == 201
    assert member.call("GET", "/team").status_code == 200
    for method, path, body in (
        ("POST", "/team", {"email": "a@example.test"}), ("PATCH", f"/team/{member.id}", {"role": "owner"}),
        ("DELETE", f"/team/{member.id}", None), ("POST", "/api-keys", {"name": "x", "scopes": ["admin"]}),
        ("POST", "/relays", {"name": "x", "host": "smtp.example.com"}),
    ):  # fmt: skip
        answer = member.call(method, path, body)
        assert (answer.status_code, answer.json["code"]) == (403, "scope_missing"), path
        assert answer.json["detail"].startswith("Only an owner")


def test_a_new_role_counts_from_the_next_request_on(api: Api) -> None:
    owner, other = enter(api), enter(api, role="member")
    assert owner.call("PATCH", f"/team/{other.id}", {"role": "owner"}).json["role"] == "owner"
    assert other.call("GET", "/me").json["permissions"] == ["admin", "read", "send"]
    assert other.call("PATCH", f"/team/{owner.id}", {"role": "member"}).status_code == 200
    assert owner.call("PATCH", f"/team/{other.id}", {"role": "member"}).status_code == 403


def test_removing_somebody_ends_their_sessions_here_and_nowhere_else(api: Api, make_api: Any) -> None:
    elsewhere = make_api()
    owner, other = enter(api), enter(api, role="owner")
    elsewhere.conn.execute(
        "INSERT INTO memberships (account_id, user_id, role) VALUES (%s, %s, 'owner')",
        (elsewhere.account_id, other.user_id),
    )
    there = enter(elsewhere, user_id=other.user_id)
    assert owner.call("DELETE", f"/team/{other.id}").status_code == 204
    assert other.call("GET", "/me").status_code == 401
    assert there.call("GET", "/me").status_code == 200
    assert api.value("SELECT count(*) FROM sessions WHERE user_id = %(u)s", u=other.user_id) == 1
    assert owner.call("DELETE", f"/team/{other.id}").status_code == 404
    assert api.get("/me").status_code == 200  # the account's keys stay


def test_the_last_owner_stays_one(api: Api) -> None:
    owner = enter(api)
    enter(api, role="member")
    for answer in (
        owner.call("PATCH", f"/team/{owner.id}", {"role": "member"}), owner.call("DELETE", f"/team/{owner.id}"),
    ):  # fmt: skip
        assert (answer.status_code, answer.json["code"]) == (409, "last_owner")
    assert owner.call("PATCH", f"/team/{owner.id}", {"role": "owner"}).status_code == 200


def test_an_owner_who_never_came_is_not_one_who_could_stay_alone(api: Api) -> None:
    ada = enter(api)
    invited = ada.call("POST", "/team", {"email": "typo@example.test", "role": "owner"}).json
    answer = ada.call("DELETE", f"/team/{ada.id}")
    assert (answer.status_code, answer.json["code"]) == (409, "last_owner")
    assert ada.call("DELETE", f"/team/{invited['id']}").status_code == 204


def test_two_owners_who_demote_each_other_at_once_leave_one(api: Api) -> None:
    """The second one's command has begun before the first one commits, and waits for it."""
    one, two = enter(api), enter(api)
    refused: list[Conflict] = []

    def demote_one() -> None:
        try:
            with transaction(api.services.pool) as conn:
                set_role(conn, account_id=api.account_id, user_id=one.user_id, role="member")
        except Conflict as error:
            refused.append(error)

    with transaction(api.services.pool) as conn:
        set_role(conn, account_id=api.account_id, user_id=two.user_id, role="member")
        thread = threading.Thread(target=demote_one)
        thread.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while api.value(waiting) == 0:
            assert thread.is_alive(), "the second one did not wait"
    thread.join()
    assert [error.error_code for error in refused] == ["last_owner"]
    assert api.value("SELECT count(*) FROM memberships WHERE role = 'owner'") == 1


def test_another_accounts_people_are_not_there(api: Api, make_api: Any) -> None:
    mine, other = enter(api), make_api()
    enter(other)
    answers = [other.patch(f"/team/{mine.id}", {"role": "member"}), other.delete(f"/team/{mine.id}")]
    assert {answer.status_code for answer in answers} == {404}
    assert mine.id not in {row["id"] for row in other.get("/team").json["data"]}
    assert api.patch("/team/usr_nope", {"role": "member"}).status_code == 404


def test_a_demo_account_has_no_team(api: Api) -> None:
    visitor = api.app.test_client()
    visitor.post("/auth/demo")
    answer = visitor.post("/api/v1/team", json={"email": "a@example.test"})
    assert (answer.status_code, answer.json["code"], answer.json["detail"]) == (
        403, "demo_not_allowed", "A demo account has no team.",
    )  # fmt: skip
    me = visitor.get("/api/v1/team").json["data"][0]
    assert (me["you"], me["role"], me["pending"]) == (True, "owner", False)
    assert visitor.delete(f"/api/v1/team/{me['id']}").status_code == 403


def test_a_person_in_two_accounts_changes_between_them(api: Api, make_api: Any) -> None:
    other, third = make_api(), make_api()
    person = enter(api)
    other.conn.execute(
        "INSERT INTO memberships (account_id, user_id, role) VALUES (%s, %s, 'member')",
        (other.account_id, person.user_id),
    )
    target = other.id("account", other.account_id)
    me = person.call("POST", "/me/account", {"account_id": target})
    assert me.status_code == 200, me.json
    assert (me.json["account"]["id"], me.json["role"], me.json["permissions"]) == (target, "member", ["read", "send"])
    assert person.call("GET", "/me").json == me.json
    assert [(choice["role"], choice["current"]) for choice in me.json["accounts"]] == [
        ("owner", False),
        ("member", True),
    ]
    assert person.call("POST", "/api-keys", {"name": "x", "scopes": ["read"]}).status_code == 403
    for unknown in (third.id("account", third.account_id), "acc_nope"):
        assert person.call("POST", "/me/account", {"account_id": unknown}).status_code == 404
    assert person.call("GET", "/me").json["account"]["id"] == target


def test_a_key_stays_with_its_account(api: Api, make_api: Any) -> None:
    other = make_api()
    answer = api.post("/me/account", {"account_id": other.id("account", other.account_id)})
    assert (answer.status_code, answer.json["code"]) == (403, "key_is_bound")
    me = api.get("/me").json
    assert (me["role"], me["accounts"], me["permissions"]) == (None, [], ["admin", "read", "send"])


def test_an_invitation_draws_nobody_out_of_their_own_account(api: Api, make_api: Any, settings: Any) -> None:
    other = make_api()  # the newer account of the two
    with transaction(api.services.pool) as conn:
        own = create_owner(conn, email="ada@example.test", limit_per_hour=100, now=NOW)
    who = come_in(other, settings, identity("ada@example.test"))
    assert who.account_id == own.account_id
    assert api.post("/team", {"email": "ada@example.test", "role": "owner"}).status_code == 201
    assert come_in(api, settings, identity("ada@example.test")).account_id == own.account_id
    with transaction(api.services.pool) as conn:
        again = create_owner(conn, email="ada@example.test", limit_per_hour=100, now=NOW)
    assert again.account_id == own.account_id, "a key of another's account, else"


def test_an_administrator_who_was_invited_first_is_one_in_an_account_of_their_own(api: Api, settings: Any) -> None:
    api.post("/team", {"email": "boss@example.test", "role": "owner"})
    named = settings.model_copy(update={"admin_emails": "boss@example.test"})
    who = come_in(api, named, identity("boss@example.test"))
    assert who.account_id != api.account_id
    assert api.value("SELECT is_admin FROM users WHERE user_id = %(id)s", id=who.user_id)


def test_an_idempotency_key_of_one_person_is_not_anothers(api: Api) -> None:
    ada, ben = enter(api), enter(api)
    body = {"account_id": api.id("account", api.account_id)}
    headers = {"Idempotency-Key": "same"}
    answers = [who.client.post("/api/v1/me/account", json=body, headers=headers) for who in (ada, ada, ben)]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert answers[2].status_code in (409, 422)
    assert ada.id not in answers[2].text


def test_make_admin_for_somebody_who_is_only_a_guest_makes_an_account_of_their_own(api: Api) -> None:
    api.post("/team", {"email": "guest@example.test"})
    with transaction(api.services.pool) as conn:
        made = create_owner(conn, email="guest@example.test", limit_per_hour=100, now=NOW)
    assert made.account_id != api.account_id
    assert [row["role"] for row in api.get("/team").json["data"]] == ["member"]
    assert api.value("SELECT count(*) FROM users") == 1
