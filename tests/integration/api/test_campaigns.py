"""The campaign calls of the API, as a client meets them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from app.reads import audiences
from tests.integration.campaign_rows import materialise

FUTURE = "2031-05-01T09:00:00Z"


def make(api: Any, **changes: Any) -> dict[str, Any]:
    body = {
        "name": "News", "subject": "Hello {{ first_name }}", "html": "<p>Hello {{ first_name }}</p>",
        "audience": {"contacts": [
            {"email": "a@example.test", "first_name": "Ada"}, {"email": "b@example.test", "first_name": "Bo"},
        ]},
        **changes,
    }  # fmt: skip
    answer = api.post("/campaigns", body)
    assert answer.status_code == 201, answer.json
    return dict(answer.json)


def pointers(answer: Any) -> list[str]:
    return [fault["pointer"] for fault in answer.json["errors"]]


def act(api: Any, campaign: dict[str, Any], action: str, body: Any = None) -> dict[str, Any]:
    answer = api.post(f"/campaigns/{campaign['id']}/{action}", body)
    assert answer.status_code == 200, answer.json
    return dict(answer.json)


def in_progress(api: Any, statuses: dict[str, str], *, status: str = "sending", **changes: Any) -> dict[str, Any]:
    """A launched campaign as the engine would have it by now."""
    contacts = [{"email": address, "first_name": "X"} for address in statuses]
    campaign = make(api, audience={"contacts": contacts}, **changes)
    act(api, campaign, "launch")
    number = api.number("campaign", campaign["id"])
    now = datetime.now(UTC) - timedelta(seconds=20)
    materialise(api.conn, number, now=now, statuses=statuses)
    api.conn.execute("UPDATE campaigns SET status = %s, started_at = %s WHERE campaign_id = %s", (status, now, number))
    return campaign


def test_a_draft_comes_back_as_it_was_sent_with_what_may_be_done(api: Any) -> None:
    campaign = make(api, limit={"limit": 60, "window_s": 60}, pacing="smooth", uncertain_policy="resend", text="Hi")
    assert api.get(f"/campaigns/{campaign['id']}").json == campaign
    assert campaign["id"].startswith("cmp_")
    assert campaign["status"] == "draft"
    assert campaign["html"] == "<p>Hello {{ first_name }}</p>"
    assert campaign["text"] == "Hi"
    assert (campaign["pacing"], campaign["uncertain_policy"]) == ("smooth", "resend")
    assert {k: campaign["limit"][k] for k in ("limit", "window_s")} == {"limit": 60, "window_s": 60}
    assert campaign["audience"]["kind"] == "contacts"
    assert campaign["recipients_estimate"] == 2
    assert campaign["sender"]["email"].startswith("sender")
    assert set(campaign["allowed_actions"]) == {"edit", "delete", "test", "launch", "duplicate"}
    assert campaign["blocked_actions"]["pause"] == "The campaign is a draft, so it cannot be paused."


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"nmae": "x"}, "/nmae"),
        ({"subject": "a\r\nBcc: x@example.test"}, "/subject"),
        ({"subject": "a\x00b"}, "/subject"),
        ({"subject": "x" * 999}, "/subject"),
        ({"preview_text": "a\nb"}, "/preview_text"),
        ({"html": "<p>{{ nobody_has_this }}</p>"}, "/html"),
        ({"html": "<p>{{ first_name </p>"}, "/html"),
        ({"pacing": "fast"}, "/pacing"),
        ({"uncertain_policy": "guess"}, "/uncertain_policy"),
        ({"limit": {"limit": 0, "window_s": 60}}, "/limit/limit"),
        ({"limit": {"limit": 1, "window_s": 2_592_001}}, "/limit/window_s"),
        ({"audience": {}}, "/audience"),
        ({"audience": {"contacts": []}}, "/audience/contacts"),
        ({"audience": {"contacts": [{"email": "a@example.test"}, {"email": "no"}]}}, "/audience/contacts/1/email"),
        ({"audience": {"contacts": [{"first_name": "Ada"}]}}, "/audience/contacts/0/email"),
        ({"audience": {"contacts": [{"email": "a@example.test", "bad name": "x"}]}}, "/audience/contacts/0/bad name"),
        ({"audience": {"contacts": [{"email": "a@example.test", "x": {"y": 1}}]}}, "/audience/contacts/0/x"),
        ({"audience": {"contacts": [{"email": "a@example.test", "x": ["y"]}]}}, "/audience/contacts/0/x"),
        ({"audience": {"import_id": "imp_0000000000000000000000"}}, "/audience/import_id"),
        ({"audience": {"list_ids": ["lst_nope"]}}, "/audience/list_ids/0"),
        ({"sender_id": "snd_nope"}, "/sender_id"),
    ],
)
def test_bad_input_is_refused_by_pointer_and_nothing_is_stored(api: Any, changes: dict[str, Any], pointer: str) -> None:
    body = {
        "name": "News", "subject": "Hi", "html": "<p>Hi</p>",
        "audience": {"contacts": [{"email": "a@example.test"}]}, **changes,
    }  # fmt: skip
    answer = api.post("/campaigns", body)
    assert answer.status_code == 422, answer.json
    assert pointers(answer) == [pointer]
    assert api.value("SELECT count(*) FROM campaigns") == 0
    assert api.value("SELECT count(*) FROM contacts") == 0


def test_a_draft_is_patched_and_a_null_takes_the_limit_away(api: Any) -> None:
    campaign = make(api, limit={"limit": 60, "window_s": 60})
    path = f"/campaigns/{campaign['id']}"
    changed = api.patch(path, {"name": "Other", "limit": None})
    assert changed.status_code == 200
    assert (changed.json["name"], changed.json["limit"]) == ("Other", None)
    assert changed.json["subject"] == campaign["subject"]
    refused = api.patch(path, {"name": ""})
    assert refused.status_code == 422
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_the_list_is_newest_first_filtered_searched_and_paged(api: Any) -> None:
    first, second, third = make(api, name="Alpha"), make(api, name="Beta"), make(api, name="Gamma")
    act(api, second, "launch", {"scheduled_at": FUTURE})
    names = [item["name"] for item in api.get("/campaigns").json["data"]]
    assert names == ["Gamma", "Beta", "Alpha"]
    assert [item["id"] for item in api.get("/campaigns?status=scheduled").json["data"]] == [second["id"]]
    assert len(api.get("/campaigns?status=scheduled,draft").json["data"]) == 3
    assert api.get("/campaigns?status=nope").status_code == 422
    assert [item["id"] for item in api.get("/campaigns?q=ALPH").json["data"]] == [first["id"]]
    page = api.get("/campaigns?limit=2").json
    rest = api.get(f"/campaigns?limit=2&cursor={page['next_cursor']}").json
    assert [item["id"] for item in page["data"] + rest["data"]] == [third["id"], second["id"], first["id"]]
    assert rest["next_cursor"] is None


def add_contact(api: Any, address: str, *, list_id: int | None = None, **attributes: str) -> int:
    contact_id = api.value(
        "INSERT INTO contacts (account_id, email, attributes) VALUES (%(a)s, %(e)s, %(v)s) RETURNING contact_id",
        a=api.account_id, e=address, v=Jsonb(attributes),
    )  # fmt: skip
    if list_id is not None:
        api.conn.execute("INSERT INTO list_contacts VALUES (%s, %s, %s)", (api.account_id, list_id, contact_id))
    return int(contact_id)


def add_list(api: Any, name: str = "All") -> int:
    found = api.value(
        "INSERT INTO lists (account_id, name) VALUES (%(a)s, %(n)s) RETURNING list_id", a=api.account_id, n=name
    )
    return int(found)


def read_all(api: Any, path: str, *, limit: int) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = api.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        assert answer.status_code == 200, answer.json
        found += answer.json["data"]
        if answer.json["next_cursor"] is None:
            return found
        cursor = f"&cursor={answer.json['next_cursor']}"


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("created", ["b", "C", "a", "A", "d"]),
        ("-created", ["d", "A", "a", "C", "b"]),
        ("name", ["a", "A", "b", "C", "d"]),
        ("-name", ["d", "C", "b", "A", "a"]),
        ("scheduled", ["C", "A", "b", "a", "d"]),
        ("-scheduled", ["A", "C", "d", "a", "b"]),
        ("updated", ["d", "A", "a", "C", "b"]),
        ("-updated", ["b", "C", "a", "A", "d"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 200])
def test_the_list_is_sorted_as_asked_also_over_pages(api: Any, sort: str, names: list[str], limit: int) -> None:
    for position, name in enumerate(["b", "C", "a", "A", "d"]):
        number = api.number("campaign", make(api, name=name)["id"])
        api.conn.execute(
            "UPDATE campaigns SET updated_at = timestamptz '2026-01-01 10:00:00Z' - make_interval(secs => %s) "
            "WHERE campaign_id = %s",
            (position / 1_000_000, number),
        )
    api.conn.execute("UPDATE campaigns SET scheduled_at = '2031-01-01Z' WHERE name = 'C'")
    api.conn.execute("UPDATE campaigns SET scheduled_at = '2032-01-01Z' WHERE name = 'A'")
    assert [row["name"] for row in read_all(api, f"/campaigns?sort={sort}", limit=limit)] == names


def test_a_page_goes_on_where_the_last_one_ended_although_its_last_row_has_moved(api: Any) -> None:
    for name in ("a", "b", "c", "d"):
        make(api, name=name)
    page = api.get("/campaigns?sort=name&limit=2").json
    api.patch(f"/campaigns/{page['data'][1]['id']}", {"name": "z"})
    rest = api.get(f"/campaigns?sort=name&limit=2&cursor={page['next_cursor']}").json
    assert [row["name"] for row in rest["data"]] == ["c", "d"]


def test_a_sorted_list_is_filtered_as_well(api: Any) -> None:
    for name in ("x2", "x1", "other"):
        make(api, name=name)
    assert [row["name"] for row in api.get("/campaigns?sort=name&q=X2&status=draft").json["data"]] == ["x2"]
    assert [row["name"] for row in api.get("/campaigns?sort=name&q=x").json["data"]] == ["x1", "x2"]
    assert api.get("/campaigns?sort=name&status=sent").json["data"] == []


def test_an_order_that_is_none_and_the_cursor_of_another_order_are_refused(api: Any) -> None:
    make(api, name="a")
    make(api, name="b")
    wrong = api.get("/campaigns?sort=size")
    assert (wrong.status_code, pointers(wrong)) == (422, ["?sort"])
    cursor = api.get("/campaigns?sort=name&limit=1").json["next_cursor"]
    by_id = api.get("/campaigns?limit=1").json["next_cursor"]
    bad = [("-name", cursor), ("-created", cursor), ("name", by_id), ("name", "x"), ("name", f"{by_id}.bm9wZQ")]
    for sort, text in bad:
        answer = api.get(f"/campaigns?sort={sort}&cursor={text}")
        assert (answer.status_code, pointers(answer)) == (422, ["?cursor"]), (sort, text)


def test_a_campaign_says_what_its_audience_is_called_and_offers(api: Any) -> None:
    campaign = make(api)
    assert campaign["audience"] == {
        "kind": "contacts", "contact_count": 2, "label": "2 contacts given by hand", "columns": ["first_name"],
    }  # fmt: skip
    assert make(api, audience=None)["audience"] is None
    lists = [add_list(api, name) for name in ("News", "Friends")]
    add_contact(api, "l@example.test", list_id=lists[0], city="Oslo")
    add_contact(api, "m@example.test", list_id=lists[1], plan="free")
    by_lists = make(
        api, subject="Hi", html="<p>Hi</p>", audience={"list_ids": [api.id("list", number) for number in lists]}
    )
    assert (by_lists["audience"]["label"], by_lists["audience"]["columns"]) == ("News, Friends", ["city", "plan"])
    import_id = api.value(
        "INSERT INTO imports (account_id, filename, status) VALUES (%(a)s, 'people.csv', 'awaiting_mapping') "
        "RETURNING import_id",
        a=api.account_id,
    )
    by_import = make(api, audience={"import_id": api.id("import", import_id)})
    assert (by_import["audience"]["label"], by_import["audience"]["columns"]) == ("people.csv", None)
    api.conn.execute("UPDATE imports SET mapping = %s", (Jsonb({"email": "E-Mail", "first_name": "Vorname"}),))
    assert api.get(f"/campaigns/{by_import['id']}").json["audience"]["columns"] == ["first_name"]
    labels = [row["audience"] and row["audience"]["label"] for row in api.get("/campaigns").json["data"]]
    assert labels == ["people.csv", "News, Friends", None, "2 contacts given by hand"]


def test_the_audience_is_listed_and_each_of_it_can_be_previewed(api: Any) -> None:
    outside = add_contact(api, "outside@example.test")
    first, second = add_list(api, "One"), add_list(api, "Two")
    for number in range(5):
        add_contact(api, f"p{number}@example.test", list_id=first if number % 2 else second, first_name=f"P{number}")
    both = api.value("SELECT contact_id FROM contacts WHERE email = 'p1@example.test'")
    api.conn.execute("INSERT INTO list_contacts VALUES (%s, %s, %s)", (api.account_id, second, both))
    campaign = make(api, audience={"list_ids": [api.id("list", first), api.id("list", second)]})
    path = f"/campaigns/{campaign['id']}/audience"
    found = read_all(api, path, limit=2)
    assert [row["email"] for row in found] == [f"p{number}@example.test" for number in range(5)]
    assert found[0]["attributes"] == {"first_name": "P0"}
    assert api.id("contact", outside) not in {row["id"] for row in found}
    for row in found:
        assert act(api, campaign, "preview", {"contact_id": row["id"]})["to"] == row["email"]
    assert [row["email"] for row in api.get(f"{path}?q=P3@").json["data"]] == ["p3@example.test"]
    assert [row["email"] for row in api.get(f"{path}?q=P4@EXAMPLE.test").json["data"]] == ["p4@example.test"]
    for nobody in ("outside@example.test", "outside", "%25"):
        assert api.get(f"{path}?q={nobody}").json["data"] == []


def test_a_search_through_an_audience_looks_at_so_many_contacts_at_a_time_and_goes_on_where_it_stopped(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audiences, "SCAN_LIMIT", 3)
    chosen = add_list(api, "One")
    for number in range(10):
        add_contact(api, f"{'rare' if number in (0, 8) else 'p'}{number}@example.test", list_id=chosen, first_name="P")
    campaign = make(api, audience={"list_ids": [api.id("list", chosen)]})
    found, sizes, cursor = [], [], ""
    while cursor is not None:
        page = api.get(f"/campaigns/{campaign['id']}/audience?q=rare&limit=1{cursor and f'&cursor={cursor}'}").json
        found += [row["email"] for row in page["data"]]
        sizes.append(len(page["data"]))
        cursor = page["next_cursor"]
        assert len(sizes) < 10
    assert found == ["rare0@example.test", "rare8@example.test"]
    assert 0 in sizes, "a page without a match is a page, and not the end"


def test_the_audience_of_an_import_and_of_contacts_by_hand_is_listed(api: Any) -> None:
    by_hand = make(api)
    assert [row["email"] for row in api.get(f"/campaigns/{by_hand['id']}/audience").json["data"]] == [
        "a@example.test", "b@example.test",
    ]  # fmt: skip
    import_id = api.value(
        "INSERT INTO imports (account_id, status, mapping) VALUES (%(a)s, 'done', %(m)s) RETURNING import_id",
        a=api.account_id, m=Jsonb({"email": "x", "first_name": "y"}),
    )  # fmt: skip
    contact_id = add_contact(api, "i@example.test", **{f"a{number}": "x" for number in range(12)})
    api.conn.execute("INSERT INTO import_contacts VALUES (%s, %s, %s)", (api.account_id, import_id, contact_id))
    by_import = make(api, audience={"import_id": api.id("import", import_id)})
    (row,) = api.get(f"/campaigns/{by_import['id']}/audience").json["data"]
    assert (row["email"], len(row["attributes"])) == ("i@example.test", 8)
    assert [
        row["email"] for row in api.get(f"/campaigns/{by_import['id']}/audience?q=I@example.test").json["data"]
    ] == ["i@example.test"]
    assert api.get(f"/campaigns/{make(api, audience=None)['id']}/audience").json["data"] == []


def test_another_audience_is_saved_although_the_content_does_not_fit_it_and_the_launch_says_what_to_change(
    api: Any,
) -> None:
    campaign = make(api, preview_text="x")
    path = f"/campaigns/{campaign['id']}"
    changed = api.patch(path, {"audience": {"contacts": [{"email": "a@example.test", "name": "Ada"}]}})
    assert changed.status_code == 200, changed.json
    assert changed.json["html"] == campaign["html"]
    assert api.patch(path, {"name": "Other", "pacing": "smooth"}).status_code == 200
    faults = act(api, campaign, "forecast")["faults"]
    assert [(fault["pointer"], fault["code"]) for fault in faults] == [
        ("/subject", "unknown_merge_tag"), ("/html", "unknown_merge_tag"),
    ]  # fmt: skip
    for action in ("launch", "preview"):
        refused = api.post(f"{path}/{action}")
        assert (refused.status_code, pointers(refused)) == (422, ["/subject", "/html"])
        assert refused.json["detail"].startswith('The subject cannot be sent as it is: "first_name" is not known')
    assert api.get(path).json["status"] == "draft"
    assert api.patch(path, {"subject": "Hello {{ name }}"}).status_code == 200
    refused = api.post(f"{path}/launch")
    assert pointers(refused) == ["/html"]
    assert api.patch(path, {"html": "<p>{{ name }}</p>"}).status_code == 200
    assert act(api, campaign, "forecast")["faults"] == []
    assert act(api, campaign, "launch", {"scheduled_at": FUTURE})["status"] == "scheduled"


@pytest.mark.parametrize("text", ["<p>{{ first_name </p>", "<p>{{ nobody_has_this }}</p>"])
def test_content_that_is_being_saved_is_checked_at_its_own_field(api: Any, text: str) -> None:
    campaign = make(api)
    refused = api.patch(f"/campaigns/{campaign['id']}", {"html": text, "name": "Other"})
    assert (refused.status_code, pointers(refused)) == (422, ["/html"])
    assert api.get(f"/campaigns/{campaign['id']}").json == campaign


def test_a_launch_for_later_is_scheduled_and_can_be_taken_back(api: Any) -> None:
    campaign = make(api)
    launched = act(api, campaign, "launch", {"scheduled_at": "2031-05-01T11:00:00+02:00"})
    assert (launched["status"], launched["scheduled_at"]) == ("scheduled", FUTURE)
    assert "scheduled_at_was_past" not in launched
    assert set(launched["allowed_actions"]) == {"test", "unschedule", "pause", "cancel", "duplicate"}
    assert api.post(f"/campaigns/{campaign['id']}/launch").status_code == 409
    assert api.patch(f"/campaigns/{campaign['id']}", {"name": "x"}).json["code"] == "wrong_state"
    assert act(api, campaign, "unschedule")["status"] == "draft"


def test_a_past_time_launches_now_and_says_so(api: Any) -> None:
    launched = act(api, make(api), "launch", {"scheduled_at": "2020-01-01T00:00:00Z"})
    assert launched["status"] == "scheduled"
    assert launched["scheduled_at_was_past"] is True


@pytest.mark.parametrize("at", ["2031-05-01T09:00:00", "2101-01-01T00:00:00Z", "tomorrow", 1_900_000_000])
def test_a_time_without_zone_or_beyond_2100_is_refused(api: Any, at: Any) -> None:
    campaign = make(api)
    answer = api.post(f"/campaigns/{campaign['id']}/launch", {"scheduled_at": at})
    assert (answer.status_code, pointers(answer)) == (422, ["/scheduled_at"])


def test_the_same_key_launches_once(api: Any) -> None:
    campaign = make(api)
    path, headers = f"/campaigns/{campaign['id']}/launch", {"Idempotency-Key": "one"}
    first, second = api.post(path, headers=headers), api.post(path, headers=headers)
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.json == first.json
    assert api.value("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'launch_campaign'") == 1


def test_an_incomplete_draft_says_what_a_launch_needs(api: Any) -> None:
    campaign = make(api, subject="", html=None, audience=None)
    assert "launch" in campaign["blocked_actions"]
    answer = api.post(f"/campaigns/{campaign['id']}/launch")
    assert (answer.status_code, answer.json["code"]) == (422, "incomplete")
    assert pointers(answer) == ["/audience", "/subject", "/html"]


def test_pause_resume_and_cancel_answer_with_the_new_state(api: Any) -> None:
    campaign = in_progress(api, {"a@example.test": "sent", "b@example.test": "queued"})
    assert act(api, campaign, "pause")["status"] == "paused"
    resumed = act(api, campaign, "resume")
    assert resumed["status"] == "sending"
    assert "pause" in resumed["allowed_actions"]
    assert act(api, campaign, "cancel")["status"] == "cancelled"
    assert api.post(f"/campaigns/{campaign['id']}/resume").status_code == 409


def test_failed_messages_are_retried_and_uncertain_ones_settled(api: Any) -> None:
    statuses = {"a@example.test": "failed", "b@example.test": "uncertain", "c@example.test": "uncertain"}
    campaign = in_progress(api, statuses, status="sent")
    accepted = act(api, campaign, "uncertain", {"action": "accept"})
    assert (accepted["message_count"], accepted["counts"]["sent"], accepted["counts"]["uncertain"]) == (2, 2, 0)
    retried = act(api, campaign, "retry-failed")
    assert (retried["message_count"], retried["status"], retried["counts"]["queued"]) == (1, "sending", 1)
    assert api.post(f"/campaigns/{campaign['id']}/uncertain", {"action": "guess"}).status_code == 422


def test_another_accounts_campaign_is_not_found_whatever_is_asked(api: Any, make_api: Any) -> None:
    campaign, other = make(api), make_api()
    path = f"/campaigns/{campaign['id']}"
    answers = [other.get(path), other.patch(path, {"name": "x"}), other.delete(path)]
    answers += [
        other.get(f"{path}/{part}") for part in ("progress", "throughput", "messages", "messages.csv", "audience")
    ]
    answers += [
        other.post(f"{path}/{part}", {"to": "a@example.test"} if part == "test" else None)
        for part in ("preview", "test", "forecast", "launch", "pause", "resume", "cancel", "duplicate", "unschedule",
                     "retry-failed")
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} == {404}
    assert other.get("/campaigns").json["data"] == []
    assert api.get(path).json == campaign


def test_a_reader_may_look_and_not_launch(api: Any, make_api: Any) -> None:
    campaign = make(api)
    reader = make_api(account_id=api.account_id, scopes=("read",))
    assert reader.get(f"/campaigns/{campaign['id']}").status_code == 200
    assert reader.post(f"/campaigns/{campaign['id']}/forecast").status_code == 200
    assert reader.post(f"/campaigns/{campaign['id']}/launch").status_code == 403


def test_the_preview_shows_the_first_contact_and_warns(api: Any) -> None:
    campaign = make(api, subject="Hello {{ first_name }}" + "!" * 80)
    shown = act(api, campaign, "preview")
    assert shown["to"] == "a@example.test"
    assert shown["subject"].startswith("Hello Ada!")
    assert "Hello Ada" in shown["html"]
    assert "Hello Ada" in shown["text"]
    assert {warning["code"] for warning in shown["warnings"]} == {"long_subject", "no_unsubscribe_link"}
    contact_id = api.value("SELECT contact_id FROM contacts WHERE email = 'b@example.test'")
    as_other = act(api, campaign, "preview", {"contact_id": api.id("contact", contact_id)})
    assert as_other["to"] == "b@example.test"
    assert "Hello Bo" in as_other["html"]


def test_a_draft_without_an_audience_is_previewed_with_its_tags_by_name(api: Any) -> None:
    shown = act(api, make(api, audience=None), "preview")
    assert "Hello [first_name]" in shown["html"]
    assert "no_contact" in {warning["code"] for warning in shown["warnings"]}


def test_a_test_is_one_message_with_the_first_contacts_values(api: Any) -> None:
    campaign = make(api)
    answer = api.post(f"/campaigns/{campaign['id']}/test", {"to": "me@example.test"})
    assert answer.status_code == 202, answer.json
    message = api.get(f"/messages/{answer.json['message_id']}").json
    assert (message["to"], message["subject"]) == ("me@example.test", "[Test] Hello {{ first_name }}")
    assert message["variables"]["first_name"] == "Ada"
    assert message["status"] == "queued"
    assert message["campaign_id"] is None
    assert api.get(f"/campaigns/{campaign['id']}").json["status"] == "draft"


def test_a_test_needs_content(api: Any) -> None:
    campaign = make(api, html=None)
    answer = api.post(f"/campaigns/{campaign['id']}/test", {"to": "me@example.test"})
    assert (answer.status_code, pointers(answer)) == (422, ["/html"])


def test_the_forecast_counts_who_gets_it_and_names_the_limit(api: Any) -> None:
    contacts = [{"email": f"p{n}@example.test", "first_name": "X"} for n in range(10)]
    contacts.append({"email": "P1@example.test", "first_name": "X"})
    campaign = make(api, audience={"contacts": contacts}, limit={"limit": 3, "window_s": 60})
    api.conn.execute(
        "INSERT INTO suppressions (account_id, email_key, reason) VALUES (%s, 'p0@example.test', 'unsubscribe'), "
        "(%s, 'elsewhere@example.test', 'manual')",
        (api.account_id, api.account_id),
    )
    told = act(api, campaign, "forecast", {"scheduled_at": FUTURE})
    assert told["recipients"] == 9
    assert told["excluded"] == {"duplicates": 1, "suppressed": 1, "invalid": 0}
    assert told["starts_at"] == FUTURE
    assert told["finishes_at"].startswith("2031-05-01T09:02:00")
    assert told["binding_limit"] == {"scope": "campaign", "limit": 3, "window_s": 60}
    assert told["per_hour"] == 180


def test_the_forecast_counts_what_the_account_has_used(make_api: Any) -> None:
    api = make_api(limit=100)
    api.conn.execute(
        "INSERT INTO throughput (account_id, at_second, writer_id, sent) VALUES (%s, date_trunc('second', now()), 1, 100)",
        (api.account_id,),
    )
    told = act(api, make(api), "forecast")
    wait = datetime.fromisoformat(told["finishes_at"]) - datetime.fromisoformat(told["starts_at"])
    assert 3500 < wait.total_seconds() < 3800
    assert told["binding_limit"]["scope"] == "account"


def test_progress_has_exactly_the_keys_of_the_contract_and_adds_up(api: Any) -> None:
    statuses = {
        "a@example.test": "sent",
        "b@example.test": "failed",
        "c@example.test": "queued",
        "d@example.test": "uncertain",
    }
    campaign = in_progress(api, statuses)
    number = api.number("campaign", campaign["id"])
    api.conn.execute("UPDATE batches SET lateness_ms = 4 + ordinal WHERE campaign_id = %s", (number,))
    progress = api.get(f"/campaigns/{campaign['id']}/progress").json
    assert set(progress) == {
        "status", "total", "queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired",
        "per_second", "started_at", "finishes_at", "resumes_at", "lateness_ms",
    }  # fmt: skip
    states = ("queued", "sending", "sent", "failed", "uncertain", "suppressed", "cancelled", "expired")
    assert sum(progress[state] for state in states) == progress["total"] == 4
    assert progress["lateness_ms"] == {"p50": 4, "p99": 5, "max": 5}
    assert progress["status"] == "sending"
    assert progress["finishes_at"] > progress["started_at"]
    assert progress["resumes_at"] is None


def test_progress_says_when_waiting_batches_go_on(api: Any) -> None:
    campaign = in_progress(api, {"a@example.test": "queued"})
    limit_id = api.value("SELECT limit_id FROM limits WHERE account_id = %(a)s", a=api.account_id)
    api.conn.execute("UPDATE limits SET resume_at = %s", ("2031-01-01T00:00:05Z",))
    api.conn.execute("UPDATE batches SET status = 'waiting', waiting_limit_id = %s, waiting_since = now()", (limit_id,))
    progress = api.get(f"/campaigns/{campaign['id']}/progress").json
    assert progress["resumes_at"] == "2031-01-01T00:00:05Z"
    assert progress["finishes_at"] >= progress["resumes_at"]


def test_progress_that_has_not_changed_is_not_sent_again(api: Any) -> None:
    campaign = make(api)
    path = f"/campaigns/{campaign['id']}/progress"
    first = api.get(path)
    again = api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_rate_is_over_the_last_full_seconds(api: Any) -> None:
    campaign = in_progress(api, {"a@example.test": "queued"})
    number = api.number("campaign", campaign["id"])
    api.conn.execute(
        "INSERT INTO throughput (account_id, campaign_id, at_second, writer_id, sent, failed) "
        "SELECT %s, %s, date_trunc('second', now()) - make_interval(secs => n), 1, 40, 10 FROM generate_series(-1, 9) AS n",
        (api.account_id, number),
    )
    assert api.get(f"/campaigns/{campaign['id']}/progress").json["per_second"] == 50
    series = api.get(f"/campaigns/{campaign['id']}/throughput").json
    assert series["step_s"] == 1
    assert [point["sent"] for point in series["points"][-3:]] == [40, 40, 40]
    assert series["points"][0]["sent"] == 0
    whole = api.get(f"/campaigns/{campaign['id']}/throughput?range=whole").json
    assert sum(point["failed"] for point in whole["points"]) >= 80


def test_messages_are_filtered_searched_and_paged(api: Any) -> None:
    statuses = {f"p{n}@example.test": "failed" if n == 3 else "sent" for n in range(7)}
    path = f"/campaigns/{in_progress(api, statuses)['id']}/messages"
    everyone = api.get(path).json
    assert [item["to"] for item in everyone["data"]] == [f"p{n}@example.test" for n in reversed(range(7))]
    failed = api.get(f"{path}?status=failed").json["data"]
    assert [(item["to"], item["last_reply"]) for item in failed] == [("p3@example.test", "550 5.1.1 no")]
    assert [item["to"] for item in api.get(f"{path}?q=P5@example.test").json["data"]] == ["p5@example.test"]
    assert [item["to"] for item in api.get(f"{path}?q=P5@").json["data"]] == ["p5@example.test"]
    assert api.get(f"{path}?q=%25").json["data"] == []
    found, cursor = [], ""
    while True:
        page = api.get(f"{path}?limit=3{cursor}").json
        found += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == everyone["data"]


def test_the_csv_has_every_message_and_no_cell_that_a_spreadsheet_would_run(api: Any) -> None:
    campaign = in_progress(api, {"+a@example.test": "sent", "b@example.test": "failed"})
    api.conn.execute("UPDATE messages SET reply = '=cmd|x' WHERE status = 'sent'")
    answer = api.get(f"/campaigns/{campaign['id']}/messages.csv")
    lines = answer.text.split("\r\n")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert lines[0] == "message_id,recipient,status,attempts,due_at,begun_at,settled_at,last_reply"
    assert len(lines) == 4
    assert "'+a@example.test" in lines[2]
    assert lines[2].endswith("'=cmd|x")
    assert len(api.get(f"/campaigns/{campaign['id']}/messages.csv?status=failed").text.split("\r\n")) == 3


def test_a_copy_is_a_new_draft(api: Any) -> None:
    campaign = make(api)
    act(api, campaign, "launch")
    answer = api.post(f"/campaigns/{campaign['id']}/duplicate")
    assert answer.status_code == 201
    assert (answer.json["name"], answer.json["status"]) == ("Copy of News", "draft")
    assert answer.json["recipients_estimate"] == 2


def test_the_estimate_follows_the_lists(api: Any) -> None:
    list_id = api.value(
        "INSERT INTO lists (account_id, name) VALUES (%(a)s, 'All') RETURNING list_id", a=api.account_id
    )
    campaign = make(api, subject="Hi", html="<p>Hi</p>", audience={"list_ids": [api.id("list", list_id)]})
    assert campaign["recipients_estimate"] == 0
    assert campaign["audience"]["list_ids"] == [api.id("list", list_id)]
    contact_id = api.value(
        "INSERT INTO contacts (account_id, email) VALUES (%(a)s, 'a@example.test') RETURNING contact_id",
        a=api.account_id,
    )
    api.conn.execute("INSERT INTO list_contacts VALUES (%s, %s, %s)", (api.account_id, list_id, contact_id))
    assert api.get(f"/campaigns/{campaign['id']}").json["recipients_estimate"] == 1
