"""The outbox of a custom shop tells each order once, whatever happens between the shop and Stackfluence."""

from __future__ import annotations

import runpy
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.scripted import ROOT, Scripted, run, run_badly
from tests.edge.edges import SECRET_KEY, RunningEdge

OUTBOX = ROOT / "integrations" / "custom-shop" / "outbox.py"


@pytest.fixture
def outbox() -> dict[str, Any]:
    """Return what outbox.py defines."""
    return runpy.run_path(str(OUTBOX))


def a_shop(directory: Path, outbox: dict[str, Any]) -> sqlite3.Connection:
    """Return a shop's database with an order, a refund of it, and an order that can't be used."""
    database = sqlite3.connect(directory / "shop.sqlite")
    with database:
        database.execute(outbox["TABLE"])
        order = {"type": "conversion", "order_id": "1001", "revenue_cents": 4999, "currency": "EUR"}
        refund = {"type": "refund", "original_order_id": "1001", "refund_amount_cents": 1500, "currency": "EUR"}
        for key, event in (("order-1001", order), ("order-1001", order), ("refund-77", refund)):
            outbox["remember"](database, key, event)
        outbox["remember"](database, "order-1002", {**order, "order_id": "1002", "revenue_cents": -1})
    return database


def answers(database: sqlite3.Connection) -> dict[str, str | None]:
    return dict(database.execute("select idempotency_key, answer from stackfluence_outbox").fetchall())


async def test_what_waits_is_told_and_each_answer_is_noted(
    edge: RunningEdge, tmp_path: Path, outbox: dict[str, Any]
) -> None:
    database = a_shop(tmp_path, outbox)
    endpoint = f"http://127.0.0.1:{edge.port}"
    for _ in range(2):
        await run(sys.executable, OUTBOX, tmp_path / "shop.sqlite", endpoint=endpoint, key=SECRET_KEY)
    assert answers(database) == {
        "order-1001": "accepted",
        "refund-77": "accepted",
        "order-1002": "quarantined amount_out_of_range revenue_cents",
    }
    assert [event.leaf.event_type for event in edge.events()] == ["conversion", "refund", "conversion"]
    database.close()


async def test_what_was_refused_waits_and_keeps_its_key(
    edge: RunningEdge, server: Scripted, tmp_path: Path, outbox: dict[str, Any]
) -> None:
    database = a_shop(tmp_path, outbox)
    server.then(401, {"type": "/problems/unauthorized", "detail": "This key was revoked."})
    status, _, complaints = await run_badly(sys.executable, OUTBOX, tmp_path / "shop.sqlite", endpoint=server.address)
    assert status == 1
    assert "This key was revoked." in complaints
    assert set(answers(database).values()) == {None}
    await run(sys.executable, OUTBOX, tmp_path / "shop.sqlite", endpoint=server.address)
    first, again = server.asked
    assert first == again
    assert [event["idempotency_key"] for event in again.body["events"]] == ["order-1001", "refund-77", "order-1002"]
    database.close()


def test_a_rolled_back_order_is_not_told(tmp_path: Path, outbox: dict[str, Any]) -> None:
    database = sqlite3.connect(tmp_path / "shop.sqlite")
    database.execute(outbox["TABLE"])
    outbox["remember"](database, "order-1", {"type": "conversion"})
    database.rollback()
    assert answers(database) == {}
    database.close()
