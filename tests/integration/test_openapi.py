"""/openapi.json says what the API does: schemathesis tries to prove otherwise, and no input makes a server error."""

import itertools

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

EXAMPLES_MAX = 14  # for each operation
UNREADY = ("/readyz", "/metrics")  # no worker beats here: 503 is the right answer


def test_the_document_is_openapi_3_1_and_complete(api) -> None:
    spec = api.get("//openapi.json").json
    assert spec["openapi"].startswith("3.1")
    ids = [operation["operationId"] for path in spec["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    create = spec["paths"]["/api/v1/messages"]["post"]
    assert create["requestBody"]["required"] is True
    assert create["x-scope"] == "send"
    assert any(item["name"] == "Idempotency-Key" for item in create["parameters"])
    assert "default" in create["responses"]
    assert "GET" not in str(spec["paths"].keys())


def test_every_reference_in_the_document_leads_somewhere(api) -> None:
    spec = api.get("//openapi.json").json

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found = spec
                for part in node["$ref"].removeprefix("#/").split("/"):
                    found = found[part]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(spec)


@pytest.mark.slow
def test_no_input_makes_a_server_error(api) -> None:
    """Every operation, half of its examples on things that are there."""
    known = make_things(api)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", api.app)
    seen: set[str] = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in UNREADY or operation.path.startswith("/auth/"):
            continue
        seen.add(operation.path)
        _try_operation(api, operation, known)
    assert len(seen) > 40


def _try_operation(api, operation, known: dict[str, str]) -> None:
    numbers = itertools.count()

    @settings(
        max_examples=EXAMPLES_MAX, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck), derandomize=True,
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def attempt(case) -> None:
        if next(numbers) % 2 == 0:
            case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}
        answer = case.call(headers={"Authorization": f"Bearer {api.key}"})
        case.validate_response(answer, checks=[checks.not_a_server_error])
        if answer.status_code >= 400:
            assert answer.headers["content-type"][0].startswith("application/problem+json"), case.path

    attempt()


def make_things(api) -> dict[str, str]:
    """One of each noun, by the name of the path parameter that takes it."""
    message = {"to": "ada@example.test", "subject": "Hello", "text": "Hi", "scheduled_at": "2099-01-01T00:00:00Z"}
    campaign = {
        "name": "News", "subject": "News", "html": "<p>Hi</p>", "audience": {"contacts": [{"email": "ada@example.test"}]},
    }  # fmt: skip
    inbox_id = api.value(
        """INSERT INTO inbox (account_id, mail_from, rcpt_to, subject, size_bytes, received_at, raw)
        VALUES (%(a)s, 'a@b.test', 'c@d.test', 's', 1, now(), 'x') RETURNING inbox_id""", a=api.account_id,
    )  # fmt: skip
    made = {"mail_id": api.id("inbox", inbox_id), "limit_id": api.get("/limits").json["data"][0]["id"]}
    for name, path, body in (
        ("message_id", "/messages", message),
        ("campaign_id", "/campaigns", campaign),
        ("contact_id", "/contacts", {"email": "bob@example.test"}),
        ("list_id", "/lists", {"name": "Readers"}),
        ("template_id", "/templates", {"name": "Plain", "subject": "s", "html": "<p>x</p>"}),
        ("sender_id", "/senders", {"email": "other@example.test", "name": "Other"}),
    ):
        answer = api.post(path, body)
        assert answer.status_code == 201, (path, answer.data)
        made[name] = answer.json["id"]
    return made
