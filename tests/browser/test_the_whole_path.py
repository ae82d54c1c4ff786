"""From the sign-in page to the sign-out: what a person who never saw it does in the first ten minutes."""

import csv
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from tests.browser import person
from tests.browser.conftest import OpenPage
from tests.browser.stack import Stack

#: Time to answer the dialog, on a busy machine, before the moment is past.
_AHEAD_S = 20


@pytest.fixture
def odd_csv(tmp_path: Path) -> Path:
    """Columns out of a German address book: the address column is not called email, one name is empty, one row is bad."""
    path = tmp_path / "kundenliste.csv"
    rows = [["Nr.", "Vorname", "Adresse", "Kunde seit"]]
    rows += [[str(n), f"Person {n}", f"person{n}@kunden.test", "2024"] for n in range(1, 41)]
    rows += [["41", "Niemand", "kein-klammeraffe", "2025"], ["42", "", "person1@kunden.test", "2025"]]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    return path


@pytest.mark.parametrize("size", ["1440", "390"])
def test_a_person_who_never_saw_it_sends_a_csv_and_reads_what_became_of_one_message(
    open_page: OpenPage, stack: Stack, size: str, odd_csv: Path, tmp_path: Path
) -> None:
    page = open_page(size)
    page.goto("/")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_role("button", name="Try the demo").click()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()

    _compose(page, odd_csv, drops=size == "1440")
    _preview(page)
    if size == "1440":
        _schedule_for_soon(page)
    else:
        person.launch_now(page)
    _watch_it_to_its_end(page)
    _read_one_message(page)
    _export(page, tmp_path)
    _sign_out(page, size)


def _compose(page: Page, path: Path, *, drops: bool) -> None:
    person.new_campaign(page, "Autumn letter")
    if drops:
        person.drop_csv(page, path)
    else:
        person.choose_csv(page, path)
    expect(page.get_by_role("combobox", name="Meaning of Adresse")).to_have_text("Email address")
    expect(page.get_by_role("combobox", name="Meaning of Vorname")).to_have_text("First name")
    expect(page.get_by_role("combobox", name="Meaning of Kunde seit")).to_have_text("Keep as {{ kunde_seit }}")
    page.get_by_role("button", name="Import the contacts").click()
    expect(page.get_by_text(f"{path.name} is imported")).to_be_visible()
    expect(page.get_by_text(f"The audience is {path.name}: 40 contacts.")).to_be_visible()
    with page.expect_download() as rejects:
        page.get_by_role("link", name="Rejected rows").click()
    assert "kein-klammeraffe" in rejects.value.path().read_text(encoding="utf-8")

    person.go_to_step(page, "Content")
    page.get_by_label("Subject").click()
    page.keyboard.insert_text("News for ")
    page.get_by_role("button", name="Insert the merge tag first_name").click()
    expect(page.get_by_label("Subject")).to_have_value("News for {{ first_name }}")
    page.get_by_role("textbox", name="Message").click()
    page.keyboard.insert_text("Dear ")
    page.get_by_role("button", name="Insert the merge tag first_name").click()
    expect(page.get_by_role("textbox", name="Message")).to_have_text("Dear {{ first_name }}")
    expect(page.get_by_text("Draft saved")).to_be_visible()


def _preview(page: Page) -> None:
    person.go_to_step(page, "Preview")
    page.get_by_role("searchbox", name="Search the audience").fill("person7@")
    page.get_by_role("button", name="person7@kunden.test").click()
    expect(page.get_by_text("News for Person 7")).to_be_visible()
    expect(page.frame_locator("iframe[title=Message]").get_by_text("Dear Person 7")).to_be_visible()
    page.get_by_role("tab", name="Phone").click()
    expect(page.frame_locator("iframe[title=Message]").get_by_text("Dear Person 7")).to_be_visible()
    page.get_by_role("tab", name="Text").click()
    expect(page.get_by_role("tabpanel").get_by_text("Dear Person 7")).to_be_visible()
    page.get_by_label("Send a test").fill("colleague@kunden.test")
    page.get_by_role("button", name="Send the test").click()
    expect(page.get_by_text("The test is on its way to the Inbox.")).to_be_visible()


def _schedule_for_soon(page: Page) -> None:
    person.go_to_step(page, "Schedule")
    forecast = page.get_by_role("complementary", name="Forecast")
    expect(forecast.get_by_text("Recipients")).to_be_visible()
    expect(forecast.get_by_role("definition").first).to_have_text("40")
    page.get_by_role("radio", name=re.compile("At a time")).click()
    at = (datetime.now(UTC) + timedelta(seconds=_AHEAD_S)).astimezone(ZoneInfo("Europe/Berlin"))
    page.get_by_label("Date").fill(f"{at:%Y-%m-%d}")
    page.get_by_label("Time", exact=True).fill(f"{at:%H:%M:%S}")
    expect(page.get_by_text(f"{at:%H:%M:%S}".removesuffix(":00") + " Berlin").first).to_be_visible()
    page.get_by_role("button", name="Schedule", exact=True).last.click()
    page.get_by_role("dialog").get_by_role("button", name="Schedule to 40").click()
    expect(person.badge(page, "Scheduled")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()


def _watch_it_to_its_end(page: Page) -> None:
    expect(person.badge(page, "Sent")).to_be_visible(timeout=100_000)
    expect(page.get_by_text("100 %").or_(page.get_by_text("100%")).first).to_be_visible()
    expect(person.ledger_count(page, "Sent")).to_have_text("40")
    expect(person.ledger_count(page, "Total")).to_have_text("40")


def _read_one_message(page: Page) -> None:
    page.get_by_role("searchbox", name="Search recipients").fill("person7@")
    page.get_by_role("button", name="person7@kunden.test").click()
    drawer = page.get_by_role("dialog", name="Message")
    expect(drawer.get_by_text("Accepted by the mail server")).to_be_visible()
    expect(drawer.get_by_role("region", name="Timeline").get_by_text(re.compile("250 2.0.0"))).to_be_visible()
    drawer.get_by_role("link", name="Find it in the Inbox").click()
    expect(page).to_have_url(re.compile("/inbox"))
    page.get_by_role("list", name="Mails").get_by_role("button", name=re.compile("person7@kunden.test")).click()
    expect(page.get_by_role("heading", name="News for Person 7")).to_be_visible()
    expect(page.frame_locator("iframe").get_by_text("Dear Person 7")).to_be_visible()
    page.get_by_role("tab", name="Headers").click()
    expect(page.get_by_text("List-Unsubscribe-Post").first).to_be_visible()


def _export(page: Page, tmp_path: Path) -> None:
    page.goto("/campaigns")
    page.get_by_role("link", name="Autumn letter").click()
    with page.expect_download() as export:
        page.get_by_role("link", name="CSV", exact=True).click()
    with export.value.path().open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert {row["status"] for row in rows} == {"sent"}


def _sign_out(page: Page, size: str) -> None:
    if size == "1440":
        page.get_by_role("button", name=re.compile("Demo")).click()
    else:
        page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto("/campaigns")
    expect(page).to_have_url(re.compile("/sign-in"))
