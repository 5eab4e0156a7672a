"""Policies: what counts for an organization, from when on; and which customers are creators' own.

Mapped classes as in `tables.py`, with its conventions, and the rules by which they change. Facts are derived by what
stands here: nothing that was in force is ever edited, and nothing begins in the past.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, UniqueConstraint, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Mapped, aliased, mapped_column, validates

from stackfluence.catalog import checks
from stackfluence.catalog.tables import Base, Organization
from stackfluence.clock import rfc3339
from stackfluence.errors import Conflict, Invalid
from stackfluence.reasons import FLAGGED, MOST
from stackfluence.vocabulary import AttributionModel, TrafficClass, TrafficReason, TrustTier

# What an organization starts with. 10 s: GA4's engaged session (support.google.com/analytics/answer/12195621), which
# takes two pageviews instead as well. 30 days: the longest that a click ID lives by default.
MIN_ENGAGED_SECONDS = 10
MIN_PAGEVIEWS = 2
REPEAT_HOURS = 24
WINDOW_DAYS = 30
EXCLUDED_CLASSES = (TrafficClass.givt.value, TrafficClass.sivt.value)
SESSION_TIERS = TOUCH_TIERS = (TrustTier.server.value, TrustTier.connector.value, TrustTier.browser.value)
# a page's word alone moves no money: anybody can send events with the key that stands in it
CONVERSION_TIERS = (TrustTier.server.value, TrustTier.connector.value)

# least and most of each number
RANGES = {
    "flagged_from": (1, MOST),
    "min_engaged_seconds": (0, 3600),
    "min_pageviews": (1, 100),
    "repeat_hours": (0, 24),
    "attribution_window_days": (1, 30),
}
WORDS = {
    "ignored_reasons": tuple(reason.value for reason in TrafficReason),
    "excluded_classes": EXCLUDED_CLASSES,
    "session_tiers": SESSION_TIERS,
    "conversion_tiers": CONVERSION_TIERS,
    "touch_tiers": TOUCH_TIERS,
}
_MAY_BE_EMPTY = frozenset({"ignored_reasons", "excluded_classes"})

# A policy is known this long before it begins: by clocks that differ, and by runs that read the catalog before it.
LEAD_MS = 5 * 60_000
# From here on it stays as it is; longer than a writer waits for its turn, in which the policy might begin.
FROZEN_MS = 60_000
MOST_PLANNED = 100  # a run carries all policies of an organization as parameters


class Policy(Base):
    """What counts, for what happens from `effective_from` (ms) until the next one's.

    Never changed once it is in force, so that the same events always come to the same; a version is never used again.
    """

    __tablename__ = "policies"
    __table_args__ = (
        UniqueConstraint("organization_id", "version"),
        UniqueConstraint("organization_id", "effective_from"),
        CheckConstraint("version >= 1", "version"),
        CheckConstraint("effective_from >= 0", "effective_from"),
    )
    ID_PREFIX = "pol_"
    AUDITED_AS = "policy"
    # what it decides; a new one has those that aren't given from the one before it
    TERMS: ClassVar[tuple[str, ...]] = (*RANGES, *WORDS, "attribution_model")

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    version: Mapped[int]
    effective_from: Mapped[int]
    name: Mapped[str] = mapped_column(default="")
    flagged_from: Mapped[int] = mapped_column(default=FLAGGED)
    ignored_reasons: Mapped[list[str]] = mapped_column(default=list)
    excluded_classes: Mapped[list[str]] = mapped_column(default=lambda: list(EXCLUDED_CLASSES))
    min_engaged_seconds: Mapped[int] = mapped_column(default=MIN_ENGAGED_SECONDS)
    min_pageviews: Mapped[int] = mapped_column(default=MIN_PAGEVIEWS)
    repeat_hours: Mapped[int] = mapped_column(default=REPEAT_HOURS)
    session_tiers: Mapped[list[str]] = mapped_column(default=lambda: list(SESSION_TIERS))
    conversion_tiers: Mapped[list[str]] = mapped_column(default=lambda: list(CONVERSION_TIERS))
    touch_tiers: Mapped[list[str]] = mapped_column(default=lambda: list(TOUCH_TIERS))
    attribution_model: Mapped[str] = mapped_column(default=AttributionModel.last_touch.value)
    attribution_window_days: Mapped[int] = mapped_column(default=WINDOW_DAYS)
    created_at: Mapped[int]

    @validates("name")
    def _name(self, field: str, text: str) -> str:
        return checks.title(field, text)

    @validates(*RANGES)
    def _number(self, field: str, number: int) -> int:
        return checks.whole(field, number, *RANGES[field])

    @validates(*WORDS)
    def _words(self, field: str, texts: list[str]) -> list[str]:
        return checks.words(field, texts, WORDS[field], may_be_empty=field in _MAY_BE_EMPTY)

    @validates("attribution_model")
    def _model(self, field: str, text: str) -> str:
        return checks.one_of(field, text, AttributionModel)


class PolicyVersions(Base):
    """The last version that an organization gave a policy: one that was deleted doesn't free its number."""

    __tablename__ = "policy_versions"

    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    last_version: Mapped[int]


class OwnCustomer(Base):
    """That a customer is a creator's own, in [created_at, retracted_at): what they buy then earns the creator nothing.

    `customer_hash` is the pseudonym that events carry. Appended; only `retracted_at` is set. Who asks to be erased, is.
    """

    __tablename__ = "own_customers"
    __table_args__ = (
        ForeignKeyConstraint(["organization_id", "creator_id"], ["creators.organization_id", "creators.id"]),
        CheckConstraint("retracted_at is null or retracted_at >= created_at", "period"),
    )

    organization_id: Mapped[str] = mapped_column(primary_key=True)
    creator_id: Mapped[str] = mapped_column(primary_key=True)
    customer_hash: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[int] = mapped_column(primary_key=True)
    retracted_at: Mapped[int | None]


