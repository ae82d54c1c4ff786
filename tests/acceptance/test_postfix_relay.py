"""SMTP_URL names a real Postfix: what it accepts, refuses and defers is told apart, in its own words."""

from collections.abc import Iterator

import pytest

from tests.acceptance.stack import COUNTS, Stack, wait_for
from tests.integration.postfix_relay import needs_postfix, running_postfix


@pytest.fixture(scope="module")
def relay_url() -> Iterator[str]:
    with running_postfix() as (port, _folder):
        yield f"smtp://127.0.0.1:{port}?tls=none"


@needs_postfix
def test_accepted_bounced_refused_and_deferred_are_told_apart_by_postfixs_own_words(
    stack: Stack, relay_url: str
) -> None:
    stack.start_worker(SMTP_URL=relay_url)
    owner = stack.owner("from@us.test")
    ids = {
        to: owner.post("/api/v1/messages", {"to": to, "subject": "Hello", "text": "Hello"})["id"]
        for to in ("ada@accept.test", "nobody@accept.test", "ada@elsewhere.test", "grey@accept.test")
    }

    accepted = owner.wait_for_message(ids["ada@accept.test"], "sent")
    assert accepted["last_reply"].startswith("250 2.0.0 Ok: queued as")
    bounced = owner.wait_for_message(ids["nobody@accept.test"], "failed")
    assert bounced["last_reply"].startswith("550 5.1.1 <nobody@accept.test>")
    assert "User unknown" in bounced["last_reply"]
    refused = owner.wait_for_message(ids["ada@elsewhere.test"], "failed")
    assert refused["last_reply"].startswith("554 5.7.1 <ada@elsewhere.test>")
    assert "Relay access denied" in refused["last_reply"]
    grey = ids["grey@accept.test"]
    deferred = wait_for(lambda: found if (found := owner.message(grey))["attempts"] else None)
    assert deferred["status"] == "queued"
    assert [each["outcome"] for each in deferred["attempts"]] == ["try_later"]
    assert deferred["attempts"][0]["reply"].startswith("450 4.7.1 <grey@accept.test>")
    assert "Greylisted, see you later" in deferred["attempts"][0]["reply"]

    # An address that does not exist is not written to again; that we may not relay is nobody's fault but ours.
    reasons = {each["email"]: each["reason"] for each in owner.get("/api/v1/suppressions")["data"]}
    assert reasons == {"nobody@accept.test": "hard_bounce"}
    assert owner.arrivals() == [], "nothing went to the sandbox"


@needs_postfix
def test_a_campaign_through_postfix_counts_each_outcome_where_it_belongs(stack: Stack, relay_url: str) -> None:
    stack.start_worker(SMTP_URL=relay_url)
    owner = stack.owner("campaigns@us.test")
    campaign = owner.draft(["ada@accept.test", "bob@accept.test", "nobody@accept.test", "full@accept.test"])
    owner.act(campaign, "launch")

    def told() -> dict[str, int] | None:
        progress = owner.progress(campaign)
        found = {name: progress[name] for name in COUNTS if progress[name]}
        messages = owner.get(f"/api/v1/campaigns/{campaign}/messages")["data"]
        tried = messages and all(message["last_reply"] for message in messages)
        return found if tried and "sending" not in found else None

    assert wait_for(told) == {"sent": 2, "failed": 1, "queued": 1}
    replies = {
        message["to"]: message["last_reply"] for message in owner.get(f"/api/v1/campaigns/{campaign}/messages")["data"]
    }
    assert replies["bob@accept.test"].startswith("250 2.0.0 Ok: queued as")
    assert replies["nobody@accept.test"].startswith("550 5.1.1")
    assert "Mailbox full" in replies["full@accept.test"]
    owner.act(campaign, "cancel")
    wait_for(lambda: owner.progress(campaign)["cancelled"] == 1)
