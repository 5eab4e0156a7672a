"""Puts codes into the catalog, one or a thousand at a time: what is new, there already, or refused and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackfluence.api.batches import Fate
from stackfluence.api.code_bodies import NewCode
from stackfluence.api.owners import Names, find_owners, read_names
from stackfluence.catalog import Change, checks
from stackfluence.catalog.codes import codes_of, is_same, period_text, taken_by
from stackfluence.catalog.sources import Code
from stackfluence.errors import Invalid
from stackfluence.vocabulary import LineRefusal


@dataclass
class PlacedCode(Fate):
    """What became of one wanted code; `code` is the one made now, or the one that says the same and was there before.

    `handle` and `slug` are its creator's and its campaign's present names, empty for a refused one or none.
    """

    code: Code | None = None
    handle: str = ""
    slug: str = ""
    taken_by: Code | None = None  # why it was refused


@dataclass
class _Line:
    placed: PlacedCode
    code: Code
    names: Names


async def place_codes(
    change: Change, organization_id: str, wanted: Sequence[NewCode], claimed: set[str]
) -> list[PlacedCode]:
    """Make the codes that can be made, at most `batches.MAX_LINES`, and tell of each what became of it.

    `claimed` holds the ids of codes that earlier parts of the same file made, and is added to.
    """
    placed = [PlacedCode() for _ in wanted]
    lines = [line for new, fate in zip(wanted, placed, strict=True) if (line := _read(organization_id, new, fate))]
    owners = await find_owners(change, organization_id, [line.names for line in lines])
    for line in lines:
        try:
            creator, campaign = owners.creator(line.names), owners.campaign(line.names)
        except Invalid as error:
            line.placed.refuse_field(error)
            continue
        # a new owner's id comes later: no code that is there can be of it
        line.code.creator_id = creator.id if creator else ""
        line.code.campaign_id = campaign.id if campaign else ("" if line.names.slug else None)
    lines = [line for line in lines if not line.placed.refusal]
    await _check_periods(change, organization_id, lines, claimed)
    lines = [line for line in lines if not line.placed.refusal]
    made = [line for line in lines if not line.placed.is_existing]
    await owners.add_new(change, (line.names for line in made))
    for line in lines:
        creator, campaign = owners.creator(line.names), owners.campaign(line.names)
        assert creator  # it was found, or added
        line.placed.handle, line.placed.slug = creator.handle, campaign.slug if campaign else ""
        if not line.placed.is_existing:
            line.code.creator_id, line.code.campaign_id = creator.id, campaign.id if campaign else None
            line.placed.code = line.code
    change.session.add_all([line.code for line in made])
    await change.session.flush()
    claimed.update(line.code.id for line in made)
    return placed


def _read(organization_id: str, wanted: NewCode, placed: PlacedCode) -> _Line | None:
    """Return a line whose fields are good in themselves, or None with the reason noted."""
    try:
        names = read_names(wanted, needs_campaign=False)
        checks.period("ends_at", wanted.starts_at, wanted.ends_at)
        code = Code(
            organization_id=organization_id, code=wanted.code, starts_at=wanted.starts_at, ends_at=wanted.ends_at
        )
    except Invalid as error:
        placed.refuse_field(error)
        return None
    return _Line(placed, code, names)


async def _check_periods(change: Change, organization_id: str, lines: Sequence[_Line], claimed: set[str]) -> None:
    """Refuse codes that name a creator at that time already; note which are there just as wanted."""
    known = await codes_of(change.session, organization_id, {line.code.code_key for line in lines})
    for line in lines:
        others = known[line.code.code_key]
        other = taken_by(line.code, others)
        if other is None:
            others.append(line.code)
        elif other.id is None or other.id in claimed:
            line.placed.refuse(LineRefusal.repeated_code, "code", "An earlier line gives the code away at that time.")
        elif is_same(line.code, other):
            line.placed.is_existing, line.placed.code = True, other
        else:
            message = f"The code {other.code!r} names a creator {period_text(other)} already."
            line.placed.refuse(LineRefusal.code_taken, "code", message)
            line.placed.taken_by = other
