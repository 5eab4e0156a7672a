"""The same journeys in WebKit, the closest to Safari that installs on Linux.

It draws no page ahead: it has neither speculation rules nor `document.prerendering`, so Chromium alone shows that case.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.snippet.rig import APP, IN_APP, Installation, Shop, click_id_of, properties, until
from tests.snippet.webkit import MISSING, WebKit, driving

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no WebKit on this machine: apt-get install {' '.join(MISSING)}")
ORDER = "sfq('conversion', { order_id: '1001', revenue_cents: 12900, currency: 'EUR' })"
BLOCKING = ("--cookies-policy=never", "--enable-html5-local-storage=false")
# an app's browser is WebKit on iPhones only; what Facebook's says, WebKitGTK takes for no user agent and ignores
IN_WEBKIT = {app: (f"--user-agent={IN_APP[app]}",) for app in ("Instagram", "Snapchat")}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a running driver."""
    with driving(tmp_path_factory.mktemp("webkit")) as client:
        yield client


@pytest.fixture(scope="module")
def browser(driver: httpx.Client, request: pytest.FixtureRequest) -> Iterator[WebKit]:
    """Return a browser, lent to one test after another until one wants other options: the driver has one at a time."""
    made = WebKit(driver, *getattr(request, "param", ()))
    yield made
    made.quit()


@pytest.fixture
def webkit(browser: WebKit, shop: Shop) -> Iterator[WebKit]:
    """Return a visitor's browser, with nothing stored."""
    yield browser
    browser.forget(shop)


@pytest.fixture
def shop(installation: Installation) -> Iterator[Shop]:
    """Return this test's pages, on a host that this browser finds; nothing they sent may have been quarantined."""
    made = Shop(installation, host="localhost")
    yield made
    assert made.refused() == []


def test_a_visit_is_told_from_the_click_to_the_order(webkit: WebKit, shop: Shop) -> None:
    shop.put("landing", "<a href='product'>Socks</a>")
    shop.put("product", "<a href='thanks'>Buy</a>")
    shop.put("thanks", f"<script>{ORDER}; sfq('identify', {{ email: 'emma@brand.example' }})</script>")
    webkit.go(shop.leads_to("landing") + "?utm_term=socks&fbclid=abc123")
    shop.wait("pageview")
    click = click_id_of(webkit.address)
    webkit.click("a")
    shop.wait("pageview", 2)
    webkit.click("a")
    [order] = shop.wait("conversion")
    shop.wait("pageview", 3)
    [known] = shop.wait("identify")
    assert known.kept is not None
    assert known.kept.email_hash
    assert {(event.leaf.click_id_status, event.leaf.click_id) for event in shop.events()} == {
        ("valid", order.leaf.click_id)
    }
    assert len({event.leaf.session_id for event in shop.events()}) == 1
    assert properties(order) == {}, "cookie and localStorage were kept"
    assert f"inf_click_id={click}" in webkit.run("return document.cookie")
    landing = shop.events("pageview")[0]
    assert landing.leaf.landing_params["network:meta"] == "1"
    assert "webdriver" in landing.leaf.bot_reasons


def test_a_page_that_changes_its_own_address_tells_of_each(webkit: WebKit, shop: Shop) -> None:
    shop.put("landing", APP)
    webkit.go(shop.leads_to("landing"))
    shop.wait("pageview")
    webkit.click("#product")
    webkit.click("#cart")
    webkit.run("history.back()")
    shop.wait("pageview", 4)
    webkit.run(ORDER)
    shop.wait("conversion")
    paths = [event.leaf.page_path.rpartition("/")[2] for event in shop.events("pageview")]
    assert paths == ["landing", "product", "cart", "product"]


def test_what_safari_wipes_after_one_day_and_after_seven(webkit: WebKit, shop: Shop) -> None:
    shop.put("landing")
    webkit.go(shop.leads_to("landing"))
    shop.wait("pageview")
    webkit.run("sfq('identify', 'c-4711')")
    [known] = shop.wait("identify")
    webkit.wipe(with_storage=False)
    webkit.go(shop.put("second", f"<script>{ORDER}</script>"))
    [order] = shop.wait("conversion")
    assert order.leaf.click_id == known.leaf.click_id != ""
    webkit.wipe(with_storage=True)
    named = ORDER.replace("1001", "1002").replace("order_id", "customer_id: 'c-4711', order_id")
    webkit.go(shop.put("third", f"<script>{named}</script>"))
    order = shop.wait("conversion", 2)[1]
    assert order.leaf.click_id_status == "missing"
    assert known.kept is not None
    assert order.kept is not None
    assert order.kept.customer_hash == known.kept.customer_hash != ""


def test_a_tab_that_is_closed_at_once_has_told(webkit: WebKit, shop: Shop) -> None:
    shop.put("landing", head=shop.tag(stub="").replace("async ", ""))
    webkit.open_tab()
    webkit.go(shop.leads_to("landing"))
    webkit.close_tab()
    assert {event.leaf.click_id_status for event in shop.wait("pageview")} == {"valid"}


def test_the_time_in_use_is_told_when_the_page_is_left(webkit: WebKit, shop: Shop) -> None:
    shop.put("landing", "<button>Socks</button>")
    webkit.go(shop.leads_to("landing"))
    shop.wait("pageview")
    webkit.click("button")
    webkit.run("window.start = Date.now(); Date.now = () => window.start + 15000")
    webkit.go(shop.put("next", head=""))
    visits = until(lambda: [event for event in shop.events("session") if event.leaf.engaged_ms])
    assert 15_000 <= visits[-1].leaf.engaged_ms < 30_000
    assert "no_interaction" not in visits[-1].leaf.bot_reasons


