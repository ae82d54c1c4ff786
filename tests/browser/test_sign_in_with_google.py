"""Google sign-in in the browser, against the test identity provider."""

import re

from playwright.sync_api import expect

from tests.acceptance.test_sign_in_with_google import ADA, Provider
from tests.browser.conftest import OpenPage


def test_a_person_signs_in_with_google_and_lands_on_the_page_that_they_wanted(
    open_page: OpenPage, provider: Provider
) -> None:
    provider.set(account={**ADA, "sub": "browser-1", "email": "ada.browser@firm.test"})
    page = open_page()
    page.goto("/settings?tab=account")
    page.get_by_role("link", name="Continue with Google").click()
    expect(page).to_have_url(re.compile(r"/settings\?tab=account$"))
    expect(page.get_by_role("tabpanel").get_by_text("ada.browser@firm.test").first).to_be_visible()
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert cookies["mailtide"]["httpOnly"]
    page.goto("/campaigns")
    expect(page.get_by_text("No campaigns yet")).to_be_visible()


def test_a_person_of_another_domain_is_told_why_not(open_page: OpenPage, provider: Provider) -> None:
    provider.set(account={**ADA, "sub": "browser-2", "email": "eve@evil.test"})
    page = open_page("390")
    page.goto("/sign-in")
    page.get_by_role("link", name="Continue with Google").click()
    expect(page.get_by_text("Accounts of this domain may not sign in here.")).to_be_visible()
    expect(page.get_by_role("link", name="Continue with Google")).to_be_visible()
