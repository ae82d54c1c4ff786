"""The main job, over HTTP: a file of people becomes a campaign, and everybody gets theirs, once, on time."""

from datetime import timedelta

from tests.acceptance.stack import COUNTS, Client, Stack, in_s, read_time, wait_for


def test_a_file_with_odd_columns_becomes_a_campaign_that_everybody_gets_once(stack: Stack, visitor: Client) -> None:
    people = 1000
    rows = "".join(f'"Person, {n}";Town {n % 7};p{n}@people.test;x\r\n' for n in range(people))
    found = visitor.import_csv(
        ("\ufeffVorname (kurz);Ort / Stadt;E-Mail-Adresse;\r\n" + rows).encode(),
        {"email": "E-Mail-Adresse", "first_name": "Vorname (kurz)", "city": "Ort / Stadt"},
    )
    assert (found["status"], found["delimiter"], found["contacts_created"]) == ("done", ";", people)

    campaign = visitor.draft(
        [],
        subject="Hello {{ first_name }}",
        html="<p>Hello {{ first_name }}, how is {{ city | default('your town') }}?</p>",
        audience={"import_id": found["id"]},
    )
    at = in_s(4)
    told = visitor.post(f"/api/v1/campaigns/{campaign}/forecast", {"scheduled_at": at})
    assert told["recipients"] == people
    assert read_time(told["starts_at"]) == read_time(at)

    launched = visitor.act(campaign, "launch", {"scheduled_at": at})
    assert launched["status"] == "scheduled"
    seen: list[int] = []

    def is_sent() -> bool:
        progress = visitor.progress(campaign)
        seen.append(progress["sent"])
        return bool(progress["status"] == "sent")

    wait_for(is_sent, every_s=0.02)
    assert seen == sorted(seen)
    progress = visitor.progress(campaign)
    assert {name: progress[name] for name in COUNTS if progress[name]} == {"sent": people}
    # Said, in milliseconds; how little it is depends on how busy the machine is.
    assert 0 <= progress["lateness_ms"]["p50"] <= progress["lateness_ms"]["p99"] <= progress["lateness_ms"]["max"]

    arrived = visitor.arrivals()
    assert sorted((mail["rcpt_to"], mail["subject"]) for mail in arrived) == sorted(
        (f"p{n}@people.test", f"Hello Person, {n}") for n in range(people)
    )
    assert read_time(at) - timedelta(milliseconds=50) <= arrived[0]["received_at"]
    assert len({mail["message_id"] for mail in arrived}) == people
    one = visitor.get("/api/v1/inbox?recipient=p10@people.test")["data"][0]
    mail = visitor.get(f"/api/v1/inbox/{one['id']}")
    assert "Hello Person, 10, how is Town 3?" in mail["html"]
    assert "Hello Person, 10, how is Town 3?" in mail["text"]

    examined = stack.run("doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr


def test_a_time_in_the_past_means_now_and_the_answer_says_so(visitor: Client) -> None:
    campaign = visitor.draft(["p1@people.test"])
    assert visitor.act(campaign, "launch", {"scheduled_at": in_s(-3600)})["scheduled_at_was_past"] is True
    assert visitor.wait_until_final(campaign)["sent"] == 1
    sent = visitor.post(
        "/api/v1/messages", {"to": "p2@people.test", "subject": "Hi", "text": "Hi", "scheduled_at": in_s(-1)}
    )
    assert sent["scheduled_at_was_past"] is True
    assert visitor.wait_for_message(sent["id"], "sent")["attempt_count"] == 1
