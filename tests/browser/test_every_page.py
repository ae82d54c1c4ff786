"""Every page, at both widths, light and dark: no error in the console, nothing that axe objects to, nothing too wide.

The screenshots are in `tests/artifacts`: `<page>-<width>-<theme>.png`. Look at them after a change of the design.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import FloatRect, Page, expect

from app.frontend_build import FRONTEND
from tests.browser.conftest import ARTIFACTS, OpenPage

AXE = FRONTEND / "node_modules" / "axe-core" / "axe.min.js"
#: Rules that a change of theme can break; the others are asked once for each page and width.
_THEME_RULES = {"runOnly": ["color-contrast"]}
_HEIGHT_MAX_PX = 2_400
_AXE = """async ([options]) => (await axe.run(document, { resultTypes: ["violations"], ...options })).violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.help} — ${each.nodes.length} ×, e.g. ${each.nodes[0].html.slice(0, 200)}`
        + ` ${each.nodes[0].any[0]?.message ?? ""}`)"""
#: The page itself must not scroll sideways; what is inside of a scrolling region may.
_TOO_WIDE = "document.scrollingElement.scrollWidth > document.documentElement.clientWidth"

#: Whatever is pressed is 40 by 40 pixels or more; what is inside of a label, or answers for its whole row, may look smaller.
_TOO_SMALL_FOR_A_FINGER = """() => {
    const size = (element) => {
        const { width, height } = element.getBoundingClientRect();
        const after = getComputedStyle(element, "::after");
        const reach = after.content !== "none" && after.position === "absolute" ? after : { width: 0, height: 0 };
        return [Math.max(width, parseFloat(reach.width) || 0), Math.max(height, parseFloat(reach.height) || 0)];
    };
    return [...document.querySelectorAll("a[href], button, input, summary, [role=button], [role=tab], [role=combobox]")]
        .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.closest("label, [aria-hidden=true], .sr-only"))
        .filter((each) => getComputedStyle(each).display !== "inline")
        .filter((each) => size(each).some((side) => side > 0 && side < 40))
        .map((each) => `${size(each).map(Math.round).join(" x ")}: ${each.getAttribute("aria-label") || each.innerText || each.type}`);
}"""

#: Two frames, and the end of what is moving: a colour on its way is neither the old one nor the new one.
_REPAINTED = """async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    await frame();
    await frame();
    const endless = (each) => each.effect.getComputedTiming().endTime === Infinity;
    await Promise.allSettled(document.getAnimations().filter((each) => !endless(each)).map((each) => each.finished));
    await frame();
}"""

THEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


@pytest.mark.parametrize("size", ["1440", "390"])
def test_every_page_is_accessible_and_fits_in_light_and_dark(open_page: OpenPage, size: str) -> None:
    """With CSP set aside, because axe is injected; the next test visits the pages under it."""
    page = open_page(size, bypass_csp=True)
    faults: list[str] = []
    for name in _visit_all(page):
        for theme in THEMES:
            _set_theme(page, theme)
            _take_picture(page, ARTIFACTS / f"{name}-{size}-{theme}.png")
            if theme == "light" or size == "1440":  # a narrow page has the colours of a wide one
                rules = {} if theme == "light" else _THEME_RULES
                faults += [f"{name} {size} {theme}: {fault}" for fault in _axe(page, rules)]
        if page.evaluate(_TOO_WIDE):
            faults.append(f"{name} {size}: wider than the screen")
        if size == "390":
            faults += [f"{name} on a small phone: {fault}" for fault in _small_phone_faults(page)]
    assert faults == []


def test_every_page_says_nothing_in_the_console(open_page: OpenPage, console_errors: list[str]) -> None:
    page = open_page()
    noise: dict[str, list[str]] = {}
    for name in _visit_all(page):
        if console_errors:
            noise[name] = list(console_errors)
            console_errors.clear()
    assert noise == {}


def test_a_time_of_tomorrow_fits_a_phone(open_page: OpenPage) -> None:
    """Shortly before midnight what is soon is "tomorrow 00:02", the longest way in which a time is said."""
    page = open_page("390")
    page.clock.install(time="2026-11-29T22:52:00Z")  # 23:52 in the zone of the page
    page.goto("/dev/ui")
    expect(page.get_by_text("tomorrow 00:02").first).to_be_visible()
    assert not page.evaluate(_TOO_WIDE)


def _small_phone_faults(page: Page) -> list[str]:
    """What does not fit on the narrowest phone, or is too small for a finger there."""
    before = page.viewport_size
    assert before is not None
    page.set_viewport_size({"width": 360, "height": 740})
    page.evaluate(_REPAINTED)
    faults: list[str] = page.evaluate(_TOO_SMALL_FOR_A_FINGER)
    if page.evaluate(_TOO_WIDE):
        faults.append("wider than the screen")
    page.set_viewport_size(before)
    return faults


def _set_theme(page: Page, theme: Literal["light", "dark"]) -> None:
    """Ask the page for its colours, and wait until all of it has them."""
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.evaluate(_REPAINTED)


def _take_picture(page: Page, path: Path) -> None:
    """The whole page, or as much of a long list as tells how it looks; with a dialog open, what is on the screen."""
    if page.get_by_role("dialog").count() > 0:
        page.screenshot(path=path)
        return
    width, height = page.evaluate("[document.documentElement.clientWidth, document.body.scrollHeight]")
    clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": min(height, _HEIGHT_MAX_PX)}
    page.screenshot(path=path, full_page=True, clip=clip)


def _axe(page: Page, options: dict[str, Any]) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    found: list[str] = page.evaluate(_AXE, [options])
    return found


def _visit_all(page: Page) -> Iterator[str]:
    """Go through the dashboard as a demo visitor; yields the name of each page once it shows its data."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.goto("/sign-in")
    expect(page.get_by_role("button", name="Try the demo")).to_be_visible()
    yield "sign-in"
    assert page.context.request.post("/auth/demo").status == 201
    ids = _make_rows(page)
    for name, path, ready in _pages(ids):
        page.goto(path)
        ready(page)
        if path != "/dev/ui":  # which shows that state too
            expect(page.get_by_label("Loading", exact=True)).to_have_count(0)
        yield name
    page.goto("/contacts")
    page.get_by_role("table", name="Contacts").get_by_role("button").first.click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Save")).to_be_visible()
    yield "contact"
    page.goto(f"/campaigns/{ids['draft']}/compose?step=schedule")
    page.get_by_role("button", name="Launch now").click()
    expect(page.get_by_role("dialog").get_by_text("Recipients")).to_be_visible()
    yield "launch-question"


def _heading(text: str) -> Callable[[Page], None]:
    return lambda page: expect(page.get_by_role("heading", name=text, level=1)).to_be_visible()


def _text(text: str) -> Callable[[Page], None]:
    return lambda page: expect(page.get_by_text(re.compile(text)).locator("visible=true").first).to_be_visible()


def _pages(ids: dict[str, str]) -> list[tuple[str, str, Callable[[Page], None]]]:
    compose, sent, sending = (
        f"/campaigns/{ids['draft']}/compose",
        f"/campaigns/{ids['sent']}",
        f"/campaigns/{ids['sending']}",
    )
    return [
        ("overview", "/", _text("Last 24 hours")),
        ("campaigns", "/campaigns", _text("tomorrow|Tomorrow|Scheduled")),
        ("campaign-sending", sending, _heading("")),
        ("campaign-sent", sent, _text("@")),
        ("message", f"{sent}?message={ids['message']}", _text("Timeline")),
        ("compose-audience-new", f"/campaigns/{ids['empty']}/compose", _text("Drop a CSV file here")),
        ("compose-audience", compose, _text("The audience is")),
        ("compose-content", f"{compose}?step=content", lambda page: expect(page.get_by_role("textbox", name="Message")).to_be_visible()),
        ("compose-preview", f"{compose}?step=preview", lambda page: expect(page.frame_locator("iframe").get_by_text("Dear Ada")).to_be_visible()),
        ("compose-schedule", f"{compose}?step=schedule", _text("Everyone has it")),
        ("scheduled", "/scheduled", _text("Reading at the harbour")),
        ("scheduled-messages", "/scheduled?tab=messages", _heading("Scheduled")),
        ("sent", "/sent", _text("@")),
        ("contacts", "/contacts", _text("@")),
        ("lists", "/lists", _text("contacts")),
        ("imports", "/imports", _heading("Imports")),
        ("suppressions", "/suppressions", _text("@")),
        ("inbox", "/inbox", _text("@")),
        ("mail", f"/inbox?mail={ids['mail']}", lambda page: expect(page.locator("iframe")).to_be_visible()),
        ("settings-senders", "/settings?tab=senders", _text("Default")),
        ("settings-relays", "/settings?tab=relays", _text("relay")),
        ("settings-limits", "/settings?tab=limits", _text("The whole account")),
        ("settings-api-keys", "/settings?tab=api-keys", _heading("Settings")),
        ("settings-team", "/settings?tab=team", _text("yours alone")),
        ("settings-account", "/settings?tab=account", _heading("Settings")),
        ("design-system", "/dev/ui", _heading("")),
        ("not-found", "/nowhere", _text("no such page")),
    ]  # fmt: skip


def _make_rows(page: Page) -> dict[str, str]:
    """What the demo account does not have by itself: drafts, and mail in its Inbox."""
    draft = _call(page, "POST", "/campaigns", name="Autumn letter", subject="News for {{ first_name }}", html="<p>Dear {{ first_name }},</p><p>autumn is here.</p>", audience={"contacts": [{"email": "ada@people.test", "first_name": "Ada"}, {"email": "ben@people.test", "first_name": "Ben"}]})  # fmt: skip
    empty = _call(page, "POST", "/campaigns", name="Empty letter")
    _call(page, "POST", f"/campaigns/{draft['id']}/test", to="colleague@people.test")
    campaigns: dict[str, str] = {}
    while "sending" not in campaigns:
        campaigns = {each["status"]: each["id"] for each in _call(page, "GET", "/campaigns")["data"]}
    message = _call(page, "GET", f"/campaigns/{campaigns['sent']}/messages")["data"][0]
    mails: list[dict[str, Any]] = []
    while not mails:
        mails = _call(page, "GET", "/inbox")["data"]
    return {
        "draft": draft["id"], "empty": empty["id"], "message": message["id"], "mail": mails[0]["id"],
        "sent": campaigns["sent"], "sending": campaigns["sending"],
    }  # fmt: skip


def _call(page: Page, method: str, path: str, **body: Any) -> Any:
    answer = page.context.request.fetch(f"/api/v1{path}", method=method, data=json.dumps(body) if body else None, headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.ok, answer.text()
    return answer.json()
