"""API messages over HTTP: what is taken in, what is refused, and that rows and wake-up are one commit."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

MESSAGE = {"to": "ada@example.test", "subject": "Hello", "text": "Hi there"}
SOON = "2099-01-31T09:00:00Z"
COUNTS = """SELECT (SELECT count(*) FROM messages) AS messages, (SELECT count(*) FROM message_contents) AS contents,
    (SELECT count(*) FROM due_messages) AS due, (SELECT count(*) FROM procrastinate_jobs) AS jobs,
    (SELECT count(*) FROM wakeups) AS wakeups, (SELECT count(*) FROM idempotency_keys) AS keys"""
NOTHING = {"messages": 0, "contents": 0, "due": 0, "jobs": 0, "wakeups": 0, "keys": 0}


def test_a_message_is_taken_in_with_its_wake_up(api) -> None:
    answer = api.post("/messages", {**MESSAGE, "tags": ["welcome"], "scheduled_at": "2099-01-31T10:00:03+01:00"})
    assert answer.status_code == 201, answer.data
    said = answer.json
    assert said["id"].startswith("msg_")
    assert (said["status"], said["to"], said["scheduled_at"]) == ("queued", "ada@example.test", "2099-01-31T09:00:03Z")
    assert (said["tags"], said["attempt_count"], said["campaign_id"]) == (["welcome"], 0, None)
    assert "scheduled_at_was_past" not in said
    assert api.row(COUNTS) == {**NOTHING, "messages": 1, "contents": 1, "due": 1, "jobs": 1, "wakeups": 1}
    job = api.row("SELECT queue_name, task_name, args, scheduled_at, status::text FROM procrastinate_jobs")
    bucket = datetime(2099, 1, 31, 9, 0, 0, tzinfo=UTC)
    assert job == {
        "queue_name": "messages", "task_name": "send_due", "scheduled_at": bucket, "status": "todo",
        "args": {"id": api.account_id, "epoch": int(bucket.timestamp())},
    }  # fmt: skip
    deadline = api.value("SELECT deadline FROM message_contents")
    assert deadline == datetime(2099, 2, 1, 9, 0, 3, tzinfo=UTC)


def test_a_past_time_means_now_and_is_said(api) -> None:
    said = api.post("/messages", {**MESSAGE, "scheduled_at": "2001-01-01T00:00:00Z"}).json
    assert said["scheduled_at_was_past"] is True
    assert said["scheduled_at"] == said["created_at"]


def test_row_16_ten_thousand_messages_for_one_minute_make_a_dozen_jobs(api) -> None:
    start = datetime(2099, 1, 31, 9, tzinfo=UTC)
    for _ in range(10):
        batch = [
            {
                **MESSAGE,
                "to": f"r{number}@example.test",
                "scheduled_at": (start + timedelta(milliseconds=60 * number)).isoformat(),
            }
            for number in range(1000)
        ]
        assert api.post("/messages/batch", {"messages": batch}).status_code == 201
    assert api.value("SELECT count(*) FROM messages") == 10_000
    assert api.value("SELECT count(*) FROM procrastinate_jobs") <= 12


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"to": "nobody"}, "/to"),
        ({"to": "a@b.test\r\nBcc: c@d.test"}, "/to"),
        ({"to": ["a@b.test"]}, "/to"),
        ({"subject": "x" * 999}, "/subject"),
        ({"subject": "Hello\r\nBcc: c@d.test"}, "/subject"),
        ({"subject": "nul \x00"}, "/subject"),
        ({"text": None}, "/html"),
        ({"html": "x" * (512 * 1024 + 1)}, "/html"),
        ({"text": "Hi {{ who }}"}, "/text"),
        ({"html": "{{ unclosed"}, "/html"),
        ({"variables": {"a": ["list"]}}, "/variables/a"),
        ({"variables": {"a": "x" * 33_000}}, "/variables"),
        ({"scheduled_at": "2030-01-31T09:00:00"}, "/scheduled_at"),
        ({"scheduled_at": "2101-01-01T00:00:00Z"}, "/scheduled_at"),
        ({"scheduled_at": 1_900_000_000}, "/scheduled_at"),
        ({"scheduled_at": SOON, "deadline": "2098-01-01T00:00:00Z"}, "/deadline"),
        ({"sender_id": "snd_forged"}, "/sender_id"),
        ({"tags": ["x"] * 21}, "/tags"),
        ({"tags": ["a\nb"]}, "/tags/0"),
        ({"colour": "red"}, "/colour"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_field_is_named_and_nothing_is_stored(api, change: dict, pointer: str) -> None:
    answer = api.post("/messages", {**MESSAGE, **change}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 422, answer.data
    assert answer.mimetype == "application/problem+json"
    found = [fault["pointer"] for fault in answer.json["errors"]]
    assert any(place == pointer or place.startswith(f"{pointer}/") for place in found), answer.json
    assert api.row(COUNTS) == NOTHING


def test_without_a_default_sender_the_answer_says_what_to_do(api) -> None:
    api.rows("UPDATE senders SET is_default = false RETURNING 1")
    for path, body in (("/messages", MESSAGE), ("/messages/batch", {"messages": [MESSAGE]})):
        answer = api.post(path, body, headers={"Idempotency-Key": f"k{path}"})
        assert answer.status_code == 422
        assert answer.json["errors"][0]["code"] == "no_default_sender"
        assert "POST /senders" in answer.json["errors"][0]["detail"]
    assert api.row(COUNTS) == NOTHING


def test_another_accounts_sender_cannot_be_used(api, make_api) -> None:
    other = make_api()
    theirs = other.id(
        "sender", other.value("SELECT sender_id FROM senders WHERE account_id = %(a)s", a=other.account_id)
    )
    for path, body in (
        ("/messages", {**MESSAGE, "sender_id": theirs}),
        ("/messages/batch", {"messages": [{**MESSAGE, "sender_id": theirs}]}),
    ):
        answer = api.post(path, body)
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "unknown_sender")
    assert api.row(COUNTS) == NOTHING


def test_each_message_of_a_batch_is_answered_as_itself_whoever_shares_its_letter(api) -> None:
    """What one letter's messages have in common is read and answered once: addresses, tags and order are each one's own."""
    other = {
        "subject": 'Another "letter" é\\',
        "text": "Bye",
        "tags": ["b"],
        "scheduled_at": "2099-01-31T09:00:00Z",
    }
    past = {**other, "scheduled_at": "2020-01-31T09:00:00Z"}
    longer = {**other, "text": "Bye now"}
    to = [
        "o'brien@example.test",
        "jürgen@example.test",
        "a+b@example.test",
        "c@example.test",
        "d@example.test",
        "e@example.test",
    ]
    letters = [MESSAGE, MESSAGE, longer, other, past, MESSAGE]
    batch = [{**letter, "to": address} for letter, address in zip(letters, to, strict=True)]
    answer = api.post("/messages/batch", {"messages": batch}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.json
    data = answer.json["data"]
    assert [(item["to"], item["subject"]) for item in data] == [(item["to"], item["subject"]) for item in batch]
    assert [item["tags"] for item in data] == [item.get("tags", []) for item in batch]
    assert [item.get("scheduled_at_was_past", False) for item in data] == [False, False, False, False, True, False]
    for item, letter in zip(data, letters, strict=True):
        stored = api.get(f"/messages/{item['id']}").json
        assert (stored["html"], stored["text"]) == (letter.get("html"), letter.get("text"))
        common = set(item) & set(stored)
        assert {name: stored[name] for name in common} == {name: item[name] for name in common}
    again = api.post("/messages/batch", {"messages": batch}, headers={"Idempotency-Key": "k"})
    assert (again.data, again.headers["Idempotent-Replayed"]) == (answer.data, "true")


def test_a_bad_item_refuses_the_whole_batch_by_pointer(api) -> None:
    batch = [MESSAGE, {**MESSAGE, "to": "nobody"}, MESSAGE, {**MESSAGE, "subject": "a\nb", "extra": 1}]
    answer = api.post("/messages/batch", {"messages": batch})
    assert answer.status_code == 422
    found = {fault["pointer"] for fault in answer.json["errors"]}
    assert found == {"/messages/1/to", "/messages/3/subject", "/messages/3/extra"}
    unknown = api.post("/messages/batch", {"messages": [MESSAGE, {**MESSAGE, "text": "{{ who }}"}]})
    assert unknown.status_code == 422
    assert unknown.json["errors"][0]["pointer"].startswith("/messages/1/text")
    assert api.row(COUNTS) == NOTHING


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_holds_one_to_a_thousand(api, size: int) -> None:
    small = {"to": "a@b.test", "subject": "s", "text": "t"}
    assert api.post("/messages/batch", {"messages": [small] * size}).status_code == 422


def test_a_batchs_answer_is_in_the_order_of_its_request(api) -> None:
    batch = [{**MESSAGE, "to": f"r{number}@example.test"} for number in range(50)]
    said = api.post("/messages/batch", {"messages": batch}).json["data"]
    assert [item["to"] for item in said] == [item["to"] for item in batch]
    for item in (said[0], said[31], said[49]):
        assert api.get(f"/messages/{item['id']}").json["to"] == item["to"]


def test_each_message_of_a_batch_says_its_own(api) -> None:
    """Whatever many of them have in common, and in whatever order they come."""
    at = ["2030-01-01T10:00:00Z", "2030-01-01T10:00:02Z", "2031-05-01T00:00:00Z"]
    batch = [
        {
            "to": f"r{number}@example.test", "subject": f"Hello {number % 3}", "text": f"Dear {{{{ name }}}} {number % 4}",
            "html": "<p>same</p>" if number % 2 else None, "variables": {"name": f"n{number % 5}"} if number % 5 else {"name": None},
            "scheduled_at": at[number % 3], "deadline": "2032-01-01T00:00:00Z" if number % 7 else None,
            "tags": [f"t{number % 2}"] * (number % 3),
        }
        for number in range(60)
    ]  # fmt: skip
    answer = api.post("/messages/batch", {"messages": batch})
    assert answer.status_code == 201, answer.data
    for given, said in zip(batch, answer.json["data"], strict=True):
        stored = api.get(f"/messages/{said['id']}").json
        wanted = {**given, "deadline": given["deadline"] or given["scheduled_at"].replace("01T", "02T")}
        assert {name: stored[name] for name in given} == wanted
        assert {name: said[name] for name in ("to", "subject", "tags", "scheduled_at")} == {
            name: given[name] for name in ("to", "subject", "tags", "scheduled_at")
        }
    assert api.value("SELECT count(*) FROM wakeups") == 2, "two of the three times are of one bucket"


def test_a_letter_that_many_get_is_refused_for_each_who_cannot_get_it(api) -> None:
    letter = {"subject": "Hello {{ name }}", "text": "t"}
    big = {"name": "x" * 33_000}
    batch = [
        {**letter, "to": "a@b.test", "variables": {"name": "A"}}, {**letter, "to": "b@b.test"},
        {**letter, "to": "c@b.test", "variables": big}, {**letter, "to": "d@b.test", "variables": {"nome": "D"}},
        {**letter, "to": "e@b.test", "variables": {"name": "E"}, "deadline": "2001-01-01T00:00:00Z"},
    ]  # fmt: skip
    answer = api.post("/messages/batch", {"messages": batch})
    assert answer.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in answer.json["errors"]] == [
        ("/messages/1/subject", "unknown_merge_tag"), ("/messages/2/variables", "too_large"),
        ("/messages/3/subject", "unknown_merge_tag"), ("/messages/4/deadline", "deadline_too_early"),
    ]  # fmt: skip
    assert api.row(COUNTS) == NOTHING


@pytest.mark.parametrize("path", ["/messages", "/messages/batch"])
class TestIdempotency:
    def body(self, path: str, **change: str) -> dict:
        message = {**MESSAGE, **change}
        return message if path == "/messages" else {"messages": [message]}

    def test_the_same_request_gets_the_first_answer_again(self, api, path: str) -> None:
        headers = {"Idempotency-Key": "order-7"}
        first = api.post(path, self.body(path), headers=headers)
        again = api.post(path, self.body(path), headers=headers)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.data == first.data
        assert "Idempotent-Replayed" not in first.headers
        assert again.headers["Idempotent-Replayed"] == "true"
        assert api.value("SELECT count(*) FROM messages") == 1

    def test_another_request_with_the_same_key_is_refused(self, api, path: str) -> None:
        headers = {"Idempotency-Key": "order-7"}
        api.post(path, self.body(path), headers=headers)
        answer = api.post(path, self.body(path, subject="Other"), headers=headers)
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
        assert api.value("SELECT count(*) FROM messages") == 1

    def test_a_key_belongs_to_one_account(self, api, make_api, path: str) -> None:
        headers = {"Idempotency-Key": "order-7"}
        first = api.post(path, self.body(path), headers=headers)
        other = make_api().post(path, self.body(path), headers=headers)
        assert other.status_code == 201
        assert other.data != first.data

    def test_a_request_while_the_first_runs_is_409(self, api, path: str) -> None:
        with api.conn.transaction():
            api.rows("SELECT pg_advisory_xact_lock(hashtextextended('order-7', %(a)s))", a=api.account_id)
            answer = api.post(path, self.body(path), headers={"Idempotency-Key": "order-7"})
        assert (answer.status_code, answer.json["code"]) == (409, "idempotency_in_progress")
        assert api.row(COUNTS) == NOTHING

    def test_row_30_many_at_once_make_one(self, api, path: str) -> None:
        answers: list = []

        def send() -> None:
            client = api.app.test_client()
            headers = {"Authorization": f"Bearer {api.key}", "Idempotency-Key": "order-7"}
            answers.append(client.post(f"/api/v1{path}", json=self.body(path), headers=headers))

        threads = [threading.Thread(target=send) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} <= {201, 409}
        assert len({answer.data for answer in answers if answer.status_code == 201}) == 1
        assert api.value("SELECT count(*) FROM messages") == 1

    def test_a_refused_request_may_be_corrected_under_the_same_key(self, api, path: str) -> None:
        headers = {"Idempotency-Key": "order-7"}
        assert api.post(path, self.body(path, to="nobody"), headers=headers).status_code == 422
        assert api.post(path, self.body(path), headers=headers).status_code == 201

    @pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel"])
    def test_a_key_must_be_short_and_plain(self, api, path: str, key: str) -> None:
        answer = api.post(path, self.body(path), headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.json["code"]) == (422, "bad_idempotency_key")


def test_a_message_can_be_cancelled_once(api) -> None:
    said = api.post("/messages", {**MESSAGE, "scheduled_at": SOON}).json
    answer = api.post(f"/messages/{said['id']}/cancel")
    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    assert answer.json["allowed_actions"] == []
    assert api.value("SELECT count(*) FROM due_messages") == 0
    again = api.post(f"/messages/{said['id']}/cancel")
    assert (again.status_code, again.json["code"]) == (409, "wrong_state")


def test_a_message_that_a_worker_holds_stays(api) -> None:
    said = api.post("/messages", MESSAGE).json
    api.rows("UPDATE due_messages SET job_id = 1 RETURNING 1")
    for action, body in (("cancel", None), ("reschedule", {"scheduled_at": SOON})):
        answer = api.post(f"/messages/{said['id']}/{action}", body)
        assert (answer.status_code, answer.json["code"]) == (409, "wrong_state")
    assert api.value("SELECT status FROM messages") == "queued"


def test_a_message_is_moved_with_a_new_wake_up(api) -> None:
    said = api.post("/messages", MESSAGE).json
    answer = api.post(f"/messages/{said['id']}/reschedule", {"scheduled_at": SOON})
    assert (answer.status_code, answer.json["scheduled_at"]) == (200, SOON)
    at = datetime(2099, 1, 31, 9, tzinfo=UTC)
    assert api.value("SELECT send_after FROM due_messages") == at
    assert api.value("SELECT count(*) FROM procrastinate_jobs WHERE scheduled_at = %(at)s", at=at) == 1
    assert api.value("SELECT deadline FROM message_contents") == at + timedelta(hours=24)
    past = api.post(f"/messages/{said['id']}/reschedule", {"scheduled_at": "2001-01-01T00:00:00Z"})
    assert past.json["scheduled_at_was_past"] is True


def test_a_campaigns_message_is_not_cancelled_alone(api) -> None:
    campaign_id = insert_campaign(api)
    message_id = insert_sent(api, campaign_id=campaign_id)
    answer = api.post(f"/messages/{api.id('message', message_id)}/cancel")
    assert answer.status_code == 409
    assert "campaign" in answer.json["detail"]


def test_another_accounts_message_does_not_exist(api, make_api) -> None:
    said = api.post("/messages", {**MESSAGE, "scheduled_at": SOON}).json
    other = make_api()
    assert other.get(f"/messages/{said['id']}").status_code == 404
    assert other.post(f"/messages/{said['id']}/cancel").status_code == 404
    assert other.post(f"/messages/{said['id']}/reschedule", {"scheduled_at": SOON}).status_code == 404
    assert other.get("/messages").json["data"] == []
    assert api.value("SELECT status FROM messages") == "queued"


def test_one_message_tells_its_attempts_waits_and_why(api) -> None:
    limit_id = api.value("SELECT limit_id FROM limits")
    message_id = insert_sent(api, attempt=2, reply="250 2.0.0 OK")
    api.rows(
        """INSERT INTO attempts (message_id, attempt, account_id, marked_at, settled_at, outcome, reply)
        VALUES (%(m)s, 1, %(a)s, now() - interval '5 min', now() - interval '5 min', 'try_later', '451 4.7.1 Later')
        RETURNING 1""", m=message_id, a=api.account_id,
    )  # fmt: skip
    api.rows(
        """INSERT INTO waits (account_id, message_id, limit_id, reason, started_at, ended_at)
        VALUES (%(a)s, %(m)s, %(l)s, 'limit', now() - interval '912 seconds', now() - interval '600 seconds')
        RETURNING 1""", m=message_id, a=api.account_id, l=limit_id,
    )  # fmt: skip
    said = api.get(f"/messages/{api.id('message', message_id)}").json
    assert [(attempt["attempt"], attempt["outcome"], attempt["reply"]) for attempt in said["attempts"]] == [
        (1, "try_later", "451 4.7.1 Later"), (2, "sent", "250 2.0.0 OK"),
    ]  # fmt: skip
    assert said["waits"][0]["seconds"] == 312.0
    assert said["explanation"] == [
        "waited 312 s on the hourly limit",
        "refused for now: 451 4.7.1 Later",
        "250 2.0.0 OK",
    ]


def test_pages_show_every_message_once_newest_first(api) -> None:
    made = [api.post("/messages", {**MESSAGE, "to": f"r{number}@example.test"}).json["id"] for number in range(7)]
    seen, cursor = [], ""
    for _ in range(5):
        page = api.get(f"/messages?limit=3{cursor}").json
        seen += [item["id"] for item in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == made[::-1]


def test_messages_are_found_by_status_recipient_time_and_campaign(api) -> None:
    later = api.post("/messages", {**MESSAGE, "to": "later_1@example.test", "scheduled_at": SOON}).json["id"]
    now = api.post("/messages", {**MESSAGE, "to": "now@example.test"}).json["id"]
    campaign_id = insert_campaign(api)
    sent = api.id("message", insert_sent(api, campaign_id=campaign_id))
    api.rows(
        """INSERT INTO batches (account_id, campaign_id, ordinal, due_at, total, queued, sent, first_message_id,
            last_message_id, status)
        SELECT account_id, campaign_id, 1, now(), 1, 0, 1, message_id, message_id, 'done' FROM messages
        WHERE campaign_id = %(c)s RETURNING 1""", c=campaign_id,
    )  # fmt: skip
    public = api.id("campaign", campaign_id)

    def find(query: str) -> list[str]:
        return [item["id"] for item in api.get(f"/messages?{query}").json["data"]]

    assert find("") == [sent, now, later]
    assert find("status=scheduled") == [later]
    assert find("status=queued") == [now, later]
    assert find("status=sent") == [sent]
    assert find("q=LATER_1") == [later]
    assert find("q=%25") == []
    assert find("q=w@") == [now]
    assert find(f"campaign_id={public}") == [sent]
    assert find("from=2098-01-01T00:00:00Z") == [later]
    assert find("until=2098-01-01T00:00:00Z&status=queued") == [now]
    assert api.get("/messages?status=blue").status_code == 422
    assert api.get("/messages?campaign_id=cmp_forged").status_code == 404
    assert api.get("/messages?from=yesterday").json["errors"][0]["pointer"] == "?from"


def test_a_scan_that_is_cut_says_where_to_go_on(api, monkeypatch) -> None:
    monkeypatch.setattr("app.reads.messages.SCAN_LIMIT", 10)
    api.post("/messages", {**MESSAGE, "to": "needle@example.test"})
    for number in range(25):
        api.post("/messages", {**MESSAGE, "to": f"r{number}@example.test"})
    found, cursor, pages = [], "", 0
    while True:
        page = api.get(f"/messages?q=needle&limit=2{cursor}").json
        pages += 1
        found += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [item["to"] for item in found] == ["needle@example.test"]
    assert pages == 3


def test_a_revoked_key_sends_nothing(api) -> None:
    from app.commands.messages import Letter, NewMessage, Post, create_each
    from app.domain.message import Slot

    key_id = api.value("SELECT api_key_id FROM api_keys")
    api.rows("UPDATE api_keys SET revoked_at = now() RETURNING 1")
    now = datetime(2030, 1, 1, tzinfo=UTC)
    slot = Slot(now, now + timedelta(hours=1), False)
    post = Post(api.account_id, key_id, NewMessage("a@b.test", Letter("s", text_body="t")), slot, "}", None, now)
    assert create_each(api.conn, [post]) == ["key revoked"]
    assert api.row(COUNTS) == NOTHING


def test_a_key_that_was_used_a_moment_ago_is_refused_once_revoked(api) -> None:
    assert api.post("/messages", MESSAGE).status_code == 201
    api.rows("UPDATE api_keys SET revoked_at = now() RETURNING 1")
    answer = api.post("/messages", MESSAGE)
    assert (answer.status_code, answer.json["code"]) == (401, "bad_api_key")
    assert api.value("SELECT count(*) FROM messages") == 1


def insert_campaign(api) -> int:
    return api.value(
        "INSERT INTO campaigns (account_id, name, subject) VALUES (%(a)s, 'News', 'News') RETURNING campaign_id",
        a=api.account_id,
    )


def insert_sent(api, *, campaign_id: int | None = None, attempt: int = 1, reply: str = "250 OK") -> int:
    return api.value(
        """INSERT INTO messages (account_id, campaign_id, contact_id, send_after, marked_at, settled_at, attempt, status,
            recipient, reply)
        VALUES (%(a)s, %(c)s, 1, now(), now(), now(), %(n)s, 'sent', 'bob@example.test', %(r)s)
        RETURNING message_id""",
        a=api.account_id, c=campaign_id, n=attempt, r=reply,
    )  # fmt: skip


def test_requests_that_share_a_commit_are_each_taken_on_their_own_terms(api) -> None:
    from app.commands.idempotency import IdempotencyKey
    from app.commands.messages import Letter, NewMessage, Post, create_each
    from app.domain.message import Slot

    now = datetime(2030, 1, 1, tzinfo=UTC)
    slot = Slot(now, now + timedelta(hours=1), False)
    other_id = api.value("INSERT INTO accounts (name) VALUES ('without a sender') RETURNING account_id")

    def post(
        recipient: str, *, key: str | None = None, account_id: int = api.account_id, variables: Any = None, **said: Any
    ) -> Post:
        known = IdempotencyKey(account_id, key, b"h" * 32) if key is not None else None
        message = NewMessage(recipient, Letter("s", text_body='it\'s "so" – {{ email }}', **said), variables)
        return Post(account_id, None, message, slot, ',"x":1}', known, now)

    assert isinstance(create_each(api.conn, [post("first@b.test", key="stored")])[0], int)
    with psycopg.connect(api.conn.info.dsn, password=api.conn.info.password) as another:
        another.execute("SELECT pg_advisory_xact_lock(hashtextextended('running', %s))", (api.account_id,))
        outcomes = create_each(
            api.conn,
            [
                post("a@b.test"), post("b@b.test", key="new"), post("c@b.test", key="stored"), post("d@b.test", key="running"),
                post("e@b.test", sender_id=1_000_000_000), post("f@b.test", account_id=other_id),
                post("g@b.test", variables={"n": 1.5, "name": "Zoë \\ \"'"}, tags=("one", "two")),
            ],
        )  # fmt: skip
    a, b, stored, running, no_sender, other, g = outcomes
    assert (stored, running, no_sender, other) == ("stored or no sender", "running", "no sender", "no sender")
    assert isinstance(a, int) and isinstance(b, int) and isinstance(g, int) and a < b < g
    recipients = api.rows("SELECT recipient FROM messages JOIN due_messages USING (message_id) ORDER BY message_id")
    assert [row["recipient"] for row in recipients] == ["first@b.test", "a@b.test", "b@b.test", "g@b.test"]
    assert api.value("SELECT convert_from(response, 'UTF8') FROM idempotency_keys WHERE key = 'new'") == f'{b}|,"x":1}}'
    said = api.row("SELECT text_body, variables, tags FROM message_contents ORDER BY message_id DESC LIMIT 1")
    assert said["text_body"] == 'it\'s "so" – {{ email }}'
    assert (said["variables"], said["tags"]) == ({"n": 1.5, "name": "Zoë \\ \"'"}, ["one", "two"])
    assert api.value("SELECT count(*) FROM procrastinate_jobs") == 1, "one wake-up for all of them"
