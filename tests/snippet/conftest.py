"""Chromium, an installation and its pages. All tests that use them are plain functions: Playwright's are, here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from stackfluence.events import journal
from tests.snippet.rig import Installation, Shop, installed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Playwright

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
