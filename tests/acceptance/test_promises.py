"""What the API promises: keys that make a repeat harmless, one wake-up for many, pause and cancel that hold, truth per message."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import requests

from tests.acceptance.stack import (
    CONNECTIONS,
    COUNTS,
    Client,
    Stack,
    addresses,
    in_s,
    read_time,
    wait_for,
)


def at_once(client: Client, path: str, json: Any, *, times: int) -> list[requests.Response]:
    """The same request with the same key, by so many at the same moment."""
    headers = {"Idempotency-Key": f"key-of-{path}"}

    def send(_number: int) -> requests.Response:
        return requests.post(
            client.stack.url + path, json=json, headers=headers, cookies=client.session.cookies, timeout=60
        )

    with ThreadPoolExecutor(times) as together:
        return list(together.map(send, range(times)))


def test_the_same_key_sent_in_parallel_makes_one_campaign_and_launches_it_once(visitor: Client) -> None:
    before = len(visitor.get("/api/v1/campaigns")["data"])
    body = {
        "name": "Once",
        "subject": "Once",
        "html": "<p>Once</p>",
        "audience": {"contacts": [{"email": email} for email in addresses(50)]},
    }
    answers = at_once(visitor, "/api/v1/campaigns", body, times=8)
    # Each is the answer, or the word that the first one is still at it.
    assert {answer.status_code for answer in answers} <= {201, 409}, [answer.text for answer in answers]
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_in_progress"}
    assert len(visitor.get("/api/v1/campaigns")["data"]) == before + 1

    (campaign,) = made
    answers = at_once(visitor, f"/api/v1/campaigns/{campaign}/launch", {}, times=8)
    assert {answer.status_code for answer in answers} <= {200, 409}
    # Once more, after the fact: the first answer again, although the campaign is past that state.
    assert visitor.wait_until_final(campaign)["sent"] == 50
    (again,) = at_once(visitor, f"/api/v1/campaigns/{campaign}/launch", {}, times=1)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert Counter(mail["rcpt_to"] for mail in visitor.arrivals()) == Counter(addresses(50))


def count_jobs(stack: Stack, account_id: int) -> int:
    found: int = stack.value(
        "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'send_due' AND (args ->> 'id')::bigint = %(id)s"
        " AND status = 'todo'",
        id=account_id,
    )
    return found


def test_ten_thousand_messages_for_one_minute_make_a_dozen_jobs_and_all_arrive_in_their_time(
    stack: Stack, visitor: Client
) -> None:
    minute = (datetime.now(UTC) + timedelta(days=1)).replace(second=0, microsecond=0)

    def schedule(emails: list[str], first: datetime, span_s: float) -> None:
        messages = [
            {
                "to": email,
                "subject": "Hi",
                "text": "Hi",
                "scheduled_at": (first + timedelta(seconds=number * span_s / len(emails))).isoformat(),
            }
            for number, email in enumerate(emails)
        ]
        for at in range(0, len(messages), 1000):
            visitor.post("/api/v1/messages/batch", {"messages": messages[at : at + 1000]}, expected=201)

    # 1. A minute that this test does not wait for.
    schedule(addresses(3000, "tomorrow.test"), minute, 59)
    assert count_jobs(stack, visitor.account_id) <= 13
    # 2. The ten thousand. Their seconds begin when all of them are in.
    first = datetime.now(UTC) + timedelta(seconds=12)
    schedule(addresses(10_000), first, 6)
    assert datetime.now(UTC) < first, "too slow to take them in before the first was due"
    assert count_jobs(stack, visitor.account_id) <= 13 + 3
    wait_for(lambda: not waiting(stack, visitor), 90)
    arrived = visitor.arrivals()
    assert Counter(mail["rcpt_to"] for mail in arrived) == Counter(addresses(10_000))
    due = {email: first + timedelta(seconds=number * 6 / 10_000) for number, email in enumerate(addresses(10_000))}
    assert min((mail["received_at"] - due[mail["rcpt_to"]]).total_seconds() for mail in arrived) > -0.05, "early"


def waiting(stack: Stack, client: Client) -> int:
    found: int = stack.value(
        "SELECT count(*) FROM due_messages WHERE account_id = %(id)s AND send_after < now() + interval '1 hour'",
        id=client.account_id,
    )
    return found


def test_two_workers_share_a_campaign_and_pause_resume_and_cancel_hold_for_both(stack: Stack) -> None:
    stack.start_worker()
    stack.start_worker()
    client = stack.visitor()
    campaign = client.draft(addresses(6000))
    client.act(campaign, "launch")
    client.wait_until_sent(campaign, 1000)

    # Pause: what was marked already still goes, at most one message per connection after the answer.
    paused = client.act(campaign, "pause")
    paused_at = datetime.now(UTC)
    assert paused["status"] == "paused"
    wait_for(lambda: client.progress(campaign)["sending"] == 0)
    still = client.progress(campaign)
    assert still["queued"] > 0, "paused too late to show anything"
    late = [mail["received_at"] for mail in client.arrivals() if mail["received_at"] > paused_at]
    assert len(late) <= 2 * CONNECTIONS
    assert all((at - paused_at).total_seconds() <= 1 for at in late)
    assert client.progress(campaign)["sent"] == still["sent"] == len(client.arrivals())

    # Resume: the rest, each once.
    client.act(campaign, "resume")
    assert client.wait_until_final(campaign)["sent"] == 6000
    arrived = client.arrivals()
    assert len({mail["message_id"] for mail in arrived}) == len({mail["rcpt_to"] for mail in arrived}) == 6000
    assert len(arrived) == 6000
    writers = stack.value(
        "SELECT count(DISTINCT writer_id) FROM throughput WHERE account_id = %(id)s AND sent > 0", id=client.account_id
    )
    assert writers >= 2, "one worker did it all"

    # Cancel: what had not gone never goes, and the counts say so.
    campaign = client.draft(addresses(6000))
    client.act(campaign, "launch")
    client.wait_until_sent(campaign, 1000)
    client.act(campaign, "cancel")
    cancelled_at = datetime.now(UTC)

    def closed() -> dict[str, Any] | None:
        found = client.progress(campaign)
        return found if not found["queued"] and not found["sending"] else None

    end = wait_for(closed)
    assert end["cancelled"] > 0, "cancelled too late to show anything"
    assert end["sent"] + end["cancelled"] == end["total"] == 6000
    arrived = client.arrivals()
    assert len(arrived) == 6000 + end["sent"]
    assert len([mail for mail in arrived if mail["received_at"] > cancelled_at]) <= 2 * CONNECTIONS
    assert client.act(campaign, "duplicate")["status"] == "draft"


def test_who_unsubscribes_by_the_mails_own_header_is_left_out_of_the_next_campaign(
    stack: Stack, visitor: Client
) -> None:
    campaign = visitor.draft(addresses(3))
    visitor.act(campaign, "launch")
    visitor.wait_until_final(campaign)
    (mail,) = visitor.get("/api/v1/inbox?recipient=p2@people.test")["data"]
    raw = visitor.session.get(f"{stack.url}/api/v1/inbox/{mail['id']}/raw", timeout=30).content
    headers = message_from_bytes(raw)
    link = re.search(r"<(http[^>]+)>", "".join(headers["List-Unsubscribe"].split()))
    assert link is not None
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    # As a mailbox provider does it: no cookie, no key, no redirect (RFC 8058). Looking at the page changes nothing.
    assert requests.get(link[1], timeout=30).status_code == 200
    assert visitor.get("/api/v1/suppressions?q=p2@people.test")["data"] == []
    answer = requests.post(link[1], data={"List-Unsubscribe": "One-Click"}, allow_redirects=False, timeout=30)
    assert answer.status_code == 200
    (suppressed,) = visitor.get("/api/v1/suppressions?q=p2@people.test")["data"]
    assert suppressed["reason"] == "unsubscribe"

    second = visitor.draft(addresses(3))
    told = visitor.post(f"/api/v1/campaigns/{second}/forecast", {})
    assert (told["recipients"], told["excluded"]["suppressed"]) == (2, 1)
    visitor.act(second, "launch")
    end = visitor.wait_until_final(second)
    assert {name: end[name] for name in COUNTS if end[name]} == {"sent": 2, "suppressed": 1}
    assert Counter(mail["rcpt_to"] for mail in visitor.arrivals())["p2@people.test"] == 1
    # A password reset is not a newsletter.
    single = visitor.post("/api/v1/messages", {"to": "p2@people.test", "subject": "Reset", "text": "Reset"})
    assert visitor.wait_for_message(single["id"], "sent", "suppressed")["status"] == "sent"


def test_recipients_that_bounce_defer_or_dawdle_show_it_in_their_history(visitor: Client) -> None:
    ids = {
        name: visitor.post("/api/v1/messages", {"to": f"someone@{name}.test", "subject": "Hi", "text": "Hi"})["id"]
        for name in ("bounce", "later", "slow", "fine")
    }

    bounced = visitor.wait_for_message(ids["bounce"], "failed")
    assert bounced["last_reply"].startswith("550 5.1.1")
    assert [(each["outcome"], each["reply"][:9]) for each in bounced["attempts"]] == [("failed", "550 5.1.1")]
    (suppressed,) = visitor.get("/api/v1/suppressions?q=someone@bounce.test")["data"]
    assert suppressed["reason"] == "hard_bounce"

    deferred = wait_for(lambda: found if (found := visitor.message(ids["later"]))["attempts"] else None)
    assert deferred["status"] == "queued"
    assert [(each["outcome"], each["reply"][:9]) for each in deferred["attempts"]] == [("try_later", "451 4.7.1")]
    wait_s = (read_time(deferred["scheduled_at"]) - datetime.now(UTC)).total_seconds()
    assert 30 < wait_s < 72, "the second try comes about a minute after the first"
    visitor.post(f"/api/v1/messages/{ids['later']}/reschedule", {"scheduled_at": in_s(0)})
    accepted = visitor.wait_for_message(ids["later"], "sent")
    assert [each["outcome"] for each in accepted["attempts"]] == ["try_later", "sent"]
    assert accepted["attempts"][1]["reply"].startswith("250 2.0.0")
    assert accepted["explanation"]

    slow = visitor.wait_for_message(ids["slow"], "sent")
    arrived = next(mail for mail in visitor.arrivals() if mail["rcpt_to"] == "someone@slow.test")
    assert (read_time(slow["sent_at"]) - arrived["received_at"]).total_seconds() >= 1.9
    assert visitor.wait_for_message(ids["fine"], "sent")["attempt_count"] == 1
    assert {mail["rcpt_to"] for mail in visitor.arrivals()} == {
        "someone@later.test", "someone@slow.test", "someone@fine.test",
    }  # fmt: skip
    # The bounced address is not written to again, not even by the API.
    again = visitor.post("/api/v1/messages", {"to": "someone@bounce.test", "subject": "Hi", "text": "Hi"})
    assert visitor.wait_for_message(again["id"], "suppressed")["attempts"] == []
