"""Every report, with every filter, tells what was derived, once, of the organization that asks and of no other."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from pathlib import Path
from statistics import median_low
from typing import Any

import pytest
import pytest_asyncio

from stackfluence.api import Core, create_api
from stackfluence.api.report_pieces import Pieces
from stackfluence.api.report_totals import MAX_POINTS
from stackfluence.catalog import open_catalog
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.clock import parse_rfc3339, rfc3339, uuid7
from stackfluence.events.store import Store
from stackfluence.facts import create_tables
from stackfluence.facts.derive import GENERATION
from stackfluence.facts.orders import ORDER_GENERATION
from stackfluence.settings import Settings
from tests.api import told_facts
from tests.api.brands import SECRET, SETTINGS, Brand, add_brand, errors
from tests.api.told_facts import MODELS, NOBODY, Asked, Told, expected, make_facts, period_of, put_facts
from tests.stores import drop

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPAN = {"from": "2026-03-27", "to": "2026-12-25", "time_zone": "UTC"}
WHOLE = (parse_rfc3339("2026-03-27T00:00:00Z"), parse_rfc3339("2026-12-25T00:00:00Z"))
BY = ("order_day", "click_day")


@dataclass
class World:
    """Two organizations with the same ids, and what each was told."""

    core: Core
    store: Store
    brands: tuple[Brand, Brand]
    told: tuple[Told, Told]
    links: list[dict[str, Any]]
    posts: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    migrated_sqlite: Path, engine_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    store = Store(engine_url, "test_reports")
    store.create_schema()
    create_tables(store)
    try:
        async with told_of(store, migrated_sqlite, tmp_path_factory.mktemp("reports")) as made:
            yield made
    finally:
        drop(store)


@contextlib.asynccontextmanager
async def told_of(store: Store, migrated_sqlite: Path, folder: Path) -> AsyncIterator[World]:
    """Put the facts of two organizations into one store; the second knows nothing of the first one's links."""
    shutil.copyfile(migrated_sqlite, folder / "catalog.sqlite")
    catalog = open_catalog(f"sqlite+aiosqlite:///{folder / 'catalog.sqlite'}")
    core = Core(Settings(data_dir=str(folder), **SETTINGS), catalog, ClickIdKeys({1: SECRET}, 720), store)
    api = create_api(core)
    async with await add_brand(api, catalog, "Brand") as brand, await add_brand(api, catalog, "Other") as other:
        try:
            links, posts = await _links(brand)
            told = (make_facts(1, links), make_facts(2, links))
            for seed, (one, facts) in enumerate(zip((brand, other), told, strict=True), start=11):
                put_facts(store, one.keys.organization_id, facts, make_facts(seed, links))
            yield World(core, store, (brand, other), told, links, posts)
        finally:
            await catalog.close()


async def _links(brand: Brand) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Make links of all kinds, some of a post; returns them and their posts' platforms by post."""
    links: list[dict[str, Any]] = []
    posts: dict[str, str] = {}
    for creator, campaign in product(("emma", "lena"), ("summer", "winter")):
        common = {"creator_handle": creator, "campaign_slug": campaign}
        first = await brand.link("story", **common, kind="paid")
        ids = {"creator_id": first["creator_id"], "campaign_id": first["campaign_id"]}
        platform = "instagram" if creator == "emma" else "tiktok"
        post = await brand.make("posts", **ids, asset_slug="reel", platform=platform)
        posts[post["id"]] = platform
        links += [first, await brand.link("reel", **common, post_id=post["id"])]
    return links, posts


async def told(brand: Brand, report: str, **query: Any) -> dict[str, Any]:
    response = await brand.get(f"/v1/reports/{report}", params={**SPAN, **query})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    for row in (*body.get("items", ()), body.get("total", {})):
        clicks = row.get("clicks")
        if clicks:
            assert clicks["gross"] == clicks["valid"] + sum(clicks["invalid_by_reason"].values())
            assert clicks["valid"] == clicks["qualified"] + sum(clicks["unqualified_by_reason"].values())
    return body


