"""What pages tell sf.js to do: consent, customers, refunds, the click ID's way through forms and links."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.edge.edges import ORGANIZATION
from tests.snippet.rig import OPEN_KEY, STUB, Shop, click_id_of, properties, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ORDER = "sfq('conversion', { order_id: '1001', revenue_cents: 12900, customer_id: 'c-1', metadata: { gift: true } })"
STORED = "[...Object.keys(localStorage), ...document.cookie.split('; ').filter(Boolean)]"
EMMA = hashlib.sha256(b"emma@brand.example").hexdigest()


def land(page: Page, shop: Shop, body: str = "", head: str | None = None) -> None:
    """Follow the creator's link to a page that is put up."""
    shop.put("landing", body, head)
    page.goto(shop.leads_to("landing"))


def posted(page: Page) -> list[str]:
    """Return the bodies that a page will have sent from now on, as they come."""
    bodies: list[str] = []
    page.context.on("request", lambda request: bodies.append(request.post_data or "") if request.post_data else None)
    return bodies


def test_nothing_is_stored_or_told_of_a_visit_before_consent(page: Page, shop: Shop) -> None:
    land(page, shop, head=shop.tag(data_consent="required"))
    page.wait_for_function("window.sfq.v")
    page.evaluate("sfq('identify', 'c-1')")
    assert page.evaluate(STORED) == []
    page.evaluate("sfq('consent', 'granted')")
    [visit] = shop.wait("pageview")
    shop.wait("identify")
    assert (visit.leaf.consent, visit.leaf.click_id_status) == ("granted", "valid")
    assert [name.split("=")[0] for name in page.evaluate(STORED) if "_q" not in name].count("inf_click_id") == 2


def test_an_order_waits_for_the_visitors_answer(page: Page, shop: Shop) -> None:
    head = shop.tag(data_consent="required") + f"<script>{ORDER}</script>"
    land(page, shop, head=head)
    page.wait_for_function("window.sfq.v")
    assert shop.events() == []
    page.evaluate("sfq('consent', 'granted')")
    [order] = shop.wait("conversion")
    assert order.leaf.consent == "granted"
    assert order.leaf.session_id
    assert properties(order) == {"gift": True}


def test_an_order_of_one_who_left_without_an_answer_says_that_there_was_no_consent(page: Page, shop: Shop) -> None:
    land(page, shop, head=shop.tag(data_consent="required") + f"<script>{ORDER}</script>")
    page.wait_for_function("window.sfq.v")
    bodies = posted(page)
    page.goto("about:blank")
    [order] = shop.wait("conversion")
    assert (order.leaf.consent, order.leaf.session_id, order.leaf.visitor_hash) == ("denied", "", "")
    assert order.leaf.click_id_status == "valid", "the click is in the page's own address"
    assert order.kept is None
    assert "c-1" not in "".join(bodies)
    assert [event.leaf.event_type for event in shop.events()] == ["conversion"]


def test_a_refusal_forgets_what_was_stored_and_is_remembered(page: Page, shop: Shop) -> None:
    land(page, shop)
    shop.wait("pageview")
    page.evaluate("localStorage.sf_cart = 'of the page itself'; sfq('consent', 'denied')")
    assert sorted(page.evaluate(STORED)) == ["inf_click_no", "sf_cart"]
    page.evaluate(ORDER)
    [order] = shop.wait("conversion")
    assert (order.leaf.consent, order.leaf.session_id) == ("denied", "")
    page.goto(shop.put("second", f"<script>{ORDER.replace('1001', '1002')}</script>"))
    second = shop.wait("conversion", 2)[1]
    assert (second.leaf.consent, second.leaf.click_id_status) == ("denied", "missing")
    shop.wait("pageview", 1)
    page.evaluate("sfq('consent', 'granted')")
    assert [event.leaf.consent for event in shop.wait("pageview", 2)] == ["unknown", "granted"]
    assert "inf_click_no" not in page.evaluate(STORED)


