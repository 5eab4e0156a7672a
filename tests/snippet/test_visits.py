"""Visits in a real Chromium: what a landing, its pages and its order tell, whatever the browser does to them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.snippet.conftest import ARGUMENTS, CHROMIUM, Visitor, visiting
from tests.snippet.drawn_ahead import drawing_ahead
from tests.snippet.rig import APP, IN_APP, Shop, click_id_of, properties, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route

ORDER = "sfq('conversion', { order_id: '1001', revenue_cents: 12900, currency: 'EUR', coupon_codes: ['EMMA10'] })"


def arrive(page: Page, shop: Shop, name: str = "landing", **more: str) -> str:
    """Follow the creator's link to a page that is put up; returns the signed click ID."""
    shop.put(name, **more)
    page.goto(shop.leads_to(name) + "?utm_term=socks&fbclid=abc123")
    return click_id_of(page.url)


def stored(page: Page) -> list[str]:
    """Return the names of what a page's site has stored in the browser."""
    names: list[str] = page.evaluate("[...Object.keys(localStorage), ...document.cookie.split('; ')].filter(Boolean)")
    return sorted(names)


def test_a_visit_is_told_from_the_click_to_the_order(page: Page, shop: Shop) -> None:
    click = arrive(page, shop, body="<a href='product'>Socks</a>")
    shop.put("product", "<a href='thanks'>Buy</a>")
    shop.put("thanks", f"<script>{ORDER}</script>")
    shop.wait("pageview")
    page.click("a")
    shop.wait("pageview", 2)
    page.click("a")
    [order] = shop.wait("conversion")
    shop.wait("pageview", 3)
    [session] = {event.leaf.session_id for event in shop.events()}
    assert len(session) > 20
    assert {(e.leaf.click_id_status, e.leaf.click_id, e.leaf.trust_tier) for e in shop.events()} == {
        ("valid", order.leaf.click_id, "browser")
    }
    assert click_id_of(f"?inf_click_id={click}") == click
    assert (order.leaf.order_id, order.leaf.revenue_cents, order.leaf.currency) == ("1001", 12_900, "EUR")
    assert order.leaf.coupon_codes == ["EMMA10"]
    assert order.leaf.consent == "unknown"
    paths = [event.leaf.page_path.rpartition("/")[2] for event in shop.events("pageview")]
    assert paths == ["landing", "product", "thanks"]
    landing = shop.events("pageview")[0]
    assert landing.leaf.landing_params["utm_term"] == "socks"
    assert landing.leaf.landing_params["network:meta"] == "1", "another network's click is told, for a policy to judge"
    assert properties(landing) == {}, "nothing was blocked"
    assert landing.expiring is not None
    assert f"inf_click_id={click}" in landing.expiring.page_url


def test_a_page_that_changes_its_own_address_tells_of_each(page: Page, shop: Shop) -> None:
    arrive(page, shop, body=APP)
    shop.wait("pageview")
    page.click("#product")
    page.click("#cart")
    shop.wait("pageview", 3)
    page.go_back()
    shop.wait("pageview", 4)
    page.evaluate("history.replaceState({}, '', 'checkout')")
    shop.wait("pageview", 5)
    page.evaluate("history.replaceState({}, '', 'checkout?step=2'); history.pushState({}, '', '?sort=price#top')")
    page.evaluate("history.pushState({}, '', '#/gift'); " + ORDER)
    shop.wait("conversion")
    paths = [event.leaf.page_path.rpartition("/")[2] for event in shop.wait("pageview", 6)]
    assert paths == ["landing", "product", "cart", "product", "checkout", "checkout"]
    assert {event.leaf.click_id_status for event in shop.events()} == {"valid"}
    assert len({event.leaf.session_id for event in shop.events()}) == 1


def test_an_order_told_by_two_loads_of_its_page_is_one_event(page: Page, shop: Shop) -> None:
    arrive(page, shop, body=f"<script>{ORDER}</script>")
    shop.wait("conversion")
    page.reload()
    shop.wait("pageview", 2)
    page.evaluate(ORDER)
    until(lambda: sum(line.leaf.order_id == "1001" and line.leaf.page_path.startswith(f"/{shop.prefix}/") for line in
                      shop.installation.lines()) >= 3)  # fmt: skip
    shop.wait("conversion", 1)


