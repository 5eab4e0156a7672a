"""Many links at once: what can be made is made, what can't be is reported by line, a repetition changes nothing."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from stackfluence.api import batches, place
from stackfluence.catalog import Catalog
from stackfluence.catalog.books import AuditEntry
from stackfluence.catalog.tables import Link
from tests.api.brands import SHOP, Brand, errors
from tests.api.test_files import BITLY, DUB

CSV = {"Content-Type": "text/csv; charset=utf-8"}
LINES = {"Content-Type": "application/x-ndjson"}
HEADER = "creator_handle,campaign_slug,asset_slug,destination_url,tags\n"


async def upload(
    brand: Brand, text: str | bytes, headers: dict[str, str] | None = None, **query: Any
) -> dict[str, Any]:
    response = await brand.post("/v1/links/import", content=text, headers=headers or CSV, params=query)
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    counts = [sum(line["outcome"] == word for line in report["lines"]) for word in ("created", "existing", "refused")]
    assert counts == [report["created"], report["existing"], report["refused"]], "the counts add up"
    return report


async def test_ten_thousand_lines_with_bad_ones_among_them(brand: Brand, other: Brand, catalog: Catalog) -> None:
    await other.link("l3", creator_handle="c3")
    await brand.link("l4", creator_handle="c4")  # there already, and leads elsewhere
    await brand.link("l5", creator_handle="c5", destination_url="https://shop.brand.example/5")
    bad = {
        7: "c7,summer,l7,ftp://x.example/,",
        8: "c8,summer,,,",
        9: "c9,summer,a/b,https://x.example/,",
        10: "c4,summer,L4.,https://x.example/,",  # line 4's path, written differently
        11: "c1,summer,x,https://x.example/,,too,many",
    }
    rows = [bad.get(n, f"c{n % 100},summer,l{n},https://shop.brand.example/{n},t{n % 3}") for n in range(10_000)]
    report = await upload(brand, HEADER + "\n".join(rows))
    refused = {
        line["line"] - 2: (line["reason"], [e["field"] for e in line["errors"]])
        for line in report["lines"]
        if line["reason"]
    }
    assert refused == {
        3: ("path_taken", [""]),
        4: ("path_taken", [""]),
        7: ("invalid_field", ["destination_url"]),
        8: ("invalid_field", ["destination_url"]),
        9: ("invalid_field", ["asset_slug"]),
        10: ("repeated_path", [""]),
        11: ("unreadable_line", [""]),
    }
    assert (report["created"], report["existing"], report["refused"]) == (9992, 1, 7)
    assert report["lines"][5]["outcome"] == "existing"
    assert report["lines"][0]["url"] == "https://go.links.example/c/c0/summer/l0"
    assert (await brand.get(f"/v1/links/{report['lines'][9999]['link_id']}")).json()["asset_slug"] == "l9999"
    again = await upload(brand, HEADER + "\n".join(rows))
    assert (again["created"], again["existing"], again["refused"]) == (0, 9993, 7)
    async with catalog.reading() as session:
        mine = Link.organization_id == brand.keys.organization_id
        assert await session.scalar(select(func.count()).select_from(Link).where(mine)) == 9994
        made = AuditEntry.action == "link.created"
        assert await session.scalar(select(func.count()).select_from(AuditEntry).where(made)) == 9995


async def test_a_dry_run_reports_the_same_and_keeps_nothing(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_PATHS", 2)
    monkeypatch.setattr(batches, "MAX_LINES", 2)
    text = HEADER + "".join(f"emma,summer,l{n % 4},https://x.example/{n},\n" for n in range(6))
    told = await upload(brand, text, dry_run=True)
    assert told["is_dry_run"]
    assert (told["created"], told["refused"]) == (4, 2)
    assert {line["link_id"] for line in told["lines"]} == {None}
    assert await brand.all("/v1/links") == await brand.all("/v1/creators") == []
    done = await upload(brand, text)
    assert [line["outcome"] for line in done["lines"]] == [line["outcome"] for line in told["lines"]]
    assert [line["url"] for line in done["lines"]] == [line["url"] for line in told["lines"]]


async def test_an_export_comes_back_as_it_was_and_runs_nothing(brand: Brand, other: Brand) -> None:
    await brand.make("hosts", hostname="go.brand.example")
    await brand.link("one", tags=["=1+1", 'a,"b"', "'x"], expires_at="2027-01-01T00:00:00Z", is_test=True)
    await brand.link("-two", host="go.brand.example", kind="paid", status="paused")
    await brand.link("", fallback_url="https://brand.example/over?x=1")
    response = await brand.get("/v1/links/export")
    assert response.headers["content-type"].startswith("text/csv")
    assert "attachment" in response.headers["content-disposition"]
    cells = [cell for row in csv.reader(io.StringIO(response.text, newline="")) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    assert "'-two" in cells
    again = await upload(brand, response.content)
    assert (again["existing"], again["created"], again["refused"]) == (3, 0, 0)
    moved = await upload(other, response.text.replace("go.brand.example", ""))
    assert (moved["created"], moved["refused"]) == (1, 2), "on the shared host the other two addresses are taken"
    await other.make("hosts", hostname="go.other.example")
    text = response.text.replace(",go.brand.example,", ",go.other.example,").replace(",,emma", ",go.other.example,emma")
    copies = await upload(other, text)
    assert copies["refused"] == 0
    kept = ("tags", "expires_at", "is_test", "kind", "fallback_url", "asset_slug", "destination_url")
    theirs = {link["asset_slug"]: link for link in await other.all("/v1/links") if link["host"]}
    for link in await brand.all("/v1/links"):
        assert {name: theirs[link["asset_slug"]][name] for name in kept} == {name: link[name] for name in kept}


async def test_bitlys_and_dubs_files_are_imported_under_the_given_names(brand: Brand) -> None:
    for text, format, urls in (
        (BITLY, "bitly", ["emma/moved/socks", "emma/moved/3abce"]),
        (DUB, "dub", ["emma/moved/summer-reel", "emma/moved/old"]),
    ):
        report = await upload(brand, text, creator_handle="Emma", campaign_slug="moved")
        assert report["format"] == format
        assert [line["url"] for line in report["lines"]] == [f"https://go.links.example/c/{url}" for url in urls]
    assert len(await brand.all("/v1/links", status="archived")) == 2
    nameless = await upload(brand, DUB)
    assert {line["errors"][0]["field"] for line in nameless["lines"]} == {"creator_handle"}


async def test_json_in_bulk_and_as_lines(brand: Brand) -> None:
    links: list[object] = [
        {"creator_handle": "emma", "campaign_slug": "summer", "asset_slug": f"a{n}", "destination_url": SHOP}
        for n in range(3)
    ]
    response = await brand.post("/v1/links/bulk", json={"links": [*links, 5, {"destination_url": SHOP}]})
    report = response.json()
    assert [line["outcome"] for line in report["lines"]] == ["created"] * 3 + ["refused"] * 2
    assert [line["reason"] for line in report["lines"][3:]] == ["unreadable_line", "invalid_field"]
    text = "\n".join(json.dumps(link) for link in links)
    assert (await upload(brand, text, LINES))["existing"] == 3
    assert (await upload(brand, json.dumps(links), {"Content-Type": "application/json"}))["existing"] == 3
    shorter = [{"asset_slug": "b", "destination_url": SHOP}]
    assert (await upload(brand, json.dumps(shorter), {"Content-Type": "application/json"}, creator_handle="emma",
                         campaign_slug="summer"))["created"] == 1  # fmt: skip


async def test_a_file_that_is_none_is_refused_whole(brand: Brand) -> None:
    too_many = HEADER + "emma,summer,a,https://x.example/,\n" * 10_001
    for body, headers, query, status in (
        (b"", CSV, {}, 422),
        (HEADER.encode(), CSV, {}, 422),
        (too_many.encode(), CSV, {}, 422),
        (b"{}", {"Content-Type": "application/json"}, {}, 422),
        (b"[", {"Content-Type": "application/json"}, {}, 400),
        (b"[" * 100_000, {"Content-Type": "application/json"}, {}, 400),
        (b'["\xff"]', {"Content-Type": "application/json"}, {}, 400),
        (b"[]", {"Content-Type": "application/json"}, {}, 422),
        (b"x", {"Content-Type": "application/vnd.ms-excel"}, {}, 415),
        (b"x", {}, {}, 415),
        (b"[]", {"Content-Type": "application/json"}, {"format": "dub"}, 422),
        (DUB, CSV, {"format": "excel"}, 422),
    ):
        response = await brand.post("/v1/links/import", content=body, headers=headers, params=query)
        assert response.status_code == status, (body[:50], response.text)
        assert bool(errors(response)) == (status == 422)
    for bulk, status in ((b"{", 400), (b'{"links": {}}', 422), (b'{"links": []}', 422), (b'{"link": []}', 422)):
        assert (await brand.post("/v1/links/bulk", content=bulk)).status_code == status
    assert await brand.all("/v1/links") == []


async def test_many_new_creators_are_added_at_once_and_only_for_links_that_are_made(
    brand: Brand, nobody: httpx.AsyncClient
) -> None:
    text = (
        HEADER + "".join(f"creator{n},campaign{n},a,https://x.example/,\n" for n in range(300)) + "ghost,x,a,nowhere,\n"
    )
    report = await upload(brand, text)
    assert (report["created"], report["refused"]) == (300, 1)
    creators = await brand.all("/v1/creators", limit=200)
    assert len({creator["id"] for creator in creators}) == 300
    assert "ghost" not in {creator["handle"] for creator in creators}
    assert (await nobody.post("/v1/links/import", content=text, headers=CSV)).status_code == 401