def test_installed_twice_counts_once(webkit: WebKit, shop: Shop) -> None:
    shop.put("landing", head=shop.tag() + shop.tag(name="sf.js") + f"<script>{ORDER}</script>" + shop.tag())
    webkit.go(shop.leads_to("landing"))  # until everything is loaded
    webkit.run("sfq('refund', { original_order_id: '1001', refund_amount_cents: 1 })")
    shop.wait("refund")  # whatever a second copy had to tell, it would have told before
    for kind in ("conversion", "pageview", "session"):
        shop.wait(kind)
    assert sum(line.leaf.page_path.startswith(f"/{shop.prefix}/") for line in shop.installation.lines()) == 4


def test_a_page_with_a_strict_policy(webkit: WebKit, shop: Shop) -> None:
    policy = f"default-src 'none'; script-src {shop.edge}; connect-src {shop.edge}; style-src 'none'"
    shop.put("landing", head=shop.tag(stub=""), **{"content-security-policy": policy})
    webkit.go(shop.leads_to("landing"))
    shop.wait("pageview")


def test_an_edge_that_is_away_is_told_later(webkit: WebKit, shop: Shop) -> None:
    away = shop.tag(data_endpoint="http://127.0.0.1:9")
    shop.put("landing", f"<script>{ORDER}</script>", away)
    webkit.go(shop.leads_to("landing"))
    waiting = "return Object.keys(localStorage).filter((name) => name.startsWith('inf_click_q')).length"
    until(lambda: webkit.run(waiting) >= 3)
    # a minute later: what is younger than five seconds may be another tab's
    webkit.run(
        "for (const name of Object.keys(localStorage)) if (name.startsWith('inf_click_q')) {"
        " localStorage[name.slice(0, 12) + (name.slice(12, 25) - 60000) + name.slice(25)] = localStorage[name];"
        " localStorage.removeItem(name) }"
    )
    webkit.go(shop.put("second"))
    [order] = shop.wait("conversion")
    assert order.leaf.page_path.endswith("/landing")
    until(lambda: webkit.run(waiting) == 0)


def test_three_tabs_at_once_are_one_visit(webkit: WebKit, shop: Shop) -> None:
    shop.put("landing")
    webkit.go(shop.leads_to("landing"))
    shop.wait("pageview")
    for name in ("first", "second", "third"):
        webkit.open_tab()
        webkit.go(shop.put(name))
    shop.wait("pageview", 4)
    assert len({event.leaf.session_id for event in shop.events()}) == 1
    assert len([event for event in shop.events("session") if not event.leaf.engaged_ms]) == 1


def test_a_page_that_comes_back_whole_is_the_same_pageview(webkit: WebKit, shop: Shop) -> None:
    came = "<script>addEventListener('pageshow', ({ persisted }) => { document.title = 'whole ' + persisted })</script>"
    shop.put("landing", f"{came}<a href='next'>Next</a>")
    shop.put("next", head="")
    webkit.go(shop.leads_to("landing"))
    shop.wait("pageview")
    # a page that still waits for an answer isn't kept whole
    until(lambda: webkit.run(f"return performance.getEntriesByName('{shop.edge}/v1/events/batch').length"))
    webkit.click("a")
    until(lambda: webkit.address.endswith("/next"))
    webkit.run("history.back()")
    until(lambda: webkit.run("return document.title") == "whole true", lambda: webkit.run("return document.title"))
    webkit.run(ORDER)
    [order] = shop.wait("conversion")
    shop.wait("pageview", 1)
    assert {event.leaf.session_id for event in shop.events()} == {order.leaf.session_id}


@pytest.mark.parametrize("browser", [BLOCKING], indirect=True, ids=["blocking"])
def test_a_visitor_whose_browser_stores_nothing(webkit: WebKit, shop: Shop) -> None:
    shop.put("landing", APP)
    webkit.go(shop.leads_to("landing"))
    shop.wait("pageview")
    assert webkit.run("return [document.cookie, localStorage]") == ["", None]
    webkit.click("#product")
    webkit.run(ORDER)
    [order] = shop.wait("conversion")
    shop.wait("pageview", 2)
    assert order.leaf.click_id_status == "valid", "kept in memory, as long as the page lives"
    assert properties(order) == {"sf_storage": "no cookie no localStorage"}
    assert len({event.leaf.session_id for event in shop.events()}) == 1
    webkit.go(shop.put("later", f"<script>{ORDER.replace('1001', '1002')}</script>"))
    assert shop.wait("conversion", 2)[1].leaf.click_id_status == "missing"


@pytest.mark.parametrize(("app", "browser"), IN_WEBKIT.items(), indirect=["browser"], ids=IN_WEBKIT)
def test_a_visit_in_an_apps_own_browser(webkit: WebKit, shop: Shop, app: str) -> None:
    shop.put("landing", f"<h1>Socks</h1><script>{ORDER}</script>")
    webkit.go(shop.leads_to("landing"))
    shop.wait("conversion")
    webkit.click("h1")
    [visit] = [event for event in shop.events("session") if not event.leaf.engaged_ms]
    assert visit.leaf.click_id_status == "valid"
    assert visit.expiring is not None
    assert visit.expiring.user_agent == IN_APP[app]
