"""Relays over the API."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from app.api import relays
from app.auth.throttle import Throttle
from app.embedded import free_port
from app.secrets import Sealer
from app.web import close_app, create_app

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
    answers = [other.get(path), other.patch(path, {"name": "B"}), other.delete(path), other.post(f"{path}/test")]
    assert {answer.status_code for answer in answers} == {404}
    assert other.post("/senders", {"email": "a@example.test", "relay_id": relay["id"]}).status_code == 422


class Mailbox:
    """Counts messages: a test must leave none."""

    def __init__(self) -> None:
        self.messages = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages += 1
        return "250 OK"


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
    assert isinstance(given, LoginPassword)
    # Not handled: the server itself says 235 or 535.
    return AuthResult(success=given == LoginPassword(b"me", b"s3cret-Passw0rd"), handled=False)


@pytest.fixture
def mailbox() -> Iterator[tuple[Controller, Mailbox]]:
    """A real SMTP server that wants to be signed in to."""
    box = Mailbox()
    controller = Controller(
        box, hostname="127.0.0.1", port=free_port(), authenticator=authenticate, auth_required=True,
        auth_require_tls=False,
    )  # fmt: skip
    controller.start()
    yield controller, box
    controller.stop()


@pytest.fixture
def inside(api: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The same account on an installation that lets relays stand in private networks."""
    monkeypatch.setattr(relays, "_test_throttle", Throttle(burst=10, every_s=6.0))
    app = create_app(settings.model_copy(update={"relays_allow_private": True}))
    api.client = app.test_client()
    yield api
    close_app(app)


def add_local(api: Any, controller: Controller, **changes: Any) -> str:
    made = api.post("/relays", {**RELAY, "host": "127.0.0.1", "port": controller.port, "tls": "none", **changes})
    assert made.status_code == 201, made.json
    return f"/relays/{made.json['id']}"


def test_a_test_signs_in_and_sends_nothing(inside: Any, mailbox: tuple[Controller, Mailbox]) -> None:
    controller, box = mailbox
    answer = inside.post(f"{add_local(inside, controller)}/test", {})
    assert answer.status_code == 200, answer.json
    told = answer.json
    assert (told["ok"], told["step"], told["tls_version"]) == (True, "done", None)
    assert told["reply"].startswith("235")
    assert any(line.startswith("AUTH") for line in told["extensions"])
    assert told["duration_ms"] >= 0
    assert box.messages == 0


def test_a_wrong_password_is_told_and_not_repeated(inside: Any, mailbox: tuple[Controller, Mailbox]) -> None:
    answer = inside.post(f"{add_local(inside, mailbox[0], password='wr0ng-Passw0rd')}/test")
    assert (answer.status_code, answer.json["ok"], answer.json["step"]) == (200, False, "login")
    assert answer.json["reply"].startswith("535")
    assert "wr0ng" not in answer.text


def test_a_paused_relay_that_works_stays_paused_and_says_so(inside: Any, mailbox: tuple[Controller, Mailbox]) -> None:
    path = add_local(inside, mailbox[0])
    inside.conn.execute("UPDATE relays SET paused_at = now(), pause_reason = '535 no'")
    told = inside.post(f"{path}/test").json
    assert told["ok"]
    assert told["detail"].endswith("The relay is still paused: save it, and it sends again.")
    assert inside.get(path).json["paused_at"] is not None


def test_a_password_that_cannot_be_opened_any_more_is_asked_for(
    inside: Any, mailbox: tuple[Controller, Mailbox]
) -> None:
    path = add_local(inside, mailbox[0])
    inside.conn.execute("UPDATE relays SET password_sealed = set_byte(password_sealed, 20, 0) || '\\x00'::bytea")
    told = inside.post(f"{path}/test").json
    assert (told["ok"], told["step"]) == (False, "login")
    assert "Enter the password again" in told["detail"]


def test_a_relay_that_leads_inside_is_not_tested_where_that_is_not_allowed(
    inside: Any, app: Any, mailbox: tuple[Controller, Mailbox]
) -> None:
    """It was made while it was allowed."""
    path = add_local(inside, mailbox[0])
    inside.client = app.test_client()
    told = inside.post(f"{path}/test").json
    assert (told["ok"], told["step"]) == (False, "resolve")
    assert "private network" in told["detail"]


def test_tests_are_for_admins_and_not_for_loops(
    inside: Any, mailbox: tuple[Controller, Mailbox], make_api: Any
) -> None:
    path = f"{add_local(inside, mailbox[0])}/test"
    sender = make_api(account_id=inside.account_id, scopes=("read", "send"))
    assert sender.post(path).status_code == 403
    answers = [inside.post(path) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert inside.post(path, {"to": "me@example.test"}).status_code == 422


def test_silent_servers_cannot_take_all_of_the_web(inside: Any, mailbox: tuple[Controller, Mailbox]) -> None:
    """Two tests that wait are all there is room for; the next one is told to come again."""
    path = f"{add_local(inside, mailbox[0])}/test"
    with relays._test_slots, relays._test_slots:
        assert inside.post(path).json["code"] == "limit_reached"
    assert inside.post(path).json["ok"]
