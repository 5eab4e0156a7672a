"""What happens on the shop's site after the click, and what the shop's server says about it."""

from __future__ import annotations

from typing import Any

from stackfluence import clock
from stackfluence.demo import shop
from stackfluence.demo.contents import CREATORS, SampleLink
from stackfluence.demo.visitor import Landing, Visitor
from stackfluence.vocabulary import Consent, ConversionType, EventType

PAGEVIEWS = (1, 2, 3, 4, 5)
_PAGEVIEW_WEIGHTS = (40, 25, 17, 11, 7)
CART_SHARE = 0.22  # of measured visits
PURCHASE_SHARE = 0.14
SIGNUP_SHARE = 0.06
IDENTIFY_SHARE = 0.08
REFUND_SHARE = 0.15  # of purchases
COUPON_SHARE = 0.35
TWICE_SHARE = 0.15  # of a server's purchases: it got our answer and sends them again all the same
KEYED_SHARE = 0.8  # of a page's events
TAMPERED_SHARE = 0.02  # of visits whose click ID reaches the page damaged
PAGES = (
    "/products/night-serum",
    "/products/barrier-cream",
    "/collections/all",
    "/pages/about",
    "/cart",
    "/search?q=spf",
)
_COUPONS = {creator.handle: creator.coupon_code for creator in CREATORS}


async def look_around(visitor: Visitor, link: SampleLink, landing: Landing) -> None:
    """Be on the site: a session, some pageviews, perhaps a purchase and what follows from it."""
    rng = visitor.rng
    form = "fetch" if rng.random() < 0.3 else "beacon"
    await visitor.pause(rng.uniform(0.4, 2.5))
    session = session_fields(visitor, landing)
    await visitor.tell(EventType.session, session, form=form)
    for number in range(rng.choices(PAGEVIEWS, _PAGEVIEW_WEIGHTS)[0]):
        engaged_ms = await visitor.pause(rng.uniform(2, 40))
        page = _keyed(visitor, session, f"page-{number}")
        page["time_on_page_ms"] = engaged_ms * rng.randrange(50, 100) // 100
        if number:
            page |= {"page_url": visitor.traffic.sample.origin + rng.choice(PAGES), "referrer": landing.page_url}
        await visitor.tell(EventType.pageview, page, form=form)
    if rng.random() < CART_SHARE:
        cart = _keyed(visitor, session, "cart") | {"event_type": ConversionType.add_to_cart.value}
        await visitor.tell(EventType.conversion, cart, form=form)
    if rng.random() < SIGNUP_SHARE:
        signup = _keyed(visitor, session, "signup") | {"event_type": ConversionType.signup.value}
        await visitor.tell(EventType.conversion, signup, form=form)
    if rng.random() < IDENTIFY_SHARE:
        known = _keyed(visitor, session, "identify") | {"customer_id": f"customer-{rng.randrange(10_000):04d}"}
        await visitor.tell(EventType.identify, known, form=form)
    if rng.random() < PURCHASE_SHARE:
        await buy(visitor, link, landing, session, form)


async def buy(visitor: Visitor, link: SampleLink, landing: Landing, session: dict[str, Any], form: str) -> None:
    """Order something: the page, the shop's server, or both say so."""
    rng = visitor.rng
    coupon = _COUPONS[link.creator] if rng.random() < COUPON_SHARE else ""
    bought = shop.order(rng, f"LS-{visitor.name}", coupon)
    said_by = rng.choices(("server", "both", "page"), (75, 15, 10))[0]
    if said_by != "server":
        plain = {name: bought.payload()[name] for name in ("event_type", "order_id", "revenue_cents", "currency")}
        await visitor.tell(EventType.conversion, _keyed(visitor, session, "order") | plain, form=form)
    if said_by == "page":
        return
    server = visitor.companion("shop")
    try:
        fields = bought.payload() | {"inf_click_id": landing.signed_click_id, "session_id": session["session_id"]}
        await _confirm(server, bought, fields)
    finally:
        await server.close()


async def returning_shopper(visitor: Visitor) -> None:
    """Somebody buys without a click of this visit, perhaps with a creator's code: only the shop's server knows."""
    coupon = visitor.rng.choice(CREATORS).coupon_code if visitor.rng.random() < 0.7 else ""
    bought = shop.order(visitor.rng, f"LS-{visitor.name}", coupon)
    await _confirm(visitor, bought, bought.payload())


async def _confirm(server: Visitor, bought: shop.Order, fields: dict[str, Any]) -> None:
    """Let the shop's server report an order, sometimes twice, and what is given back of it."""
    rng = server.rng
    purchase = fields | {"idempotency_key": f"order-{bought.order_id}", "shop": "lumen"}
    if rng.random() < 0.5:
        purchase["occurred_at"] = clock.rfc3339(clock.now_ms())
    if rng.random() < 0.3:
        purchase["metadata"] = {"channel": "web", "items": len(bought.lines), "note": "Grüße & ≥ 2"}
    for _ in range(2 if rng.random() < TWICE_SHARE else 1):
        await server.report([(EventType.conversion, purchase)])
    if rng.random() >= REFUND_SHARE:
        return
    await server.pause(rng.uniform(5, 30))
    parts: list[tuple[EventType, dict[str, Any]]] = [
        (
            EventType.refund,
            {
                "original_order_id": bought.order_id,
                "shop": "lumen",
                "refund_amount_cents": cents,
                "reason": reason,
                "idempotency_key": f"refund-{bought.order_id}-{number}",
                "currency": bought.currency,
            },
        )
        for number, (cents, reason) in enumerate(shop.refunds(rng, bought))
    ]
    await server.report(parts, client="requests")


def session_fields(visitor: Visitor, landing: Landing) -> dict[str, Any]:
    """Return a session event's fields, which the visit's other events have too."""
    rng = visitor.rng
    signed = landing.signed_click_id
    if rng.random() < TAMPERED_SHARE:
        signed = rng.choice((signed[:-8], signed[:30] + ("A" if signed[30] != "A" else "B") + signed[31:], "abc"))
    fields: dict[str, Any] = {
        "session_id": f"s-{visitor.name}-{rng.getrandbits(48):012x}",
        "inf_click_id": signed,
        "page_url": landing.page_url,
    }
    consent = rng.choices((Consent.unknown, Consent.granted, Consent.denied), (70, 24, 6))[0]
    if consent is not Consent.unknown:
        fields["consent"] = consent.value
    return _keyed(visitor, fields, "session")


def _keyed(visitor: Visitor, fields: dict[str, Any], what: str) -> dict[str, Any]:
    """Return a copy of a page's fields with a key of its own, or, as older snippets send it, with none."""
    copied = {name: value for name, value in fields.items() if name != "idempotency_key"}
    if visitor.rng.random() < KEYED_SHARE:
        copied["idempotency_key"] = f"{what}-{visitor.name}"
    return copied
