"""The event: what is kept of it for ever, what is personal, and how the two become one journal line.

A line is four columns and a line feed::

    crc32 TAB leaf TAB kept TAB expiring LF

`leaf` is a JSON object whose bytes are hashed and never change. `kept` and `expiring` are the personal part: JSON
objects or nothing. The leaf holds only a commitment to them, so that they can be erased without breaking a proof.
JSON escapes control characters, so TAB and LF never occur inside a column. The CRC-32 (IEEE 802.3, eight hex
digits) covers everything between the first TAB and the LF: a torn or rotten line is recognised by itself.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import msgspec

from stackfluence.clock import random_bytes
from stackfluence.native import compiled

SCHEMA_VERSION = 1
SALT_BYTES = 16
NOTHING = bytes(32)  # stands for the hash of a personal half that an event doesn't have

_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One line of an order. Amounts are integer minor units of the event's currency."""

    line_id: str = ""
    product_id: str = ""
    variant_id: str = ""
    sku: str = ""
    quantity: int = 1
    subtotal_cents: int = 0
    discount_cents: int = 0
    tax_cents: int = 0
    is_gift_card: bool = False


class Leaf(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is kept of an event for ever, in the order it is written; what is unset is left out.

    The journal writes `schema_version`, `organization_id`, `node` and `seq` in front of these. Times are RFC 3339
    in UTC with milliseconds, money is integer minor units of `currency`, ids are those of the catalog. Statuses and
    reasons are the words of `vocabulary`. `visitor_hash_before` is the same visitor under yesterday's salt, in the
    half hour after midnight. `signed_click_id` is what was sent when it did not verify, so that it can be judged
    again. `revised_at` is when an order was as it is told here, where its source says so: of two tellings of one
    order the later one counts, in whatever order they came. What the shopper saw and paid is in `presentment_currency`
    when that differs from the shop's `currency`. `payment_id` is what a vendor calls the payment of an order, by which
    refunds and disputes may name it, whatever the shop calls the order. A reader must ignore fields it doesn't know:
    they may be added within a schema version.
    """

    event_id: str
    event_type: str
    occurred_at: str
    received_at: str
    revised_at: str = ""
    click_id: str = ""
    click_id_status: str = ""
    signed_click_id: str = ""
    link_id: str = ""
    creator_id: str = ""
    campaign_id: str = ""
    asset_slug: str = ""
    session_id: str = ""
    visitor_hash: str = ""
    visitor_hash_before: str = ""
    page_path: str = ""
    referrer_host: str = ""
    landing_params: dict[str, str] = {}
    engaged_ms: int = 0
    conversion_type: str = ""
    order_id: str = ""
    payment_id: str = ""
    shop: str = ""
    customer_type: str = ""
    is_renewal: bool = False
    currency: str = ""
    revenue_cents: int | None = None
    presentment_currency: str = ""
    presentment_revenue_cents: int | None = None
    subtotal_cents: int | None = None
    discount_cents: int | None = None
    tax_cents: int | None = None
    shipping_cents: int | None = None
    gift_card_cents: int | None = None
    lines: list[Line] = []
    coupon_codes: list[str] = []
    original_order_id: str = ""
    refund_amount_cents: int | None = None
    reason: str = ""
    bot_score: int = 0
    bot_reasons: list[str] = []
    list_versions: dict[str, str] = {}
    ua_family: str = ""
    os_family: str = ""
    device_class: str = ""
    in_app_browser: str = ""
    country: str = ""
    asn: int = 0
    trust_tier: str = ""
    consent: str = ""
    is_test: bool = False
    is_clamped: bool = False
    quarantine_reason: str = ""
    quarantine_detail: str = ""
    personal_commitment: str = ""


class Kept(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The personal half that stays until the person is erased."""

    salt: str
    customer_hash: str = ""
    email_hash: str = ""
    properties: str = ""


class Expiring(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The personal half that expires by policy, by default after 90 days.

    `signals` is the request's header evidence as a JSON string, for scoring again; `raw` is what a sender wrote in an
    event that had to be quarantined, cut at 16 KiB.
    """

    salt: str
    user_agent: str = ""
    signals: str = ""
    ip_prefix: str = ""
    ad_click_ids: dict[str, str] = {}
    page_url: str = ""
    referrer: str = ""
    raw: str = ""


class LineParts(msgspec.Struct, frozen=True):
    """A journal line taken apart, each part as its bytes."""

    leaf: bytes
    kept: bytes
    expiring: bytes


def encode_leaf(leaf: Leaf) -> bytes:
    """Return the leaf's JSON without its opening brace: `join_line` puts the journal's position in front."""
    return _encode(leaf)[1:]


def encode_personal(half: Kept | Expiring | None) -> bytes:
    """Return a personal half's bytes, empty for none."""
    return b"" if half is None else _encode(half)


def fresh_salt() -> str:
    """Return 128 random bits as hex; without them a commitment could be guessed from likely contents."""
    return random_bytes(SALT_BYTES).hex()


@compiled
def commitment(kept: bytes, expiring: bytes) -> str:
    """Return the leaf's `personal_commitment` to both halves, hex; empty when the event has neither.

    SHA-256(SHA-256(kept) ‖ SHA-256(expiring)), 32 zero bytes standing for an absent half: after one half expired,
    its stored hash still lets the other be checked.
    """
    if not kept and not expiring:
        return ""
    return hashlib.sha256(half_hash(kept) + half_hash(expiring)).hexdigest()


def half_hash(half: bytes) -> bytes:
    """Return the SHA-256 of a personal half, 32 zero bytes for an absent one."""
    return hashlib.sha256(half).digest() if half else NOTHING


def join_line(organization_id: bytes, node: bytes, seq: int, body: bytes, personal: bytes) -> bytes:
    """Return the journal line of an encoded leaf; `personal` is `kept TAB expiring`."""
    line = b'{"schema_version":%d,"organization_id":"%b","node":"%b","seq":%d,%b\t%b' % (
        SCHEMA_VERSION,
        organization_id,
        node,
        seq,
        body,
        personal,
    )
    return b"%08x\t%b\n" % (zlib.crc32(line), line)


@compiled
def join_lines(node: bytes, first_seq: int, entries: list[Any]) -> bytes:
    """Return journal lines, numbered from `first_seq` on.

    Each entry is a tuple that begins with the organization, an encoded leaf and its personal part, as `join_line`
    takes them: what else the journal keeps beside them is passed over.
    """
    return b"".join([join_line(e[0], node, seq, e[1], e[2]) for seq, e in enumerate(entries, first_seq)])


def split_line(line: bytes) -> LineParts | None:
    """Return the parts of a journal line, or None when it is torn or rotten; its LF may be left out."""
    line = line.removesuffix(b"\n")
    columns = line.split(b"\t")
    if len(columns) != 4 or len(columns[0]) != 8 or columns[0] != b"%08x" % zlib.crc32(line[9:]):
        return None
    return LineParts(leaf=columns[1], kept=columns[2], expiring=columns[3])


def read_leaf(leaf: bytes) -> dict[str, Any]:
    """Return a leaf's fields, the journal's position included; raises msgspec.DecodeError for no JSON object."""
    return msgspec.json.decode(leaf, type=dict[str, Any])
