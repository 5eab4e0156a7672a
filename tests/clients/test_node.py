"""The Node client: what it sends, how often, and what it gives back; and that its types are true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scripted import ROOT, Scripted, link_package, needs, run, run_badly
from tests.edge.edges import SECRET_KEY, RunningEdge

PROBLEM = {"type": "/problems/unavailable", "detail": "later"}
TYPED = """
import { Client, clickIdOf, type Event, type Receipt } from "stackfluence";
const client = new Client({ endpoint: "https://go.brand.example", key: "k", retries: 1 });
const order = { order_id: 1n, revenue_cents: 1, lines: [{ sku: "S", quantity: 1 }] };
const receipt: Receipt = await client.conversion(order);
const events: Event[] = [{ type: "refund", original_order_id: "1", refund_amount_cents: 1 }];
const all: Receipt[] = await client.batch(events);
if (receipt.status === "quarantined") clickIdOf(receipt.detail + all.length);
// @ts-expect-error: a refund names its order
await client.refund({ refund_amount_cents: 1 });
// @ts-expect-error: amounts are numbers
await client.conversion({ revenue_cents: "49.99" });
"""


async def do(scenario: str, endpoint: str, folder: Path, key: str = SECRET_KEY) -> Any:
    """Run a scenario of node_client.mjs and return what it tells."""
    node = needs("node")
    link_package(folder)
    program = folder / "node_client.mjs"
    program.write_bytes((ROOT / "tests" / "clients" / "node_client.mjs").read_bytes())
    return json.loads(await run(node, program, scenario, endpoint=endpoint, key=key))


async def test_an_edge_keeps_what_the_client_tells(edge: RunningEdge, tmp_path: Path) -> None:
    told = await do("one", f"http://127.0.0.1:{edge.port}", tmp_path)
    assert (told["value"]["status"], told["value"]["reason"]) == ("accepted", "")
    [event] = edge.events()
    assert (event.leaf.order_id, event.leaf.occurred_at) == (str(2**60 + 1), "2001-09-09T01:46:40.000Z")


async def test_what_cant_be_used_comes_back_with_its_reason(edge: RunningEdge, tmp_path: Path) -> None:
    told = await do("odd", f"http://127.0.0.1:{edge.port}", tmp_path)
    assert (told["value"]["status"], told["value"]["reason"], told["value"]["detail"]) == (
        "quarantined", "missing_field", "revenue_cents",
    )  # fmt: skip


async def test_what_may_succeed_later_is_tried_again_with_the_same_key(server: Scripted, tmp_path: Path) -> None:
    server.then(503, PROBLEM)
    server.then(0)
    server.then(503, PROBLEM, Retry_After="7")
    server.then(503, PROBLEM, Retry_After="86400")
    told = await do("one", server.address, tmp_path)
    assert told["value"]["status"] == "accepted"
    assert told["pauses"] == [500, 1000, 7000, 60000]
    assert len({asked.body["idempotency_key"] for asked in server.asked}) == 1
    assert [asked.authorization for asked in server.asked] == [f"Bearer {SECRET_KEY}"] * 5
    assert server.asked[0].body["order_id"] == str(2**60 + 1)


async def test_attempts_end(server: Scripted, tmp_path: Path) -> None:
    for _ in range(5):
        server.then(503, PROBLEM)
    told = await do("one", server.address, tmp_path)
    assert (told["kind"], told["isNotDelivered"], len(server.asked)) == ("Unreached", True, 5)
    assert "503 unavailable: later" in told["text"]


@pytest.mark.parametrize(
    ("status", "body", "type"),
    [
        (401, {"type": "/problems/unauthorized", "detail": "no"}, "unauthorized"),
        (500, "oh", "unexpected-answer"),
        (301, "", "unexpected-answer"),
        (200, "<html>hello</html>", "unexpected-answer"),
        (200, {"ok": True}, "unexpected-answer"),
    ],
)
async def test_a_refusal_is_told_and_not_repeated(
    server: Scripted, tmp_path: Path, status: int, body: object, type: str
) -> None:
    server.then(status, body)
    told = await do("one", server.address, tmp_path)
    assert (told["kind"], told["status"], told["type"]) == ("Refused", status, type)
    assert (told["pauses"], len(server.asked)) == ([], 1)


async def test_each_call_is_an_event_of_its_own_unless_a_key_is_given(server: Scripted, tmp_path: Path) -> None:
    first, given = (await do("refund", server.address, tmp_path))["value"]
    assert given["event_id"] == "id of refund-1"
    assert first["event_id"] not in ("id of undefined", "id of None", given["event_id"])


async def test_a_batch_is_cut_at_a_thousand_events_and_before_the_bytes_an_edge_reads(
    server: Scripted, tmp_path: Path
) -> None:
    told = await do("many", server.address, tmp_path)
    assert [len(asked.body["events"]) for asked in server.asked] == [1000, 1000, 1]
    assert [event["customer_id"] for asked in server.asked for event in asked.body["events"]] == list(range(2001))
    assert len({receipt["event_id"] for receipt in told["value"]}) == 2001


async def test_a_large_batch_is_cut_by_bytes_not_characters(server: Scripted, tmp_path: Path) -> None:
    told = await do("large", server.address, tmp_path)
    assert len(told["value"]) == 300
    assert len(server.asked) == 4
    assert max(asked.size for asked in server.asked) < 1 << 20


async def test_a_batch_that_fails_half_way_tells_what_had_arrived(server: Scripted, tmp_path: Path) -> None:
    server.then(202, {"events": [{"event_id": "x", "status": "accepted"}] * 1000})
    server.then(403, {"type": "/problems/forbidden", "detail": "no"})
    told = await do("many", server.address, tmp_path)
    assert (told["kind"], told["type"], told["receipts"]) == ("Refused", "forbidden", 1000)


async def test_the_click_id_is_found_in_an_address(server: Scripted, tmp_path: Path) -> None:
    assert (await do("addresses", server.address, tmp_path))["value"] == ["AQEA-_", "A", "A", "", ""]


async def test_the_types_say_what_the_client_takes(tmp_path: Path) -> None:
    compiler = ROOT / "snippet" / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        pytest.skip("TypeScript comes with the snippet's build: npm ci in snippet/")
    link_package(tmp_path)
    (tmp_path / "use.mts").write_text(TYPED)
    flags = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom"]
    await run(needs("node"), compiler, *flags, "use.mts", endpoint="", folder=tmp_path)


@pytest.mark.parametrize(("endpoint", "key"), [("", "k"), ("https://go.brand.example", ""), ("go.brand.example", "k")])
async def test_without_endpoint_or_key_nothing_is_begun(tmp_path: Path, endpoint: str, key: str) -> None:
    link_package(tmp_path)
    (tmp_path / "begin.mjs").write_text('import { Client } from "stackfluence"; new Client();')
    status, _, complaints = await run_badly(needs("node"), tmp_path / "begin.mjs", endpoint=endpoint, key=key)
    assert status == 1
    assert "TypeError" in complaints


def test_the_package_brings_no_other() -> None:
    package = json.loads((ROOT / "clients" / "node" / "package.json").read_text())
    assert [name for name in package if "ependencies" in name] == []
    assert [name for name in package["files"] if not (ROOT / "clients" / "node" / name).exists()] == []