def group_of(world: World, is_first: bool, group_by: str) -> told_facts.Key:
    """Return what names the group of a click or touch, as the catalog of the organization knows the links."""
    links = {link["id"]: link for link in world.links} if is_first else {}

    def key(_at_ms: int, click: Mapping[str, Any] | None, touch: Any, order: Mapping[str, Any] | None) -> str:
        if order is not None and touch is None:
            return NOBODY
        thing = click if touch is None else touch._asdict()
        assert thing is not None
        link = links.get(thing["link_id"], {})
        if group_by in ("creator", "campaign", "link"):
            return str(thing[f"{group_by}_id"])
        if group_by in ("post", "platform"):
            post = str(link.get("post_id") or "")
            return post if group_by == "post" else world.posts.get(post, "")
        if group_by == "kind":
            return link.get("kind", "organic") if thing["link_id"] else ""
        if click is None:
            return ""
        if group_by == "reason":
            return str(click["invalid_reason"] or "valid")
        return str(click["device_class" if group_by == "device" else group_by])

    return key


def rows_of(items: Iterable[Mapping[str, Any]], name: str = "group") -> dict[str, dict[str, Any]]:
    return {
        NOBODY if item[name] is None else item[name]: {"clicks": item["clicks"], "orders": item["orders"]}
        for item in items
    }


async def test_every_breakdown_tells_what_was_derived_and_adds_up(world: World) -> None:
    chance = random.Random(3)
    group_bys = ("creator", "campaign", "post", "link", "kind", "platform", "in_app_browser", "country", "device")
    for number, group_by in enumerate((*group_bys, "reason", "kind", "link", "country")):
        place = number % 2
        asked = Asked(*WHOLE, chance.choice(BY), chance.choice(MODELS), chance.random() < 0.2)
        query = {"by": asked.by, "model": asked.model, "is_test": asked.is_test}
        body = await told(world.brands[place], "breakdown", group_by=group_by, **query)
        groups = expected(world.told[place], asked, group_of(world, place == 0, group_by))
        assert rows_of(body["items"]) == groups, (group_by, place, query)
        whole = expected(world.told[place], asked, lambda *_: "")
        assert rows_of([{"group": "", **body["total"]}]) == whole, (group_by, place)
        assert sum(item["clicks"]["gross"] for item in body["items"]) == body["total"]["clicks"]["gross"]
        assert sum(item["orders"]["credits"] for item in body["items"]) == body["total"]["orders"]["credits"]
        assert body["total"]["orders"]["credits"] == body["total"]["orders"]["conversions"] * 1_000_000
        sizes = [item["clicks"]["gross"] for item in body["items"]]
        assert sizes == sorted(sizes, reverse=True)
        assert (body["run_id"], body["order_run_id"], body["not_derived"]) == (2, 2, 0)


