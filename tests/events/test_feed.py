"""What is read adds up, never changes, and belongs to one organization."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackfluence.clock import now_ms, parse_rfc3339
from stackfluence.events import feed
from stackfluence.events.event import commitment
from stackfluence.events.feed import Cursor, Filters, find_event, page_of_events, read_cursor, summary
from stackfluence.events.load import Loader
from stackfluence.events.seal import check_view, is_included
from stackfluence.events.store import Store
from tests.events.journals import BRAND, NODE, OTHER_BRAND, Numbers, Writer, drain, value

NOBODY = "org_0000009"


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
def loader(store: Store, tmp_path: Path, numbers: Numbers) -> Iterator[Loader]:
    loader = Loader(tmp_path / "journal", store, numbers)
    yield loader
    loader.close()


@pytest.fixture
def any_loader(any_store: Store, tmp_path: Path, numbers: Numbers) -> Iterator[Loader]:
    """A loader into `any_store`: in this process and over HTTP in turn."""
    loader = Loader(tmp_path / "journal", any_store, numbers)
    yield loader
    loader.close()


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "journal" / "w0")


async def all_items(store: Store, organization_id: str, horizon: int, **asked: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = Cursor()
    while True:
        page = await page_of_events(store, organization_id, horizon, after=cursor, **asked)
        items += page.items
        if page.is_last:
            return items
        cursor = read_cursor(page.next_cursor.text())


def places(items: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(item["node"], item["seq"]) for item in items]


async def test_a_page_gives_the_leafs_fields_and_when_it_became_readable(
    store: Store, loader: Loader, writer: Writer
) -> None:
    leaf = writer.event("conversion", order_id="1001", revenue_cents=4999, currency="EUR")
    writer.finish()
    drain(loader)
    (item,) = await all_items(store, BRAND, 1)
    assert (item["event_id"], item["order_id"], item["revenue_cents"]) == (leaf.event_id, "1001", 4999)
    assert (item["load_number"], item["node"], item["seq"]) == (1, NODE, 1)
    assert abs(parse_rfc3339(item["stored_at"]) - now_ms()) < 120_000


async def test_pages_neither_skip_nor_repeat_while_loads_go_on(
    any_store: Store, any_loader: Loader, tmp_path: Path, numbers: Numbers
) -> None:
    """Two nodes load in turns, and between any two pages something new becomes readable."""
    writers = [Writer(tmp_path / "journal" / f"w{at}", f"n_000000000000000{at + 1}") for at in range(2)]
    seen: list[tuple[str, int]] = []
    cursor = Cursor()
    for step in range(8):
        writer = writers[step % 2]
        writer.clicks(3)
        writer.event("click", OTHER_BRAND)
        writer.finish()
        drain(any_loader)
        page = await page_of_events(any_store, BRAND, numbers.horizon(), after=cursor, limit=2)
        seen += places(page.items)
        cursor = page.next_cursor
    while not page.is_last:
        page = await page_of_events(any_store, BRAND, numbers.horizon(), after=cursor, limit=2)
        seen += places(page.items)
        cursor = page.next_cursor
    assert len(seen) == len(set(seen)) == 24
    assert seen == places(await all_items(any_store, BRAND, numbers.horizon(), limit=1000))


async def test_a_load_that_is_not_finished_is_not_readable(store: Store, loader: Loader, writer: Writer) -> None:
    writer.clicks(2)
    writer.finish()
    drain(loader)
    assert await all_items(store, BRAND, 0) == []
    page = await page_of_events(store, BRAND, 0)
    assert (page.items, page.is_last, page.next_cursor) == ([], True, Cursor())


async def test_one_organization_never_sees_anothers(store: Store, loader: Loader, writer: Writer) -> None:
    own = writer.event()
    other = writer.event("conversion", OTHER_BRAND, revenue_cents=5, currency="EUR")
    writer.event("conversion", OTHER_BRAND, quarantine_reason="wrong_type")
    writer.finish()
    drain(loader)
    assert [item["event_id"] for item in await all_items(store, BRAND, 1)] == [own.event_id]
    assert await all_items(store, NOBODY, 1) == []
    assert await all_items(store, BRAND, 1, is_quarantined=True) == []
    assert await find_event(store, BRAND, 1, other.event_id) is None
    counted = await summary(store, BRAND, 1, "UTC")
    assert (counted.received, counted.total.clicks, counted.total.conversions) == (1, 1, 0)
    found = await find_event(store, BRAND, 1, own.event_id)
    assert found is not None
    assert OTHER_BRAND not in str(found)


CLICK = "019aaba6-6480-7663-8128-2d69f5af2110"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), [1, 2, 3, 4]),
        (Filters(event_type="session"), [2]),
        (Filters(click_id=CLICK), [3]),
        (Filters(link_id="lnk_1"), [1]),
        (Filters(creator_id="crt_1"), [2]),
        (Filters(campaign_id="cmp_1"), [3]),
        (Filters(is_test=True), [4]),
        (Filters(is_test=False), [1, 2, 3]),
        (Filters(from_ms=parse_rfc3339("2026-11-22T13:00:00.030Z")), [3, 4]),
        (Filters(to_ms=parse_rfc3339("2026-11-22T13:00:00.030Z")), [1, 2]),
        (Filters(event_type="' or 1=1 --"), []),
        (Filters(link_id="lnk_1' or '1'='1"), []),
    ],
)
async def test_filters_choose(
    filters: Filters, expected: list[int], store: Store, writer: Writer, tmp_path: Path
) -> None:
    writer.event(link_id="lnk_1")
    writer.event("session", creator_id="crt_1")
    writer.event("conversion", campaign_id="cmp_1", click_id=CLICK)
    writer.event("pageview", is_test=True)
    writer.finish()
    loader = Loader(tmp_path / "journal", store, Numbers())
    drain(loader)
    loader.close()
    assert [item["seq"] for item in await all_items(store, BRAND, 1, filters=filters)] == expected


@pytest.mark.parametrize("text", ["x", "1.2", "1.2.3.4", "-1.2.n_1", "1.2.n_1'", "1." + "9" * 30 + ".n_1", "²..n"])
def test_a_cursor_that_was_not_given_out_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - split's own message will do, too
        read_cursor(text)


async def test_a_click_id_that_is_no_uuid_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="UUID"):
        await page_of_events(store, BRAND, 1, filters=Filters(click_id="x"))


TWICE = "0193b3c0-0000-8000-8000-000000000001"


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([{"trust_tier": "browser"}, {"trust_tier": "server"}, {"trust_tier": "connector"}], 1),
        ([{"trust_tier": "browser"}, {"trust_tier": "connector"}], 1),
        ([{"occurred_at": "2026-11-22T10:00:00.000Z"}, {"occurred_at": "2026-11-22T09:00:00.000Z"}], 1),
        (
            [
                {"occurred_at": "2026-11-22T10:00:00.000Z", "trust_tier": "server"},
                {"occurred_at": "2026-11-22T09:00:00.000Z", "trust_tier": "browser"},
            ],
            0,
        ),
    ],
)
async def test_of_an_events_rows_the_tier_then_the_time_decides(
    rows: list[dict[str, str]], best: int, store: Store, loader: Loader, writer: Writer
) -> None:
    for at, row in enumerate(rows):
        writer.event("conversion", event_id=TWICE, order_id=str(at), revenue_cents=100 + at, currency="EUR", **row)
    writer.finish()
    drain(loader)
    assert [item["order_id"] for item in await all_items(store, BRAND, 1)] == [str(best)]
    found = await find_event(store, BRAND, 1, TWICE)
    assert found is not None
    assert (found.event["order_id"], found.rows) == (str(best), len(rows))
    counted = await summary(store, BRAND, 1, "UTC")
    assert (counted.total.conversions, counted.total.revenue_cents) == (1, {"EUR": 100 + best})
    assert (counted.stored, counted.duplicates, counted.received) == (len(rows), len(rows) - 1, len(rows))


async def test_a_better_row_that_comes_later_is_one_more_of_the_feed_and_replaces_in_counts(
    store: Store, loader: Loader, writer: Writer, numbers: Numbers
) -> None:
    writer.event("conversion", event_id=TWICE, trust_tier="browser", revenue_cents=1, currency="EUR")
    writer.finish()
    drain(loader)
    before = await all_items(store, BRAND, numbers.horizon())
    writer.event("conversion", event_id=TWICE, trust_tier="server", revenue_cents=2, currency="EUR")
    writer.event("conversion", event_id=TWICE, trust_tier="browser", revenue_cents=3, currency="EUR")
    writer.finish()
    drain(loader)
    after = await all_items(store, BRAND, numbers.horizon())
    assert [item["seq"] for item in before] == [1]
    assert [item["seq"] for item in after] == [1, 2], "what was read stays as it was"
    assert (await summary(store, BRAND, numbers.horizon(), "UTC")).total.revenue_cents == {"EUR": 2}
    assert (await summary(store, BRAND, 1, "UTC")).total.revenue_cents == {"EUR": 1}


async def test_the_summary_adds_up(any_store: Store, any_loader: Loader, writer: Writer) -> None:
    writer.clicks(3)
    writer.event("session")
    writer.event("pageview")
    writer.event("identify")
    writer.event("conversion", revenue_cents=2**62, currency="EUR")
    writer.event("conversion", revenue_cents=2**62, currency="EUR")
    writer.event("conversion", currency="USD", revenue_cents=-5)
    writer.event("conversion", currency="USD")
    writer.event("refund", currency="EUR", refund_amount_cents=700)
    writer.event("conversion", quarantine_reason="amount_out_of_range")
    writer.event("session", quarantine_reason="wrong_type")
    writer.event("session", quarantine_reason="wrong_type")
    writer.finish()
    drain(any_loader)
    counted = await summary(any_store, BRAND, 1, "UTC")
    total = counted.total
    assert (total.clicks, total.sessions, total.pageviews, total.identifies) == (3, 1, 1, 1)
    assert (total.conversions, total.refunds) == (4, 1)
    assert total.revenue_cents == {"EUR": 2**63, "USD": -5}
    assert total.refunded_cents == {"EUR": 700}
    assert counted.quarantined_by_reason == {"amount_out_of_range": 1, "wrong_type": 2}
    assert (counted.received, counted.stored, counted.quarantined, counted.duplicates) == (14, 11, 3, 0)
    assert counted.days == {"2026-11-22": total}


async def test_a_visit_that_is_told_again_is_one_session_and_no_duplicate(
    store: Store, loader: Loader, writer: Writer
) -> None:
    for engaged_ms in (0, 5000, 9000):
        writer.event("session", session_id="ses_1", engaged_ms=engaged_ms)
    writer.event("session", session_id="")
    writer.event("session", session_id="ses_2", event_id=TWICE)
    writer.event("session", session_id="ses_2", event_id=TWICE)
    writer.finish()
    drain(loader)
    counted = await summary(store, BRAND, 1, "UTC")
    assert (counted.total.sessions, counted.stored, counted.duplicates) == (3, 6, 1)


async def test_an_order_is_summed_up_once_by_the_row_that_counts_and_for_the_creator_of_its_click(
    store: Store, loader: Loader, writer: Writer
) -> None:
    def order(order_id: str, cents: int, **fields: Any) -> None:
        told = {"conversion_type": "purchase", "order_id": order_id, "currency": "EUR", "revenue_cents": cents}
        writer.event("conversion", **{**told, "trust_tier": "server", **fields})

    # one event in two rows that name two orders: the server's counts
    order("A1", 5, event_id=TWICE, trust_tier="browser")
    order("B1", 7, event_id=TWICE)
    # the page knows the click, the server doesn't
    order("C1", 11, trust_tier="browser", creator_id="crt_emma", link_id="lnk_emma")
    order("C1", 13)
    writer.finish()
    drain(loader)
    counted = await summary(store, BRAND, 1, "UTC")
    assert (counted.total.conversions, counted.total.revenue_cents) == (2, {"EUR": 20})
    emmas = (await summary(store, BRAND, 1, "UTC", Filters(creator_id="crt_emma"))).total
    assert (emmas.conversions, emmas.revenue_cents) == (1, {"EUR": 13})


async def test_days_are_those_of_the_organizations_time_zone(store: Store, writer: Writer, tmp_path: Path) -> None:
    for at in ("2026-11-22T04:59:59.999Z", "2026-11-22T05:00:00.000Z", "2026-11-23T05:00:00.000Z"):
        writer.event("session", occurred_at=at, received_at=at)
    writer.finish()
    loader = Loader(tmp_path / "journal", store, Numbers())
    drain(loader)
    loader.close()
    counted = await summary(store, BRAND, 1, "America/New_York")
    assert {day: counts.sessions for day, counts in counted.days.items()} == {
        "2026-11-21": 1,
        "2026-11-22": 1,
        "2026-11-23": 1,
    }
    span = Filters(from_ms=parse_rfc3339("2026-11-22T05:00:00Z"), to_ms=parse_rfc3339("2026-11-23T05:00:00Z"))
    assert (await summary(store, BRAND, 1, "America/New_York", span)).total.sessions == 1


async def test_an_event_comes_with_a_proof_that_holds(any_store: Store, any_loader: Loader, writer: Writer) -> None:
    leaves = [writer.event(organization_id=(BRAND, OTHER_BRAND)[at % 2]) for at in range(21)]
    quarantined = writer.event("conversion", quarantine_reason="wrong_type", expiring={"raw": "{}"})
    writer.waiting[4] = b"rotten\n"
    writer.finish()
    drain(any_loader)
    for leaf in (leaves[0], leaves[20], quarantined):
        found = await find_event(any_store, BRAND, 1, leaf.event_id)
        assert found is not None
        assert found.proof is not None
        proof = found.proof
        assert found.event["event_id"] == leaf.event_id
        assert found.is_quarantined == (leaf is quarantined)
        assert check_view(proof.view)
        assert proof.view["own"] == {"organization_id": BRAND, "leaves": 11, "root": proof.root.hex()}
        assert proof.leaves == 11
        assert is_included(found.leaf, proof.index, proof.leaves, proof.path, proof.root)
        assert not is_included(found.leaf.replace(b"click", b"clack"), proof.index, 11, proof.path, proof.root) or (
            b"click" not in found.leaf
        )
        assert commitment(found.kept, found.expiring) == leaf.personal_commitment
    assert await find_event(any_store, BRAND, 1, leaves[4].event_id) is None, "the rotten line"


async def test_what_is_quarantined_is_listed_with_its_reason(store: Store, loader: Loader, writer: Writer) -> None:
    writer.clicks(1)
    writer.event("conversion", quarantine_reason="wrong_type", quarantine_detail="revenue_cents")
    writer.finish()
    drain(loader)
    (item,) = await all_items(store, BRAND, 1, is_quarantined=True)
    assert (item["quarantine_reason"], item["quarantine_detail"], item["seq"]) == ("wrong_type", "revenue_cents", 2)


def test_the_latest_time_is_one_that_the_store_has(store: Store) -> None:
    sql = "select toString(fromUnixTimestamp64Milli({ms:Int64}, 'UTC')) as at"
    assert value(store, sql, ms=feed.LATEST_MS) == "2299-12-31 23:59:59.999"
