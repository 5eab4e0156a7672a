"""A sample organization without a catalog, and an edge that knows the one in a catalog."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from stackfluence.catalog import changes_since, ensure_salts, open_catalog
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.click.links import Snapshot
from stackfluence.demo import contents
from stackfluence.demo.sample import Sample
from stackfluence.settings import Settings
from tests.edge.edges import SECRETS, TTL_HOURS

SAMPLE = Sample(
    organization_id="org_0123456",
    publishable_key="sf_pub_of-the-sample",
    secret_key="sf_sec_of-the-sample",
    origin=contents.ORIGIN,
    run=1,
)


def settings_in(path: Path) -> Settings:
    return Settings(data_dir=str(path))


async def snapshot_of(settings: Settings) -> Snapshot:
    """Return what an edge learns from the catalog."""
    known = Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))
    known.begin()
    revision = 0
    catalog = open_catalog(settings.catalog_url)
    await ensure_salts(catalog, datetime.now(UTC).date())
    async for chunk in changes_since(catalog, 0):
        known.apply(chunk)
        revision = chunk.revision
    await catalog.close()
    known.finish(revision)
    return known