async def test_every_filter_of_every_report_holds_and_no_report_tells_of_another_organization(world: World) -> None:
    chance = random.Random(4)
    link = world.links[0]
    filters: list[dict[str, str]] = [{}, *({name: link[name]} for name in ("creator_id", "campaign_id"))]
    filters += [{"link_id": link["id"]}, {"creator_id": "crt_0000000000"}]
    filters += [{"creator_id": world.links[-1]["creator_id"], "campaign_id": link["campaign_id"]}]
    for number, (wanted, is_test) in enumerate(product(filters, (False, True))):
        place = (number + is_test) % 2
        from_ms = parse_rfc3339(chance.choice(("2026-03-28T00:00:00Z", "2026-03-29T00:15:00Z")))
        to_ms = parse_rfc3339(chance.choice(("2026-10-25T23:15:00Z", "2026-11-25T00:00:00Z")))
        asked = Asked(from_ms, to_ms, chance.choice(BY), chance.choice(MODELS), is_test, **wanted)
        how = {"by": asked.by, "model": asked.model, "is_test": is_test}
        query = {"from": rfc3339(from_ms), "to": rfc3339(to_ms), **how, **wanted}
        brand, facts = world.brands[place], world.told[place]
        body = await told(brand, "breakdown", group_by="link", **query)
        assert rows_of(body["items"]) == expected(facts, asked, group_of(world, place == 0, "link")), query
        rows = expected(facts, asked, lambda *_: "")
        whole = rows.get("", body["total"])
        assert body["total"] == whole, query
        assert rows or whole["clicks"]["gross"] == whole["orders"]["conversions"] == 0
        series = await told(brand, "timeseries", grain="month", **query)
        by_month = expected(facts, asked, lambda at_ms, *_: period_of(at_ms, "month", "UTC"))
        found = rows_of(series["items"], "period")
        assert {month: found[month] for month in by_month} == by_month, query
        assert series["total"] == whole
        _check_funnel(await told(brand, "funnel", **query), whole)
        customers = await told(brand, "customers", **query)
        types = expected(facts, asked, lambda _at, _click, _touch, order: _type_of(order))
        for item in customers["items"]:
            row = types.get(item["customer_type"] or "none")
            assert item["orders"]["conversions"] == 0 if row is None else item["orders"] == row["orders"]
        assert customers["total"] == whole["orders"]


def _type_of(order: Mapping[str, Any] | None) -> str:
    return "clicks" if order is None else order["customer_type"] or "none"


