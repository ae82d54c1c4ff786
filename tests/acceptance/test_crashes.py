"""Workers and servers end in the middle of a campaign: nothing is lost, and what is doubtful says so."""

import signal
from collections import Counter
from typing import Any

from tests.acceptance.stack import (
    CONNECTIONS,
    Client,
    Stack,
    addresses,
    wait_for,
    worst_window,
)


def statuses(stack: Stack, client: Client) -> dict[int, str]:
    """The state of each campaign message of this account that is not from the demo's own campaigns."""
    found = stack.rows(
        "SELECT message_id, status FROM messages WHERE account_id = %(account)s AND recipient LIKE '%%.test'"
        " AND campaign_id IN (SELECT campaign_id FROM campaigns WHERE name = 'Campaign')",
        account=client.account_id,
    )
    return {row["message_id"]: row["status"] for row in found}


def duplicates(arrivals: list[dict[str, Any]]) -> int:
    counted = Counter(mail["message_id"] for mail in arrivals)
    return sum(count - 1 for count in counted.values())


def test_a_worker_killed_in_the_middle_loses_nothing_and_doubts_two_messages_per_connection_at_most(
    stack: Stack,
) -> None:
    killed = stack.start_worker()
    clients = {policy: stack.visitor() for policy in ("hold", "resend")}
    people = {"hold": 5000, "resend": 3000}
    campaigns = {
        policy: client.draft(addresses(people[policy]), uncertain_policy=policy) for policy, client in clients.items()
    }
    for policy, client in clients.items():
        client.act(campaigns[policy], "launch")
    for policy, client in clients.items():
        assert client.wait_until_sent(campaigns[policy], 300)["status"] == "sending"
    killed.kill()
    assert all(client.progress(campaigns[policy])["queued"] for policy, client in clients.items()), "killed too late"

    stack.start_worker()
    ends = {policy: client.wait_until_final(campaigns[policy], 60) for policy, client in clients.items()}

    # hold: what is in doubt is left to its owner, so nothing goes twice.
    client, end = clients["hold"], ends["hold"]
    assert end["sent"] + end["uncertain"] == people["hold"]
    assert end["uncertain"] <= 2 * CONNECTIONS
    arrivals = client.arrivals()
    accepted = {number for number, status in statuses(stack, client).items() if status == "sent"}
    assert len(accepted) == end["sent"]
    assert accepted <= {mail["message_id"] for mail in arrivals}, "counted as sent and never arrived"
    assert duplicates(arrivals) == 0
    # resend: nothing is in doubt at the end; who may get a copy twice is one per connection.
    client, end = clients["resend"], ends["resend"]
    assert (end["sent"], end["uncertain"]) == (people["resend"], 0)
    arrivals = client.arrivals()
    assert {mail["rcpt_to"] for mail in arrivals} == set(addresses(people["resend"]))
    assert duplicates(arrivals) <= CONNECTIONS

    # The owner settles the doubt.
    client, end = clients["hold"], ends["hold"]
    if end["uncertain"]:
        client.act(campaigns["hold"], "uncertain", {"action": "resend"})
        end = client.wait_until_final(campaigns["hold"])
        assert (end["sent"], end["uncertain"]) == (people["hold"], 0)
        assert {mail["rcpt_to"] for mail in client.arrivals()} == set(addresses(people["hold"]))
        assert duplicates(client.arrivals()) <= CONNECTIONS
    examined = stack.run("doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr


def test_row_03_a_worker_asked_to_end_finishes_what_is_on_the_wire_and_the_next_one_goes_on(stack: Stack) -> None:
    first, client = stack.start_worker(), stack.visitor()
    campaign = client.draft(addresses(4000))
    client.act(campaign, "launch")
    client.wait_until_sent(campaign, 300)
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(10) == 0
    left = client.progress(campaign)
    assert left["queued"] > 0, "it ended too late to show anything"
    assert (left["sending"], left["uncertain"]) == (0, 0)
    assert len(client.arrivals()) == left["sent"]
    stack.start_worker()
    assert client.wait_until_final(campaign)["sent"] == 4000
    arrivals = client.arrivals()
    assert len(arrivals) == len({mail["rcpt_to"] for mail in arrivals}) == 4000


def test_row_05_a_database_that_crashes_during_a_campaign_delays_it_and_loses_nothing(stack: Stack) -> None:
    worker, client = stack.start_worker(), stack.visitor()
    people = 5000
    campaign = client.draft(addresses(people))
    client.act(campaign, "launch")
    client.wait_until_sent(campaign, 500)
    stack.postgres.stop(mode="immediate")
    stack.postgres.start()

    def settled() -> dict[str, Any] | None:
        if not worker.is_running:  # whoever supervises it starts it again
            assert worker.process.returncode != 0
            stack.start_worker()
        found, later = client.progress(campaign), deferred()
        return found if found["status"] == "sent" or (later and found["sent"] + later == people) else None

    def deferred() -> int:
        """The sandbox, without its database, asks to come again later: these messages do, in some minutes."""
        later: int = stack.value(
            "SELECT count(*) FROM messages WHERE account_id = %(account)s AND status = 'queued' AND reply LIKE '451 %%'"
            " AND send_after > now() + interval '1 minute'",
            account=client.account_id,
        )
        return later

    wait_for(lambda: stack._web_answers() and client.session.get(f"{stack.url}/readyz", timeout=10).ok, 30)
    end = wait_for(settled, 60)
    assert end["uncertain"] == 0
    assert end["sent"] >= people - 2 * CONNECTIONS
    arrivals = client.arrivals()
    accepted = {number for number, status in statuses(stack, client).items() if status == "sent"}
    assert accepted <= {mail["message_id"] for mail in arrivals}
    assert duplicates(arrivals) == 0
    if end["status"] != "sent":
        client.act(campaign, "cancel")
        client.wait_until_final(campaign)


def test_row_09_without_the_rate_counter_nothing_is_sent_and_the_limit_holds_across_its_loss(stack: Stack) -> None:
    stack.start_worker()
    client = stack.visitor()
    campaign = client.draft(addresses(400), limit={"limit": 100, "window_s": 4})
    client.act(campaign, "launch")
    client.wait_until_sent(campaign, 150)
    stack.valkey.stop()
    wait_for(lambda: client.progress(campaign)["sending"] == 0)
    before = len(client.arrivals())
    # More than a window passes without it: whoever could send, would.
    began = stack.value("SELECT clock_timestamp()")
    wait_for(lambda: stack.value("SELECT clock_timestamp() > %(at)s::timestamptz + interval '6 s'", at=began))
    assert len(client.arrivals()) == before
    away = client.progress(campaign)
    assert (away["status"], away["failed"], away["uncertain"]) == ("sending", 0, 0)
    stack.valkey.start()
    back_at = stack.value("SELECT clock_timestamp()")
    assert client.wait_until_final(campaign)["sent"] == 400
    arrivals = client.arrivals()
    times = [mail["received_at"] for mail in arrivals]
    assert len({mail["rcpt_to"] for mail in arrivals}) == len(arrivals) == 400
    assert worst_window(times, 4) <= 100
    assert (times[before] - back_at).total_seconds() <= 5
