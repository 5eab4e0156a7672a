"""A brand with one creator and one campaign, which most tests start from."""

from __future__ import annotations

from dataclasses import dataclass

from stackfluence.catalog import Catalog, Change, NewOrganization, changes_since
from stackfluence.catalog.tables import Campaign, Creator, Link
from stackfluence.snapshot import EdgeRow

AT_MS = 1_795_000_000_000


@dataclass
class Brand:
    """An organization, its keys, and a creator and campaign of it."""

    keys: NewOrganization
    creator: Creator
    campaign: Campaign

    @property
    def organization_id(self) -> str:
        return self.keys.organization_id

    def link(self, asset: str = "", **columns: object) -> Link:
        """Return a link, not yet added."""
        given: dict[str, object] = {
            "organization_id": self.organization_id,
            "creator_id": self.creator.id,
            "campaign_id": self.campaign.id,
            "asset_slug": asset,
            "destination_url": "https://shop.brand.example/",
        }
        return Link(**{**given, **columns})


async def add_brand(change: Change, handle: str = "emma", slug: str = "summer") -> Brand:
    keys = await change.add_organization("Brand", "EUR", "Europe/Berlin")
    creator = await change.add_creator(keys.organization_id, handle)
    campaign = await change.add_campaign(keys.organization_id, slug)
    return Brand(keys, creator, campaign)


async def a_brand(catalog: Catalog, handle: str = "emma", slug: str = "summer") -> Brand:
    async with catalog.writing("cli", AT_MS) as change:
        return await add_brand(change, handle, slug)


async def add_link(catalog: Catalog, link: Link) -> Link:
    async with catalog.writing("cli", AT_MS) as change:
        return await change.add(link)


class EdgeCopy:
    """What an edge does with the feed, as plainly as it can be done."""

    def __init__(self) -> None:
        self.revision = 0
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.resets = 0

    async def poll(self, catalog: Catalog) -> list[EdgeRow]:
        """Apply what changed, and return it."""
        seen: list[EdgeRow] = []
        reached = self.revision
        async for chunk in changes_since(catalog, self.revision):
            if chunk.is_reset:
                self.resets += 1
                self.rows.clear()
            for row in chunk.rows:
                if row.value is None:
                    self.rows.pop((row.space, row.key), None)
                else:
                    self.rows[row.space, row.key] = row.value
            seen += chunk.rows
            reached = chunk.revision
        self.revision = reached
        return seen

    def keys(self, space: str) -> set[bytes]:
        return {key for (in_space, key) in self.rows if in_space == space}
