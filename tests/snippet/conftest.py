"""Chromium, an installation and its pages. All tests that use them are plain functions: Playwright's are, here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from stackfluence.events import journal
from tests.snippet.rig import Installation, Shop, installed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, Playwright

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
]
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Mobile/15E148 Safari/604.1"
)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return an edge and a page server."""
    with pytest.MonkeyPatch.context() as patch, installed(tmp_path_factory.mktemp("snippet")) as made:
        patch.setattr(journal, "DEADLINE_SECONDS", 10.0)  # a test machine's disk is busier than an edge's
        patch.setattr(journal, "STALLED_SECONDS", 20.0)
        yield made


@pytest.fixture
def shop(installation: Installation) -> Iterator[Shop]:
    """Return this test's pages; nothing they sent may have been quarantined."""
    made = Shop(installation)
    yield made
    assert made.refused() == []


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Return Playwright, or skip."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Return a headless Chromium."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Return a visitor's browser, with nothing stored; no page of it may have thrown."""
    made = chromium.new_context()
    thrown: list[str] = []
    made.on("weberror", lambda error: thrown.append(str(error.error)))
    yield made
    made.close()
    assert thrown == []


@dataclass
class Visitor:
    """A visitor's browser that is lent to one test after another, since a new one takes half a second."""

    page: Page
    devtools: CDPSession
    thrown: list[str] = field(default_factory=list)

    def forget(self, shop: Shop) -> None:
        """Be as new: leave the page, close all others, forget what was stored and set; no page may have thrown."""
        context = self.page.context
        context.set_offline(False)
        context.unroute_all()
        for page in context.pages:
            if page != self.page:
                page.close()
        self.page.goto("about:blank")
        context.clear_cookies()
        for host in ("shop.brand.example", "localhost"):
            origin = shop.url("", host).removesuffix(f"/{shop.prefix}/")
            self.devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        thrown, self.thrown = self.thrown, []
        assert thrown == [], "by a page"


def visiting(chromium: Browser, **options: Any) -> Iterator[Visitor]:
    """Open a visitor's browser, with Playwright's options of a context."""
    context = chromium.new_context(**options)
    page = context.new_page()
    visitor = Visitor(page, context.new_cdp_session(page))
    context.on("weberror", lambda error: visitor.thrown.append(str(error.error)))
    yield visitor
    context.close()


@pytest.fixture(scope="module")
def visitor(chromium: Browser) -> Iterator[Visitor]:
    """Return the browser of the tests that need nothing of their own from it."""
    yield from visiting(chromium)


@pytest.fixture
def page(visitor: Visitor, shop: Shop) -> Iterator[Page]:
    """Return a visitor's page, with nothing stored."""
    yield visitor.page
    visitor.forget(shop)
