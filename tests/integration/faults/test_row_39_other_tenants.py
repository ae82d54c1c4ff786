"""Row 39: every route that takes an id, called with the ids of another account."""

import re
from collections.abc import Callable

import psycopg

from tests.factories import a_sending_campaign, an_api_message
from tests.integration.conftest import Api

#: Which kind of id a route's parameter is, by the first part of its path.
KINDS = {
    "campaigns": "campaign", "messages": "message", "contacts": "contact", "lists": "list", "imports": "import",
    "suppressions": "suppression", "templates": "template", "senders": "sender", "relays": "relay",
    "api-keys": "api_key", "limits": "limit", "inbox": "inbox",
}  # fmt: skip
BODIES = {"PATCH": {}, "POST": {}, "PUT": {}}


def test_row_39_every_route_with_an_id_says_not_found_to_another_account_and_changes_nothing(
    api: Api, make_api: Callable[..., Api]
) -> None:
    other = make_api()
    with psycopg.connect(api.services.settings.postgres_url, autocommit=True) as conn:
        campaign = a_sending_campaign(conn, api.account_id, 3)
    numbers = {"campaign": campaign.campaign_id, "message": campaign.message_ids[0]}
    for kind, table, key in (
        ("contact", "contacts", "contact_id"), ("sender", "senders", "sender_id"), ("limit", "limits", "limit_id"),
    ):  # fmt: skip
        numbers[kind] = api.value(f"SELECT min({key}) FROM {table} WHERE account_id = %(a)s", a=api.account_id)
    before = _fingerprint(api)
    called = []
    for rule in api.app.url_map.iter_rules():
        match = re.fullmatch(r"/api/v1/([a-z-]+)/<[^>]+>(/.*)?", rule.rule)
        if match is None or match[1] not in KINDS or "<" in (match[2] or ""):
            continue
        kind = KINDS[match[1]]
        theirs = api.id(kind, numbers.get(kind, 1))
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            answer = other.call(method, f"/{match[1]}/{theirs}{match[2] or ''}", BODIES.get(method))
            called.append(f"{method} {rule.rule}")
            # 422 when the body is looked at first: that says nothing about the id either.
            assert answer.status_code in (404, 422), (method, rule.rule, answer.status_code, answer.text[:200])
            assert "people.test" not in answer.text
    assert len(called) > 30, called
    assert _fingerprint(api) == before


def test_row_39_another_accounts_api_message_cannot_be_read_moved_or_cancelled(
    api: Api, make_api: Callable[..., Api]
) -> None:
    with psycopg.connect(api.services.settings.postgres_url, autocommit=True) as conn:
        message = api.id("message", an_api_message(conn, api.account_id, in_s=60.0))
    other = make_api()
    assert other.get(f"/messages/{message}").status_code == 404
    assert other.post(f"/messages/{message}/cancel", {}).status_code == 404
    assert api.get(f"/messages/{message}").status_code == 200


def _fingerprint(api: Api) -> list[object]:
    return [
        api.rows(f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) AS all FROM {table} t WHERE account_id = %(a)s", a=api.account_id)
        for table in ("campaigns", "batches", "messages", "contacts", "senders", "limits", "suppressions")
    ]  # fmt: skip
