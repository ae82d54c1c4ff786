"""An owner sets the account up: a relay that is tried out, and people who may use it."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.acceptance.test_sign_in_with_google import ADA, Provider
from tests.browser import person
from tests.browser.conftest import OpenPage


def test_a_relay_is_tried_out_and_says_how_far_it_came(open_page: OpenPage, provider: Provider) -> None:
    page = _sign_in(open_page, provider, "relay-owner@firm.test")
    page.goto("/settings?tab=relays")
    page.get_by_role("button", name="New relay").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Nowhere")
    dialog.get_by_label("Server").fill("smtp.nowhere.invalid")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Test the connection to Nowhere").click()
    expect(page.get_by_text(re.compile("The name was not found, after"))).to_be_visible()


def test_a_person_who_is_added_to_a_team_goes_from_account_to_account(open_page: OpenPage, provider: Provider) -> None:
    owner = _sign_in(open_page, provider, "team-owner@firm.test")
    colleague = _sign_in(open_page, provider, "colleague@firm.test", size="390")  # who has an account already
    person.new_campaign(owner, "Letter of the team")
    expect(owner.get_by_text("Draft saved")).to_be_visible()
    owner.goto("/settings?tab=team")
    owner.get_by_role("button", name="Add a person").click()
    owner.get_by_role("dialog").get_by_label("Email address").fill("colleague@firm.test")
    owner.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(owner.get_by_role("tabpanel").get_by_text("colleague@firm.test").first).to_be_visible()

    colleague.reload()
    colleague.get_by_role("button", name="More", exact=True).click()
    colleague.get_by_role("menuitem", name=re.compile("Switch to")).click()
    expect(colleague.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    colleague.goto("/campaigns")
    expect(colleague.get_by_role("link", name="Letter of the team")).to_be_visible()
    colleague.goto("/settings?tab=senders")
    new_sender = colleague.get_by_role("button", name=re.compile("^New sender")).first
    expect(new_sender).to_have_accessible_description(re.compile("Only an owner"))

    owner.get_by_role("button", name=re.compile("^Delete.*colleague", re.IGNORECASE)).click()
    owner.get_by_role("dialog").get_by_role("button", name="Take out").click()
    expect(owner.get_by_role("tabpanel").get_by_text("colleague@firm.test")).to_have_count(0)
    colleague.goto("/campaigns")
    expect(colleague.get_by_role("link", name="Letter of the team")).to_have_count(0)


def _sign_in(open_page: OpenPage, provider: Provider, email: str, *, size: str = "1440") -> Page:
    account: dict[str, Any] = {**ADA, "sub": email, "email": email, "name": email}
    provider.set(account=account)
    page = open_page(size)
    page.goto("/sign-in")
    page.get_by_role("link", name="Continue with Google").click()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    return page
