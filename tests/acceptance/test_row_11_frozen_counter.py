"""The rate counter hangs rather than being gone: it keeps its connections and answers nothing."""

import os
import signal
import time

from tests.acceptance.stack import Stack, addresses, wait_for, worst_window

LIMIT, WINDOW_S = 80, 3
#: Longer than a window: whoever counted for himself meanwhile would send.
HANGS_S = 5.0


def test_row_11_a_counter_that_hangs_stops_the_sending_within_a_lease_and_the_limit_holds_afterwards(
    stack: Stack,
) -> None:
    stack.start_worker()
    client = stack.visitor()
    campaign = client.draft(addresses(240, "frozen.test"), limit={"limit": LIMIT, "window_s": WINDOW_S})
    client.act(campaign, "launch")
    client.wait_until_sent(campaign, 90)
    assert stack.valkey.process is not None
    pid = stack.valkey.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        frozen_at = stack.value("SELECT clock_timestamp()")
        began = time.monotonic()
        # The page does not hang on a counter.
        answers = [client.session.get(f"{stack.url}/api/v1/limits", timeout=10) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert client.progress(campaign)["status"] == "sending"
        wait_for(lambda: time.monotonic() - began > HANGS_S)
        away = client.progress(campaign)
        assert (away["failed"], away["uncertain"]) == (0, 0)
        back_at = stack.value("SELECT clock_timestamp()")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert client.wait_until_final(campaign)["sent"] == 240
    times = [mail["received_at"] for mail in client.arrivals() if mail["rcpt_to"].endswith("@frozen.test")]
    assert len(times) == 240
    assert worst_window(times, WINDOW_S) <= LIMIT
    while_frozen = [at for at in times if frozen_at < at < back_at]
    assert all((at - frozen_at).total_seconds() < 2.5 for at in while_frozen), "sent without a permit"
    first_again = min(at for at in times if at > back_at)
    assert (first_again - back_at).total_seconds() <= 5
