"""The unsubscribe link, as a person and as a mailbox provider use it."""

from typing import Any

import pytest

from app.domain.links import sign_unsubscribe

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def link(api: Any, recipient: str = "Ada@example.test") -> str:
    message_id = api.value(
        "INSERT INTO messages (account_id, send_after, recipient) VALUES (%(a)s, now(), %(r)s) RETURNING message_id",
        a=api.account_id, r=recipient,
    )  # fmt: skip
    return f"/u/{sign_unsubscribe(api.services.link_key, account_id=api.account_id, message_id=message_id)}"


def suppressed(api: Any) -> list[dict[str, Any]]:
    return list(api.rows("SELECT account_id, email_key, reason FROM suppressions"))


def test_row_44_opening_the_link_shows_a_button_and_changes_nothing(api: Any) -> None:
    client, path = api.app.test_client(), link(api)
    for answer in (client.get(path), client.head(path)):
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers
    assert "<button>Unsubscribe</button>" in client.get(path).text
    assert suppressed(api) == []


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_one_click_unsubscribes_without_cookie_or_redirect(api: Any, content_type: str) -> None:
    answer = api.app.test_client().post(link(api), data=ONE_CLICK, content_type=content_type)
    assert answer.status_code == 200
    assert suppressed(api) == [{"account_id": api.account_id, "email_key": "ada@example.test", "reason": "unsubscribe"}]


def test_a_post_from_another_sites_page_or_without_a_body_counts_too(api: Any) -> None:
    client, path = api.app.test_client(), link(api)
    assert (
        client.post(path, headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://mail.example"}).status_code == 200
    )
    assert len(suppressed(api)) == 1


def test_twice_is_once_and_a_stronger_reason_stays(api: Any) -> None:
    client, path = api.app.test_client(), link(api)
    api.conn.execute(
        "INSERT INTO suppressions (account_id, email_key, reason) VALUES (%s, 'ada@example.test', 'hard_bounce')",
        (api.account_id,),
    )
    assert [client.post(path, data=ONE_CLICK).status_code for _ in range(2)] == [200, 200]
    assert [row["reason"] for row in suppressed(api)] == ["hard_bounce"]


def test_a_token_that_is_no_good_gets_the_very_same_answers_and_changes_nothing(api: Any, make_api: Any) -> None:
    client, path = api.app.test_client(), link(api)
    other = make_api()
    foreign = sign_unsubscribe(api.services.link_key, account_id=other.account_id, message_id=1)
    good_page = client.get(path).data
    for bad in (
        "/u/x",
        f"{path[:-1]}{'A' if path[-1] != 'A' else 'B'}",
        path[:-3],
        f"/u/{foreign}",
        "/u/%00",
        f"/u/{'a' * 3000}",
    ):
        assert client.get(bad).data == good_page
        assert client.post(bad, data=ONE_CLICK).status_code == 200
    assert suppressed(api) == []
    good_answer = client.post(path, data=ONE_CLICK)
    assert client.post("/u/x", data=ONE_CLICK).data == good_answer.data
