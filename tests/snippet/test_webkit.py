"""The same journeys in WebKit, the closest to Safari that installs on Linux."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.snippet.rig import APP, Installation, Shop, click_id_of, properties, until
from tests.snippet.webkit import MISSING, WebKit, driving

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no WebKit on this machine: apt-get install {' '.join(MISSING)}")
ORDER = "sfq('conversion', { order_id: '1001', revenue_cents: 12900, currency: 'EUR' })"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a running driver."""
    with driving(tmp_path_factory.mktemp("webkit")) as client:
        yield client


@pytest.fixture
def webkit(driver: httpx.Client) -> Iterator[WebKit]:
    """Return a visitor's browser, with nothing stored."""
    made = WebKit(driver, [])
    yield made
    made.quit()


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