def _check_funnel(body: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
    """Check that each step is what is left of the step before, and that the numbers are those of the other reports."""
    steps = {step["step"]: step for step in body["steps"]}
    clicks, orders = whole["clicks"], whole["orders"]
    assert steps["clicks"]["count"] == clicks["gross"]
    for before, after in (
        ("clicks", "valid"),
        ("valid", "arrived"),
        ("arrived", "qualified"),
        ("orders", "conversions"),
    ):
        assert steps[after]["count"] == steps[before]["count"] - sum(steps[after]["lost_by_reason"].values())
    assert [steps[name]["count"] for name in ("valid", "arrived", "qualified")] == [
        clicks[name] for name in ("valid", "arrived", "qualified")
    ]
    lost = Counter(steps["arrived"]["lost_by_reason"]) + Counter(steps["qualified"]["lost_by_reason"])
    assert lost == Counter(clicks["unqualified_by_reason"])
    uncredited = sum(orders["uncredited_by_reason"].values())
    assert steps["conversions"]["count"] == orders["conversions"] - uncredited
    assert steps["orders"]["count"] == orders["conversions"] + sum(orders["left_out_by_reason"].values())
    refused = steps["arrived"]["lost_by_reason"].get("no_consent", 0)
    share = (clicks["arrived"] + refused) * 1000 // clicks["valid"] if clicks["valid"] else None
    assert body["measurable_permille"] == share
    if not uncredited:
        assert body["amounts"] == orders["amounts"]


async def test_periods_are_those_of_the_clocks_and_none_is_missing(world: World) -> None:
    for zone, grain, start, end, points in (
        ("Europe/Berlin", "hour", "2026-03-29", "2026-03-30", 23),
        ("Europe/Berlin", "hour", "2026-10-25", "2026-10-26", 25),
        ("Europe/Berlin", "quarter_hour", "2026-10-25", "2026-10-26", 100),
        ("Europe/Berlin", "day", "2026-03-28", "2026-11-25", 242),
        ("Asia/Kathmandu", "day", "2026-03-28", "2026-10-28", 214),
        ("Asia/Kathmandu", "hour", "2026-10-25T00:15:00+05:45", "2026-10-26T00:15:00+05:45", 25),
        ("Australia/Lord_Howe", "hour", "2026-10-04", "2026-10-05", 24),
        ("Pacific/Auckland", "week", "2026-03-28", "2026-11-25", 36),
        ("Asia/Kathmandu", "week", "2026-03-30", "2026-11-30", 35),
        ("Asia/Kathmandu", "day", "2026-03-28", "2026-10-27", 213),
    ):
        wanted = {"creator_id": world.links[0]["creator_id"]} if points % 2 else {}
        query = {"from": start, "to": end, "time_zone": zone, "grain": grain, **wanted}
        body = await told(world.brands[0], "timeseries", **query)
        items = body["items"]
        assert len({item["period"] for item in items}) == len(items) == points, query
        assert (items[0]["from"], items[-1]["to"]) == (body["from"], body["to"])
        assert [item["to"] for item in items[:-1]] == [item["from"] for item in items[1:]]
        asked = Asked(parse_rfc3339(body["from"]), parse_rfc3339(body["to"]), **wanted)
        rows = expected(world.told[0], asked, lambda at_ms, *_, of=(grain, zone): period_of(at_ms, *of))
        found = rows_of(items, "period")
        assert {name: found[name] for name in rows} == rows, query
        empty = [found[name]["clicks"]["gross"] + found[name]["orders"]["conversions"] for name in found.keys() - rows]
        assert sum(empty) == 0
        if points == 25 and zone == "Europe/Berlin":
            assert {"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"} <= found.keys(), "an hour comes twice"


async def test_pages_leave_nothing_out_are_named_and_keep_their_span_and_runs(world: World) -> None:
    brand = world.brands[0]
    for group_by, limit in (("link", 4), ("post", 3), ("creator", 2)):
        whole = await told(brand, "breakdown", group_by=group_by)
        items: list[dict[str, Any]] = []
        cursor, pages = "", 0
        while True:
            page = await told(brand, "breakdown", group_by=group_by, limit=limit, cursor=cursor)
            assert page["total"] == whole["total"]
            items, pages, cursor = items + page["items"], pages + 1, page["next_cursor"]
            if not cursor:
                break
        assert items == whole["items"]
        assert pages == -(-len(items) // limit)
        names = {item["name"] for item in items if item["group"]}
        pairs = [f"{creator}/{campaign}" for creator in ("emma", "lena") for campaign in ("summer", "winter")]
        assert (
            names
            == {
                "link": {f"{pair}/{asset}" for pair in pairs for asset in ("story", "reel")},
                "post": {f"{pair}/reel" for pair in pairs},
                "creator": {"emma", "lena"},
            }[group_by]
        )
    first = await told(brand, "breakdown", group_by="link", limit=2)
    query = {**SPAN, "from": "2026-03-29", "group_by": "link", "cursor": first["next_cursor"]}
    assert set(errors(await brand.get("/v1/reports/breakdown", params=query))) == {"cursor"}


async def test_a_question_that_makes_no_sense_is_refused_with_what_is_allowed(world: World) -> None:
    reports = ("timeseries", "breakdown", "funnel", "customers", "anomalies")
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"by": "moon"}, "by", "'click_day'"),
        ({"model": "best"}, "model", "'time_decay'"),
        ({"from": "2026-11-26"}, "to", "after `from`"),
        ({"from": "2026-11-25"}, "to", "after `from`"),
        ({"from": "2015-01-01"}, "from", "days may lie between"),
        ({"to": "2026-11-24T12:07:00Z"}, "to", "quarter of an hour"),
        ({"from": "2026-11-24T12:00:30Z"}, "from", "quarter of an hour"),
        ({"to": "9999-12-31T23:45:00Z"}, "to", "2100"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "IANA"),
        ({"is_test": "perhaps"}, "is_test", "boolean"),
        ({"from": "soon"}, "from", "RFC 3339"),
    ]
    asked = [(reports[place % len(reports)], *case) for place, case in enumerate(wrong)]
    asked += [(report, {"creator": "emma"}, "creator", "not permitted") for report in reports]
    narrow = {"from": "2026-11-20", "to": "2026-11-25"}
    asked += [
        ("breakdown", {"group_by": "browser"}, "group_by", "'in_app_browser'"),
        ("breakdown", {"limit": 0}, "limit", "1"),
        ("breakdown", {"cursor": "WzEsMl0"}, "cursor", "not a cursor"),
        ("anomalies", {"cursor": "WzEsMl0"}, "cursor", "not a cursor"),
        ("timeseries", {"grain": "decade"}, "grain", "'quarter_hour'"),
        ("timeseries", {"grain": "quarter_hour", "from": "2026-08-01"}, "grain", str(MAX_POINTS)),
        ("anomalies", {"from": "2026-01-01"}, "from", "93 days"),
    ]
    for report, query, field, message in asked:
        response = await world.brands[0].get(f"/v1/reports/{report}", params={**SPAN, **narrow, **query})
        assert (response.status_code, list(errors(response))) == (422, [field]), (report, query)
        assert message in errors(response)[field], (report, query)


