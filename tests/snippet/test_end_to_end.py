"""From the creator's link to the report: a real installation, a real browser, a plain shop and one of a single page."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.processes.serving import Serving, wait_for
from tests.snippet.conftest import ARGUMENTS, CHROMIUM
from tests.snippet.rig import APP, STUB, PageServer, click_id_of

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright

BUY = "sfq('conversion', { order_id: '%s', revenue_cents: 12900, currency: 'EUR' })"


def walk_through_pages(page: Page) -> None:
    """Look at two more pages and buy."""
    page.click("a")
    page.wait_for_load_state("load")
    page.click("a")
    page.wait_for_function("document.title == 'bought'")


def walk_through_app(page: Page) -> None:
    """Look at two more views and buy."""
    page.click("#product")
    page.click("#cart")
    page.evaluate(BUY % "app-1")


def test_a_visit_reaches_the_reports(playwright: Playwright, shared: Serving) -> None:
    pages = PageServer()
    thread = threading.Thread(target=pages.serve_forever)
    thread.start()
    try:
        organization = shared.keys["organization_id"]
        tag = f"{STUB}<script async src='{shared.address}/sf.js' data-org='{organization}'></script>"
        bought = f"<script>{BUY % 'plain-1'}; document.title = 'bought'</script>"
        bodies = {"plain": "<a href=/two>Two</a>", "two": "<a href=/three>Three</a>", "three": bought, "app": APP}
        pages.pages |= {f"/{name}": ({}, tag + body) for name, body in bodies.items()}
        with httpx.Client(base_url=shared.address, headers=shared.secret, timeout=30) as http:
            visit(playwright, http, pages.port, shared.log)
    finally:
        pages.shutdown()
        thread.join()
        pages.server_close()


def visit(playwright: Playwright, http: httpx.Client, port: int, log: Path) -> None:
    """Follow a link to each shop and see what is reported of it."""
    clicks = {}
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    for name, walk in (("plain", walk_through_pages), ("app", walk_through_app)):
        body = {"creator_handle": name, "campaign_slug": "winter", "destination_url": f"http://127.0.0.1:{port}/{name}"}
        assert http.post("/v1/links", json=body).status_code == 201
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{http.base_url}/c/{name}/winter".replace("//c", "/c"))
        page.wait_for_function("window.sfq.v")
        clicks[name] = click_id_of(page.url)
        walk(page)
        page.goto("about:blank")  # what is on its way is taken along
    everything = {"session": 1, "pageview": 3, "conversion": 1}
    wait_for(lambda: all(told(http, name) == everything for name in clicks), log)
    browser.close()
    for click in clicks.values():
        answer = http.get(f"/v1/clicks/{click}")
        assert answer.status_code == 200, answer.text
    total = http.get("/v1/reports/summary").json()["total"]
    assert (total["clicks"], total["sessions"]) == (2, 2)


def told(http: httpx.Client, shop: str) -> dict[str, int]:
    """Return how many events of each type are stored for one shop's visit, each with the click's ID."""
    found: dict[str, set[str]] = {"session": set(), "pageview": set(), "conversion": set()}
    pages = ("/plain", "/two", "/three") if shop == "plain" else ("/app", "/PREFIX/product", "/PREFIX/cart")
    for event in http.get("/v1/events").json()["items"]:
        if event.get("page_path") in pages and not event.get("engaged_ms"):
            assert event["click_id_status"] == "valid"
            found[event["event_type"]].add(event["event_id"])
    return {kind: len(ids) for kind, ids in found.items()}
