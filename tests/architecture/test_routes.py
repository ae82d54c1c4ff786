"""Every route states who may use it, and every POST is idempotent."""

import inspect
import re

import pytest
from apiflask import APIFlask

from app.settings import Settings
from app.web import close_app, create_app

#: Open to all, each with its reason.
OPEN = {
    "/": "the page that signs people in",
    "/assets/<path:name>": "the same page's files",
    "/docs": "documentation",
    "/openapi.json": "documentation",
    "/healthz": "probes have no key",
    "/readyz": "probes have no key",
    "/metrics": "scrapers have no key; nothing of any account is in it",
    "/version": "nothing secret",
    "/u/<token>": "unsubscribing: the link is signed",
    "/auth/options": "what the sign-in page offers",
    "/auth/demo": "signing in",
    "/auth/google/login": "signing in",
    "/auth/google/callback": "signing in",
    "/auth/logout": "ends only the caller's own session",
}
#: POSTs whose idempotency record is written elsewhere than in run_command.
OWN_RECORD = {"/api/v1/messages": "one statement writes the record and the message"}


@pytest.fixture(scope="module")
def app() -> APIFlask:
    """No server is needed: nothing is asked."""
    made = create_app(
        Settings(_env_file=None, database_url="postgresql://127.0.0.1:1/x", redis_url="redis://127.0.0.1:1")
    )
    yield made
    close_app(made)


def test_every_route_states_its_permission_or_why_it_is_open(app: APIFlask) -> None:
    silent = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if not hasattr(app.view_functions[rule.endpoint], "_requires") and rule.rule not in OPEN
    ]
    assert silent == []


def test_nothing_below_the_api_is_open(app: APIFlask) -> None:
    assert not any(path.startswith("/api/") for path in OPEN)


def test_every_post_runs_through_the_idempotent_command(app: APIFlask) -> None:
    missing = []
    for rule in app.url_map.iter_rules():
        if "POST" not in rule.methods or not rule.rule.startswith("/api/") or rule.rule in OWN_RECORD:
            continue
        view = inspect.unwrap(app.view_functions[rule.endpoint])
        source = inspect.getsource(view)
        called = set(re.findall(r"\b(_\w+)\(", source))
        module = inspect.getmodule(view)
        sources = [source, *(inspect.getsource(getattr(module, name)) for name in called if hasattr(module, name))]
        if not any("run_command(" in text for text in sources):
            missing.append(rule.rule)
    assert missing == []


def test_what_changes_things_is_never_a_get(app: APIFlask) -> None:
    for rule in app.url_map.iter_rules():
        view = inspect.unwrap(app.view_functions[rule.endpoint])
        if "GET" in rule.methods:
            assert "run_command(" not in inspect.getsource(view), rule.rule
