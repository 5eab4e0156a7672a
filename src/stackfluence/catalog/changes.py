"""Every change to the catalog: one transaction, opened by `Catalog.writing`, which yields a `Change`.

Rows are added by the functions here, or with `change.session.add`, and edited by assignment; `recording.py` gives them
ids, times, revisions and audit entries when they are flushed, at the latest by the commit.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from stackfluence.catalog import checks, codes, paths, policies
from stackfluence.catalog.books import AuditEntry, IdempotencyKey
from stackfluence.catalog.find import Row, key_hash, resolve_creator
from stackfluence.catalog.policies import Policy
from stackfluence.catalog.sources import Code, Connection
from stackfluence.catalog.tables import Base, Campaign, Creator, CreatorAlias, Host, Key, Link, Organization, Post
from stackfluence.errors import Conflict, Invalid
from stackfluence.vocabulary import ConnectionVendor, KeyKind

_KEY_PREFIXES = {KeyKind.publishable: "sf_pub_", KeyKind.secret: "sf_sec_"}
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_LENGTH = 43  # characters of base62: 256 bits
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class NewOrganization:
    """A fresh organization's id and the text of its two keys, which are shown now and never again."""

    organization_id: str
    publishable_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Change:
    """A writing transaction. `actor` is who is written into the audit log, `at_ms` the time of all it does."""

    session: AsyncSession
    actor: str
    at_ms: int
    revision: int

    async def add(self, row: Row) -> Row:
        """Add a row and return it with its id; raises Conflict when it exists."""
        self.session.add(row)
        await self.session.flush()
        return row

    async def delete(self, row: Base) -> None:
        """Delete a row for good. Links with clicks are better archived: reports would lose their name."""
        await self.session.delete(row)
        await self.session.flush()

    async def add_organization(self, name: str, currency: str, accounting_time_zone: str) -> NewOrganization:
        """Add an organization with its first policy, a publishable and a secret key."""
        organization = await self.add(
            Organization(name=name, currency=currency, accounting_time_zone=accounting_time_zone)
        )
        await self.add(policies.first_policy(organization.id))
        _, publishable = await self.add_key(organization.id, KeyKind.publishable, "first publishable key")
        _, secret = await self.add_key(organization.id, KeyKind.secret, "first secret key")
        return NewOrganization(organization.id, publishable, secret)

    async def add_key(
        self, organization_id: str, kind: KeyKind, name: str, allowed_origins: Sequence[str] = ()
    ) -> tuple[Key, str]:
        """Add a key and return it with its text, of which only the hash is stored."""
        text = new_key(kind)
        key = Key(
            organization_id=organization_id,
            kind=kind.value,
            name=name,
            prefix=text[: len(_KEY_PREFIXES[kind])],
            last_four=text[-_SHOWN:],
            key_hash=key_hash(text).hex(),
            allowed_origins=list(allowed_origins),
        )
        return await self.add(key), text

    async def revoke_key(self, key: Key) -> None:
        """Refuse the key from now on; again is harmless."""
        if key.revoked_at is None:
            key.revoked_at = self.at_ms
            await self.session.flush()

    async def add_host(self, organization_id: str | None, hostname: str) -> Host:
        """Add an organization's own host, or, with None, a name of the shared default host."""
        hostname = checks.hostname("hostname", hostname)
        if await self.session.scalar(select(Host.id).where(Host.hostname == hostname)):
            raise Conflict(f"The host {hostname} is taken.")
        return await self.add(
            Host(organization_id=organization_id, hostname=hostname, is_default=organization_id is None)
        )

    async def delete_host(self, host: Host) -> None:
        """Delete a host on which no link answers; raises Conflict when one does."""
        if await self.session.scalar(select(Link.id).where(Link.host == host.hostname).limit(1)):
            raise Conflict("Links answer on this host; move or delete them first.")
        await self.delete(host)

    async def add_creator(self, organization_id: str, handle: str, name: str = "") -> Creator:
        """Add a creator; raises Conflict when the handle is or was another's."""
        if await resolve_creator(self.session, organization_id, handle):
            raise Conflict(f"The handle {handle!r} belongs to another creator.")
        creator = await self.add(Creator(organization_id=organization_id, handle=handle, name=name))
        await self.add(CreatorAlias(organization_id=organization_id, handle=creator.handle, creator_id=creator.id))
        return creator

    async def add_alias(self, creator: Creator, handle: str) -> None:
        """Let a further handle resolve to the creator, and all their links answer under it; again is harmless."""
        owner = await resolve_creator(self.session, creator.organization_id, handle)
        if owner is None:
            await self.add(CreatorAlias(organization_id=creator.organization_id, handle=handle, creator_id=creator.id))
        elif owner.id != creator.id:
            raise Conflict(f"The handle {handle!r} belongs to another creator.")

    async def rename_creator(self, creator: Creator, handle: str) -> None:
        """Give the creator a new handle; the old one stays an alias, so published links keep redirecting."""
        await self.add_alias(creator, handle)
        creator.handle = handle
        await self.session.flush()

    async def add_campaign(
        self,
        organization_id: str,
        slug: str,
        name: str = "",
        *,
        starts_at: int | None = None,
        ends_at: int | None = None,
        fallback_url: str = "",
    ) -> Campaign:
        """Add a campaign; raises Conflict when the slug is another's. To rename one, assign its `slug`."""
        slug = checks.name("slug", slug)
        checks.period("ends_at", starts_at, ends_at)
        wanted = select(Campaign.id).where(Campaign.organization_id == organization_id, Campaign.slug == slug)
        if await self.session.scalar(wanted):
            raise Conflict(f"The slug {slug!r} belongs to another campaign.")
        return await self.add(
            Campaign(
                organization_id=organization_id,
                slug=slug,
                name=name,
                starts_at=starts_at,
                ends_at=ends_at,
                fallback_url=fallback_url,
            )
        )

    async def add_post(self, creator: Creator, campaign: Campaign, asset_slug: str, **columns: Any) -> Post:
        """Add a creator's post; `columns` are further ones of `posts`: url, platform, published_at, boost dates."""
        checks.period("boost_ends_at", columns.get("boost_starts_at"), columns.get("boost_ends_at"))
        return await self.add(
            Post(
                organization_id=campaign.organization_id,
                creator_id=creator.id,
                campaign_id=campaign.id,
                asset_slug=asset_slug,
                **columns,
            )
        )

    async def add_code(
        self,
        organization_id: str,
        code: str,
        creator_id: str,
        campaign_id: str | None = None,
        *,
        starts_at: int | None = None,
        ends_at: int | None = None,
    ) -> Code:
        """Add a code that names a creator in [starts_at, ends_at); raises Conflict when it names one then already."""
        new = Code(
            organization_id=organization_id,
            code=code,
            creator_id=creator_id,
            campaign_id=campaign_id,
            starts_at=starts_at,
            ends_at=ends_at,
        )
        await codes.check_free(self.session, new)
        return await self.add(new)

    async def end_code_at(self, code: Code, ends_at: int | None) -> None:
        """Let a code end at another time, None for never.

        What it named until now stays: raises Invalid for a time before this change, Conflict for a code that has ended
        or one that names somebody else then.
        """
        if code.ends_at is not None and code.ends_at <= self.at_ms:
            raise Conflict("The code has ended; add another period of it.", code_id=code.id)
        if ends_at is not None and ends_at < self.at_ms:
            raise Invalid("ends_at: must not lie in the past; orders until now keep their creator.", field="ends_at")
        with self.session.no_autoflush:
            code.ends_at = ends_at
            await codes.check_free(self.session, code)
        await self.session.flush()

    async def end_code(self, code: Code) -> None:
        """Let a code end now; one that hasn't begun is deleted, one that has ended stays as it is."""
        if code.starts_at is not None and code.starts_at >= self.at_ms:
            await self.delete(code)
        elif code.ends_at is None or code.ends_at > self.at_ms:
            await self.end_code_at(code, self.at_ms)

    async def add_policy(self, organization_id: str, effective_from: int, **columns: Any) -> Policy:
        """Add a policy; a column of `Policy.TERMS` that isn't given is as in the one that would be in force then.

        Raises Invalid for a beginning less than five minutes ahead, Conflict when another policy begins then.
        """
        await policies.check_begin(self.session, organization_id, effective_from, self.at_ms)
        before = await policies.policy_at(self.session, organization_id, effective_from)
        terms = {name: getattr(before, name) for name in Policy.TERMS} if before else {}
        version = await policies.take_version(self.session, organization_id)
        new = Policy(organization_id=organization_id, version=version, effective_from=effective_from)
        for name, value in (terms | columns).items():
            setattr(new, name, value)
        return await self.add(new)

    async def change_policy(self, policy: Policy, **columns: Any) -> None:
        """Change columns of a policy that isn't in force yet; raises as `add_policy`, and Conflict when it is."""
        policies.check_open(policy, self.at_ms)
        begins = columns.get("effective_from", policy.effective_from)
        if begins != policy.effective_from:
            await policies.check_begin(self.session, policy.organization_id, begins, self.at_ms, policy.id)
        for name, value in columns.items():
            setattr(policy, name, value)
        await self.session.flush()

    async def delete_policy(self, policy: Policy) -> None:
        """Delete a policy that isn't in force yet; raises Conflict when it is."""
        policies.check_open(policy, self.at_ms)
        await self.delete(policy)

    async def replace_own_customers(self, creator: Creator, hashes: Collection[str]) -> None:
        """Make these pseudonyms a creator's own customers from now on, and no others; the log tells how many."""
        owner = creator.organization_id
        added, retracted = await policies.replace_own_customers(self.session, owner, creator.id, hashes, self.at_ms)
        if added or retracted:
            entry = AuditEntry(
                organization_id=owner,
                at=self.at_ms,
                actor=self.actor,
                action="own_customers.changed",
                subject_type="creator",
                subject_id=creator.id,
                before={"count": len(set(hashes)) - added + retracted},
                after={"count": len(set(hashes)), "added": added, "retracted": retracted},
            )
            await self.add(entry)

    async def add_connection(
        self, organization_id: str, vendor: ConnectionVendor, account: str, *, client_id: str = ""
    ) -> Connection:
        """Add a connection, pending and without secrets; raises Conflict when the organization has this account."""
        is_shop = vendor is ConnectionVendor.shopify
        account = checks.shop_domain("account", account) if is_shop else checks.title("account", account)
        if not account:
            raise Invalid("account: must not be empty.", field="account")
        same = select(Connection.id).where(
            Connection.organization_id == organization_id,
            Connection.vendor == vendor.value,
            Connection.account == account,
        )
        if known := await self.session.scalar(same):
            raise Conflict(f"There is a connection to {account!r} already.", connection_id=known)
        return await self.add(
            Connection(organization_id=organization_id, vendor=vendor.value, account=account, client_id=client_id)
        )

    async def add_links(self, links: Sequence[Link]) -> None:
        """Add links, at most 5,000 in a transaction; raises Conflict when another link answers at a path of one.

        `taken` tells beforehand which would, for reports by line.
        """
        self.session.add_all(links)
        await self.session.flush()

    async def taken(self, links: Sequence[Link]) -> list[int]:
        """Return the positions of links, not yet added, whose path is answered already or by an earlier one of them."""
        return await paths.taken(self.session, links)

    async def earlier_answer(self, organization_id: str, key: str, request_hash: str) -> IdempotencyKey | None:
        """Return what was answered under this key, None for a new one; raises Conflict for another request's key."""
        found = await self.session.get(IdempotencyKey, (organization_id, key))
        if found and found.request_hash != request_hash:
            raise Conflict("This Idempotency-Key was used for a different request.")
        return found

    async def remember_answer(
        self, organization_id: str, key: str, request_hash: str, status: int, body: bytes
    ) -> None:
        """Keep an answer for repetitions of the request, for ever; secrets must be left out of `body`."""
        await self.add(
            IdempotencyKey(
                organization_id=organization_id, key=key, request_hash=request_hash, status=status, body=body
            )
        )


def new_key(kind: KeyKind) -> str:
    """Return the text of a fresh key, `sf_pub_…` or `sf_sec_…`: 43 characters of base62, 256 random bits."""
    return _KEY_PREFIXES[kind] + "".join(secrets.choice(_BASE62) for _ in range(_KEY_LENGTH))
