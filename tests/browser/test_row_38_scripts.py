"""Row 38: a mail full of scripts, in every place of the dashboard that shows mail. Nothing of it runs."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, Request, expect

from tests.browser import person
from tests.browser.conftest import OpenPage

#: What each of them would do: seen from the page, from the browser, and from the network.
_ACT = "window.owned=1;try{top.owned=1;parent.document.title='owned'}catch(e){};alert('owned');fetch('/owned')"
HOSTILE = "".join(
    [
        "<h1>Harmless</h1>",
        f"<script>{_ACT}</script>",
        f'<img src="data:,x" onerror="{_ACT}">',
        f'<svg onload="{_ACT}"><animate onbegin="{_ACT}" attributeName="x" dur="1s"></animate></svg>',
        f'<details open ontoggle="{_ACT}"><summary>more</summary></details>',
        f'<input autofocus onfocus="{_ACT}">',
        f'<iframe srcdoc="&lt;script&gt;{_ACT}&lt;/script&gt;"></iframe>',
        f'<iframe src="javascript:{_ACT}"></iframe>',
        f'<object data="data:text/html,&lt;script&gt;{_ACT}&lt;/script&gt;"></object>',
        '<form action="/owned" method="post"><button id="send">Send</button></form>',
        f'<a id="link" href="javascript:{_ACT}">Read on</a>',
        '<a id="top" href="/owned" target="_top">Leave</a>',
        '<meta http-equiv="refresh" content="0;url=/owned">',
        # Pictures and styles may load, from where the page's own policy allows.
        f"<style>body{{background:url('/picture.png')}}</style><math href=\"javascript:{_ACT}\">x</math>",
    ]
)
#: What the browser says when it blocks one of them: as it should be.
_BLOCKED = re.compile(
    r"sandbox|Content Security Policy|Refused to|violates|Blocked|Not allowed to load|picture\.png", re.IGNORECASE
)


class Watch:
    """What a page did that it should not."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.seen: list[str] = []
        page.on("dialog", self._dialog)
        page.on("popup", lambda popup: self.seen.append(f"popup {popup.url}"))
        page.on("request", self._request)

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if "/owned" in request.url:
            self.seen.append(f"{request.method} {request.url}")

    def owned(self) -> list[str]:
        if self.page.evaluate("window.owned === 1 || document.title === 'owned'"):
            self.seen.append("the page itself")
        return self.seen


def call(page: Page, method: str, path: str, **body: Any) -> Any:
    answer = page.context.request.fetch(
        f"/api/v1{path}", method=method, data=json.dumps(body) if body else None,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.ok, answer.text()
    return answer.json()


def look_and_click(page: Page, title: str) -> None:
    """Wait until the mail is there, and click on all that can be clicked in it."""
    frame = page.frame_locator(f"iframe[title={title}]")
    expect(frame.get_by_role("heading", name="Harmless")).to_be_visible()
    for target in ("#send", "#link", "#top", "summary"):
        for element in frame.locator(target).all():
            element.click(force=True)
    expect(frame.get_by_role("heading", name="Harmless")).to_be_visible()


@pytest.fixture
def blocked(console_errors: list[str]) -> Any:
    """The browser's complaints about what it blocked are no errors of the page."""
    yield
    console_errors[:] = [error for error in console_errors if not _BLOCKED.search(error)]


def test_row_38_the_probe_would_show_when_a_script_ran(open_page: OpenPage, console_errors: list[str]) -> None:
    page = open_page()
    watch = Watch(page)
    page.set_content(f"<h1>Harmless</h1><script>{_ACT}</script>")
    assert watch.owned() == ["dialog owned", "the page itself"]
    console_errors.clear()


def test_row_38_a_mail_full_of_scripts_is_shown_and_none_of_them_runs(open_page: OpenPage, blocked: None) -> None:
    page = open_page(demo=True)
    watch = Watch(page)
    made = call(
        page, "POST", "/campaigns", name="Hostile", subject="<script>alert('owned')</script>", html=HOSTILE,
        preview_text=f'"><img src=x onerror="{_ACT}">',
        audience={"contacts": [{"email": "ada@people.test", "first_name": "<img src=x onerror=alert('owned')>"}]},
    )  # fmt: skip
    # As it is composed.
    page.goto(f"/campaigns/{made['id']}/compose")
    person.go_to_step(page, "Preview")
    look_and_click(page, "Message")
    assert watch.owned() == []
    # As it arrived: in the Inbox it is shown as it was sent, not cleaned.
    call(page, "POST", f"/campaigns/{made['id']}/test", to="colleague@people.test")
    mails: list[dict[str, Any]] = []
    while not mails:
        mails = call(page, "GET", "/inbox?recipient=colleague@people.test")["data"]
    page.goto(f"/inbox?mail={mails[0]['id']}")
    look_and_click(page, "Mail")
    assert watch.owned() == []
    expect(page).to_have_url(re.compile("/inbox"))
