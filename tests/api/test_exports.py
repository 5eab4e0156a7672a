"""Raw events as files: complete, the same bytes each time, nobody else's, and checkable against the seals."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from stackfluence.api import exports
from stackfluence.events import seal
from stackfluence.events.erase import PersonKind, erase_person
from stackfluence.events.event import commitment
from stackfluence.events.store import Store
from tests.api.brands import Brand, errors
from tests.api.stored import Journal
from tests.events.journals import rows

URL = "/v1/exports/events"


async def lines(brand: Brand, path: str = URL, **query: Any) -> list[dict[str, Any]]:
    response = await brand.get(path, params=query)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def read_parquet(store: Store, directory: Path, content: bytes) -> list[dict[str, Any]]:
    """Return a Parquet file's rows; ClickHouse reads it as any other reader would."""
    path = directory / "events.parquet"
    path.write_bytes(content)
    return rows(store, "select * from file({path:String}, 'Parquet')", path=str(path))


@pytest.fixture
async def filled(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Load three loads of two organizations, in pages and windows of a few rows."""
    monkeypatch.setattr(exports, "PAGE_ROWS", 3)
    monkeypatch.setattr(exports, "WINDOW_ROWS", 4)
    for load in range(3):
        for number in range(4):
            journal.event(link_id=f"lnk_00000000{load}{number}", kept={"customer_hash": f"customer-{load}"})
            journal.event(brand=journal.other)
        journal.event("conversion", reason="=1+1", revenue_cents=-5, quarantine_reason="amount_out_of_range")
        journal.event("conversion", order_id='-2,"x"', revenue_cents=4999, coupon_codes=["EMMA", "=2"])
        await journal.load()
    return journal


async def test_every_row_is_there_once_in_all_three_formats(filled: Journal, store: Store, tmp_path: Path) -> None:
    objects = await lines(filled.brand)
    assert len(objects) == 18
    places = [(line["load_number"], line["node"], line["seq"]) for line in objects]
    assert places == sorted(set(places))
    assert sum(line["is_quarantined"] for line in objects) == 3
    leaves = [line["leaf"] for line in objects]
    text = (await filled.brand.get(URL, params={"format": "csv"})).text
    assert [row["leaf"] for row in csv.DictReader(io.StringIO(text, newline=""))] == leaves
    table = read_parquet(store, tmp_path, (await filled.brand.get(URL, params={"format": "parquet"})).content)
    assert [row["line"] for row in table] == leaves
    cents = [json.loads(leaf).get("revenue_cents") for leaf in leaves if json.loads(leaf)["event_type"] == "conversion"]
    assert cents == [-5, 4999] * 3
    good = [row for row in table if not row["is_quarantined"]]
    assert [row["revenue_cents"] for row in good if row["event_type"] == "conversion"] == [4999] * 3
    assert {row["quarantine_reason"] for row in table} == {"", "amount_out_of_range"}
    assert {row["event_id"] for row in table} == {json.loads(leaf)["event_id"] for leaf in leaves}


async def test_no_cell_is_a_formula_and_numbers_stay_numbers(filled: Journal) -> None:
    text = (await filled.brand.get(URL, params={"format": "csv", "with_personal": True})).text
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert found[4]["reason"] == "'=1+1"
    assert found[4]["revenue_cents"] == "-5"
    assert found[5]["order_id"] == '\'-2,"x"'
    assert found[5]["coupon_codes"] == '["EMMA","=2"]'
    assert found[0]["kept"]
    cells = [cell for row in found for name, cell in row.items() if name != "revenue_cents"]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []


async def test_ranges_of_loads_and_times_add_up_to_the_whole(filled: Journal) -> None:
    whole = await lines(filled.brand)
    loads = sorted({line["load_number"] for line in whole})
    parts = [await lines(filled.brand, after_load=load - 1, to_load=load) for load in loads]
    assert [line for part in parts for line in part] == whole
    noon = json.loads(whole[7]["leaf"])["occurred_at"]
    early, late = await lines(filled.brand, to=noon), await lines(filled.brand, **{"from": noon})
    assert (len(early), len(late)) == (7, 11)
    assert await lines(filled.brand, link_id="lnk_0000000012") == [whole[8]]
    assert await lines(filled.brand, after_load=loads[-1]) == []
    for query, field in (
        ({"to_load": loads[-1] + 1}, "to_load"),
        ({"after_load": -1}, "after_load"),
        ({"format": "xls"}, "format"),
    ):
        assert set(errors(await filled.brand.get(URL, params=query))) == {field}


async def test_the_manifest_is_that_of_the_file_also_after_more_was_loaded(filled: Journal) -> None:
    for shape in ("ndjson", "csv", "parquet"):
        first = await filled.brand.get(URL, params={"format": shape})
        query = {"format": shape, "to_load": first.headers["stackfluence-to-load"]}
        filled.event()
        await filled.load()
        manifest = (await filled.brand.get(f"{URL}/manifest", params=query)).json()
        assert manifest["sha256"] == hashlib.sha256(first.content).hexdigest()
        assert (manifest["bytes"], str(manifest["rows"])) == (len(first.content), first.headers["stackfluence-rows"])
        assert (await filled.brand.get(URL, params=query)).content == first.content


async def test_the_export_and_the_seals_prove_each_other(filled: Journal) -> None:
    organization_id = filled.brand.keys.organization_id
    seals = await lines(filled.brand, "/v1/exports/seals")
    assert len(seals) == 3
    objects = await lines(filled.brand)
    previous = ""
    for view in seals:
        assert seal.check_view(view)
        assert view["seal"]["previous"] == previous
        previous = view["seal_hash"]
        first, last = view["seal"]["first_seq"], view["seal"]["last_seq"]
        own = [line["leaf"].encode() for line in objects if first <= line["seq"] <= last]
        assert view["own"]["organization_id"] == organization_id
        assert len(own) == view["own"]["leaves"] == 6
        assert seal.root([seal.leaf_hash(leaf) for leaf in own]).hex() == view["own"]["root"]
    assert filled.other.keys.organization_id not in json.dumps(seals)
    middle = seals[1]["load_number"]
    assert await lines(filled.brand, "/v1/exports/seals", after_load=middle - 1, to_load=middle) == [seals[1]]


async def test_personal_data_goes_out_only_when_asked_for_and_never_after_an_erasure(
    filled: Journal, store: Store
) -> None:
    assert {name for line in await lines(filled.brand) for name in line} & {"kept", "expiring"} == set()
    whole = await lines(filled.brand, with_personal=True)
    for line in whole:
        leaf = json.loads(line["leaf"])
        assert leaf["personal_commitment"] == commitment(line["kept"].encode(), line["expiring"].encode())
    erasing = (store, filled.loader.journals, filled.brand.keys.organization_id, PersonKind.customer_hash, "customer-1")
    assert (await asyncio.to_thread(erase_person, *erasing)).events == 4
    after = await lines(filled.brand, with_personal=True)
    assert [line["leaf"] for line in after] == [line["leaf"] for line in whole]
    gone = [line for line, before in zip(after, whole, strict=True) if before["kept"] and not line["kept"]]
    assert len(gone) == 4
    assert {line["expiring"] for line in gone} == {""}
    assert "customer-1" not in json.dumps(after)
    assert "customer-2" in json.dumps(after)


async def test_anothers_events_are_in_no_file(filled: Journal) -> None:
    theirs = await lines(filled.other, with_personal=True)
    assert len(theirs) == 12
    ids = {json.loads(line["leaf"])["event_id"] for line in theirs}
    for shape in ("ndjson", "csv", "parquet"):
        content = (await filled.brand.get(URL, params={"format": shape, "with_personal": True})).content
        assert filled.other.keys.organization_id.encode() not in content
        assert [event_id for event_id in ids if event_id.encode() in content] == []


async def test_a_parquet_file_that_would_not_fit_is_refused(filled: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MAX_PARQUET_ROWS", 17)
    response = await filled.brand.get(URL, params={"format": "parquet"})
    assert set(errors(response)) == {"format"}
    assert (await filled.brand.get(URL, params={"format": "parquet", "after_load": 1})).status_code == 200


async def test_an_empty_export_is_an_empty_file(journal: Journal, store: Store, tmp_path: Path) -> None:
    assert (await journal.brand.get(URL)).content == b""
    assert len((await journal.brand.get(URL, params={"format": "csv"})).text.splitlines()) == 1
    empty = (await journal.brand.get(URL, params={"format": "parquet"})).content
    assert read_parquet(store, tmp_path, empty) == []
    assert await lines(journal.brand, "/v1/exports/seals") == []
    manifest = (await journal.brand.get(f"{URL}/manifest")).json()
    assert (manifest["rows"], manifest["sha256"]) == (0, hashlib.sha256(b"").hexdigest())
