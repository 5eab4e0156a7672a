"""The tag manager's template with the real sf.js in Chromium: in either order, with a consent that comes late."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.edge.edges import ORGANIZATION
from tests.integrations.gtm import TEMPLATE, read_template
from tests.snippet.rig import OPEN_KEY, Shop, click_id_of, until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

# What a container does for a template: its APIs as Google documents them, and one tag fired for each `fire`.
CONTAINER = """<script>
window.dataLayer = [];
window.outcomes = [];
const container = { granted: GRANTED, listeners: [] };
const apis = {
  addConsentListener: (type, listener) => void container.listeners.push(listener),
  isConsentGranted: () => container.granted,
  copyFromDataLayer: (key) => dataLayer.reduce((found, entry) => key in entry ? entry[key] : found, undefined),
  createArgumentsQueue: (name, queue) => {
    if (!window[name]) {
      const [, member] = queue.split(".");
      window[name] = function () { window[name][member].push(arguments); };
      window[name][member] = [];
    }
    return window[name];
  },
  injectScript: (url, onSuccess, onFailure) => {
    const script = Object.assign(document.createElement("script"), { src: url, async: true, onload: onSuccess });
    script.onerror = onFailure;
    document.head.append(script);
  },
  getType: (value) => value === null ? "null" : Array.isArray(value) ? "array" : typeof value,
  logToConsole: () => {}, makeNumber: Number, makeString: String, Math,
};
const template = new Function("require", "data", CODE);
window.fire = (data) => template((name) => apis[name], {
  ...data, gtmOnSuccess: () => outcomes.push("success"), gtmOnFailure: () => outcomes.push("failure"),
});
window.answer = (granted) => {
  container.granted = granted;
  container.listeners.forEach((listener) => listener("analytics_storage", granted));
};
</script>"""
ECOMMERCE = {
    "transaction_id": "1001", "value": 49.99, "currency": "EUR", "tax": 6.99, "shipping": 3, "coupon": "EMMA10",
    "items": [{"item_id": "SOCK-RED", "price": 14, "discount": 1, "quantity": 3}],
}  # fmt: skip
PURCHASE = {"command": "conversion", "eventType": "purchase", "isFromDataLayer": True, "amountUnit": "major"}


def visits(shop: Shop, **fields: Any) -> dict[str, Any]:
    """Return a tag that tells of visits."""
    given = {"command": "visit", "endpoint": shop.edge, "organization": ORGANIZATION, "key": OPEN_KEY}
    return {**given, "consent": "none", "crossDomain": "", **fields}


def land(context: BrowserContext, shop: Shop, *tags: dict[str, Any], granted: bool = True) -> Page:
    """Follow the creator's link to a page whose container fires tags in turn."""
    code = read_template(TEMPLATE.read_text()).code
    head = CONTAINER.replace("GRANTED", json.dumps(granted)).replace("CODE", json.dumps(code))
    fired = f"dataLayer.push({{ ecommerce: {json.dumps(ECOMMERCE)} }}); {json.dumps(tags)}.forEach(fire)"
    shop.put("landing", f"<script>{fired}</script>", head=head)
    page = context.new_page()
    page.goto(shop.leads_to("landing"))
    return page


def test_a_container_tells_of_the_visit_and_of_the_order_in_whatever_order_its_tags_fire(
    context: BrowserContext, shop: Shop
) -> None:
    page = land(context, shop, PURCHASE, visits(shop))
    [order] = shop.wait("conversion")
    [view] = shop.wait("pageview")
    leaf = order.leaf
    assert (leaf.click_id_status, leaf.trust_tier, leaf.session_id) == ("valid", "browser", view.leaf.session_id)
    assert (leaf.order_id, leaf.revenue_cents, leaf.currency, leaf.coupon_codes) == ("1001", 4999, "EUR", ["EMMA10"])
    assert [(line.sku, line.quantity, line.subtotal_cents, line.discount_cents) for line in leaf.lines] == [
        ("SOCK-RED", 3, 4500, 300)
    ]
    until(lambda: page.evaluate("outcomes.length") == 2)
    assert page.evaluate("outcomes") == ["success", "success"]
    page.evaluate("tag => fire(tag)", {"command": "identify", "customerId": "c-17", "email": ""})
    [identify] = shop.wait("identify")
    assert identify.leaf.click_id == leaf.click_id


def test_nothing_is_stored_or_told_before_consent_is_granted(context: BrowserContext, shop: Shop) -> None:
    tag = visits(shop, consent="gtm", consentType="analytics_storage")
    page = land(context, shop, tag, PURCHASE, granted=False)
    until(lambda: page.evaluate("outcomes.length") == 2)
    assert page.evaluate("[document.cookie, localStorage.length]") == ["", 0]
    assert shop.events() == []
    page.evaluate("answer(true)")
    [order] = shop.wait("conversion")
    shop.wait("pageview")
    assert (order.leaf.consent, order.leaf.click_id_status) == ("granted", "valid")
    assert click_id_of(page.url) in page.evaluate("document.cookie")
    page.evaluate("answer(false)")
    assert page.evaluate("document.cookie") == ""