def first_policy(organization_id: str) -> Policy:
    """Return what an organization starts with, not yet added: the defaults, written out, from ever on."""
    return Policy(organization_id=organization_id, version=1, effective_from=0, name="Default")


async def add_first_policies(session: AsyncSession) -> None:
    """Give every organization without a policy its first one: those of a backup that is older than policies."""
    with_one = select(Policy.id).where(Policy.organization_id == Organization.id)
    for owner in list(await session.scalars(select(Organization.id).where(~with_one.exists()))):
        session.add(first_policy(owner))
    await session.flush()


async def policy_at(session: AsyncSession, organization_id: str, at_ms: int) -> Policy | None:
    """Return the policy that is, was or will be in force at a moment, milliseconds since 1970."""
    begun = select(Policy).where(Policy.organization_id == organization_id, Policy.effective_from <= at_ms)
    found: Policy | None = await session.scalar(begun.order_by(Policy.effective_from.desc()).limit(1))
    return found


async def take_version(session: AsyncSession, organization_id: str) -> int:
    """Return the version of a new policy, one that the organization never gave before."""
    counter = await session.get(PolicyVersions, organization_id)
    if counter is None:
        highest = select(func.coalesce(func.max(Policy.version), 0)).where(Policy.organization_id == organization_id)
        counter = PolicyVersions(organization_id=organization_id, last_version=await session.scalar(highest))
        session.add(counter)
    counter.last_version += 1
    return counter.last_version


async def check_begin(
    session: AsyncSession, organization_id: str, effective_from: int, at_ms: int, policy_id: str | None = None
) -> None:
    """Refuse a beginning that is too near, or, with Conflict, one that is taken or one too many planned ahead."""
    if effective_from < at_ms + LEAD_MS:
        raise Invalid(
            f"effective_from: the earliest is five minutes from now, {rfc3339(at_ms + LEAD_MS)}; "
            "what was counted until now stays as it was.",
            field="effective_from",
        )
    planned = select(Policy.id, Policy.effective_from, Policy.version).where(
        Policy.organization_id == organization_id, Policy.effective_from > at_ms
    )
    others = [row for row in await session.execute(planned) if row.id != policy_id]
    if len(others) >= MOST_PLANNED:
        raise Conflict(f"At most {MOST_PLANNED} policies can be planned ahead; delete one that isn't needed.")
    for row in others:
        if row.effective_from == effective_from:
            raise Conflict(f"Version {row.version} begins at {rfc3339(effective_from)} already.", policy_id=row.id)


def check_open(policy: Policy, at_ms: int) -> None:
    """Refuse, with Conflict, to touch a policy that is in force, was, or will be within a minute."""
    if policy.effective_from > at_ms + FROZEN_MS:
        return
    is_begun = policy.effective_from <= at_ms
    began = f"has been in force since {rfc3339(policy.effective_from)}" if policy.effective_from else "is the first one"
    when = began if is_begun else f"takes effect at {rfc3339(policy.effective_from)}"
    raise Conflict(
        f"Version {policy.version} {when} and can't be changed or deleted; add a policy that begins later.",
        policy_id=policy.id,
    )


async def longest_windows(session: AsyncSession, at_ms: int) -> dict[str, int]:
    """Return organization → the most days that a policy of it looks back, of those in force at `at_ms` or later."""
    later = aliased(Policy)
    is_over = select(later.id).where(
        later.organization_id == Policy.organization_id,
        later.effective_from > Policy.effective_from,
        later.effective_from <= at_ms,
    )
    longest = func.max(Policy.attribution_window_days)
    wanted = select(Policy.organization_id, longest).where(~is_over.exists()).group_by(Policy.organization_id)
    return {row[0]: row[1] for row in await session.execute(wanted)}


async def replace_own_customers(
    session: AsyncSession, organization_id: str, creator_id: str, hashes: Collection[str], at_ms: int
) -> tuple[int, int]:
    """Make these a creator's own customers from now on; returns how many were added and how many retracted."""
    wanted = select(OwnCustomer).where(
        OwnCustomer.organization_id == organization_id, OwnCustomer.creator_id == creator_id
    )
    rows = list(await session.scalars(wanted))
    present = {row.customer_hash: row for row in rows if row.retracted_at is None}
    # one that was retracted within the very millisecond it would be added in goes on: its key is taken
    resumed = {row.customer_hash: row for row in rows if row.retracted_at is not None and row.created_at == at_ms}
    missing = present.keys() - set(hashes)
    for customer_hash in missing:
        row = present[customer_hash]
        row.retracted_at = max(at_ms, row.created_at)
    added = sorted(set(hashes) - present.keys())
    for customer_hash in added:
        if customer_hash in resumed:
            resumed[customer_hash].retracted_at = None
        else:
            key = {"organization_id": organization_id, "creator_id": creator_id, "customer_hash": customer_hash}
            session.add(OwnCustomer(**key, created_at=at_ms, retracted_at=None))
    await session.flush()
    return len(added), len(missing)


async def forget_own_customer(connection: AsyncConnection, organization_id: str, customer_hash: str) -> None:
    """Erase a person from every creator's own customers, past ones too; nothing says afterwards that they were."""
    await connection.execute(
        delete(OwnCustomer).where(
            OwnCustomer.organization_id == organization_id, OwnCustomer.customer_hash == customer_hash
        )
    )