def test_a_refusal_forgets_what_waits_and_stores_nothing_more(page: Page, shop: Shop) -> None:
    land(page, shop)
    shop.wait("pageview")
    page.context.set_offline(True)
    page.evaluate("sfq('identify', 'c-1')")
    until(lambda: page.evaluate("Object.keys(localStorage).some((name) => name.startsWith('inf_click_q'))"))
    page.evaluate("sfq('consent', 'denied')")
    page.evaluate(ORDER)
    assert page.evaluate(STORED) == ["inf_click_no"]
    page.context.set_offline(False)
    [order] = shop.wait("conversion")
    assert order.leaf.consent == "denied"
    assert shop.events("identify") == []


def test_global_privacy_control_is_obeyed_whatever_the_page_asks(chromium: Browser, shop: Shop) -> None:
    context = chromium.new_context(extra_http_headers={"Sec-GPC": "1"})
    context.add_init_script("Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { value: true })")
    page = context.new_page()
    land(page, shop, f"<script>{ORDER}; sfq('consent', 'granted')</script>")
    [order] = shop.wait("conversion")
    assert (order.leaf.consent, order.leaf.session_id, order.leaf.visitor_hash) == ("opted_out", "", "")
    assert order.leaf.click_id_status == "valid"
    assert page.evaluate(STORED) == []
    page.goto("about:blank")
    assert [event.leaf.event_type for event in shop.events()] == ["conversion"]
    context.close()


@pytest.mark.parametrize(
    "call",
    [
        "sfq('identify', { email: ' Emma@Brand.example ' })",
        "sfq('conversion', { order_id: '1001', revenue_cents: 100, email: 'EMMA@brand.example' })",
    ],
)
def test_an_address_leaves_the_browser_as_its_hash_alone(page: Page, shop: Shop, call: str) -> None:
    shop.host = "localhost"  # as secure as https, for a browser
    land(page, shop)
    shop.wait("pageview")
    bodies = posted(page)
    page.evaluate(call)
    [event] = shop.wait("identify" if "identify" in call else "conversion")
    assert event.leaf.click_id_status == "valid"
    page.wait_for_timeout(1)
    sent = "".join(bodies)
    assert EMMA in sent
    assert "brand.example" not in sent.lower().replace("shop.brand.example", "")
    assert event.kept is not None
    assert event.kept.email_hash


def test_without_https_no_address_is_sent_and_the_console_says_so(page: Page, shop: Shop) -> None:
    land(page, shop)
    shop.wait("pageview")
    with page.expect_console_message(lambda message: message.text == "sf.js: email needs https"):
        page.evaluate("sfq('identify', { email: 'emma@brand.example' })")
    page.evaluate("sfq('identify', { email: 'emma@brand.example', customer_id: 42 })")
    [event] = shop.wait("identify")
    assert event.kept is not None
    assert event.kept.customer_hash


def test_a_refund_and_goals_are_told(page: Page, shop: Shop) -> None:
    land(page, shop)
    page.wait_for_function("window.sfq.v")
    page.evaluate("sfq('refund', { original_order_id: '1001', refund_amount_cents: 500, reason: 'refund' })")
    page.evaluate("sfq('conversion', { event_type: 'signup' }); sfq('conversion', { event_type: 'signup' })")
    [refund] = shop.wait("refund")
    assert (refund.leaf.original_order_id, refund.leaf.refund_amount_cents) == ("1001", 500)
    assert {event.leaf.conversion_type for event in shop.wait("conversion", 2)} == {"signup"}