def test_a_visitor_whose_browser_stores_nothing(playwright: Playwright, shop: Shop, tmp_path: Path) -> None:
    # what a person sets under "sites can save data": cookies and localStorage alike
    (tmp_path / "Default").mkdir()
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(blocked))
    context = playwright.chromium.launch_persistent_context(str(tmp_path), executable_path=CHROMIUM, args=ARGUMENTS)
    hints: list[str] = []
    context.on("console", lambda message: hints.append(message.text))
    page = context.new_page()
    arrive(page, shop, body=APP)
    shop.wait("pageview")
    assert page.evaluate("try { localStorage.length } catch (error) { error.name }") in (None, "SecurityError")
    page.click("#product")
    page.evaluate(ORDER)
    [order] = shop.wait("conversion")
    shop.wait("pageview", 2)
    assert order.leaf.click_id_status == "valid", "kept in memory, as long as the page lives"
    assert properties(order) == {"sf_storage": "no cookie no localStorage"}
    assert len({event.leaf.session_id for event in shop.events()}) == 1
    page.goto(shop.put("later", f"<script>{ORDER.replace('1001', '1002')}</script>"))
    late = shop.wait("conversion", 2)[1]
    assert late.leaf.click_id_status == "missing", "found by its code or its customer, or not at all"
    context.close()
    assert [hint for hint in hints if "no cookie no localStorage" in hint]


def test_a_frame_in_a_sandbox_tells_too(page: Page, shop: Shop) -> None:
    frame = shop.put("frame", f"<script>{ORDER}</script>")
    page.goto(shop.put("outside", f"<iframe sandbox='allow-scripts' src='{frame}'></iframe>", head=""))
    [order] = shop.wait("conversion")
    assert properties(order) == {"sf_storage": "no cookie no localStorage"}


def test_what_safari_wipes_after_one_day_and_after_seven(page: Page, shop: Shop) -> None:
    """WebKit caps what a script stores: cookies of decorated landings after a day, all after seven without a visit."""
    click = arrive(page, shop)
    shop.wait("pageview")
    page.evaluate("sfq('identify', 'c-4711')")
    [known] = shop.wait("identify")
    page.context.clear_cookies()  # a day later
    page.goto(shop.put("second", f"<script>{ORDER}</script>"))
    [order] = shop.wait("conversion")
    assert order.leaf.click_id_status == "valid", "localStorage still has it"
    page.context.clear_cookies()
    page.evaluate("localStorage.clear()")  # a week later
    named = ORDER.replace("1001", "1002").replace("order_id", "customer_id: 'c-4711', order_id")
    page.goto(shop.put("third", f"<script>{named}</script>"))
    order = shop.wait("conversion", 2)[1]
    assert order.leaf.click_id_status == "missing"
    assert known.kept is not None
    assert order.kept is not None
    assert order.kept.customer_hash == known.kept.customer_hash, "the customer leads to the click"
    assert known.leaf.click_id
    # what the site's own server sets is not a script's: it stays, and is read first
    page.context.add_cookies([{"name": "inf_click_id", "value": click, "url": shop.url(""), "sameSite": "Lax"}])
    page.goto(shop.put("fourth", f"<script>{ORDER.replace('1001', '1003')}</script>"))
    assert shop.wait("conversion", 3)[2].leaf.click_id == known.leaf.click_id


@pytest.fixture(scope="module")
def phone(chromium: Browser) -> Iterator[Visitor]:
    """Return a browser with a small screen that is touched."""
    yield from visiting(chromium, viewport={"width": 390, "height": 700}, has_touch=True)


@pytest.mark.parametrize("app", IN_APP)
def test_a_visit_in_an_apps_own_browser(phone: Visitor, shop: Shop, app: str) -> None:
    page = phone.page
    phone.devtools.send("Emulation.setUserAgentOverride", {"userAgent": IN_APP[app]})
    arrive(page, shop, body=f"<h1>Socks</h1><script>{ORDER}</script>")
    shop.wait("conversion")
    page.touchscreen.tap(20, 20)
    page.goto("about:blank")
    [visit] = [event for event in shop.events("session") if not event.leaf.engaged_ms]
    assert visit.leaf.click_id_status == "valid"
    assert visit.expiring is not None
    assert app[:4].lower() in visit.expiring.user_agent.lower().replace("trill", "tikt").replace("fban", "face")
    phone.forget(shop)


