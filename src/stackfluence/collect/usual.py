"""An event's body as nearly all senders write it, read in one step."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from stackfluence.collect.payloads import MAX_CENTS, MAX_TEXT, OrderLine, Payload

ShortText = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Short = ShortText | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # as text 20 characters at most
Cents = Annotated[int, msgspec.Meta(ge=0, le=MAX_CENTS)] | None


class UsualLine(OrderLine, kw_only=True, forbid_unknown_fields=True):
    """A line of an order without fields that nobody knows."""


class UsualPayload(Payload, kw_only=True, forbid_unknown_fields=True):
    """A payload in which `read_payload` would find nothing: the same limits, told to the decoder.

    Fields that nobody knows are not skipped but refused: what is skipped isn't looked at, and might be no JSON.
    """

    session_id: Short = ""
    order_id: Short = ""
    payment_id: Short = ""
    shop: ShortText = ""
    revenue_cents: Cents = None
    presentment_revenue_cents: Cents = None
    customer_id: Short = ""
    subtotal_cents: Cents = None
    discount_cents: Cents = None
    tax_cents: Cents = None
    shipping_cents: Cents = None
    gift_card_cents: Cents = None
    lines: list[UsualLine] = msgspec.field(default_factory=list)  # type: ignore[assignment]  # it is only read
    original_order_id: Short = ""
    refund_amount_cents: Cents = None
    reason: ShortText = ""
    idempotency_key: Short = ""


class _Batch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    events: list[msgspec.Raw]
    organization_id: str = ""
    key: str = ""


class Usual(NamedTuple):
    """What a body says: as whom it was sent, the events, and of each the JSON."""

    organization_id: str
    key: str
    payloads: list[UsualPayload]
    documents: list[bytes | bytearray | msgspec.Raw]


_decode = msgspec.json.Decoder(UsualPayload).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode


def read_usual(body: bytes | bytearray, is_batch: bool) -> Usual | None:
    """Return what a body says, or None when something about it has to be looked at more closely."""
    try:
        if not is_batch:
            payload = _decode(body)
            return Usual(payload.organization_id, payload.key, [payload], [body])
        batch = _decode_batch(body)
        return Usual(batch.organization_id, batch.key, [_decode(event) for event in batch.events], [*batch.events])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
