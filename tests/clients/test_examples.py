"""The copy-paste examples do what they say: they are run as they stand, each against an edge of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.scripted import ROOT, Scripted, link_package, needs, run, run_badly
from tests.edge.edges import SECRET_KEY, RunningEdge

EXAMPLES = ROOT / "clients" / "examples"
PROGRAMS = {"order.sh": "sh", "order.py": sys.executable, "order.mjs": "node", "order.php": "php"}
Command = Callable[[str], list[str | Path]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Return how an example is started; Node's needs the package beside it."""

    def start(name: str) -> list[str | Path]:
        if name == "order.sh":
            needs("curl")
        example = EXAMPLES / name
        if name == "order.mjs":
            link_package(tmp_path)
            example = Path(shutil.copy(example, tmp_path))
        return [needs(PROGRAMS[name]), example]

    return start


async def clicked(edge: RunningEdge) -> str:
    """Click the link and return the click ID that the shop receives."""
    location = (await edge.get("/c/emma/summer"))["location"]
    return location.partition("inf_click_id=")[2]


@pytest.mark.parametrize("name", PROGRAMS)
async def test_an_example_tells_of_an_order_its_refund_and_its_customer(
    edge: RunningEdge, command: Command, name: str
) -> None:
    click_id = await clicked(edge)
    printed = await run(*command(name), endpoint=f"http://127.0.0.1:{edge.port}", key=SECRET_KEY, INF_CLICK_ID=click_id)
    assert "quarantined" not in printed
    click, order, refund, identify, earlier, cancelled = edge.events()
    assert [event.leaf.event_id in printed for event in (order, refund, identify, earlier, cancelled)] == [True] * 5
    assert {event.leaf.quarantine_reason for event in edge.events()} == {""}
    leaf = order.leaf
    assert (leaf.click_id, leaf.click_id_status, leaf.order_id) == (click.leaf.event_id, "valid", "1001")
    assert (leaf.revenue_cents, leaf.currency, leaf.customer_type) == (4999, "EUR", "new")
    assert leaf.revenue_cents == (leaf.subtotal_cents or 0) - (leaf.discount_cents or 0) + (leaf.tax_cents or 0) + (
        leaf.shipping_cents or 0
    )
    assert [(line.sku, line.quantity, line.subtotal_cents) for line in leaf.lines] == [("SOCK-RED", 3, 4500)]
    assert leaf.coupon_codes == ["EMMA10"]
    assert (refund.leaf.original_order_id, refund.leaf.refund_amount_cents) == ("1001", 1500)
    assert identify.leaf.click_id == click.leaf.event_id
    assert order.kept
    assert identify.kept
    assert order.kept.customer_hash == identify.kept.customer_hash != ""
    assert (earlier.leaf.order_id, earlier.leaf.occurred_at) == ("990", "2026-11-16T09:30:00.000Z")
    assert (cancelled.leaf.original_order_id, cancelled.leaf.reason) == ("990", "cancellation")

    await run(*command(name), endpoint=f"http://127.0.0.1:{edge.port}", key=SECRET_KEY, INF_CLICK_ID=click_id)
    ids = [event.leaf.event_id for event in edge.events()]
    assert ids[6:] == ids[1:6], "the same program again tells the same events"


@pytest.mark.parametrize("name", PROGRAMS)
async def test_an_example_tries_again_when_the_edge_asks_for_it(server: Scripted, command: Command, name: str) -> None:
    server.then(503, {"type": "/problems/unavailable", "detail": "later"}, Retry_After="0")
    await run(*command(name), endpoint=server.address)
    first, again = server.asked[:2]
    assert first == again
    assert len(server.asked) == 5


@pytest.mark.parametrize("name", PROGRAMS)
async def test_an_example_fails_loudly_when_its_key_is_refused(edge: RunningEdge, command: Command, name: str) -> None:
    status, printed, complaints = await run_badly(
        *command(name), endpoint=f"http://127.0.0.1:{edge.port}", key="sf_sec_unknown"
    )
    assert status != 0
    assert "401" in printed + complaints
    assert edge.events() == []


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix != ".md" and path.is_file()} == set(PROGRAMS)
