"""Sign-in against a real OpenID Connect provider: `oidc-provider` from npm, run with the Node of the wheel."""

import fcntl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import requests
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.auth import routes
from app.auth.throttle import Throttle
from app.clock import utc_now
from app.commands.accounts import create_owner
from app.frontend_build import install_packages, node_environment
from app.settings import Settings
from app.web import close_app, create_app

FOLDER = Path(__file__).parent / "oidc"
BASE_URL = "http://mailtide.example.test"
CALLBACK = f"{BASE_URL}/auth/google/callback"
ADA: dict[str, Any] = {"sub": "1001", "email": "ada@firm.test", "email_verified": True, "name": "Ada"}


@dataclass
class Provider:
    issuer: str

    def set(self, *, account: dict[str, Any] | None = None, tamper: dict[str, Any] | None = None) -> None:
        body = {"account": account or ADA, "tamper": tamper}
        requests.post(f"{self.issuer}/control", json=body, timeout=10).raise_for_status()

    def authorise(self, url: str) -> str:
        """Be the browser at the provider: follow its redirects until it sends us back; return that URL."""
        with requests.Session() as browser:
            while not url.startswith(CALLBACK):
                answer = browser.get(url, allow_redirects=False, timeout=10)
                assert answer.is_redirect, (url, answer.status_code, answer.text[:500])
                url = requests.compat.urljoin(url, answer.headers["Location"])
        return url


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with (FOLDER / "package.json").open("rb") as lock:  # test processes side by side install once
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_packages(lambda line: None, FOLDER)
    process = subprocess.Popen(
        ["node", "provider.mjs", CALLBACK], cwd=FOLDER, env=node_environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    issuer = process.stdout.readline().strip()
    assert issuer.startswith("http://"), "the provider did not start"
    yield Provider(issuer)
    process.kill()
    process.wait()


@pytest.fixture
def settings(database_url: str, redis_url: str, provider: Provider) -> Settings:
    return Settings(
        _env_file=None, database_url=database_url, redis_url=redis_url, web_threads=4, base_url=BASE_URL,
        secret_key="a-secret-for-tests-that-is-long-enough-0123456789", log_level="error",
        oidc_issuer=provider.issuer, google_client_id="mailtide", google_client_secret="a-client-secret-for-tests",
        signup_domains="firm.test", admin_emails="boss@elsewhere.test",
    )  # fmt: skip


@pytest.fixture
def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[APIFlask]:
    """An app whose throttle has not seen the sign-ins of the tests before: on a fast machine they are too many."""
    monkeypatch.setattr(routes, "_login_throttle", Throttle(burst=60, every_s=1.0))
    made = create_app(settings)
    yield made
    close_app(made)


@pytest.fixture
def browser(app: APIFlask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def sign_in(provider: Provider, browser: FlaskClient) -> Callable[..., TestResponse]:
    def run(
        account: dict[str, Any] | None = None, *, tamper: dict[str, Any] | None = None, next_path: str = "/campaigns",
        html: bool = False,
    ) -> TestResponse:  # fmt: skip
        provider.set(account=account, tamper=tamper)
        back = provider.authorise(begin(browser, next_path))
        return browser.get(below(back), headers={"Accept": "text/html"} if html else {})

    return run


def begin(browser: FlaskClient, next_path: str = "/") -> str:
    answer = browser.get("/auth/google/login", query_string={"next": next_path})
    assert answer.status_code == 302, answer.data
    return answer.headers["Location"]


def below(url: str) -> str:
    return url.removeprefix(BASE_URL)


def users(database_url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as conn:
        return conn.execute("SELECT iss, sub, email, is_admin FROM users ORDER BY user_id").fetchall()


def session_count(database_url: str) -> int:
    with psycopg.connect(database_url) as conn:
        row = conn.execute("SELECT count(*) FROM sessions").fetchone()
        assert row is not None
        return int(row[0])


def refused(answer: TestResponse, code: str, browser: FlaskClient, database_url: str) -> None:
    assert answer.status_code == 403, answer.data
    assert answer.json["code"] == code
    assert browser.get("/api/v1/me").status_code == 401
    assert session_count(database_url) == 0


def test_a_person_of_an_allowed_domain_gets_an_account_of_their_own(
    sign_in: Callable[..., TestResponse], browser: FlaskClient, provider: Provider, database_url: str
) -> None:
    answer = sign_in()
    assert (answer.status_code, answer.headers["Location"]) == (303, "/campaigns")
    me = browser.get("/api/v1/me").json
    assert me["user"]["email"] == "ada@firm.test"
    assert (me["demo"], me["account"]["transport"], me["user"]["is_admin"]) == (False, "relay", False)
    assert users(database_url) == [(provider.issuer, "1001", "ada@firm.test", False)]


def test_the_request_carries_state_nonce_and_a_pkce_challenge(browser: FlaskClient) -> None:
    sent = parse_qs(urlsplit(begin(browser)).query)
    assert sent["code_challenge_method"] == ["S256"]
    assert sent["redirect_uri"] == [CALLBACK]
    assert all(len(sent[name][0]) >= 20 for name in ("state", "nonce", "code_challenge"))


def test_signing_in_again_is_the_same_account_under_a_new_session(
    sign_in: Callable[..., TestResponse], browser: FlaskClient, database_url: str
) -> None:
    sign_in()
    first_id, first_cookie = browser.get("/api/v1/me").json["account"]["id"], browser.get_cookie("mailtide")
    sign_in({**ADA, "email": "ada.new@firm.test"})
    assert browser.get("/api/v1/me").json["account"]["id"] == first_id
    assert browser.get_cookie("mailtide").value != first_cookie.value
    assert session_count(database_url) == 1


def test_a_planted_session_cookie_is_not_taken_over(sign_in: Callable[..., TestResponse], browser: FlaskClient) -> None:
    browser.set_cookie("mailtide", "planted-by-somebody")
    sign_in()
    assert browser.get_cookie("mailtide").value != "planted-by-somebody"


def test_another_subject_with_the_same_address_is_another_person(
    sign_in: Callable[..., TestResponse], browser: FlaskClient
) -> None:
    sign_in()
    first = browser.get("/api/v1/me").json["account"]["id"]
    sign_in({**ADA, "sub": "2002"})
    assert browser.get("/api/v1/me").json["account"]["id"] != first


def test_an_owner_made_by_the_operator_is_linked_once(
    sign_in: Callable[..., TestResponse], browser: FlaskClient, app: APIFlask, database_url: str
) -> None:
    with app.extensions["mailtide"].pool.connection() as conn:
        owner = create_owner(conn, email="Owner@elsewhere.test", limit_per_hour=100, now=utc_now())
    assert sign_in({**ADA, "sub": "7", "email": "owner@elsewhere.test"}).status_code == 303
    me = browser.get("/api/v1/me").json
    assert me["account"]["id"] == app.extensions["mailtide"].ids.encode("account", owner.account_id)
    assert me["user"]["is_admin"]
    assert browser.post("/auth/logout").status_code == 204
    refused(sign_in({**ADA, "sub": "8", "email": "owner@elsewhere.test"}), "sign_up_closed", browser, database_url)


def test_an_invited_person_is_let_in_by_their_verified_address_once(
    sign_in: Callable[..., TestResponse], browser: FlaskClient, app: APIFlask, database_url: str
) -> None:
    """No domain and no list of administrators names them: the invitation alone does."""
    with app.extensions["mailtide"].pool.connection() as conn:
        owner = create_owner(conn, email="owner@elsewhere.test", limit_per_hour=100, now=utc_now())
    key = {"Authorization": f"Bearer {owner.secret}"}
    invited = {**ADA, "sub": "55", "email": "Invited@elsewhere.test"}
    refused(sign_in(invited), "sign_up_closed", browser, database_url)
    made = browser.post("/api/v1/team", json={"email": "invited@elsewhere.test", "role": "member"}, headers=key)
    assert (made.status_code, made.json["pending"]) == (201, True)
    refused(sign_in({**invited, "email_verified": False}), "email_unverified", browser, database_url)
    assert sign_in(invited).status_code == 303
    me = browser.get("/api/v1/me").json
    assert (me["role"], me["permissions"], me["user"]["is_admin"]) == ("member", ["read", "send"], False)
    assert me["account"]["id"] == app.extensions["mailtide"].ids.encode("account", owner.account_id)
    team = browser.get("/api/v1/team").json["data"]
    assert [(person["you"], person["pending"]) for person in team] == [(False, True), (True, False)]
    assert browser.delete(f"/api/v1/team/{made.json['id']}", headers=key).status_code == 204
    refused(sign_in(invited), "no_account", browser, database_url)


def test_admin_emails_may_sign_up(sign_in: Callable[..., TestResponse], browser: FlaskClient) -> None:
    sign_in({**ADA, "email": "Boss@elsewhere.test"})
    assert browser.get("/api/v1/me").json["user"]["is_admin"]


@pytest.mark.parametrize("email", ["eve@evil.test", "eve@notfirm.test", "eve@firm.test.evil.test", "eve@sub.firm.test"])
def test_a_foreign_domain_stays_out(
    sign_in: Callable[..., TestResponse], browser: FlaskClient, database_url: str, email: str
) -> None:
    refused(sign_in({**ADA, "email": email}), "sign_up_closed", browser, database_url)
    assert users(database_url) == []


@pytest.mark.parametrize("verified", [False, None, "true"])
def test_an_unverified_address_stays_out(
    sign_in: Callable[..., TestResponse], browser: FlaskClient, database_url: str, verified: object
) -> None:
    refused(sign_in({**ADA, "email_verified": verified}), "email_unverified", browser, database_url)


@pytest.mark.parametrize(
    "tamper",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.test"},
        {"aud": "another-client"},
        {"aud": ["another-client", "third"]},
        {"exp": 1_000_000_000},
        {"stranger": True},
    ],
    ids=str,
)
def test_row_40_an_id_token_that_does_not_hold_is_refused(
    sign_in: Callable[..., TestResponse], browser: FlaskClient, database_url: str, tamper: dict[str, Any]
) -> None:
    refused(sign_in(tamper=tamper), "sign_in_refused", browser, database_url)
    assert users(database_url) == []


def test_a_state_that_this_browser_did_not_begin_is_refused(
    provider: Provider, browser: FlaskClient, app: APIFlask, database_url: str
) -> None:
    provider.set()
    back = below(provider.authorise(begin(browser)))
    refused(app.test_client().get(back), "sign_in_expired", browser, database_url)
    refused(browser.get(back.replace("state=", "state=x")), "sign_in_expired", browser, database_url)
    refused(browser.get("/auth/google/callback"), "sign_in_expired", browser, database_url)


def test_an_answer_is_good_once_even_with_the_old_cookie(
    provider: Provider, browser: FlaskClient, app: APIFlask, database_url: str
) -> None:
    provider.set()
    location = begin(browser)
    kept = browser.get_cookie("mailtide_sign_in", path="/auth")
    back = below(provider.authorise(location))
    assert browser.get(back).status_code == 303
    assert browser.get(back).json["code"] == "sign_in_expired"
    thief = app.test_client()
    thief.set_cookie("mailtide_sign_in", kept.value, path="/auth")
    assert thief.get(back).json["code"] == "sign_in_refused"  # the provider knows the code as used
    assert thief.get("/api/v1/me").status_code == 401


def test_a_code_for_another_verifier_is_refused(
    provider: Provider, browser: FlaskClient, app: APIFlask, database_url: str
) -> None:
    """A stolen code, put into the thief's own sign-in: PKCE and nonce are the thief's, so it does not hold."""
    provider.set()
    stolen = parse_qs(urlsplit(provider.authorise(begin(app.test_client()))).query)["code"][0]
    own_state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get("/auth/google/callback", query_string={"code": stolen, "state": own_state})
    refused(answer, "sign_in_refused", browser, database_url)


@pytest.mark.parametrize(
    "next_path",
    ["//evil.test", "https://evil.test", "/\\evil.test", "\\\\evil.test", "javascript:alert(1)", "/a\nb", ""],
)
def test_next_never_leaves_the_site(sign_in: Callable[..., TestResponse], next_path: str) -> None:
    assert sign_in(next_path=next_path).headers["Location"] == "/"


def test_a_refusal_at_the_provider_and_a_refusal_here_bring_a_browser_back_to_the_sign_in_page(
    sign_in: Callable[..., TestResponse], browser: FlaskClient
) -> None:
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get(
        "/auth/google/callback",
        query_string={"error": "access_denied", "error_description": "<script>", "state": state},
        headers={"Accept": "text/html"},
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?error=sign_in_refused")
    closed = sign_in({**ADA, "email": "eve@evil.test"}, html=True)
    assert closed.headers["Location"] == "/sign-in?error=sign_up_closed"


def test_a_provider_that_is_away_is_503(settings: Settings) -> None:
    away = settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:9"})
    app = create_app(away)
    try:
        answer = app.test_client().get("/auth/google/login")
        assert (answer.status_code, answer.json["code"]) == (503, "identity_provider_unavailable")
    finally:
        close_app(app)
