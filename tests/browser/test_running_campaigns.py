"""What a person does while a campaign runs, and with what it left behind."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.installation import wait_until
from tests.browser import person
from tests.browser.conftest import OpenPage
from tests.browser.stack import Stack

SIZES = pytest.mark.parametrize("size", ["1440", "390"])


@SIZES
def test_a_smooth_campaign_is_paused_and_goes_on_where_it_was(open_page: OpenPage, size: str) -> None:
    page = open_page(size, demo=True)
    _prepare(page, "Slow letter", [f"slow{n}@people.test" for n in range(200)])
    page.get_by_role("radio", name=re.compile("Spread evenly")).click()
    _limit_to(page, 120, "minute")
    person.launch_now(page)
    expect(person.badge(page, "Sending")).to_be_visible()
    expect(person.ledger_count(page, "Sent")).to_have_text(re.compile("^[1-9]"))

    page.get_by_role("button", name="Pause", exact=True).click()
    expect(person.badge(page, "Paused")).to_be_visible()
    expect(person.ledger_count(page, "Sending")).to_have_text("0")
    # The badge may be a moment ahead of the ledger, which still takes in the message that was on the wire.
    wait_until(lambda: _number(page, "Sent") + _number(page, "Queued") == 200)
    paused_at = _number(page, "Sent")
    assert 0 < paused_at < 200

    page.get_by_role("button", name="Resume", exact=True).click()
    expect(person.badge(page, "Sending")).to_be_visible()
    expect(person.ledger_count(page, "Sent")).not_to_have_text(str(paused_at))
    expect(person.ledger_count(page, "Total")).to_have_text("200")

    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Cancel the campaign").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the campaign").click()
    expect(person.badge(page, "Cancelled")).to_be_visible()
    expect(person.ledger_count(page, "Queued")).to_have_text("0")


@SIZES
def test_a_campaign_at_its_limit_says_when_it_goes_on_and_its_message_says_that_it_waits(
    open_page: OpenPage, size: str
) -> None:
    page = open_page(size, demo=True)
    _prepare(page, "Limited letter", [f"limited{n}@people.test" for n in range(8)])
    _limit_to(page, 3, "hour")
    forecast = page.get_by_role("complementary", name="Forecast")
    expect(forecast.get_by_text("the campaign's limit of 3")).to_be_visible()
    person.launch_now(page)
    expect(page.get_by_text(re.compile(r"Resumes at \d\d:\d\d:\d\d"))).to_be_visible()
    expect(person.ledger_count(page, "Sent")).to_have_text("3")
    expect(person.ledger_count(page, "Queued")).to_have_text("5")
    page.get_by_role("combobox", name="Filter by state").click()
    page.get_by_role("option", name="Queued").click()
    page.get_by_role("table", name="Messages", exact=True).get_by_role("button").first.click()
    drawer = page.get_by_role("dialog", name="Message")
    expect(drawer.get_by_role("region", name="Timeline").get_by_text(re.compile("on a sending limit"))).to_be_visible()


@SIZES
def test_failed_messages_are_tried_again_and_uncertain_ones_are_settled(
    open_page: OpenPage, stack: Stack, size: str
) -> None:
    page = open_page(size, demo=True)
    name = f"Mixed letter {size}"
    addresses = [f"well{n}@people.test" for n in range(3)] + [f"gone{n}-{size}@bounce.test" for n in range(2)]
    person.start_campaign(page, name, addresses)
    expect(person.badge(page, "Sent")).to_be_visible()
    expect(person.ledger_count(page, "Failed")).to_have_text("2")
    expect(person.ledger_count(page, "Sent")).to_have_text("3")

    page.get_by_role("button", name=re.compile("^Retry failed")).click()
    expect(page.get_by_text("2 messages will be tried again.")).to_be_visible()
    expect(person.badge(page, "Sent")).to_be_visible()
    expect(person.ledger_count(page, "Total")).to_have_text("5")
    expect(person.ledger_count(page, "Sent")).to_have_text("3")
    expect(person.ledger_count(page, "Queued")).to_have_text("0")

    for choice in ("Count as sent", "Send again"):
        _make_one_uncertain(stack, name)
        page.reload()
        expect(person.ledger_count(page, "Uncertain")).to_have_text("1")
        page.get_by_role("button", name=re.compile("^Settle uncertain")).click()
        page.get_by_role("dialog", name="Settle 1 uncertain message").get_by_role("button", name=choice).click()
        expect(page.get_by_text("1 message settled.")).to_be_visible()
        expect(person.ledger_count(page, "Uncertain")).to_have_text("0")
        expect(person.ledger_count(page, "Sent")).to_have_text("3")


def test_an_action_that_is_off_says_why(open_page: OpenPage) -> None:
    page = open_page(demo=True)
    person.new_campaign(page, "Unfinished letter")
    person.go_to_step(page, "Schedule")
    launch = page.get_by_role("button", name=re.compile("^Launch now"))
    expect(launch).to_have_attribute("aria-disabled", "true")
    expect(launch).to_have_accessible_description(re.compile("Choose who gets it.*Write a subject"))
    launch.click(force=True)
    expect(page.get_by_role("dialog")).not_to_be_visible()

    person.start_campaign(page, "Finished letter", ["only@people.test"])
    expect(person.badge(page, "Sent")).to_be_visible()
    retry = page.get_by_role("button", name=re.compile("^Retry failed"))
    expect(retry).to_have_accessible_description("No message failed.")
    retry.hover()
    expect(page.get_by_role("tooltip")).to_have_text("No message failed.")
    pause = page.get_by_role("button", name=re.compile("^Pause"))
    expect(pause).to_have_accessible_description(re.compile("cannot be paused"))


def _prepare(page: Page, name: str, addresses: list[str]) -> None:
    person.new_campaign(page, name)
    person.paste_audience(page, "\n".join(addresses))
    person.go_to_step(page, "Content")
    person.write_content(page, subject=f"About {name}", body="Good morning.")
    person.go_to_step(page, "Schedule")


def _number(page: Page, state: str) -> int:
    return int(person.ledger_count(page, state).inner_text())


def _limit_to(page: Page, count: int, window: str) -> None:
    page.get_by_role("checkbox", name="A limit for this campaign alone").click()
    page.get_by_label("At most").fill(str(count))
    page.get_by_role("combobox", name="Window").click()
    page.get_by_role("option", name=window).click()
    expect(page.get_by_text("Draft saved")).to_be_visible()


def _make_one_uncertain(stack: Stack, campaign_name: str) -> None:
    """As if the answer to a sent message had been lost: the ledger moves by one, and still adds up."""
    rows = stack.sql(
        "WITH one AS (SELECT message_id, batch_id FROM messages JOIN campaigns USING (campaign_id)"
        " WHERE campaigns.name = %(name)s AND messages.status = 'sent' LIMIT 1),"
        " moved AS (UPDATE messages SET status = 'uncertain' FROM one WHERE messages.message_id = one.message_id)"
        " UPDATE batches SET sent = sent - 1, uncertain = uncertain + 1 FROM one"
        " WHERE batches.batch_id = one.batch_id RETURNING batches.batch_id",
        name=campaign_name,
    )
    assert len(rows) == 1
