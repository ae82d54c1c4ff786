"""Everything can be reached, seen and left without a mouse."""

import re

from playwright.sync_api import Page, Route, expect

from tests.browser import person
from tests.browser.conftest import OpenPage

#: What of the focused element a person sees: its name, and whether something marks it.
_FOCUSED = """() => {
    const element = document.activeElement;
    const after = getComputedStyle(element, "::after");
    const marked = [getComputedStyle(element), after].some((style) =>
        (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1.5));
    const box = element.closest(".control");
    const inBox = box && (getComputedStyle(box).boxShadow !== "none" || getComputedStyle(box).outlineStyle !== "none");
    return [
        (element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.innerText || "").trim(),
        Boolean(marked || inBox),
    ];
}"""


def test_the_sign_in_page_is_walked_in_the_order_of_reading(open_page: OpenPage) -> None:
    page = open_page()
    page.goto("/sign-in")
    expect(page.get_by_role("button", name="Try the demo")).to_be_visible()
    assert _tab(page) == "Continue with Google"
    assert _tab(page) == "Try the demo"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    assert _tab(page) == "Skip to the page"
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_a_letter_is_composed_by_keyboard_in_the_order_of_the_page(open_page: OpenPage) -> None:
    page = open_page(demo=True)
    person.new_campaign(page, "Letter by keyboard")
    person.go_to_step(page, "Content")
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()
    page.get_by_label("Name of the campaign").focus()
    walk = [_tab(page) for _ in range(14)]
    order = ["Audience", "Content", "Preview", "Schedule", "Insert the merge tag email", "Templates", "Subject", "Preview text", "From"]  # fmt: skip
    places = [next(at for at, name in enumerate(walk) if word in name) for word in order]
    assert places == sorted(places), walk
    page.get_by_label("Subject").focus()
    page.keyboard.type("Typed")
    expect(page.get_by_label("Subject")).to_have_value("Typed")


def test_a_dialog_keeps_the_focus_and_escape_gives_it_back(open_page: OpenPage) -> None:
    page = open_page(demo=True)
    page.goto("/settings?tab=senders")
    opener = page.get_by_role("button", name="New sender").first
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.locator(":focus")).to_have_count(1)
    names = {_tab(page, within="[role=dialog]") for _ in range(16)}
    assert any("Close" in name for name in names), names
    assert any("Save" in name for name in names), names
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(opener).to_be_focused()


def test_a_row_is_opened_and_its_drawer_left_by_keyboard(open_page: OpenPage) -> None:
    page = open_page(demo=True)
    page.goto("/contacts")
    row = page.get_by_role("table", name="Contacts").get_by_role("button").first
    row.focus()
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_role("button", name="Save")).to_be_visible()  # until it is loaded there is nothing to go to
    expect(page.locator("[role=dialog]:focus, [role=dialog] :focus")).to_have_count(1)
    _tab(page, within="[role=dialog]")
    page.keyboard.press("Escape")
    expect(drawer).not_to_be_visible()
    expect(row).to_be_focused()


def test_a_menu_is_walked_with_the_arrows(open_page: OpenPage) -> None:
    page = open_page(demo=True)
    page.goto("/campaigns")
    account = page.get_by_role("button", name=re.compile("Demo"))
    expect(account).to_have_attribute("aria-expanded", "false")  # its code has come; the next test does not wait for it
    account.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name=re.compile("Theme"))).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Sign out")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).not_to_be_visible()


def test_a_menu_that_is_asked_for_before_its_code_has_come_opens_when_it_comes(open_page: OpenPage) -> None:
    page = open_page(demo=True)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile(r"/assets/account-menu-"), hold)
    page.goto("/campaigns", wait_until="commit")  # what is held back would hold back the rest
    account = page.get_by_role("button", name=re.compile("Demo"))
    account.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Campaigns", level=1)).to_be_visible()
    expect(page.get_by_role("menu")).to_have_count(0)
    for route in held:
        route.continue_()
    expect(page.get_by_role("menuitem", name="Sign out")).to_be_visible()
    expect(page.locator("[role=menu]:focus, [role=menu] :focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).not_to_be_visible()
    expect(account).to_be_focused()


def _tab(page: Page, *, within: str = "body") -> str:
    """Press Tab; return the name of what has the focus now, which must show it and be inside of `within`."""
    page.keyboard.press("Tab")
    # At the end of a dialog a guard takes the focus for a moment, to lead it round.
    expect(page.locator("[data-base-ui-focus-guard]:focus")).to_have_count(0)
    name, is_marked = page.evaluate(_FOCUSED)
    assert page.evaluate("(within) => Boolean(document.activeElement.closest(within))", within), f"left: {name}"
    assert is_marked, f"the focus on {name!r} cannot be seen"
    return str(name)
