"""The WooCommerce plug-in: orders, refunds and cancellations reach the edge; a shop that can't reach it loses none."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import Any

import iso4217

from tests.clients.scripted import KEY, ROOT, Scripted, needs
from tests.edge.edges import SECRET_KEY, RunningEdge

PLUGIN = ROOT / "integrations" / "woocommerce" / "stackfluence" / "stackfluence.php"
SHOP = ROOT / "tests" / "integrations" / "woocommerce_shop.php"
ORDER: dict[str, Any] = {
    "id": 1001, "status": "pending", "currency": "EUR", "total": "49.99", "subtotal": 45.0, "discount_total": "5.00",
    "total_tax": "6.99", "shipping_total": "3.00", "billing_email": " Noah@brand.example", "customer_id": 17,
    "date_paid": "2026-11-16T10:30:00+01:00", "remaining_refund_amount": "49.99", "coupon_codes": ["emma10"],
    "date_modified": "2026-11-18T09:00:00Z",
    "items": {"7": {
        "id": 7, "product_id": 70, "variation_id": 71, "sku": "SOCK-RED", "quantity": 3, "subtotal": "45",
        "total": "40", "total_tax": "6.99",
    }},
}  # fmt: skip
REFUND: dict[str, Any] = {"id": 1002, "parent": 1001, "amount": "15.00", "date_created": "2026-11-17T09:00:00Z"}


async def play(steps: list[list[Any]], endpoint: str, key: str = KEY, **settings: str) -> dict[str, Any]:
    """Play a story in the shop, and return what it knows in the end."""
    given = {"ENDPOINT": f"{endpoint}/", "ORGANIZATION": "org_0000001", "SECRET_KEY": key, **settings}
    process = await asyncio.create_subprocess_exec(
        needs("php"), "-d", "error_reporting=-1", "-d", "display_errors=stderr", SHOP, PLUGIN,
        env={**os.environ, "SHOP_SETTINGS": json.dumps(given)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        printed, complaints = await process.communicate(json.dumps(steps).encode())
    assert (process.returncode, complaints) == (0, b""), complaints.decode() + printed.decode()
    told: dict[str, Any] = json.loads(printed)
    return told


async def test_an_order_arrives_with_its_click_its_parts_and_its_codes(edge: RunningEdge) -> None:
    location = (await edge.get("/c/emma/summer"))["location"]
    steps: list[list[Any]] = [
        ["cookie", location.partition("inf_click_id=")[2]],
        ["order", ORDER],
        ["queue", None],
        ["status", [1001, "processing"]],
        ["queue", None],
    ]
    told = await play(steps, f"http://127.0.0.1:{edge.port}", SECRET_KEY)
    assert (told["waiting"], told["notes"]) == (0, [])
    click, order = edge.events()
    leaf = order.leaf
    assert (leaf.click_id, leaf.click_id_status) == (click.leaf.event_id, "valid")
    assert (leaf.trust_tier, leaf.order_id, leaf.shop, leaf.currency) == ("server", "1001", "", "EUR")
    assert (leaf.revenue_cents, leaf.subtotal_cents, leaf.discount_cents) == (4999, 4500, 500)
    assert (leaf.tax_cents, leaf.shipping_cents, leaf.customer_type) == (699, 300, "new")
    assert leaf.occurred_at == "2026-11-16T09:30:00.000Z"
    assert leaf.coupon_codes == ["emma10"]
    [line] = leaf.lines
    assert (line.line_id, line.product_id, line.variant_id, line.sku, line.quantity) == ("7", "70", "71", "SOCK-RED", 3)
    assert (line.subtotal_cents, line.discount_cents, line.tax_cents) == (4500, 500, 699)
    assert order.kept
    assert order.kept.customer_hash
    assert b"noah@brand.example" not in order.line.lower()


async def test_nothing_is_told_of_an_order_that_was_not_paid(server: Scripted) -> None:
    steps: list[list[Any]] = [
        ["order", {**ORDER, "date_paid": None}],
        ["status", [1001, "on-hold"]],
        ["status", [1001, "cancelled"]],
        ["queue", None],
    ]
    await play(steps, server.address)
    assert server.asked == []


async def test_completing_tells_the_order_again_and_a_repeated_hook_does_not(server: Scripted) -> None:
    steps: list[list[Any]] = [
        ["order", ORDER],
        ["status", [1001, "processing"]],
        ["queue", None],
        ["status", [1001, "completed"]],
        ["status", [1001, "completed"]],
        ["queue", None],
    ]
    await play(steps, server.address, SHOP="berlin")
    keys = [asked.body["idempotency_key"] for asked in server.asked]
    assert keys == ["woocommerce/order/1001/processing", "woocommerce/order/1001/completed"]
    assert {asked.body["shop"] for asked in server.asked} == {"berlin"}


async def test_refunds_and_cancellations_have_keys_of_their_own(server: Scripted) -> None:
    steps: list[list[Any]] = [
        ["order", ORDER],
        ["refund", REFUND],
        ["refund", {**REFUND, "id": 1003, "amount": "5.00"}],
        ["status", [1001, "cancelled"]],
        ["queue", None],
    ]
    await play(steps, server.address)
    told = [asked.body for asked in server.asked]
    assert [(event["idempotency_key"], event["refund_amount_cents"], event["reason"]) for event in told] == [
        ("woocommerce/refund/1002", 1500, "refund"),
        ("woocommerce/refund/1003", 500, "refund"),
        ("woocommerce/cancellation/1001", 4999, "cancellation"),
    ]
    assert {(event["original_order_id"], event["currency"]) for event in told} == {("1001", "EUR")}
    assert [asked.path for asked in server.asked] == ["/v1/events/refund"] * 3


async def test_what_did_not_arrive_waits_longer_each_time_and_arrives_once(server: Scripted) -> None:
    server.then(503, {"type": "/problems/unavailable"})
    server.then(0)
    steps: list[list[Any]] = [["order", ORDER], ["status", [1001, "processing"]], ["queue", None]]
    told = await play(steps, server.address)
    assert told["later"] == [30, 60]
    assert len(server.asked) == 3
    assert len({asked.body["idempotency_key"] for asked in server.asked}) == 1
    assert told["notes"] == []


async def test_a_server_or_proxy_with_an_error_of_its_own_is_asked_again(server: Scripted) -> None:
    server.then(500, {})
    server.then(520, {})
    told = await play([["order", ORDER], ["status", [1001, "processing"]], ["queue", None]], server.address)
    assert (len(server.asked), told["notes"]) == (3, [])


async def test_a_broken_queue_does_not_reach_the_checkout(server: Scripted) -> None:
    steps: list[list[Any]] = [["queue breaks", None], ["order", ORDER], ["status", [1001, "processing"]]]
    told = await play(steps, server.address)
    assert told["waiting"] == 0
    assert set(told["logged"]) == {
        "The conversion of order 1001 was not put into the queue: The tables of the queue are missing."
    }


async def test_a_first_order_stays_a_new_customers_when_they_buy_again(server: Scripted) -> None:
    first = {**ORDER, "date_created": "2026-11-16T10:00:00Z"}
    second = {**ORDER, "id": 1002, "status": "processing", "date_created": "2026-11-17T10:00:00Z"}
    steps: list[list[Any]] = [
        ["order", first],
        ["order", second],
        ["status", [1001, "completed"]],
        ["status", [1002, "completed"]],
        ["queue", None],
    ]
    await play(steps, server.address)
    assert [asked.body["customer_type"] for asked in server.asked] == ["new", "returning"]


async def test_attempts_end_with_a_note_at_the_order(server: Scripted) -> None:
    for _ in range(20):
        server.then(503, {"type": "/problems/unavailable", "detail": "later"})
    told = await play([["order", ORDER], ["status", [1001, "processing"]], ["queue", None]], server.address)
    assert len(server.asked) == 13
    assert max(told["later"]) == 21600
    assert told["notes"] == ["Stackfluence was not told of this conversion: 503 later"]


async def test_a_refused_key_and_an_unusable_order_are_noted_and_not_repeated(edge: RunningEdge) -> None:
    steps: list[list[Any]] = [["order", ORDER], ["status", [1001, "processing"]], ["queue", None]]
    told = await play(steps, f"http://127.0.0.1:{edge.port}", "sf_sec_unknown")
    assert [note.partition(": ")[2][:4] for note in told["notes"]] == ["401 "]
    steps[0] = ["order", {**ORDER, "total": "-1"}]
    told = await play(steps, f"http://127.0.0.1:{edge.port}", SECRET_KEY)
    assert told["notes"] == ["Stackfluence can't use this conversion: amount_out_of_range revenue_cents"]
    assert told["later"] == []


async def test_pages_get_the_snippet_and_strange_cookies_are_left_alone(server: Scripted) -> None:
    steps: list[list[Any]] = [
        ["page", None],
        ["cookie", '"><script>alert(1)</script>'],
        ["order", {**ORDER, "currency": "JPY", "total": "5000"}],
        ["status", [1001, "processing"]],
        ["queue", None],
    ]
    told = await play(steps, server.address, CONSENT="required")
    tag = {"async": True, "src": f"{server.address}/sf.js", "data-org": "org_0000001", "data-consent": "required"}
    assert json.loads(told["head"]) == tag
    [asked] = server.asked
    assert "inf_click_id" not in asked.body
    assert (asked.body["revenue_cents"], asked.body["currency"]) == (5000, "JPY")


async def test_without_settings_nothing_is_done(server: Scripted) -> None:
    steps: list[list[Any]] = [["page", None], ["order", ORDER], ["status", [1001, "processing"]], ["queue", None]]
    told = await play(steps, server.address, key="", ORGANIZATION="")
    assert (told["head"], told["waiting"], server.asked) == ("", 0, [])


def test_currencies_have_the_digits_of_iso_4217() -> None:
    written = {code: int(digits) for code, digits in re.findall(r"'([A-Z]{3})' => (\d)", PLUGIN.read_text())}
    known = {currency.code: currency.exponent for currency in iso4217.Currency if currency.exponent is not None}
    assert written == {code: digits for code, digits in known.items() if digits != 2}
