"""What a sender may write, and how it becomes a leaf. What can be read but not used is kept with its reason.

Types are strict: a number in quotes or an amount with decimals is quarantined, never guessed at.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec

from stackfluence.click.visitor import landing_parameters, read_query
from stackfluence.clock import parse_rfc3339, rfc3339
from stackfluence.collect.money import minor_digits
from stackfluence.collect.unusable import Unusable
from stackfluence.events.event import Leaf, Line
from stackfluence.vocabulary import (
    Consent,
    ConversionType,
    CustomerType,
    EventType,
    QuarantineReason,
    TrafficReason,
    TrustTier,
)

MAX_CENTS = 10**12  # ten billion of a currency with cents: more is a mistake of units
MAX_TEXT = 200  # ids, codes, sessions
MAX_LINES = 500
MAX_CODES = 20
MAX_METADATA = 16 << 10
MAX_MINUTES_ON_PAGE_MS = 86_400_000
EARLIEST_MS = 946_684_800_000  # 2000-01-01: before it there was nothing to measure
CLAMP_BACK_MS = 35 * 86_400_000
CLAMP_AHEAD_MS = 5 * 60_000
SERVER_AHEAD_MS = 86_400_000
MAX_EMAIL = 320  # RFC 3696, erratum 1690: 64 before the @, 255 after it
_ADDRESSES = frozenset(("email", "email_sha256"))
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PERSONAL_SEGMENT = re.compile(r"[^/]*@[^/]*|[^/]{65,}|[0-9a-fA-F]{32,}")

Text = str | int  # shops number orders, customers and products; ids beyond 2**53 survive as integers


class OrderLine(msgspec.Struct, kw_only=True):
    """One line of an order as a sender writes it."""

    line_id: Text = ""
    product_id: Text = ""
    variant_id: Text = ""
    sku: Text = ""
    quantity: int = 1
    subtotal_cents: int = 0
    discount_cents: int = 0
    tax_cents: int = 0
    is_gift_card: bool = False


class Payload(msgspec.Struct, kw_only=True):
    """One event as a sender writes it; unknown fields are ignored."""

    type: str = ""
    inf_click_id: str = ""
    organization_id: str = ""
    key: str = ""
    session_id: Text = ""
    page_url: str = ""
    referrer: str = ""
    time_on_page_ms: int | None = None
    event_type: str = ""
    order_id: Text = ""
    payment_id: Text = ""
    shop: str = ""
    revenue_cents: int | None = None
    currency: str = ""
    presentment_currency: str = ""
    presentment_revenue_cents: int | None = None
    coupon_codes: list[Text] = []
    customer_id: Text = ""
    email: str = ""
    email_sha256: str = ""
    customer_type: str = ""
    is_renewal: bool = False
    subtotal_cents: int | None = None
    discount_cents: int | None = None
    tax_cents: int | None = None
    shipping_cents: int | None = None
    gift_card_cents: int | None = None
    lines: list[OrderLine] = []
    original_order_id: Text = ""
    refund_amount_cents: int | None = None
    reason: str = ""
    idempotency_key: Text = ""
    occurred_at: str = ""
    revised_at: str = ""
    consent: str = ""
    is_test: bool = False
    # hints of a page: what is neither true nor false says nothing, and costs no session
    is_webdriver: object = None
    has_interaction: object = None
    metadata: dict[str, Any] = {}


TOO_DEEP = Unusable(QuarantineReason.wrong_type, "nested too deeply")  # what is read can be too deep to be written
NO_TYPE = Unusable(QuarantineReason.unknown_value, "type")
_AMOUNTS = frozenset(
    (
        "revenue_cents", "subtotal_cents", "discount_cents", "tax_cents", "shipping_cents", "gift_card_cents",
        "refund_amount_cents", "presentment_revenue_cents",
    )
)  # fmt: skip
_TEXTS = frozenset(
    (
        "session_id", "order_id", "payment_id", "shop", "customer_id", "original_order_id", "reason",
        "idempotency_key",
    )
)  # fmt: skip
_LINE_TEXTS = ("line_id", "product_id", "variant_id", "sku")
# Plain texts: finding a member of an enumeration costs as much as what is done with it here.
_CONVERSION, _IDENTIFY, _PURCHASE = EventType.conversion.value, EventType.identify.value, ConversionType.purchase.value
_VISITS = frozenset((EventType.session.value, EventType.pageview.value))
_OF_ORDERS = frozenset((_CONVERSION, EventType.refund.value))
_REQUIRED: dict[str, tuple[str, ...]] = {
    EventType.session.value: ("session_id",),
    EventType.pageview.value: ("session_id",),
    _CONVERSION: (),
    EventType.refund.value: ("original_order_id", "refund_amount_cents"),
    EventType.payment.value: ("order_id", "payment_id"),
    _IDENTIFY: (),
}
_REQUIRED_OF_PURCHASE = ("order_id", "revenue_cents")


def read_payload(document: object) -> Payload:
    """Return an event's fields; raises Unusable when one has another type, is too long or too large."""
    try:
        payload = msgspec.convert(document, Payload)
    except msgspec.ValidationError as error:
        raise Unusable(QuarantineReason.wrong_type, str(error)) from None
    for name in cast(dict[str, Any], document):
        if name in _TEXTS:
            _short(name, str(getattr(payload, name)))
        elif name in _AMOUNTS:
            _amount(name, getattr(payload, name))
    return payload


