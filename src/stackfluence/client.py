"""Tell Stackfluence what happened in a shop. One file that needs httpx alone: import it, or copy it.

    from stackfluence.client import Client

    with Client() as stackfluence:  # of STACKFLUENCE_ENDPOINT and STACKFLUENCE_SECRET_KEY
        receipt = stackfluence.conversion(
            inf_click_id=click_id, order_id="1001", revenue_cents=4999, currency="EUR", idempotency_key="order-1001"
        )
        if receipt.is_quarantined:
            print(receipt.reason, receipt.detail)

Nothing is judged here: the server says what it can't use, and keeps it with the reason. What could not be delivered is
sent again with the same idempotency key, so that it counts once. Give a key of your own (`order-1001`, `refund-77`)
where your program may send the same thing again after a crash; without one, each call is an event of its own.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import parse_qs, urlsplit

import httpx

MAX_BATCH = 1_000  # events the server takes at once
MAX_BATCH_BYTES = 1_000_000  # of the 1 MiB that it reads
RETRIES = 4  # after the first attempt
TIMEOUT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.5  # doubled each time, unless the server says how long in Retry-After
LONGEST_PAUSE_SECONDS = 60.0
AGAIN = frozenset((408, 429, 502, 503, 504))  # a later attempt may succeed

Id = str | int


class Line(TypedDict, total=False):
    """One line of an order; amounts are minor units (cents) of the order's currency."""

    line_id: Id
    product_id: Id
    variant_id: Id
    sku: Id
    quantity: int
    subtotal_cents: int
    discount_cents: int
    tax_cents: int
    is_gift_card: bool


class Fields(TypedDict, total=False):
    """What any event may say. `email` is hashed by the server at once and not kept."""

    idempotency_key: Id
    occurred_at: str | datetime
    revised_at: str | datetime
    inf_click_id: str
    customer_id: Id
    email: str
    email_sha256: str
    shop: str
    session_id: Id
    page_url: str
    consent: Literal["granted", "denied", "unknown"]
    is_test: bool
    metadata: Mapping[str, Any]


class Conversion(Fields, total=False):
    """An order, or another goal. Amounts are minor units (cents); `lines` and the parts make a commission exact."""

    event_type: Literal["purchase", "signup", "lead", "add_to_cart", "custom"]
    order_id: Id
    revenue_cents: int
    currency: str
    payment_id: Id
    presentment_revenue_cents: int
    presentment_currency: str
    subtotal_cents: int
    discount_cents: int
    tax_cents: int
    shipping_cents: int
    gift_card_cents: int
    lines: list[Line]
    coupon_codes: list[str]
    customer_type: Literal["new", "returning"]
    is_renewal: bool


class Refund(Fields, total=False):
    """Money given back for an order. Each refund needs an idempotency key of its own: two refunds are added up."""

    original_order_id: Id
    payment_id: Id
    refund_amount_cents: int
    currency: str
    reason: str


class Identify(Fields, total=False):
    """Who came by a click: `customer_id` or an email, so that a later order without the click finds it."""


