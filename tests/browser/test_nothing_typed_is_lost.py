"""A reload, a lost connection, a session that ended and a server that refuses: what was typed is still there."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.test_sign_in_with_google import ADA, Provider
from tests.browser import person
from tests.browser.conftest import OpenPage

SIZES = pytest.mark.parametrize("size", ["1440", "390"])


@SIZES
def test_a_reload_in_the_middle_of_composing_loses_nothing(open_page: OpenPage, size: str) -> None:
    page = open_page(size, demo=True)
    person.new_campaign(page, "Half a letter")
    person.paste_audience(page, "email,first_name\nada@people.test,Ada")
    person.go_to_step(page, "Content")
    page.get_by_label("Subject").fill("Half a subject")
    editor = page.get_by_role("textbox", name="Message")
    editor.click()
    page.keyboard.type("Half a sent")  # reloaded before the pause after which it is saved
    page.reload()
    expect(page.get_by_label("Name of the campaign")).to_have_value("Half a letter")
    expect(page.get_by_label("Subject")).to_have_value("Half a subject")
    expect(editor).to_have_text("Half a sent")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    person.go_to_step(page, "Audience")
    expect(page.get_by_text("The audience is what you pasted: 1 contact.")).to_be_visible()


@SIZES
def test_a_lost_connection_shows_a_banner_and_recovers_by_itself(
    open_page: OpenPage, console_errors: list[str], size: str
) -> None:
    page = open_page(size, demo=True)
    person.new_campaign(page, "Letter from the train")
    person.go_to_step(page, "Content")
    subject = page.get_by_label("Subject")
    subject.fill("Before the tunnel")
    expect(page.get_by_text("Draft saved")).to_be_visible()

    page.context.set_offline(True)
    subject.fill("In the tunnel")
    expect(page.get_by_text(re.compile("The connection is lost"))).to_be_visible()
    expect(page.get_by_text("Kept in this browser")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text(re.compile("The connection is lost"))).not_to_be_visible()
    expect(page.get_by_text("Draft saved")).to_be_visible()
    page.reload()
    expect(subject).to_have_value("In the tunnel")
    console_errors[:] = [error for error in console_errors if "ERR_INTERNET_DISCONNECTED" not in error]


@SIZES
def test_a_session_that_ended_brings_the_sign_in_and_then_the_same_page(
    open_page: OpenPage, provider: Provider, size: str
) -> None:
    provider.set(account={**ADA, "sub": f"composer-{size}", "email": f"composer-{size}@firm.test"})
    page = open_page(size)
    page.goto("/")
    page.get_by_role("link", name="Continue with Google").click()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    person.new_campaign(page, "Letter after lunch")
    person.go_to_step(page, "Content")
    page.get_by_label("Subject").fill("Saved")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    address = page.url

    page.context.clear_cookies()
    page.get_by_label("Subject").fill("Typed after the session had ended")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_role("link", name="Continue with Google").click()
    expect(page).to_have_url(address)
    expect(page.get_by_label("Subject")).to_have_value("Typed after the session had ended")
    expect(page.get_by_text("Draft saved")).to_be_visible()


def test_what_the_server_refuses_lands_at_its_field(open_page: OpenPage, provider: Provider) -> None:
    provider.set(account={**ADA, "sub": "refused", "email": "refused@firm.test"})
    page = open_page()
    page.goto("/sign-in")
    page.get_by_role("link", name="Continue with Google").click()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    person.new_campaign(page, "Letter with a mistake")
    person.go_to_step(page, "Content")
    subject = page.get_by_label("Subject")
    subject.fill("Hello {{ first_name")
    expect(subject).to_have_attribute("aria-invalid", "true")
    expect(subject).to_have_accessible_description(re.compile(r"\w+"))
    page.get_by_label("Preview text").fill("This one is fine")
    expect(page.get_by_text("Kept in this browser")).to_be_visible()
    page.reload()
    expect(subject).to_have_value("Hello {{ first_name")
    expect(page.get_by_label("Preview text")).to_have_value("This one is fine")
    subject.fill("Hello {{ first_name | default('you') }}")
    expect(page.get_by_text("Draft saved")).to_be_visible()
    expect(subject).not_to_have_attribute("aria-invalid", "true")

    _refuse_a_relay(page)


def _refuse_a_relay(page: Page) -> None:
    """A relay inside this machine's own network: only the server knows that it is not allowed."""
    page.goto("/settings?tab=relays")
    page.get_by_role("button", name="New relay").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Inside")
    host = dialog.get_by_label("Server")
    host.fill("127.0.0.1")
    dialog.get_by_role("button", name="Save").click()
    expect(host).to_have_attribute("aria-invalid", "true")
