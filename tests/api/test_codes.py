"""Codes over HTTP: one creator at any moment, one by one and ten thousand at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import func, select

from stackfluence.api import batches
from stackfluence.catalog import Catalog
from stackfluence.catalog.sources import Code
from tests.api.brands import Brand, errors

CSV = {"Content-Type": "text/csv"}
HEADER = "code,creator_handle,campaign_slug,starts_at,ends_at\n"
NOVEMBER, DECEMBER, LATER = "2025-11-01T00:00:00.000Z", "2025-12-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"


async def upload(brand: Brand, text: str, headers: dict[str, str] | None = None, **query: Any) -> dict[str, Any]:
    response = await brand.post("/v1/codes/import", content=text, headers=headers or CSV, params=query)
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    counts = [sum(line["outcome"] == word for line in report["lines"]) for word in ("created", "existing", "refused")]
    assert counts == [report["created"], report["existing"], report["refused"]], "the counts add up"
    return report


async def test_a_code_is_added_found_and_ended(brand: Brand) -> None:
    made = await brand.make("codes", code=" Emma15 ", creator_handle="Emma", campaign_slug="summer", ends_at=LATER)
    assert (made["code"], made["creator_handle"], made["campaign_slug"]) == ("Emma15", "emma", "summer")
    assert (made["starts_at"], made["ends_at"]) == (None, LATER)
    where = f"/v1/codes/{made['id']}"
    assert (await brand.get(where)).json() == made
    by_id = await brand.make("codes", code="NEXT", creator_id=made["creator_id"], campaign_id=made["campaign_id"])
    assert by_id["campaign_slug"] == "summer"
    changed = await brand.patch(where, json={"ends_at": None})
    assert (changed.status_code, changed.json()) == (200, {**made, "ends_at": None})
    assert (await brand.patch(where, json={})).json() == changed.json()
    assert (await brand.delete(where)).status_code == 204
    ended = (await brand.get(where)).json()
    assert {**ended, "ends_at": None} == {**made, "ends_at": None}
    assert made["created_at"] <= ended["ends_at"] < LATER
    assert (await brand.delete(where)).status_code == 204
    assert (await brand.get(where)).json() == ended, "the moment it ended doesn't move"
    entries = await brand.all("/v1/audit-log", subject_id=made["id"])
    assert [entry["action"] for entry in entries] == ["code.changed", "code.changed", "code.created"]
    assert entries[-1]["after"]["code_key"] == "emma15"


async def test_what_a_code_named_until_now_is_never_changed(brand: Brand) -> None:
    past = await brand.make("codes", code="A", creator_handle="emma", ends_at=DECEMBER)
    live = await brand.make("codes", code="B", creator_handle="emma")
    coming = await brand.make("codes", code="C", creator_handle="emma", starts_at=LATER)
    for ends_at in (None, LATER):
        response = await brand.patch(f"/v1/codes/{past['id']}", json={"ends_at": ends_at})
        assert (response.status_code, response.json()["code_id"]) == (409, past["id"])
    for row in (live, coming):
        response = await brand.patch(f"/v1/codes/{row['id']}", json={"ends_at": DECEMBER})
        assert (response.status_code, list(errors(response))) == (422, ["ends_at"])
    for field in ("starts_at", "creator_id", "campaign_id", "code"):
        response = await brand.patch(f"/v1/codes/{live['id']}", json={field: live[field]})
        assert (response.status_code, list(errors(response))) == (422, [field])
    assert await brand.all("/v1/codes") == sorted([past, live, coming], key=lambda c: (c["created_at"], c["id"]))[::-1]
    assert (await brand.delete(f"/v1/codes/{coming['id']}")).status_code == 204
    assert (await brand.get(f"/v1/codes/{coming['id']}")).status_code == 404, "it never named anybody"


async def test_codes_are_listed_by_creator_campaign_beginning_and_whether_they_are_live(brand: Brand) -> None:
    emma = await brand.make("codes", code="EMMA15", creator_handle="emma", campaign_slug="summer")
    past = await brand.make("codes", code="EMMA10", creator_handle="emma", ends_at="2020-01-01T00:00:00Z")
    coming = await brand.make("codes", code="anna_%", creator_handle="anna", starts_at="2999-01-01T00:00:00Z")
    for query, found in (
        ({}, [coming, past, emma]),
        ({"creator_id": emma["creator_id"]}, [past, emma]),
        ({"campaign_id": emma["campaign_id"]}, [emma]),
        ({"q": "Emma1"}, [past, emma]),
        ({"q": "anna_%"}, [coming]),
        ({"q": "_"}, []),
        ({"is_live": "true"}, [emma]),
        ({"is_live": "false"}, [coming, past]),
        ({"limit": 1}, [coming, past, emma]),
    ):
        assert await brand.all("/v1/codes", **query) == sorted(found, key=lambda c: (c["created_at"], c["id"]))[::-1]


async def test_a_code_that_names_a_creator_already_is_a_conflict_that_says_which(brand: Brand) -> None:
    first = await brand.make("codes", code="EMMA15", creator_handle="emma", ends_at=LATER)
    for body in (
        {"code": "emma15", "creator_handle": "anna"},
        {"code": "EMMA15", "creator_handle": "emma", "ends_at": LATER},
        {"code": "ＥＭＭＡ15", "creator_handle": "anna", "starts_at": NOVEMBER},
    ):
        response = await brand.post("/v1/codes", json=body)
        assert response.status_code == 409
        assert (response.json()["code_id"], response.json()["creator_id"]) == (first["id"], first["creator_id"])
    assert {creator["handle"] for creator in await brand.all("/v1/creators")} == {"emma"}, "nobody is added for nothing"
    second = await brand.make("codes", code="emma15", creator_handle="anna", starts_at=LATER)
    longer = await brand.patch(f"/v1/codes/{first['id']}", json={"ends_at": None})
    assert (longer.status_code, longer.json()["code_id"]) == (409, second["id"])
    assert (await brand.get(f"/v1/codes/{first['id']}")).json() == first
    assert (await brand.delete(f"/v1/codes/{first['id']}")).status_code == 204
    between = await brand.post("/v1/codes", json={"code": "EMMA15", "creator_handle": "noah", "ends_at": LATER})
    assert between.status_code == 409, "the past is still emma's"
    await brand.make("codes", code="EMMA15", creator_handle="noah", starts_at="2998-01-01T00:00:00Z", ends_at=LATER)


async def test_what_a_code_must_be_is_said_field_by_field(brand: Brand, other: Brand) -> None:
    theirs = await other.make("codes", code="X", creator_handle="noah", campaign_slug="theirs")
    for body, field in (
        ({"creator_handle": "emma"}, "code"),
        ({"code": "", "creator_handle": "emma"}, "code"),
        ({"code": "   ", "creator_handle": "emma"}, "code"),
        ({"code": "a" * 101, "creator_handle": "emma"}, "code"),
        ({"code": "a\tb", "creator_handle": "emma"}, "code"),
        ({"code": "X"}, "creator_handle"),
        ({"code": "X", "creator_handle": "emma", "creator_id": theirs["creator_id"]}, "creator_handle"),
        ({"code": "X", "creator_id": theirs["creator_id"]}, "creator_id"),
        ({"code": "X", "creator_handle": "emma", "campaign_id": theirs["campaign_id"]}, "campaign_id"),
        ({"code": "X", "creator_handle": "a/b"}, "creator_handle"),
        ({"code": "X", "creator_handle": "emma", "starts_at": DECEMBER, "ends_at": NOVEMBER}, "ends_at"),
        ({"code": "X", "creator_handle": "emma", "starts_at": "2025-11-01"}, "starts_at"),
        ({"code": "X", "creator_handle": "emma", "colour": 1}, "colour"),
    ):
        response = await brand.post("/v1/codes", json=body)
        assert (response.status_code, list(errors(response))) == (422, [field]), body
    assert await brand.all("/v1/codes") == []


async def test_thousands_of_codes_with_bad_ones_among_them(brand: Brand, catalog: Catalog) -> None:
    await brand.make("codes", code="CODE-3", creator_handle="anna", ends_at=DECEMBER)
    await brand.make("codes", code="CODE-4", creator_handle="c4", starts_at=NOVEMBER)
    bad = {
        5: ",c5,,,",
        6: "CODE-6,,,,",
        7: "CODE-7,c7,,yesterday,",
        8: f"CODE-8,c8,,{DECEMBER},{NOVEMBER}",
        9: "code-0,c9,,,",
        10: "CODE-10,c10,,,,,",
    }
    good = {11: f"CODE-0,c0,,,{NOVEMBER}", 0: f"CODE-0,c0,,{NOVEMBER},", 12: "'=1+1,c12,autumn,,"}
    rows = [{**bad, **good}.get(n, f"CODE-{n},c{n % 100},,{NOVEMBER if n == 4 else ''},") for n in range(2500)]
    report = await upload(brand, HEADER + "\n".join(rows))
    refused = {
        line["line"] - 2: (line["reason"], [error["field"] for error in line["errors"]])
        for line in report["lines"]
        if line["reason"]
    }
    assert refused == {
        3: ("code_taken", ["code"]),
        5: ("invalid_field", ["code"]),
        6: ("invalid_field", ["creator_handle"]),
        7: ("invalid_field", ["starts_at"]),
        8: ("invalid_field", ["ends_at"]),
        9: ("repeated_code", ["code"]),
        10: ("unreadable_line", [""]),
    }
    assert (report["created"], report["existing"], report["refused"]) == (2492, 1, 7)
    assert report["lines"][4]["outcome"] == "existing"
    formula = (await brand.get(f"/v1/codes/{report['lines'][12]['code_id']}")).json()
    assert (formula["code"], formula["creator_handle"], formula["campaign_slug"]) == ("=1+1", "c12", "autumn")
    again = await upload(brand, HEADER + "\n".join(rows))
    assert (again["created"], again["existing"], again["refused"]) == (0, 2493, 7)
    async with catalog.reading() as session:
        assert await session.scalar(select(func.count()).select_from(Code)) == 2494


async def test_a_dry_run_reports_the_same_and_keeps_nothing(brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_LINES", 2)
    text = HEADER + "".join(f"c{n % 4},emma,,,\n" for n in range(6))
    told = await upload(brand, text, dry_run=True)
    assert (told["is_dry_run"], told["created"], told["refused"]) == (True, 4, 2)
    assert {line["code_id"] for line in told["lines"] if line["outcome"] == "created"} == {None}
    assert await brand.all("/v1/codes") == await brand.all("/v1/creators") == []
    done = await upload(brand, text)
    assert [line["outcome"] for line in done["lines"]] == [line["outcome"] for line in told["lines"]]


async def test_json_in_bulk_as_lines_and_again_under_the_same_key(brand: Brand) -> None:
    codes: list[object] = [{"code": f"a{n}", "creator_handle": "emma", "ends_at": DECEMBER} for n in range(3)]
    sent = {"json": {"codes": [*codes, 5, {"code": "x"}]}, "headers": {"Idempotency-Key": "once"}}
    response = await brand.post("/v1/codes/bulk", **sent)  # type: ignore[arg-type]
    report = response.json()
    assert [line["outcome"] for line in report["lines"]] == ["created"] * 3 + ["refused"] * 2
    assert [line["reason"] for line in report["lines"][3:]] == ["unreadable_line", "invalid_field"]
    again = await brand.post("/v1/codes/bulk", **sent)  # type: ignore[arg-type]
    assert (again.headers["Idempotent-Replay"], again.json()) == ("true", report)
    lines = "\n".join(json.dumps(code) for code in codes)
    assert (await upload(brand, lines, {"Content-Type": "application/x-ndjson"}))["existing"] == 3
    assert (await upload(brand, json.dumps(codes), {"Content-Type": "application/json"}))["existing"] == 3
    shorter = await upload(brand, "code;starts_at\nb1;\nb2;\n", creator_handle="emma", campaign_slug="autumn")
    assert shorter["created"] == 2
    assert {code["campaign_slug"] for code in await brand.all("/v1/codes", q="b")} == {"autumn"}


async def test_a_file_that_is_none_is_refused_whole(brand: Brand) -> None:
    for body, content_type, status in (
        (b"", "text/csv", 422),
        (HEADER.encode(), "text/csv", 422),
        (b"coupon,creator_handle\nX,emma\n", "text/csv", 422),
        (b"code,creator\nX,emma\n", "text/csv", 422),
        ((HEADER + "X,emma,,,\n" * 10_001).encode(), "text/csv", 422),
        (b"{}", "application/json", 422),
        (b"[", "application/json", 400),
        (b"x", "application/pdf", 415),
    ):
        response = await brand.post("/v1/codes/import", content=body, headers={"Content-Type": content_type})
        assert response.status_code == status, (body[:50], response.text)
    for bulk, status in ((b"{", 400), (b'{"codes": []}', 422), (b'{"links": []}', 422)):
        assert (await brand.post("/v1/codes/bulk", content=bulk)).status_code == status
    assert await brand.all("/v1/codes") == []