async def test_without_bounds_a_report_is_of_the_last_thirty_days(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackfluence.api.report_query.now_ms", lambda: parse_rfc3339("2026-11-20T15:01:02Z"))
    response = await world.brands[0].get("/v1/reports/timeseries")
    body = response.json()
    assert (body["from"], body["to"]) == ("2026-10-21T22:00:00.000Z", "2026-11-20T23:00:00.000Z")
    assert len(body["items"]) == 30
    asked = Asked(parse_rfc3339(body["from"]), parse_rfc3339(body["to"]))
    assert body["total"] == expected(world.told[0], asked, lambda *_: "")[""]


@dataclass(frozen=True)
class Usual:
    """A creator's days: clicks, how many of them are valid, and orders."""

    creator_id: str
    days: list[tuple[int, int, int]]


def put_days(store: Store, organization_id: str, first: date, creators: Iterable[Usual]) -> None:
    """Write days as one run leaves them; clicks and orders at noon."""
    common: dict[str, Any] = {"organization_id": organization_id, "run_id": 5}
    counts, orders, touches, days = [], [], [], set()
    for creator in creators:
        for place, (clicks, valid, bought) in enumerate(creator.days):
            day = first + timedelta(days=place)
            noon = datetime.combine(day, time(12), UTC)
            days.add(day)
            for reason, count in (("", valid), ("declared_bot", clicks - valid)):
                row = {"creator_id": creator.creator_id, "counted_at": noon, "invalid_reason": reason, "clicks": count}
                counts.append({**common, "counted_by": "all", **row})
            for left_out in (*[""] * bought, "unconfirmed"):
                own = {**common, "occurred_at": noon, "conversion_id": uuid7(0)[1]}
                orders.append({**own, "non_billable_reason": left_out})
                touch = {"place": 1, "creator_id": creator.creator_id, "paid_credits": 1_000_000, "outcome": "paid"}
                touches.append({**own, **touch})
    pointers = [{**common, "day": day, "generation": ORDER_GENERATION} for day in sorted(days)]
    for table, rows in (("click_rollups", counts), ("conversions", orders), ("attributions", touches)):
        told_facts.put(store, table, rows)
    told_facts.share_orders(store, organization_id, 5)
    for table in ("derived_days", "derived_order_days"):
        told_facts.put(store, table, pointers)


def unusual(creator: Usual, first: date, judged: Iterable[date]) -> Iterator[tuple[str, str, str, int, int]]:
    """Give what is told of a creator's days by the rules of docs/reports.md."""
    for day in judged:
        place = (day - first).days
        clicks, valid, orders = creator.days[place]
        before = creator.days[place - 28 : place]
        usual_clicks = median_low(day[0] for day in before)
        usual_orders = median_low(day[2] for day in before)
        shares = [day[1] * 1000 // day[0] for day in before if day[0]]
        usual_share = median_low(shares) if len(shares) >= 14 else 0
        share = valid * 1000 // clicks if clicks else 0
        kinds = (
            ("clicks_high", clicks, usual_clicks, clicks > 200 and clicks > 5 * usual_clicks > 0),
            ("clicks_low", clicks, usual_clicks, usual_clicks > 200 and clicks * 5 < usual_clicks),
            ("conversions_high", orders, usual_orders, orders >= 20 and orders >= 5 * usual_orders > 0),
            ("conversions_low", orders, usual_orders, usual_orders >= 20 and orders * 5 <= usual_orders),
            (
                "valid_share_low",
                share,
                usual_share,
                clicks > 200
                and usual_share > 0
                and (share * 4 <= usual_share or (1000 - share >= 250 and 1000 - share > 5 * (1000 - usual_share))),
            ),
        )
        yield from (
            (day.isoformat(), creator.creator_id, kind, found, usual) for kind, found, usual, is_so in kinds if is_so
        )


async def test_unusual_days_are_those_far_from_the_median_of_the_four_weeks_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)
    first, judged = date(2027, 1, 1), [date(2027, 2, 1) + timedelta(days=place) for place in range(10)]
    creators = []
    for number in range(12):
        size, share = chance.choice((5, 60, 300, 2_000)), chance.choice((500, 900, 990))
        days = []
        for _ in range(41):
            clicks = chance.choice(
                (size, size, size + 7, size + 1, 0 if number % 4 == 0 else size, size * 6, size // 7)
            )
            valid = clicks * chance.choice((share, share, share, share - 2, share // 5)) // 1000
            days.append((clicks, valid, chance.choice((size // 10, size // 10, size // 12, size // 80, size // 2))))
        creators.append(Usual(f"crt_{number:010d}", days))
    brand, other = world.brands
    put_days(world.store, brand.keys.organization_id, first, creators)
    monkeypatch.setattr("stackfluence.api.report_facts.now_ms", lambda: parse_rfc3339("2027-02-11T01:00:00Z"))
    query = {"from": "2027-02-01", "to": "2027-02-11", "time_zone": "UTC"}
    body = await told(brand, "anomalies", limit=200, **query)
    wanted = [found for creator in creators for found in unusual(creator, first, judged)]
    wanted.sort(key=lambda found: (found[0], *(-ord(letter) for letter in found[1] + found[2])), reverse=True)
    found = [tuple(item[name] for name in ("date", "creator_id", "kind", "counted", "usual")) for item in body["items"]]
    assert found == wanted
    assert {kind for _, _, kind, _, _ in found} == {
        "clicks_high", "clicks_low", "conversions_high", "conversions_low", "valid_share_low"
    }  # fmt: skip
    assert body["thresholds"]["outlier_clicks"] == 200
    item = next(item for item in body["items"] if item["kind"] == "clicks_high")
    assert f"{item['creator_id']} had {item['counted']:,} clicks on {item['date']}" in item["sentence"]
    page = await told(brand, "anomalies", limit=len(found) - 1, **query)
    rest = await told(brand, "anomalies", cursor=page["next_cursor"], **query)
    assert page["items"] + rest["items"] == body["items"]
    assert (await told(other, "anomalies", **query))["items"] == []
    of_one = await told(brand, "anomalies", creator_id=item["creator_id"], **query)
    assert {each["creator_id"] for each in of_one["items"]} == {item["creator_id"]}
    monkeypatch.setattr("stackfluence.api.report_facts.now_ms", lambda: parse_rfc3339("2027-02-11T00:59:59Z"))
    early = await told(brand, "anomalies", limit=200, **query)
    still_open = {each["kind"] for each in early["items"] if each["date"] == "2027-02-10"}
    assert still_open <= {"clicks_high", "conversions_high"}, "what isn't over isn't too little"
    partly = {**query, "from": "2027-02-01T00:15:00Z", "to": "2027-02-02T23:45:00Z"}
    assert (await told(brand, "anomalies", **partly))["items"] == [], "no whole day is asked for"


async def test_it_makes_no_difference_what_is_kept_and_how_much_is_read_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    brand, (first, last) = world.brands[0], (world.links[0], world.links[-1])
    asked: list[tuple[str, dict[str, Any]]] = [
        ("timeseries", {"grain": "day", "time_zone": "Europe/Berlin", "model": "linear"}),
        ("timeseries", {"grain": "week", "creator_id": first["creator_id"], "by": "click_day"}),
        ("breakdown", {"group_by": "kind", "model": "time_decay", "time_zone": "Asia/Kathmandu", "limit": 1}),
        ("breakdown", {"group_by": "country", "campaign_id": last["campaign_id"]}),
        ("breakdown", {"group_by": "reason", "is_test": True}),
        ("funnel", {"by": "click_day", "model": "position_based"}),
        ("customers", {}),
    ]
    before = [await told(brand, report, **query) for report, query in asked]
    monkeypatch.setattr("stackfluence.api.report_pieces.AT_ONCE", 3)
    monkeypatch.setattr("stackfluence.api.report_sums.DENSE_CELLS", 0)
    monkeypatch.setattr(world.core, "pieces", Pieces(most_bytes=20_000))
    for _ in range(2):
        for (report, query), answer in zip(asked, before, strict=True):
            assert await told(brand, report, **query) == answer, (report, query)
    assert world.core.pieces.size <= 20_000


async def test_days_of_an_older_form_are_in_no_report_before_they_are_derived_again(world: World) -> None:
    brand, day = world.brands[1], date(2028, 3, 1)
    query = {"from": "2028-03-01", "to": "2028-03-02"}
    for run_id, older, found in ((7, 1, (0, 0, 0, 0)), (8, 0, (30, 1, 8, 8))):
        common = {"organization_id": brand.keys.organization_id, "run_id": run_id}
        noon = datetime.combine(day, time(12), UTC)
        clicks = {"counted_by": "device", "counted_at": noon, "clicks": 30}
        order = {"model": "paid", "occurred_at": noon, "conversion_id": uuid7(0)[1], "credits": 1_000_000}
        told_facts.put(world.store, "click_rollups", [{**common, **clicks}])
        told_facts.put(world.store, "order_shares", [{**common, **order}])
        told_facts.put(world.store, "derived_days", [{**common, "day": day, "generation": GENERATION - older}])
        form = {"day": day, "generation": ORDER_GENERATION - older}
        told_facts.put(world.store, "derived_order_days", [{**common, **form}])
        body = await told(brand, "funnel", **query)
        steps = {step["step"]: step["count"] for step in body["steps"]}
        assert (steps["clicks"], steps["conversions"], body["run_id"], body["order_run_id"]) == found


async def test_a_server_tells_the_same(served_store: Store, migrated_sqlite: Path, tmp_path: Path) -> None:
    create_tables(served_store)
    async with told_of(served_store, migrated_sqlite, tmp_path) as world:
        for group_by, by, zone in (("kind", "order_day", "UTC"), ("country", "click_day", "Asia/Kathmandu")):
            asked = Asked(*WHOLE, by, "linear", False)
            span = {"from": rfc3339(WHOLE[0]), "to": rfc3339(WHOLE[1]), "time_zone": zone}
            body = await told(world.brands[0], "breakdown", group_by=group_by, by=by, model="linear", **span)
            assert rows_of(body["items"]) == expected(world.told[0], asked, group_of(world, True, group_by))
        whole = expected(world.told[0], Asked(*WHOLE, "order_day", "paid", True), lambda *_: "")
        tests = await told(world.brands[0], "timeseries", grain="month", is_test=True)
        assert rows_of([{"group": "", **tests["total"]}]) == whole
