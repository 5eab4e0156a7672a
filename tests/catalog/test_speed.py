"""How long 200,000 links take to stream, and how much memory: printed, not asserted, since machines differ."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from sqlalchemy import insert

from stackfluence.catalog import Catalog, changes_since, open_catalog
from stackfluence.catalog.books import LinkPath
from stackfluence.catalog.tables import Link
from stackfluence.names import new_id
from tests.catalog.samples import AT_MS, Brand, a_brand

LINKS = 200_000


async def _seed(catalog: Catalog, brand: Brand) -> None:
    """Write links past the session, which records each: 5 s instead of a minute."""
    same = {"organization_id": brand.organization_id, "creator_id": brand.creator.id, "campaign_id": brand.campaign.id}
    times = {"created_at": AT_MS, "updated_at": AT_MS, "revision": 1}
    for start in range(0, LINKS, 5000):
        names = [f"a{number}" for number in range(start, start + 5000)]
        links = [
            {"id": new_id("lnk_"), "asset_slug": name, "destination_url": f"https://shop.brand.example/products/{name}"}
            for name in names
        ]
        path = {"host": "", "creator_handle": "emma", "campaign_slug": "summer"}
        paths = [{**path, "asset_slug": link["asset_slug"], "link_id": link["id"]} for link in links]
        async with catalog.transaction() as connection:
            await connection.execute(insert(Link), [link | same | times for link in links])
            await connection.execute(insert(LinkPath), paths)


@pytest.mark.timeout(300)
async def test_streaming_200_000_links_takes_constant_memory(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = open_catalog(sqlite_url)
    await _seed(catalog, await a_brand(catalog))
    started = time.perf_counter()
    rows = sum([len(chunk.rows) async for chunk in changes_since(catalog, 0)])
    seconds = time.perf_counter() - started
    tracemalloc.start()
    async for chunk in changes_since(catalog, 0):
        if len(chunk.rows) == 1000 and tracemalloc.get_traced_memory()[1] > 50_000_000:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await catalog.close()
    with capsys.disabled():
        print(f"\n{rows:,} rows streamed in {seconds:.2f} s, {rows / seconds:,.0f}/s, peak {peak / 1e6:.1f} MB")
    assert rows == LINKS + 4
    assert peak < 50_000_000  # all of them at once are some 150 MB
