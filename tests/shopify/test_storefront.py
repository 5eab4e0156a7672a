"""What runs in the shop: the pixel in Shopify's sandbox, by a stand-in for it, and the app embed, in real Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Route, sync_playwright

from stackfluence.collect.payloads import check, read_payload
from stackfluence.vocabulary import EventType
from tests.shopify.vendors import INTEGRATION

CLICK_ID = "AQEAAtBonXAT9xdTsDCaAaIDIKJ7eryN7wEjRWeJq5KIPtdddc7cuAhQmO0YbJs"
ORDER = "9007199254740993"  # 2**53 + 1
SHOP = "https://brand.myshopify.com"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"

SANDBOX = """
import { run } from "@shopify/web-pixels-extension";
const given = JSON.parse(process.argv[2]);
const sent = [];
globalThis.fetch = async (url, options) => { sent.push({ url, ...options, body: JSON.parse(options.body) }); };
await import("./index.js");
await run(given);
console.log(JSON.stringify(sent));
"""
STAND_IN = """
let extend;
export const register = (given) => { extend = given; };
export const run = async ({ event, cookie, privacy, later, settings }) => {
  const listening = {};
  const changes = {};
  extend({
    analytics: { subscribe: (name, callback) => { listening[name] = callback; } },
    browser: { cookie: { get: async (name) => (name === "inf_click_id" ? cookie : "") } },
    customerPrivacy: { subscribe: (name, callback) => { changes[name] = callback; } },
    init: { data: { shop: { myshopifyDomain: "brand.myshopify.com" } }, customerPrivacy: privacy },
    settings,
  });
  if (later) changes.visitorConsentCollected({ customerPrivacy: later });
  await listening.checkout_completed(event);
};
"""
AGREED, DENIED = {"analyticsProcessingAllowed": True}, {"analyticsProcessingAllowed": False}


def checkout(**changed: Any) -> dict[str, Any]:
    """Return a completed checkout, in the form that Shopify's types publish."""
    found: dict[str, Any] = {
        "order": {"id": f"gid://shopify/Order/{ORDER}", "customer": {"id": "7", "isFirstOrder": True}},
        "totalPrice": {"amount": 89.9, "currencyCode": "EUR"},
        "attributes": [{"key": "inf_click_id", "value": CLICK_ID}],
        "discountApplications": [
            {"type": "DISCOUNT_CODE", "title": "EMMA10"},
            {"type": "AUTOMATIC", "title": "Winter sale"},
        ],
        "email": "emma@brand.example",
    }
    return {
        "name": "checkout_completed",
        "timestamp": "2026-11-22T13:00:00.000Z",
        "data": {"checkout": found | changed},
    }


def pixel(
    folder: Path, event: dict[str, Any], privacy: dict[str, bool] = AGREED, *, cookie: str = "", later: Any = None
) -> list[dict[str, Any]]:
    """Run the pixel's own files for one event, and return what it sent."""
    source = folder / "pixel"
    if not source.exists():
        shutil.copytree(INTEGRATION / "extensions/pixel/src", source)
        package = source / "node_modules" / "@shopify" / "web-pixels-extension"
        package.mkdir(parents=True)
        (package / "index.js").write_text(STAND_IN)
        for place in (package, source):
            (place / "package.json").write_text('{"type": "module", "main": "index.js"}')
        (source / "sandbox.mjs").write_text(SANDBOX)
    settings = {"endpoint": "https://go.links.example", "organization": "org_0000001"}
    given = {"event": event, "cookie": cookie, "privacy": privacy, "later": later, "settings": settings}
    done = subprocess.run(
        ["node", "sandbox.mjs", json.dumps(given)], cwd=source, capture_output=True, text=True, check=True, timeout=60
    )
    return list(json.loads(done.stdout))