def test_a_page_with_a_strict_policy(page: Page, shop: Shop) -> None:
    policy = (
        f"default-src 'none'; script-src 'nonce-r4nd0m' {shop.edge}; connect-src {shop.edge}; style-src 'none'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    reported: list[str] = []
    page.context.on("console", lambda message: reported.append(message.text))
    head = shop.tag(stub="").replace("<script ", "<script nonce=r4nd0m ")
    shop.put("landing", "<input type=hidden name=inf_click_id>", head, **{"content-security-policy": policy})
    page.goto(shop.leads_to("landing"))
    shop.wait("pageview")
    assert page.input_value("input") == click_id_of(page.url)
    page.goto("about:blank")
    assert reported == []


def test_what_happens_offline_is_told_afterwards(context: BrowserContext, shop: Shop) -> None:
    page = context.new_page()
    arrive(page, shop, body=APP)
    shop.wait("pageview")
    page.clock.install()
    context.set_offline(True)
    page.click("#product")
    page.evaluate(ORDER)
    page.clock.run_for(60_000)
    assert [event.leaf.event_type for event in shop.events()].count("conversion") == 0
    waiting = page.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('inf_click_q')).length")
    assert waiting >= 2
    context.set_offline(False)
    [order] = shop.wait("conversion")
    shop.wait("pageview", 2)
    assert order.leaf.click_id_status == "valid"
    assert order.leaf.occurred_at < order.leaf.received_at
    until(lambda: not page.evaluate("Object.keys(localStorage).some((name) => name.startsWith('inf_click_q'))"))


def test_what_could_not_be_sent_is_sent_by_a_later_page(context: BrowserContext, shop: Shop) -> None:
    page = context.new_page()
    arrive(page, shop)
    shop.wait("pageview")
    context.set_offline(True)
    page.evaluate(ORDER)
    until(lambda: page.evaluate("Object.keys(localStorage).some((name) => name.startsWith('inf_click_qv'))"))
    page.close()
    context.set_offline(False)
    later = context.new_page()
    later.clock.install(time=datetime.now(UTC) + timedelta(minutes=1))  # what is younger may be another tab's
    later.goto(shop.put("later"))
    [order] = shop.wait("conversion")
    assert order.leaf.page_path.endswith("/landing")


@pytest.mark.parametrize("status", [503, 403])
def test_an_answer_that_may_get_better_is_asked_for_again(context: BrowserContext, shop: Shop, status: int) -> None:
    answered: list[Route] = []

    def refuse(route: Route) -> None:
        answered.append(route)
        route.fulfill(status=status, headers={"access-control-allow-origin": "*"})

    page = context.new_page()
    page.clock.install()
    context.route("**/v1/events/batch", refuse)
    shop.put("landing")
    with page.expect_console_message(lambda message: message.text == f"sf.js: {status}"):
        page.goto(shop.leads_to("landing"))
    assert shop.events() == []
    context.unroute("**/v1/events/batch")
    page.clock.run_for(6_000)
    shop.wait("pageview")
    assert len(answered) == 1


def test_an_answer_that_will_not_get_better_ends_it(page: Page, shop: Shop) -> None:
    page.context.route(
        "**/v1/events/batch", lambda route: route.fulfill(status=413, headers={"access-control-allow-origin": "*"})
    )
    arrive(page, shop)
    until(lambda: page.evaluate("document.cookie") != "")
    until(lambda: not page.evaluate("Object.keys(localStorage).some((name) => name.startsWith('inf_click_q'))"))
    assert shop.events() == []


def test_a_tab_that_is_closed_at_once_has_told(page: Page, shop: Shop) -> None:
    tab = page.context.new_page()
    arrive(tab, shop, head=shop.tag(stub="").replace("async ", ""))
    tab.close()
    shop.wait("pageview")
    assert {event.leaf.click_id_status for event in shop.wait("session")} == {"valid"}


def test_the_time_in_use_is_told_when_the_page_is_left(context: BrowserContext, shop: Shop) -> None:
    page = context.new_page()
    page.clock.install()
    shop.put("landing", "<p style='height: 3000px'>Socks</p>")
    page.goto(shop.leads_to("landing"))
    shop.wait("pageview")
    page.mouse.move(10, 10)
    page.clock.fast_forward(12_000)
    page.mouse.move(20, 20)  # looked at for 12 s
    page.clock.fast_forward(3_600_000)
    page.mouse.move(30, 30)  # away for an hour: 30 s of reading at most
    page.clock.fast_forward(4_000)
    page.close(run_before_unload=True)
    visits = until(lambda: [event for event in shop.events("session") if event.leaf.engaged_ms])
    assert 46_000 <= visits[-1].leaf.engaged_ms < 48_000
    assert "no_interaction" not in visits[-1].leaf.bot_reasons
    assert "webdriver" in visits[-1].leaf.bot_reasons, "this browser is driven by a program, and says so"
    assert "no_interaction" in shop.events("session")[0].leaf.bot_reasons


