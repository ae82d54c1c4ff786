"""A limit of N messages in W seconds: never exceeded, nearly all of it used, and single messages do not wait behind it."""

import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.acceptance.stack import Child, Client, Stack, addresses, in_s, read_time, wait_for, worst_window

#: What is kept of a window for the processing itself: stamps are rounded up, and the burst takes its time.
SHARE_USED_MIN = 0.95


def wait_until_waiting(client: Client, campaign: str) -> datetime:
    """Until the campaign waits for its limit; when it says that it goes on."""

    def resumes_at() -> str | None:
        found = client.progress(campaign)
        assert found["status"] != "sent"
        in_future = found["resumes_at"] and read_time(found["resumes_at"]) > datetime.now(UTC) + timedelta(seconds=2)
        return found["resumes_at"] if in_future and found["sending"] == 0 else None

    return read_time(wait_for(resumes_at))


def cpu_share_until(worker: Child, instant: datetime) -> float:
    """The share of one processor that it uses from now until then."""
    began, used = time.monotonic(), worker.cpu_s()
    wait_for(lambda: datetime.now(UTC) >= instant)
    return (worker.cpu_s() - used) / (time.monotonic() - began)


def first_after(arrivals: list[dict[str, Any]], instant: datetime) -> datetime:
    found: datetime = next(mail["received_at"] for mail in arrivals if mail["received_at"] > instant)
    return found


def share_used(times: list[datetime], count: int, window_s: float) -> float:
    """How close the time that it took comes to the least that the limit allows."""
    least_s = (math.ceil(len(times) / count) - 1) * window_s
    return least_s / (max(times) - min(times)).total_seconds()


def test_a_campaigns_limit_holds_in_every_window_and_is_used_up(stack: Stack) -> None:
    worker, client = stack.start_worker(), stack.visitor()
    campaign = client.draft(addresses(240), limit={"limit": 60, "window_s": 10})
    client.act(campaign, "launch")

    # 1. While it waits: it says when it goes on, and the worker rests until then.
    announced = [wait_until_waiting(client, campaign)]
    share = cpu_share_until(worker, announced[0] - timedelta(seconds=1))
    assert share < 0.25, f"the worker used {share:.0%} of a processor while it had nothing to do"

    # 2. Single messages are not held up by somebody else's limit.
    wait_for(lambda: datetime.now(UTC) > announced[0] + timedelta(seconds=1))
    announced.append(wait_until_waiting(client, campaign))
    singles = []
    for number in range(5):
        made = client.post("/api/v1/messages", {"to": f"single{number}@people.test", "subject": "Hi", "text": "Hi"})
        singles.append(made)
        time.sleep(0.7)  # a person's pace: they fall into different moments of the wait
    for made in singles:
        client.wait_for_message(made["id"], "sent")

    # 3. The sandbox's record.
    assert client.wait_until_final(campaign)["sent"] == 240
    arrivals = client.arrivals()
    bulk = [mail for mail in arrivals if not mail["rcpt_to"].startswith("single")]
    times = [mail["received_at"] for mail in bulk]
    assert len({mail["rcpt_to"] for mail in bulk}) == len(bulk) == 240
    assert worst_window(times, 10) <= 60
    assert share_used(times, 60, 10) >= SHARE_USED_MIN
    for instant in announced:
        assert abs((first_after(bulk, instant - timedelta(seconds=2)) - instant).total_seconds()) <= 1
    came = {mail["rcpt_to"]: mail["received_at"] for mail in arrivals}
    delays_s = [(came[made["to"]] - read_time(made["created_at"])).total_seconds() for made in singles]
    assert max(delays_s) <= 2, delays_s


def test_row_15_row_17_the_accounts_limit_binds_at_once_when_it_is_changed_and_leaves_a_reserve_for_single_messages(
    stack: Stack,
) -> None:
    stack.start_worker()
    client = stack.visitor()
    (limit,) = [each for each in client.get("/api/v1/limits")["data"] if each["scope"] == "account"]
    assert limit["limit"] == 0, "the account has no limit yet"
    changed = client.call("PATCH", f"/api/v1/limits/{limit['id']}", {"limit": 100, "window_s": 8})
    assert (changed["limit"], changed["window_s"]) == (100, 8)
    # 96 of the 100: a campaign larger than the limit leaves 4 % of it to single messages.
    campaign = client.draft(addresses(3 * 96))
    client.act(campaign, "launch")
    resumes_at = wait_until_waiting(client, campaign)
    single = client.post("/api/v1/messages", {"to": "single@people.test", "subject": "Hi", "text": "Hi"})
    client.wait_for_message(single["id"], "sent")
    used = client.get("/api/v1/limits")["data"][0]["used"]
    assert 90 <= used <= 100

    assert client.wait_until_final(campaign)["sent"] == 3 * 96
    arrivals = client.arrivals()
    assert worst_window([mail["received_at"] for mail in arrivals], 8) <= 100
    bulk = [mail for mail in arrivals if mail["rcpt_to"] != "single@people.test"]
    times = [mail["received_at"] for mail in bulk]
    assert len({mail["rcpt_to"] for mail in bulk}) == len(bulk) == 3 * 96
    assert worst_window(times, 8) <= 96
    assert share_used(times, 96, 8) >= SHARE_USED_MIN
    assert abs((first_after(bulk, resumes_at - timedelta(seconds=2)) - resumes_at).total_seconds()) <= 1
    came = next(mail["received_at"] for mail in arrivals if mail["rcpt_to"] == "single@people.test")
    assert came < resumes_at
    assert (came - read_time(single["created_at"])).total_seconds() <= 2


def test_taking_the_accounts_limit_away_lets_what_waits_go_at_once(stack: Stack) -> None:
    stack.start_worker()
    client = stack.owner("limits@example.test")
    (limit,) = client.get("/api/v1/limits")["data"]
    client.call("PATCH", f"/api/v1/limits/{limit['id']}", {"limit": 50, "window_s": 3600})
    campaign = client.draft(addresses(200, "freed.test"))
    client.act(campaign, "launch")
    wait_until_waiting(client, campaign)
    client.call("PATCH", f"/api/v1/limits/{limit['id']}", {"limit": 0})
    assert client.wait_until_final(campaign, 20)["sent"] == 200
    # And single messages under a used-up limit say why they wait.
    client.call("PATCH", f"/api/v1/limits/{limit['id']}", {"limit": 1, "window_s": 3600})
    made = client.post("/api/v1/messages", {"to": "a@freed.test", "subject": "Hi", "text": "Hi"})
    waiting = wait_for(lambda: client.message(made["id"])["waits"])
    assert waiting[0]["reason"] == "limit"
    assert client.message(made["id"])["status"] == "queued"
    moved = client.post(f"/api/v1/messages/{made['id']}/reschedule", {"scheduled_at": in_s(86_400)})
    assert client.post(f"/api/v1/messages/{moved['id']}/cancel")["status"] == "cancelled"