def test_a_completed_checkout_is_a_conversion_that_the_intake_takes(tmp_path: Path) -> None:
    (sent,) = pixel(tmp_path, checkout())
    assert sent["url"] == "https://go.links.example/v1/events/conversion"
    assert (sent["method"], sent["keepalive"], sent["headers"]) == ("POST", True, {"Content-Type": "text/plain"})
    body = sent["body"]
    assert (body["order_id"], body["shop"]) == (ORDER, "brand.myshopify.com")
    assert (body["revenue_cents"], body["currency"]) == (8990, "EUR")
    assert (body["inf_click_id"], body["coupon_codes"]) == (CLICK_ID, ["EMMA10"])
    assert (body["consent"], body["customer_type"]) == ("granted", "new")
    assert "emma" not in json.dumps(body), "nobody is named"
    payload = read_payload(body)
    check(EventType.conversion, payload, is_browser=True)
    assert payload.order_id == ORDER


@pytest.mark.parametrize(
    ("amount", "currency", "cents"),
    [(19.99, "EUR", 1999), ("1.005", "USD", 101), (1000, "JPY", 1000), (1.234, "KWD", 1234), (0, "EUR", 0)],
)
def test_an_amount_is_told_in_its_currencys_smallest_unit(
    amount: object, currency: str, cents: int, tmp_path: Path
) -> None:
    (sent,) = pixel(tmp_path, checkout(totalPrice={"amount": amount, "currencyCode": currency}))
    assert sent["body"]["revenue_cents"] == cents


def test_who_did_not_agree_is_measured_by_the_cart_alone(tmp_path: Path) -> None:
    event = checkout(attributes=[])
    assert pixel(tmp_path, event, cookie=CLICK_ID)[0]["body"]["inf_click_id"] == CLICK_ID
    denied = pixel(tmp_path, event, DENIED, cookie=CLICK_ID)[0]["body"]
    assert (denied["inf_click_id"], denied["consent"]) == ("", "denied")
    agreed = pixel(tmp_path, event, DENIED, cookie=CLICK_ID, later=AGREED)[0]["body"]
    assert (agreed["inf_click_id"], agreed["consent"]) == (CLICK_ID, "granted")
    assert pixel(tmp_path, checkout(), DENIED)[0]["body"]["inf_click_id"] == CLICK_ID


def test_an_order_without_a_number_is_left_to_the_webhook(tmp_path: Path) -> None:
    for order in (None, {"id": None, "customer": None}, {"id": "", "customer": None}):
        assert pixel(tmp_path, checkout(order=order)) == []
    (sent,) = pixel(tmp_path, checkout(order={"id": ORDER, "customer": None}, attributes=[], discountApplications=[]))
    assert (sent["body"]["order_id"], sent["body"]["inf_click_id"]) == (ORDER, "")
    assert "customer_type" not in sent["body"]


