"""The install check says what arrived lately, what is missing and why; and of others' pages nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from stackfluence.clock import now_ms, rfc3339
from tests.api.brands import SHOP, errors
from tests.api.stored import Journal

URL = "/v1/install/check"
PAGE = f"{SHOP}socks?email=emma%40brand.example"
BROWSER: dict[str, Any] = {
    "trust_tier": "browser",
    "consent": "granted",
    "click_id_status": "valid",
    "session_id": "s-1",
}
ORDER: dict[str, Any] = {"conversion_type": "purchase", "order_id": "1", "revenue_cents": 1, "currency": "EUR"}


def tell(journal: Journal, event_type: str, *, minutes_ago: float = 1, page: str = "", **fields: Any) -> None:
    """Write an event of lately; `page` is what a browser says of its address."""
    at = rfc3339(now_ms() - int(minutes_ago * 60_000))
    if page:
        fields |= {"expiring": {"page_url": page}, "page_path": page.partition("?")[0].removeprefix(SHOP[:-1])}
    journal.event(event_type, **{"occurred_at": at, "received_at": at, **fields})


def visit(journal: Journal, page: str = PAGE, **fields: Any) -> None:
    """Write a session and a pageview."""
    for event_type in ("session", "pageview"):
        tell(journal, event_type, page=page, **{**BROWSER, **fields})


async def check(journal: Journal, url: str = "", other: bool = False) -> dict[str, Any]:
    """Load what was written, and ask."""
    await journal.load()
    brand = journal.other if other else journal.brand
    answer = await brand.get(URL, params={"url": url} if url else {})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def found(told: dict[str, Any]) -> dict[str, str]:
    return {finding["finding"]: finding["sentence"] for finding in told["findings"]}


async def test_where_all_is_well_nothing_is_found(journal: Journal) -> None:
    tell(journal, "click")
    visit(journal)
    tell(journal, "conversion", **ORDER, click_id_status="valid", event_id="01a20320-a27b-8abc-8def-0123456789ab")
    tell(journal, "conversion", **ORDER, click_id_status="valid", event_id="01a20320-a27b-8abc-8def-0123456789ab")
    told = await check(journal, f"{SHOP}socks")
    assert told["findings"] == []
    assert [(page["host"], page["path"], page["event_type"]) for page in told["pages"]] == [
        ("shop.brand.example", "/socks", "pageview"),
        ("shop.brand.example", "/socks", "session"),
    ]
    arrivals = {(row["event_type"], row["trust_tier"], row["host"]): row for row in told["arrivals"]}
    order = arrivals["conversion", "server", ""]
    assert (order["conversion_type"], order["events"], order["connected"]) == ("purchase", 1, 1)
    session = arrivals["session", "browser", "shop.brand.example"]
    assert (session["consent"], session["click_id_status"], session["is_test"]) == ("granted", "valid", False)
    assert arrivals["click", "server", ""]["consent"] is None
    assert "email" not in json.dumps(told["pages"]), "a query may be personal"
    assert told["quarantined"] == told["refused"] == []
    assert told["edges_asked"] == 0


async def test_what_cant_be_used_came_earlier_or_is_anothers_is_told_apart(journal: Journal) -> None:
    for url in ("shop.brand.example", "javascript:alert(1)", "https://", "ftp://shop.brand.example/", "https://[::1"):
        assert set(errors(await journal.brand.get(URL, params={"url": url}))) == {"url"}, url
    visit(journal, minutes_ago=61)
    tell(journal, "click")
    told = await check(journal)
    assert list(found(told)) == ["nothing_received"]
    assert [row["event_type"] for row in told["arrivals"]] == ["click"]

    unusable: dict[str, Any] = {"quarantine_reason": "unknown_value", "quarantine_detail": "currency 'XXX'"}
    tell(journal, "conversion", **unusable)
    tell(journal, "conversion", **unusable, minutes_ago=90)
    tell(journal, "conversion", **ORDER, click_id_status="missing", kept={"customer_hash": "c" * 32})
    visit(journal, "https://www.brand.example/socks", is_test=True)
    told = await check(journal, f"{SHOP}socks")
    assert list(found(told)) == ["quarantined", "other_hosts_only"]
    assert "conversion: unknown_value currency 'XXX' (1)" in found(told)["quarantined"]
    [group] = told["quarantined"]
    assert (group["event_type"], group["reason"], group["events"]) == ("conversion", "unknown_value", 1)
    [order] = [row for row in told["arrivals"] if row["event_type"] == "conversion"]
    assert order["connected"] == 1, "by its customer"
    assert told["pages"] == []
    told = await check(journal, "https://WWW.brand.example/hats?x=1")
    assert list(found(told)) == ["quarantined", "page_not_seen"]
    assert {row["is_test"] for row in told["arrivals"] if row["host"]} == {True}
    assert list(found(await check(journal, other=True))) == ["nothing_received"]


def refusal(**fields: Any) -> dict[str, Any]:
    given = {
        "at_ms": now_ms(),
        "status": 403,
        "kind": "forbidden",
        "detail": "This origin may not.",
        "path": "/v1/events/session",
    }
    return {**given, "origin": "https://shop.brand.example", "organization_id": "", **fields}


@contextlib.asynccontextmanager
async def an_edge(directory: Path, body: bytes, name: str = "w0") -> AsyncIterator[None]:
    """Answer as an edge's admin socket does, until the end of the block."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /refusals ")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(converse, directory / "edge" / f"{name}.sock"):
        yield


async def test_refusals_are_told_to_whose_they_are_and_to_nobody_else(journal: Journal, tmp_path: Path) -> None:
    await journal.brand.make("keys", kind="publishable", name="shop", allowed_origins=["https://shop.brand.example"])
    own = refusal(organization_id=journal.brand.keys.organization_id, origin="https://evil.example")
    keyless = refusal(status=401, kind="unauthorized", detail="Send a key.", at_ms=own["at_ms"] - 1)  # newest first
    items = [own, own, keyless, refusal(origin="https://x.example"), refusal(origin=""), {**own, "at_ms": 0}]
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge" / "w2.sock").touch()  # of an edge that is gone
    answer = json.dumps({"items": items}).encode()
    async with an_edge(tmp_path, answer), an_edge(tmp_path, b"not json", "w1"):
        told = await check(journal)
        theirs = await check(journal, other=True)
    assert [(group["origin"], group["status"], group["requests"]) for group in told["refused"]] == [
        ("https://evil.example", 403, 2),
        ("https://shop.brand.example", 401, 1),
    ]
    assert "3 requests were refused" in found(told)["refused"]
    assert (told["edges_asked"], theirs["edges_asked"], theirs["refused"]) == (1, 1, [])
    assert "refused" not in found(theirs)
