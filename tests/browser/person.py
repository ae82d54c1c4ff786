"""What a person does on the dashboard, in the words that are on the screen."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect


def choose_csv(page: Page, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files(path)


def drop_csv(page: Page, path: Path) -> None:
    """Drop it on the zone, as from a folder's window."""
    file = page.evaluate_handle(
        """([name, text]) => {
            const data = new DataTransfer();
            data.items.add(new File([text], name, { type: "text/csv" }));
            return data;
        }""",
        [path.name, path.read_text(encoding="utf-8")],
    )
    page.get_by_text("Drop a CSV file here").dispatch_event("drop", {"dataTransfer": file})


def paste_audience(page: Page, text: str) -> None:
    page.get_by_role("tab", name="Paste").click()
    page.get_by_label("Addresses").fill(text)
    page.get_by_role("button", name=re.compile("^Use th")).click()
    expect(page.get_by_text(re.compile("The audience is what you pasted"))).to_be_visible()


def new_campaign(page: Page, name: str) -> None:
    page.goto("/campaigns")
    page.get_by_role("button", name="New campaign").locator("visible=true").first.click()
    page.get_by_label("Name of the campaign").fill(name)


def write_content(page: Page, *, subject: str, body: str) -> None:
    """On the content step. `body` goes into the rich editor."""
    page.get_by_label("Subject").fill(subject)
    editor = page.get_by_role("textbox", name="Message")
    editor.click()
    page.keyboard.insert_text(body)
    expect(page.get_by_text("Draft saved")).to_be_visible()


def go_to_step(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Steps").get_by_role("button", name=name).click()
    expect(page.get_by_role("heading", name=name, level=2, exact=True)).to_be_attached()


def launch_now(page: Page) -> None:
    go_to_step(page, "Schedule")
    page.get_by_role("button", name="Launch now").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Launch now")).click()
    expect(page.get_by_role("heading", name="Ledger")).to_be_visible()


def ledger_count(page: Page, label: str) -> Locator:
    """The number behind one state of the ledger, or behind "Total"."""
    table = page.get_by_role("table", name="Messages by state")
    return table.get_by_role("row", name=re.compile(f"^{label}")).get_by_role("cell").first


def badge(page: Page, text: str) -> Locator:
    return page.get_by_role("heading", level=1).get_by_text(text, exact=True)


def start_campaign(page: Page, name: str, addresses: list[str]) -> None:
    """The shortest way from nothing to a running campaign."""
    new_campaign(page, name)
    paste_audience(page, "\n".join(addresses))
    go_to_step(page, "Content")
    write_content(page, subject=f"About {name}", body="Good morning to everybody.")
    launch_now(page)
