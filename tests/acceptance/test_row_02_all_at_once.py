"""kill -9 of everything that is ours at one instant: web, workers and sandbox. What was answered is there afterwards."""

import threading
from collections import Counter

import requests

from app.dev import web_arguments
from app.settings import Settings
from tests.acceptance.stack import CONNECTIONS, Client, Stack, addresses, wait_for

PEOPLE = 3000


class Poster(threading.Thread):
    """Posts API messages one after another, each under its key, until the web is gone. `answered` and `asked` by key."""

    def __init__(self, client: Client) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.asked: list[int] = []
        self.answered: dict[int, str] = {}

    def run(self) -> None:
        try:
            while True:
                key = len(self.asked)
                self.asked.append(key)
                self.answered[key] = self.post(key)
        except requests.RequestException:
            pass

    def post(self, key: int) -> str:
        answer = self.client.session.post(
            f"{self.client.stack.url}/api/v1/messages",
            json={"to": f"m{key}@single.test", "subject": "Your code", "text": "12345"},
            headers={"Idempotency-Key": f"row-02-{key}"},
            timeout=20,
        )
        assert answer.status_code in (200, 201, 202), answer.text
        made: str = answer.json()["id"]
        return made


def kill_everything(stack: Stack) -> None:
    for child in stack.children:
        child.process.kill()
    for child in stack.children:
        child.kill()  # and what it had started
    stack.children.clear()


def start_again(stack: Stack) -> None:
    stack.start_child("sandbox", ["worker.sandbox"])
    stack.start_child("web", web_arguments(Settings(_env_file=None, port=stack.port, web_threads=8), stack.port))
    stack.start_worker()
    stack.start_worker()
    wait_for(stack._web_answers)


def statuses_of_singles(client: Client) -> Counter[str]:
    rows = client.stack.rows(
        "SELECT status FROM messages WHERE account_id = %(account)s AND recipient LIKE '%%@single.test'",
        account=client.account_id,
    )
    return Counter(row["status"] for row in rows)


def test_row_02_web_workers_and_sandbox_killed_at_once_keep_every_promise(stack: Stack) -> None:
    stack.start_worker()
    stack.start_worker()
    client = stack.visitor()
    campaign = client.draft(addresses(PEOPLE, "all.test"))
    client.act(campaign, "launch")
    poster = Poster(client)
    poster.start()
    client.wait_until_sent(campaign, 300)
    wait_for(lambda: len(poster.answered) > 20)
    kill_everything(stack)
    poster.join(30)
    assert not poster.is_alive()
    left = stack.value("SELECT count(*) FROM messages WHERE recipient LIKE '%%@all.test' AND status = 'queued'")
    assert left > 0, "killed too late"

    start_again(stack)
    end = client.wait_until_final(campaign, 90)
    assert end["sent"] + end["uncertain"] == PEOPLE
    assert end["uncertain"] <= 2 * 2 * CONNECTIONS
    # Whoever heard no answer asks again under the same key; whoever heard one gets the same.
    for key in poster.asked:
        again = poster.post(key)
        assert poster.answered.get(key, again) == again
    counted = Counter(mail["rcpt_to"] for mail in client.arrivals() if mail["rcpt_to"].endswith("@all.test"))
    assert set(counted.values()) == {1}
    assert len(counted) >= end["sent"]
    wait_for(lambda: statuses_of_singles(client).keys() == {"sent"})
    assert statuses_of_singles(client)["sent"] == len(poster.asked)
    examined = stack.run("doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr
