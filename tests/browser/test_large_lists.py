"""A long list stays light, and so does the first load."""

from typing import Any

from playwright.sync_api import Page, expect

from app.frontend_build import FRONTEND, npm
from tests.browser.conftest import OpenPage
from tests.browser.stack import Stack

CONTACTS = 100_000
#: Twice a tall screen of rows: what is on it, and what is kept ready above and below.
ROWS_MAX = 80
#: Each page of the list is 100 contacts or more.
SCROLLS = 12


def test_a_hundred_thousand_contacts_scroll_with_a_bounded_page(open_page: OpenPage, stack: Stack) -> None:
    page = open_page(demo=True)
    page.goto("/contacts")
    rows = page.get_by_role("table", name="Contacts").get_by_role("row")
    expect(rows.nth(5)).to_be_visible()
    stack.sql(
        "INSERT INTO contacts (account_id, email, attributes) SELECT contacts.account_id, 'crowd' || n || '@people.test',"
        " jsonb_build_object('first_name', 'P' || n) FROM generate_series(1, %(count)s::integer) AS n,"
        " (SELECT account_id FROM contacts ORDER BY contact_id DESC LIMIT 1) AS contacts",
        count=CONTACTS,
    )
    page.reload()
    expect(page.get_by_role("button", name=f"crowd{CONTACTS}@people.test")).to_be_visible()
    for _ in range(SCROLLS):
        _scroll_to_the_end(page)
        assert rows.count() <= ROWS_MAX
    assert int(rows.last.get_attribute("aria-rowindex") or 0) > SCROLLS * 100
    nodes: Any = page.evaluate("document.querySelectorAll('*').length")
    assert nodes < 2_500
    page.get_by_role("searchbox", name="Search contacts").fill("crowd77777@")
    expect(page.get_by_role("button", name="crowd77777@people.test")).to_be_visible()
    expect(rows).to_have_count(2)


def _scroll_to_the_end(page: Page) -> None:
    """Scroll as far as it goes, and wait until more of the list came in below."""
    height = page.evaluate("(window.scrollTo(0, document.body.scrollHeight), document.body.scrollHeight)")
    page.wait_for_function("(height) => document.body.scrollHeight > height", arg=height)


def test_the_first_load_stays_within_its_budget(stack: Stack) -> None:
    npm(["run", "size"], FRONTEND)