def test_a_visit_ends_after_half_an_hour(context: BrowserContext, shop: Shop) -> None:
    page = context.new_page()
    page.clock.install()
    shop.put("landing", APP)
    page.goto(shop.leads_to("landing"))
    shop.wait("pageview")
    [cookie] = [each for each in context.cookies() if each.get("name") == "inf_click_session"]
    assert cookie["expires"] - time.time() == pytest.approx(1_800, abs=60)
    context.clear_cookies(name="inf_click_session")  # the page's clock is not that of its cookies
    page.clock.fast_forward(1_790_000)
    page.click("#product")
    shop.wait("pageview", 2)
    context.clear_cookies(name="inf_click_session")
    page.clock.fast_forward(1_810_000)
    page.click("#cart")
    first, second, third = (event.leaf.session_id for event in shop.wait("pageview", 3))
    assert first == second
    assert third != second
    begun = [event.leaf.session_id for event in shop.events("session") if not event.leaf.engaged_ms]
    assert begun == [first, third]
    assert {event.leaf.click_id_status for event in shop.events()} == {"valid"}


def test_an_unfocused_page_is_not_in_use(context: BrowserContext, shop: Shop) -> None:
    page = context.new_page()
    page.clock.install()
    # Playwright lets every page think it has the focus
    page.add_init_script("document.hasFocus = () => window.focused !== false")
    page.goto(shop.put("landing"))
    shop.wait("pageview")
    page.evaluate("window.focused = false; window.dispatchEvent(new Event('blur'))")
    page.clock.fast_forward(20_000)
    page.evaluate("window.focused = true; window.dispatchEvent(new Event('focus'))")
    page.clock.fast_forward(3_000)
    page.close(run_before_unload=True)
    visits = until(lambda: [event for event in shop.events("session") if event.leaf.engaged_ms])
    assert 3_000 <= visits[-1].leaf.engaged_ms < 6_000
    assert "no_interaction" in visits[-1].leaf.bot_reasons, "an event made by a script is no person's"


def test_three_tabs_at_once_are_one_visit(page: Page, shop: Shop) -> None:
    urls = [shop.put(name) for name in ("first", "second", "third")]
    arrived = shop.put("landing", "".join(f"<a target=_blank href='{url}'>{url}</a>" for url in urls))
    assert arrived
    page.goto(shop.leads_to("landing"))
    for link in page.query_selector_all("a"):
        link.click(no_wait_after=True)
    shop.wait("pageview", 4)
    assert len({event.leaf.session_id for event in shop.events()}) == 1
    assert len({event.leaf.click_id for event in shop.events()}) == 1
    assert len([event for event in shop.events("session") if not event.leaf.engaged_ms]) == 1


def test_installed_twice_counts_once(page: Page, shop: Shop) -> None:
    tags = shop.tag() + shop.tag(name="sf.js") + f"<script>{ORDER}</script>" + shop.tag()
    arrive(page, shop, head=tags)
    page.wait_for_load_state("load")
    page.evaluate("sfq('refund', { original_order_id: '1001', refund_amount_cents: 1 })")
    shop.wait("refund")  # whatever a second copy had to tell, it would have told before
    for kind in ("conversion", "pageview", "session"):
        shop.wait(kind)
    assert sum(line.leaf.page_path.startswith(f"/{shop.prefix}/") for line in shop.installation.lines()) == 4


def test_a_page_drawn_ahead_tells_nothing_before_it_is_looked_at(shop: Shop, tmp_path: Path) -> None:
    told = "<script>fetch('drawn?' + document.prerendering); document.title = 'next'</script>"
    shop.put("next", told + f"<script>{ORDER}</script>")
    shop.put("drawn", head="")
    with drawing_ahead(shop, tmp_path) as go:
        until(lambda: shop.installation.pages.asked(f"/{shop.prefix}/drawn?true"))
        shop.wait("pageview")
        assert shop.events("conversion") == []
        go()
        shop.wait("pageview", 2)
        [order] = shop.wait("conversion")
        assert order.leaf.page_path.endswith("/next")