def limited(payload: Payload | Unusable) -> Payload | Unusable:
    """Return a payload that was put together here, or why it can't be used: too long a text, an amount out of range."""
    if isinstance(payload, Unusable):
        return payload
    try:
        for name in _TEXTS:
            _short(name, str(getattr(payload, name)))
        for name in sorted(_AMOUNTS):
            _amount(name, getattr(payload, name))
    except Unusable as problem:
        return problem
    return payload


def check(event_type: str, payload: Payload, *, is_denied: bool = False, is_browser: bool = False) -> None:
    """Raise Unusable for the first field that is missing or can't be what it says.

    Who doesn't want to be measured (`is_denied`) has no session to name. A browser may send no address in the clear.
    """
    required = () if is_denied and event_type in _VISITS else _REQUIRED[event_type]
    if event_type == _CONVERSION:
        payload.event_type = payload.event_type or _PURCHASE
        if payload.event_type == _PURCHASE:
            required = _REQUIRED_OF_PURCHASE
        else:
            _one_of(ConversionType, "event_type", payload.event_type)
    for name in required:
        if getattr(payload, name) in ("", None):
            raise Unusable(QuarantineReason.missing_field, name)
    if payload.email or payload.email_sha256 or event_type == _IDENTIFY:
        _check_person(event_type, payload, is_browser)
    if payload.time_on_page_ms is not None and not 0 <= payload.time_on_page_ms <= MAX_MINUTES_ON_PAGE_MS:
        raise Unusable(QuarantineReason.amount_out_of_range, "time_on_page_ms")
    if payload.currency:
        payload.currency = payload.currency.upper()
        minor_digits(payload.currency)
    if payload.presentment_currency:
        payload.presentment_currency = payload.presentment_currency.upper()
        minor_digits(payload.presentment_currency)
    if payload.customer_type:
        _one_of(CustomerType, "customer_type", payload.customer_type)
    if payload.consent:
        _one_of(Consent, "consent", payload.consent)
    codes, lines = payload.coupon_codes, payload.lines
    if len(codes) > MAX_CODES or len(lines) > MAX_LINES:
        raise Unusable(QuarantineReason.text_too_long, "coupon_codes or lines")
    for code in codes:
        _short("coupon_codes", str(code))
    for line in lines:
        _check_line(line)


def _check_person(event_type: str, payload: Payload, is_browser: bool) -> None:
    if payload.email:
        if is_browser:
            raise Unusable(QuarantineReason.unknown_value, "email: a page sends email_sha256")
        if "@" not in payload.email or len(payload.email) > MAX_EMAIL:
            raise Unusable(QuarantineReason.unknown_value, "email")
        payload.email_sha256 = email_digest(payload.email)
    payload.email_sha256 = payload.email_sha256.lower()
    if payload.email_sha256 and not _DIGEST.fullmatch(payload.email_sha256):
        raise Unusable(QuarantineReason.unknown_value, "email_sha256 must have 64 hex digits")
    if event_type == _IDENTIFY and payload.customer_id == "" and not payload.email_sha256:
        raise Unusable(QuarantineReason.missing_field, "customer_id, email or email_sha256")