def test_forms_and_links_carry_the_click_on(page: Page, shop: Shop) -> None:
    port = shop.installation.pages.port
    body = f"""<form id=own method=post action="/{shop.prefix}/done"><input type=hidden name=inf_click_id></form>
    <form id=other action="http://pay.checkout.example:{port}/{shop.prefix}/paid"><button>Pay</button></form>
    <a id=checkout href="http://checkout.example:{port}/{shop.prefix}/paid?a=1#top">Checkout</a>
    <a id=imposter href="http://notcheckout.example:{port}/x">Imposter</a>
    <a id=mail href="mailto:emma@brand.example">Mail</a>
    <a id=inside href="/{shop.prefix}/done">Inside</a>"""
    land(page, shop, body, shop.tag(data_cross_domain="checkout.example brand.example"))
    shop.wait("pageview")
    click = click_id_of(page.url)
    assert page.input_value("#own input") == click
    for name in ("checkout", "imposter", "mail", "inside"):
        page.eval_on_selector(f"#{name}", "(link) => { link.onclick = () => false }")
        page.click(f"#{name}")
        page.click(f"#{name}")
    decorated = page.get_attribute("#checkout", "href")
    assert decorated == f"http://checkout.example:{port}/{shop.prefix}/paid?a=1&inf_click_id={click}#top"
    assert page.get_attribute("#imposter", "href") == f"http://notcheckout.example:{port}/x"
    assert page.get_attribute("#mail", "href") == "mailto:emma@brand.example"
    assert page.get_attribute("#inside", "href") == f"/{shop.prefix}/done"
    assert (
        page.evaluate("sfq('decorate', 'https://pay.example/?a=1#b')")
        == f"https://pay.example/?a=1&inf_click_id={click}#b"
    )
    shop.put("paid", f"<script>{ORDER}</script>")
    page.click("#other button")
    page.wait_for_url("**/paid?**")
    assert click_id_of(page.url) == click
    [order] = shop.wait("conversion")
    assert order.leaf.click_id_status == "valid"


def test_the_click_id_is_handed_to_a_page_that_asks(page: Page, shop: Shop) -> None:
    land(page, shop, "<script>sfq('click_id', (id) => { document.title = id })</script>")
    page.wait_for_function("document.title.length > 40")
    assert page.title() == click_id_of(page.url)
    page.evaluate("sfq('click_id', (id) => { document.title = 'again ' + id })")
    assert page.title() == "again " + click_id_of(page.url)


def test_a_damaged_click_id_is_told_and_not_kept(page: Page, shop: Shop) -> None:
    land(page, shop)
    shop.wait("pageview")
    whole = click_id_of(page.url)
    page.goto(shop.put("second").replace("second", "second?inf_click_id=AQEA%22%3E"))
    assert [event.leaf.click_id_status for event in shop.wait("pageview", 2)] == ["valid", "valid"]
    assert f"inf_click_id={whole}" in page.evaluate("document.cookie")
    page.context.clear_cookies()
    page.evaluate("localStorage.clear()")
    page.goto(shop.put("third").replace("third", "third?inf_click_id=AQEA%22%3E"))
    assert shop.wait("pageview", 3)[2].leaf.click_id_status == "malformed"
    assert "inf_click_id" not in page.evaluate("document.cookie")


def test_a_tag_manager_configures_without_attributes(page: Page, shop: Shop) -> None:
    head = f"""{STUB}<script>sfq('pageview'); sfq('config', {{ org: '{ORGANIZATION}', key: '{OPEN_KEY}' }});
    const script = document.createElement('script'); script.src = '{shop.edge}/sf.js'; document.head.append(script);
    const kept = sfq; addEventListener('load', () => setTimeout(() => kept('conversion', {{ event_type: 'custom' }})));
    </script>"""
    land(page, shop, head=head)
    shop.wait("pageview", 2)
    shop.wait("conversion")


def test_a_path_of_the_shops_own_leads_to_the_edge(page: Page, shop: Shop) -> None:
    head = f"<script async src='/measure/sf.js' data-org='{ORGANIZATION}' data-key='{OPEN_KEY}'></script>"
    land(page, shop, head=head)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.reload()
    shop.wait("pageview", 2)
    page.evaluate(ORDER)
    shop.wait("conversion")
    own = f"http://{shop.host}:{shop.installation.pages.port}/"
    assert requested
    assert all(url.startswith(own) for url in requested)


