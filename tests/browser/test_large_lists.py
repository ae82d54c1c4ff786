"""A long list and a large file leave the page light, and so does the first load."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.frontend_build import FRONTEND, npm
from tests.browser import person
from tests.browser.conftest import OpenPage
from tests.browser.stack import Stack

CONTACTS = 100_000
#: Twice a tall screen of rows: what is on it, and what is kept ready above and below.
ROWS_MAX = 80
#: Each page of the list is 100 contacts or more.
SCROLLS = 12


#: The page reads no more than this of a file, however large it is.
FIRST_ROWS_MAX_BYTES = 256 * 1024
FILE_BYTES = 60_000_000
#: Half of the file: a page that read it would hold all of it.
HEAP_MAX_BYTES = 30_000_000

#: Notes each step of the upload's progress bar, and the end of each part of the file that the page reads for itself.
_WATCH = """
window.shares = [];
window.slices = [0];
new MutationObserver(() => {
    const bar = document.querySelector("[role=progressbar][aria-label=Upload]");
    if (bar) shares.push(Number(bar.getAttribute("aria-valuenow")));
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-valuenow"] });
const slice = Blob.prototype.slice;
Blob.prototype.slice = function (...range) { slices.push(range[1]); return slice.apply(this, range); };
for (const name of ["text", "arrayBuffer", "stream"]) {
    const read = File.prototype[name];
    File.prototype[name] = function () { slices.push(this.size); return read.apply(this); };
}
"""


@pytest.fixture
def large_csv(tmp_path: Path) -> Path:
    """Few people and much about each: large for the page, quick for the server."""
    path = tmp_path / "large.csv"
    note = "what somebody wrote down about this person " * 20
    with path.open("w", encoding="utf-8") as file:
        file.write("E-Mail;Vorname;Notiz\n")
        for n in range(FILE_BYTES // (len(note) + 40)):
            file.write(f"large{n}@people.test;Person {n};{note}{n}\n")
    return path


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
    page.evaluate("window.scrollTo(0, 0)")  # far from the rows that were let go meanwhile
    expect(page.get_by_role("button", name=f"crowd{CONTACTS}@people.test")).to_be_visible()
    page.get_by_role("searchbox", name="Search contacts").fill("crowd77777@")
    expect(page.get_by_role("button", name="crowd77777@people.test")).to_be_visible()
    expect(rows).to_have_count(2)


def _scroll_to_the_end(page: Page) -> None:
    """Scroll as far as it goes, and wait until more of the list came in below."""
    height = page.evaluate("(window.scrollTo(0, document.body.scrollHeight), document.body.scrollHeight)")
    page.wait_for_function("(height) => document.body.scrollHeight > height", arg=height)


def test_a_large_file_goes_up_with_its_progress_and_never_into_the_page(open_page: OpenPage, large_csv: Path) -> None:
    page = open_page(demo=True)
    page.add_init_script(_WATCH)
    page.goto("/imports")
    heap_before_bytes = page.evaluate("performance.memory.usedJSHeapSize")
    person.choose_csv(page, large_csv)
    # The first rows are shown, and can be mapped, while the file is still on its way.
    expect(page.get_by_role("combobox", name="Meaning of E-Mail")).to_have_text("Email address")
    expect(page.get_by_text(re.compile("· uploaded"))).to_be_visible(timeout=60_000)
    shares = page.evaluate("shares")
    assert shares == sorted(shares)
    assert len(set(shares)) >= 3, shares
    assert max(page.evaluate("slices")) <= FIRST_ROWS_MAX_BYTES
    assert page.evaluate("performance.memory.usedJSHeapSize") - heap_before_bytes < HEAP_MAX_BYTES
    page.get_by_role("button", name="Import the contacts").click()
    expect(page.get_by_text(f"{large_csv.name} is imported")).to_be_visible(timeout=60_000)


def test_the_first_load_stays_within_its_budget(stack: Stack) -> None:
    npm(["run", "size"], FRONTEND)