class Event(Conversion, Refund, total=False):
    """One event of a batch: the fields of its type, and which type it is."""

    type: Literal["conversion", "refund", "identify"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one event. A quarantined one is kept and counts nowhere; `reason` and `detail` say why."""

    event_id: str
    status: Literal["accepted", "duplicate", "quarantined"]
    reason: str = ""
    detail: str = ""

    @property
    def is_quarantined(self) -> bool:
        """Whether it can't be used as it was sent."""
        return self.status == "quarantined"


class NotDelivered(Exception):
    """Events did not arrive; `receipts` are those of a batch's events that had arrived before."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.receipts: list[Receipt] = []


class Refused(NotDelivered):
    """The server refused the request, and would again: `status` is HTTP's, `type` the problem's name."""

    def __init__(self, status: int, type: str, detail: str) -> None:
        super().__init__(f"{status} {type}: {detail}")
        self.status = status
        self.type = type
        self.detail = detail


class Unreached(NotDelivered):
    """The server did not answer, or could not keep the events, for as long as was tried. Send them again later."""


class Client:
    """Sends events of one organization; safe to share between threads. Close it, or use it in a `with`."""

    def __init__(
        self,
        endpoint: str = "",
        key: str = "",
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
        transport: httpx.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare to send to an endpoint, `https://go.brand.example`, with a secret key, `sf_sec_…`.

        Without them the environment's STACKFLUENCE_ENDPOINT and STACKFLUENCE_SECRET_KEY are taken; raises ValueError
        when there is neither, or the endpoint is no address.
        """
        endpoint = endpoint or os.environ.get("STACKFLUENCE_ENDPOINT", "")
        key = key or os.environ.get("STACKFLUENCE_SECRET_KEY", "")
        if not endpoint or not key:
            raise ValueError("Give endpoint and key, or set STACKFLUENCE_ENDPOINT and STACKFLUENCE_SECRET_KEY.")
        if not endpoint.startswith(("https://", "http://")):
            raise ValueError(f"The endpoint is an address, https://go.brand.example, not {endpoint!r}.")
        self._retries = retries
        self._pause = pause
        self._http = httpx.Client(
            base_url=endpoint.rstrip("/"),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=timeout_seconds,
            transport=transport,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def conversion(self, **fields: Unpack[Conversion]) -> Receipt:
        """Tell of an order or another goal; raises Refused or Unreached."""
        return self._send_one("conversion", fields)

    def refund(self, **fields: Unpack[Refund]) -> Receipt:
        """Tell of money given back; raises Refused or Unreached."""
        return self._send_one("refund", fields)

    def identify(self, **fields: Unpack[Identify]) -> Receipt:
        """Tell whose click it was; raises Refused or Unreached."""
        return self._send_one("identify", fields)

    def batch(self, events: Iterable[Event]) -> list[Receipt]:
        """Send any number of events, 1,000 at a time, and return the receipt of each, in order.

        Raises Refused or Unreached, whose `receipts` are of the events that arrived before.
        """
        receipts: list[Receipt] = []
        for body in _bodies(_keyed(event) for event in events):
            try:
                answer = self._post("/v1/events/batch", body)
            except NotDelivered as error:
                error.receipts = receipts
                raise
            receipts += (_receipt(told) for told in answer["events"])
        return receipts

    def _send_one(self, type: str, fields: Mapping[str, Any]) -> Receipt:
        return _receipt(self._post(f"/v1/events/{type}", _json(_keyed(fields))))

    def _post(self, path: str, body: bytes) -> dict[str, Any]:
        pause = FIRST_PAUSE_SECONDS
        for left in range(self._retries, -1, -1):
            answer: httpx.Response | None = None
            try:
                answer = self._http.post(path, content=body)
            except httpx.RequestError as error:  # no connection, a broken one, a timeout, or an unreadable answer
                failure = f"{type(error).__name__}: {error}"
            if answer is not None:
                if answer.is_success:
                    return _told(answer)
                if answer.status_code not in AGAIN:
                    raise _refusal(answer)
                failure = str(_refusal(answer))
            if left:
                self._pause(_asked_pause(answer, pause))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        raise Unreached(f"Tried {self._retries + 1} times. {failure}")


def click_id_of(url_or_query: str) -> str:
    """Return the click ID of a landing page's address or query string, empty when it has none.

    Keep it with the visit and send it with the order; sf.js keeps it in the cookie `inf_click_id`.
    """
    query = urlsplit(url_or_query).query or url_or_query.partition("?")[2] or url_or_query
    return parse_qs(query).get("inf_click_id", [""])[0]


def _keyed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event with the key that makes sending it again harmless."""
    return {"idempotency_key": str(uuid.uuid4()), **fields}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _bodies(events: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield the events as bodies of batches, each as large as one request may be."""
    waiting: list[bytes] = []
    size = 0
    for event in events:
        text = _json(event)
        if waiting and (len(waiting) == MAX_BATCH or size + len(text) > MAX_BATCH_BYTES):
            yield b'{"events":[%b]}' % b",".join(waiting)
            waiting, size = [], 0
        waiting.append(text)
        size += len(text) + 1
    if waiting:
        yield b'{"events":[%b]}' % b",".join(waiting)


def _told(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.keys().isdisjoint(("event_id", "events")):
        raise Refused(answer.status_code, "unexpected-answer", "Is this the address of Stackfluence?")
    return told


def _receipt(told: Mapping[str, Any]) -> Receipt:
    return Receipt(told["event_id"], told["status"], told.get("reason", ""), told.get("detail", ""))


def _refusal(answer: httpx.Response) -> Refused:
    """Return the problem that was answered, RFC 9457, or what else came."""
    try:
        problem = answer.json()
        return Refused(answer.status_code, str(problem["type"]).rpartition("/")[2], str(problem.get("detail", "")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Refused(answer.status_code, "unexpected-answer", answer.text[:200])


def _asked_pause(answer: httpx.Response | None, otherwise: float) -> float:
    """Return the seconds to wait: those of Retry-After (RFC 9110, 10.2.3: seconds or a date), else as given."""
    text = "" if answer is None else answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        otherwise = float(text)
    elif text:
        try:
            otherwise = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return otherwise
    return min(max(otherwise, 0.0), LONGEST_PAUSE_SECONDS)
