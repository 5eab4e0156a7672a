"""Whose links and codes are: creators and campaigns found by id or by name, and added when new.

Set-based: a thousand lines are a handful of queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from sqlalchemy import select

from stackfluence.catalog import Change, checks
from stackfluence.catalog.tables import Campaign, Creator, CreatorAlias, Post
from stackfluence.errors import Invalid

Owned = TypeVar("Owned", Creator, Campaign, Post)


class Naming(Protocol):
    """A body that names its creator by id or handle, and its campaign by id or slug."""

    creator_id: str | None
    creator_handle: str | None
    campaign_id: str | None
    campaign_slug: str | None


@dataclass(frozen=True, slots=True)
class Names:
    """How one line names its owners: each by id or by folded name, the other being empty; no campaign: both are."""

    creator_id: str
    handle: str
    campaign_id: str
    slug: str


def read_names(wanted: Naming, *, needs_campaign: bool) -> Names:
    """Return how a body names its owners; raises Invalid for both ways at once, for none, and for what is no name."""
    for by_id, by_name, is_needed in (
        ("creator_id", "creator_handle", True),
        ("campaign_id", "campaign_slug", needs_campaign),
    ):
        given = bool(getattr(wanted, by_id)) + bool(getattr(wanted, by_name))
        if given == 2 or (is_needed and not given):
            raise Invalid(f"{by_name}: give {by_id} or {by_name}, one of the two.", field=by_name)
    return Names(
        wanted.creator_id or "",
        checks.name("creator_handle", wanted.creator_handle) if wanted.creator_handle else "",
        wanted.campaign_id or "",
        checks.name("campaign_slug", wanted.campaign_slug) if wanted.campaign_slug else "",
    )


@dataclass(slots=True)
class Owners:
    """The creators and campaigns that some lines name, as far as they are there."""

    organization_id: str
    creators: dict[str, Creator] = field(default_factory=dict)  # by id
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    by_handle: dict[str, Creator] = field(default_factory=dict)  # present ones and aliases
    by_slug: dict[str, Campaign] = field(default_factory=dict)

    def creator(self, names: Names) -> Creator | None:
        """Return a line's creator, None when the handle is new; raises Invalid for an unknown id."""
        if names.creator_id:
            return _known("creator_id", self.creators, names.creator_id)
        return self.by_handle.get(names.handle)

    def campaign(self, names: Names) -> Campaign | None:
        """Return a line's campaign, None when the slug is new or none is named; raises Invalid for an unknown id."""
        if names.campaign_id:
            return _known("campaign_id", self.campaigns, names.campaign_id)
        return self.by_slug.get(names.slug)

    async def add_new(self, change: Change, lines: Iterable[Names]) -> None:
        """Add the creators and campaigns that these lines name and nobody has yet."""
        wanted = list(lines)
        handles = dict.fromkeys(names.handle for names in wanted if names.handle and names.handle not in self.by_handle)
        slugs = dict.fromkeys(names.slug for names in wanted if names.slug and names.slug not in self.by_slug)
        if not handles and not slugs:
            return
        creators = {handle: Creator(organization_id=self.organization_id, handle=handle) for handle in handles}
        campaigns = {slug: Campaign(organization_id=self.organization_id, slug=slug) for slug in slugs}
        change.session.add_all([*creators.values(), *campaigns.values()])
        await change.session.flush()
        change.session.add_all(
            CreatorAlias(organization_id=self.organization_id, handle=handle, creator_id=creator.id)
            for handle, creator in creators.items()
        )
        await change.session.flush()
        self.by_handle |= creators
        self.by_slug |= campaigns


async def find_owners(change: Change, organization_id: str, lines: Sequence[Names]) -> Owners:
    """Return the creators and campaigns that these lines name, at most a few thousand."""
    handles = await change.session.execute(
        select(CreatorAlias.handle, Creator)
        .join(Creator, Creator.id == CreatorAlias.creator_id)
        .where(
            CreatorAlias.organization_id == organization_id,
            CreatorAlias.handle.in_({names.handle for names in lines if names.handle}),
        )
    )
    slugs = await change.session.scalars(
        select(Campaign).where(
            Campaign.organization_id == organization_id,
            Campaign.slug.in_({names.slug for names in lines if names.slug}),
        )
    )
    return Owners(
        organization_id,
        await by_id(change, Creator, organization_id, (names.creator_id for names in lines)),
        await by_id(change, Campaign, organization_id, (names.campaign_id for names in lines)),
        {handle: creator for handle, creator in handles},  # noqa: C416 — rows are no pairs to mypy
        {campaign.slug: campaign for campaign in slugs},
    )


async def by_id(
    change: Change, kind: type[Owned], organization_id: str, identifiers: Iterable[str | None]
) -> dict[str, Owned]:
    """Return those of an organization's rows that have one of these ids."""
    wanted = {identifier for identifier in identifiers if identifier}
    if not wanted:
        return {}
    rows = await change.session.scalars(
        select(kind).where(kind.organization_id == organization_id, kind.id.in_(wanted))
    )
    return {row.id: row for row in rows}


def _known(where: str, rows: dict[str, Owned], identifier: str) -> Owned:
    if identifier not in rows:
        raise Invalid(f"{where}: there is no {identifier!r}.", field=where)
    return rows[identifier]
