"""How long 50,000 links take to stream, and how much memory: the time is printed only, since machines differ."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import aclosing

import pytest
from sqlalchemy import text

from stackfluence.catalog import Catalog, changes_since, open_catalog
from tests.catalog.samples import Brand, a_brand

LINKS = 50_000
_NUMBERS = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {LINKS})"


async def _seed(catalog: Catalog, brand: Brand) -> None:
    """Write links past the session, which records each: seconds instead of a minute."""
    columns = (
        "id, organization_id, host, creator_id, campaign_id, asset_slug, destination_url, status, kind, fallback_url, "
        "tags, is_test, created_at, updated_at, revision"
    )
    values = (
        f"'lnk_' || (n * 7919 % {LINKS}), '{brand.organization_id}', '', '{brand.creator.id}', '{brand.campaign.id}', "
        "'a' || n, 'https://shop.brand.example/products/' || n, 'active', 'organic', '', '[]', false, 1, 1, 1"
    )
    links = f"INSERT INTO links ({columns}) {_NUMBERS} SELECT {values} FROM numbers"
    paths = "INSERT INTO link_paths SELECT '', 'emma', 'summer', asset_slug, id FROM links"
    async with catalog.transaction() as connection:
        await connection.execute(text(links))
        await connection.execute(text(paths))


async def test_50_000_links_stream_in_little_memory(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = open_catalog(sqlite_url)
    await _seed(catalog, await a_brand(catalog))
    started = time.perf_counter()
    rows = sum([len(chunk.rows) async for chunk in changes_since(catalog, 0)])
    seconds = time.perf_counter() - started
    tracemalloc.start()
    chunks = 0
    async with aclosing(changes_since(catalog, 0)) as answer:
        async for _ in answer:
            chunks += 1
            if chunks == 20:
                break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await catalog.close()
    with capsys.disabled():
        print(f"\n{rows:,} rows in {seconds:.2f} s, {rows / seconds:,.0f}/s, peak {peak / 1e6:.1f} MB")  # noqa: T201
    assert rows == LINKS + 4
    assert peak < 5_000_000  # all of them at once are some 37 MB