def test_an_organization_id_alone_is_enough(page: Page, shop: Shop) -> None:
    head = f"<script async src='{shop.edge}/sf.js' data-org='{ORGANIZATION}'></script>"
    land(page, shop, head=head)
    assert shop.wait("pageview")[0].leaf.trust_tier == "browser"


@pytest.mark.parametrize(
    "call",
    [
        "sfq('buy')", "sfq()", "sfq('conversion')", "sfq('identify')", "sfq('identify', { email: 5 })",
        "sfq('decorate')", "sfq('click_id')", "sfq('click_id', () => { throw new Error('of the page') })",
        "sfq('consent')", "const ring = {}; ring.ring = ring; sfq('conversion', { metadata: ring })",
        "localStorage.inf_click_session = '%%%'; document.cookie = 'inf_click_id=%'; sfq('pageview')",
    ],
)  # fmt: skip
def test_nothing_a_page_does_makes_it_throw(page: Page, shop: Shop, call: str) -> None:
    land(page, shop)
    page.wait_for_function("window.sfq.v")
    shop.wait("pageview")
    page.evaluate(call)  # and the fixture has seen no error of any page
    page.wait_for_timeout(1)
    assert page.evaluate("typeof sfq") == "function"


@pytest.mark.parametrize(
    "broken",
    [
        "Object.defineProperty(window, 'localStorage', { value: null })",
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })",
        "Storage.prototype.setItem = () => { throw new Error() }; Object.defineProperty(window, 'localStorage', "
        "{ value: new Proxy({}, { set() { throw new DOMException('full', 'QuotaExceededError') } }) })",
        "const no = () => { throw new Error() };"
        "Object.defineProperty(Document.prototype, 'cookie', { get: no, set: no })",
        "navigator.sendBeacon = undefined",
        "const random = { getRandomValues: (some) => some.fill(Math.random() * 1e9) };"
        "Object.defineProperty(window, 'crypto', { value: random })",
    ],
)
def test_a_browser_that_lacks_something_tells_all_the_same(page: Page, shop: Shop, broken: str) -> None:
    land(page, shop, head=f"<script>{broken}</script>{shop.tag()}")
    shop.wait("pageview")
    page.evaluate(ORDER)
    [order] = shop.wait("conversion")
    assert order.leaf.click_id_status == "valid"
    assert len({event.leaf.session_id for event in shop.events()}) == 1


def test_what_waits_is_bounded_in_number_and_age(page: Page, shop: Shop) -> None:
    page.goto(shop.put("empty", head=""))
    page.evaluate(
        """(prefix) => {
          const put = (letter, type, ageMs, number) => {
            const event = { type, event_type: 'custom', session_id: 's', page_url: prefix, original_order_id: 'o' };
            localStorage['inf_click_q' + letter + (Date.now() - ageMs) + number] = JSON.stringify(event);
          };
          for (let number = 100; number < 160; number++) put('e', 'pageview', 60e3 + number, number);
          for (let number = 100; number < 110; number++) put('v', 'conversion', 8 * 864e5, number);
          for (let number = 100; number < 103; number++) put('v', 'conversion', 6 * 864e5, number);
          localStorage['inf_click_other'] = 'kept';
        }""",
        shop.url("empty"),
    )
    page.goto(shop.put("full"))
    until(lambda: len(shop.events("conversion")) == 3)
    until(lambda: not page.evaluate("Object.keys(localStorage).some((name) => name.startsWith('inf_click_q'))"))
    paths = [event.leaf.page_path.rpartition("/")[2] for event in shop.events("pageview")]
    assert (paths.count("empty"), paths.count("full")) == (45, 1), "fifty with one session: the oldest pageviews went"
    shop.wait("session", 1)
    assert page.evaluate("localStorage.inf_click_other") == "kept"