class Storefront:
    """A shop with a cart, in a browser: pages with the app embed, and the cart's own addresses."""

    def __init__(self, context: BrowserContext, consent: str, is_agreed: bool) -> None:
        self.items = 0
        self.attributes: dict[str, str] = {}
        self.asked: list[str] = []
        self.consent, self.is_agreed = consent, is_agreed
        self.script = (INTEGRATION / "extensions/storefront/assets/stackfluence-cart.js").read_text()
        context.route("**/*", self.answer)
        self.context = context

    def answer(self, route: Route) -> None:
        """Answer as a shop would."""
        path = route.request.url.removeprefix(SHOP).partition("?")[0]
        self.asked.append(path)
        if path == "/cart.js":
            route.fulfill(json={"item_count": self.items, "attributes": self.attributes})
        elif path == "/cart/add.js":
            self.items += 1
            route.fulfill(json={})
        elif path == "/cart/update.js":
            given: dict[str, Any] = route.request.post_data_json or {}
            self.attributes |= given["attributes"]
            route.fulfill(json={})
        elif path == "/embed.js":
            route.fulfill(body=self.script, content_type="text/javascript")
        else:
            agreed = json.dumps(self.is_agreed)
            route.fulfill(
                content_type="text/html",
                body="<!doctype html><title>Socks</title>"
                f"<script>window.Shopify={{customerPrivacy:{{analyticsProcessingAllowed:()=>{agreed}}}}}</script>"
                f'<script src="/embed.js" data-root="/" data-consent="{self.consent}" data-endpoint="" defer></script>',
            )

    def page(self, path: str = "/") -> Page:
        """Open a page and wait until it is quiet."""
        page = self.context.new_page()
        page.goto(SHOP + path, wait_until="networkidle")
        return page

    def cookies(self) -> list[str]:
        """Return what the browser keeps."""
        return [str(cookie.get("value")) for cookie in self.context.cookies(SHOP)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium, once."""
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium is installed")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


def add_to_cart(page: Page, shop: Storefront) -> None:
    """Put something into the cart as a theme does."""
    with page.expect_request("**/cart.js"):
        page.evaluate("fetch('/cart/add.js', {method: 'POST'})")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(200)  # for the update that may follow


def test_a_landing_is_in_the_cart_once_there_is_one(browser: Any) -> None:
    shop = Storefront(browser.new_context(), "required", True)
    page = shop.page(f"/?inf_click_id={CLICK_ID}")
    assert shop.attributes == {}
    assert "/cart/update.js" not in shop.asked, "no cart is made for who only looks"
    assert shop.cookies() == [CLICK_ID]
    add_to_cart(page, shop)
    assert shop.attributes == {"inf_click_id": CLICK_ID}
    shop.asked.clear()
    shop.page("/products/socks")
    assert shop.asked.count("/cart/update.js") == 0, "what is there already is not written again"


def test_a_click_is_found_again_on_a_later_page(browser: Any) -> None:
    shop = Storefront(browser.new_context(), "required", True)
    shop.page(f"/?inf_click_id={CLICK_ID}")
    add_to_cart(shop.page("/products/socks"), shop)
    assert shop.attributes == {"inf_click_id": CLICK_ID}


def test_without_consent_nothing_is_kept_in_the_browser(browser: Any) -> None:
    shop = Storefront(browser.new_context(), "required", False)
    page = shop.page(f"/?inf_click_id={CLICK_ID}")
    assert shop.cookies() == []
    add_to_cart(page, shop)
    assert shop.attributes == {"inf_click_id": CLICK_ID}, "what the visitor brought along goes where they put the socks"
    shop.attributes.clear()
    shop.page("/cart")
    assert shop.attributes == {}


def test_global_privacy_control_is_obeyed_whatever_the_shop_chose(browser: Any) -> None:
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    shop = Storefront(context, "none", True)
    shop.page(f"/?inf_click_id={CLICK_ID}")
    assert shop.cookies() == []


def test_a_consent_that_is_given_or_taken_back_is_followed(browser: Any) -> None:
    shop = Storefront(browser.new_context(), "required", False)
    page = shop.page(f"/?inf_click_id={CLICK_ID}")
    collected = "window.Shopify.customerPrivacy.analyticsProcessingAllowed = () => {};"
    event = "document.dispatchEvent(new CustomEvent('visitorConsentCollected'))"
    page.evaluate(collected.replace("{}", "true") + event)
    assert shop.cookies() == [CLICK_ID]
    page.evaluate(collected.replace("{}", "false") + event)
    assert shop.cookies() == []


@pytest.mark.parametrize("sent", ["", "%3Cscript%3E", "x" * 65, "a%3D%3Bb"])
def test_what_is_no_click_id_is_not_taken_along(browser: Any, sent: str) -> None:
    shop = Storefront(browser.new_context(), "none", True)
    shop.items = 1
    shop.page(f"/?inf_click_id={sent}")
    assert shop.cookies() == []
    assert shop.attributes == {}