def _check_line(line: OrderLine) -> None:
    for name in _LINE_TEXTS:
        _short(f"lines.{name}", str(getattr(line, name)))
    for name in ("quantity", "subtotal_cents", "discount_cents", "tax_cents"):
        _amount(f"lines.{name}", getattr(line, name))


def _short(name: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise Unusable(QuarantineReason.text_too_long, name)


def _amount(name: str, cents: int | None) -> None:
    if cents is not None and not 0 <= cents <= MAX_CENTS:
        raise Unusable(QuarantineReason.amount_out_of_range, name)


def _one_of(words: type[ConversionType] | type[CustomerType] | type[Consent], name: str, value: str) -> None:
    if value not in words.__members__:
        raise Unusable(QuarantineReason.unknown_value, f"{name} {value[:40]!r}, one of {', '.join(words)}")


def occurred(payload: Payload, received_ms: int, is_browser: bool) -> tuple[int, bool]:
    """Return when the event happened, and whether a browser's clock had to be clamped.

    Browsers are clamped to [-35 days, +5 minutes] of the receipt; servers keep what they state. Raises Unusable for no
    time at all, one before 2000 or more than a day ahead.
    """
    if not payload.occurred_at:
        return received_ms, False
    try:
        stated = parse_rfc3339(payload.occurred_at.upper())  # RFC 3339 allows `t` and `z`
    except ValueError:
        raise Unusable(QuarantineReason.wrong_type, "occurred_at must be RFC 3339 with a zone") from None
    if is_browser:
        clamped = min(max(stated, received_ms - CLAMP_BACK_MS), received_ms + CLAMP_AHEAD_MS)
        return clamped, clamped != stated
    if not EARLIEST_MS <= stated <= received_ms + SERVER_AHEAD_MS:
        raise Unusable(QuarantineReason.time_out_of_range, "occurred_at")
    return stated, False


def revised(payload: Payload, received_ms: int, is_browser: bool) -> str:
    """Return when an order was as it is told here, RFC 3339 in UTC, empty when nobody says; a page can't.

    Raises Unusable for no time at all, one before 2000 or more than a day ahead.
    """
    if is_browser or not payload.revised_at:
        return ""
    try:
        stated = parse_rfc3339(payload.revised_at.upper())
    except ValueError:
        raise Unusable(QuarantineReason.wrong_type, "revised_at must be RFC 3339 with a zone") from None
    if not EARLIEST_MS <= stated <= received_ms + SERVER_AHEAD_MS:
        raise Unusable(QuarantineReason.time_out_of_range, "revised_at")
    return rfc3339(stated)


def fill(leaf: Leaf, payload: Payload, default_currency: str) -> None:
    """Write what a checked payload says into the leaf."""
    leaf.session_id = str(payload.session_id)
    leaf.engaged_ms = payload.time_on_page_ms or 0
    leaf.order_id = str(payload.order_id)
    leaf.original_order_id = str(payload.original_order_id)
    # shoppers know their own payment, and could move its refund elsewhere
    if payload.payment_id != "" and leaf.trust_tier != TrustTier.browser:
        leaf.payment_id = str(payload.payment_id)
    leaf.shop = payload.shop
    leaf.customer_type = payload.customer_type
    leaf.is_renewal = payload.is_renewal
    leaf.reason = payload.reason
    leaf.is_test = payload.is_test
    leaf.revenue_cents, leaf.refund_amount_cents = payload.revenue_cents, payload.refund_amount_cents
    leaf.subtotal_cents, leaf.discount_cents = payload.subtotal_cents, payload.discount_cents
    leaf.tax_cents, leaf.shipping_cents = payload.tax_cents, payload.shipping_cents
    leaf.gift_card_cents = payload.gift_card_cents
    if payload.lines:
        leaf.lines = [_line(line) for line in payload.lines]
    if payload.coupon_codes:
        leaf.coupon_codes = [str(code) for code in payload.coupon_codes]
    event_type = leaf.event_type
    if event_type in _OF_ORDERS:
        if event_type == _CONVERSION:
            leaf.conversion_type = payload.event_type
        leaf.currency = payload.currency or default_currency
        if payload.presentment_currency not in ("", leaf.currency):
            leaf.presentment_currency = payload.presentment_currency
            leaf.presentment_revenue_cents = payload.presentment_revenue_cents
    elif event_type in _VISITS:
        leaf.bot_reasons = _said_reasons(payload)
    if payload.page_url:
        leaf.page_path, query = page_parts(payload.page_url)
        leaf.landing_params = landing_parameters(query)[0]
    if payload.referrer:
        leaf.referrer_host = page_host(payload.referrer)


def _said_reasons(payload: Payload) -> list[str]:
    """Return what a page says against its visitor; saying nothing, or no true or false, is no evidence."""
    found = [TrafficReason.webdriver.value] if payload.is_webdriver is True else []
    return found + ([TrafficReason.no_interaction.value] if payload.has_interaction is False else [])


def _line(line: OrderLine) -> Line:
    fields = msgspec.structs.asdict(line)
    return Line(**{**fields, **{name: str(fields[name]) for name in _LINE_TEXTS}})


def page_parts(url: str) -> tuple[str, dict[str, str]]:
    """Return a page's path, without segments that look like a person or a secret, and its query parameters."""
    try:
        parts = urlsplit(url[:2_000])
    except ValueError:
        return "", {}
    segments = parts.path.split("/")
    path = "/".join("…" if _PERSONAL_SEGMENT.fullmatch(unquote(segment)) else segment for segment in segments)
    return path[:500], read_query(parts.query.encode("utf-8", "replace"))


def page_host(url: str) -> str:
    """Return an address's host, lower case, empty when it has none."""
    try:
        return (urlsplit(url[:2_000]).hostname or "")[:253]
    except ValueError:
        return ""


def metadata_text(metadata: dict[str, Any]) -> str:
    """Return the sender's metadata as JSON text; raises Unusable above 16 KiB."""
    if not metadata:
        return ""
    text = msgspec.json.encode(metadata).decode()
    if len(text) > MAX_METADATA:
        raise Unusable(QuarantineReason.text_too_long, "metadata")
    return text


def raw_text(document: object) -> str:
    """Return what a sender wrote as JSON text, empty when it is nested too deeply.

    E-mail addresses are left out, and their digests, which whoever has a list of addresses reads.
    """
    if isinstance(document, dict) and not _ADDRESSES.isdisjoint(document):
        document = {name: value for name, value in document.items() if name not in _ADDRESSES}
    try:
        return msgspec.json.encode(document).decode()
    except RecursionError:
        return ""


def customer_hash(customer_key: bytes, customer_id: Text, shop: str = "") -> str:
    """Return the pseudonym of an organization's customer: HMAC-SHA256 of `id:<customer_id>`, 128 bits, hex.

    With a shop, which numbers its customers itself, of `id@<shop> NUL <customer_id>`.
    """
    named = f"id@{shop}\0{customer_id}" if shop else f"id:{customer_id}"
    return hmac.digest(customer_key, named.encode(), "sha256").hex()[:32]


def email_digest(email: str) -> str:
    """Return the SHA-256, hex, of an e-mail address without outer spaces and in lower case."""
    return hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()


def email_hash(customer_key: bytes, email_sha256: str) -> str:
    """Return the pseudonym of a customer's address: HMAC-SHA256 of `email:<its SHA-256, hex>`, 128 bits, hex."""
    return hmac.digest(customer_key, f"email:{email_sha256}".encode(), "sha256").hex()[:32]


def idempotency_key(document: object) -> str:
    """Return the key that makes a repetition of this event the same event, even of one that can't be used."""
    key = document.get("idempotency_key") if isinstance(document, dict) else None
    return str(key) if isinstance(key, str | int) and not isinstance(key, bool) else ""


def denies_consent(document: object) -> bool:
    """Whether an event that can't be used says at least that its visitor doesn't want to be measured."""
    return isinstance(document, dict) and document.get("consent") in (Consent.denied, Consent.opted_out)
