"""A real Chromium before the real stack. One stack and one browser for the session, a fresh browser profile for each test.

A test fails when the page logs an error, even when the test itself saw what it expected. A failed test leaves a
screenshot of each open page and what the children said in `tests/artifacts/failed`.
"""

import fcntl
import re
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from app.embedded import free_port
from app.frontend_build import FRONTEND, install_packages, node_environment
from tests.acceptance.installation import ROOT
from tests.acceptance.test_sign_in_with_google import FOLDER as PROVIDER_FOLDER
from tests.acceptance.test_sign_in_with_google import Provider
from tests.browser.stack import Stack

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
ARTIFACTS = ROOT / "tests" / "artifacts"
#: A page that polls each second and shares two cores with all its servers.
PATIENCE_MS = 15_000
SIZES: dict[str, dict[str, Any]] = {
    "1440": {"viewport": {"width": 1440, "height": 900}},
    "390": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
#: What Chromium logs for an answer that the page expects: the question whether somebody is signed in, and tests of faults.
EXPECTED_STATUS = re.compile(r"the server responded with a status of (401|422)")

expect.set_options(timeout=PATIENCE_MS)

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM.exists():
        return
    why = f"{CHROMIUM} is not there: install it, on Debian and Ubuntu with `apt-get install chromium`"
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and "open_page" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


_failed = pytest.StashKey[bool]()


@pytest.fixture(scope="session", autouse=True)
def _empty_artifacts() -> None:
    shutil.rmtree(ARTIFACTS / "failed", ignore_errors=True)


@pytest.fixture(scope="session")
def port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def provider(port: int) -> Iterator[Provider]:
    with (PROVIDER_FOLDER / "package.json").open("rb") as lock:  # test processes side by side install once
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_packages(lambda line: None, PROVIDER_FOLDER)
    process = subprocess.Popen(
        ["node", "provider.mjs", f"http://127.0.0.1:{port}/auth/google/callback"],
        cwd=PROVIDER_FOLDER, env=node_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        issuer = process.stdout.readline().strip()
        assert issuer.startswith("http://"), "the provider did not start"
        yield Provider(issuer)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def stack(port: int, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    google = {
        "OIDC_ISSUER": provider.issuer, "GOOGLE_CLIENT_ID": "mailtide",
        "GOOGLE_CLIENT_SECRET": "a-client-secret-for-tests", "SIGNUP_DOMAINS": "firm.test",
    }  # fmt: skip
    stack = Stack(tmp_path_factory.mktemp("dashboard"), port, google)
    try:
        stack.wait_until_ready()
        assert (FRONTEND / "dist" / "index.html").is_file(), "\n".join(stack.log[-60:])
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def console_errors() -> list[str]:
    """What the pages of this test complained about. A test that provokes a complaint takes it out again."""
    return []


@pytest.fixture
def open_page(
    request: pytest.FixtureRequest, stack: Stack, chromium: Browser, console_errors: list[str]
) -> Iterator[OpenPage]:
    """`open_page("390", demo=True)`: a page in a profile of its own, signed in to a demo account or not at all."""
    contexts: list[BrowserContext] = []

    def run(size: str = "1440", *, demo: bool = False, **options: Any) -> Page:
        context = chromium.new_context(
            base_url=stack.url, locale="en-GB", timezone_id="Europe/Berlin", reduced_motion="reduce",
            **SIZES[size], **options,
        )  # fmt: skip
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", lambda message: _note(message, console_errors))
        context.on("weberror", lambda error: console_errors.append(f"uncaught: {error.error}"))
        if demo:
            assert context.request.post("/auth/demo").status == 201
        return context.new_page()

    yield run
    if request.node.stash.get(_failed, False):
        _keep_evidence(request.node.name, contexts, stack, console_errors)
    for context in contexts:
        context.close()
    assert console_errors == []


def _note(message: ConsoleMessage, errors: list[str]) -> None:
    if message.type == "error" and not EXPECTED_STATUS.search(message.text):
        errors.append(f"{message.text} ({message.location.get('url')})")


def _keep_evidence(name: str, contexts: list[BrowserContext], stack: Stack, errors: list[str]) -> None:
    folder = ARTIFACTS / "failed" / re.sub(r"[^\w.-]+", "-", name)
    folder.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(page for context in contexts for page in context.pages):
        page.screenshot(path=folder / f"page-{number}.png")
        (folder / f"page-{number}.txt").write_text(f"{page.url}\n\n{page.locator('body').aria_snapshot()}\n")
    (folder / "children.log").write_text("\n".join([*stack.log, "", "console:", *errors]))
