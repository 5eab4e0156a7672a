"""Carries out what people asked Shopify for: tells what there is of them, or erases it; and keeps shops' tokens alive.

An erasure that can't be done now, because the event store is away for one, is done in a later round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import partial

from sqlalchemy import select, update

from stackfluence.api.shopify.keeping import Shops
from stackfluence.api.shopify.privacy import PERSON_DAYS, Person, whom
from stackfluence.catalog import PrivacyRequest
from stackfluence.catalog.books import AuditEntry
from stackfluence.catalog.sources import Connection
from stackfluence.catalog.tables import Organization
from stackfluence.clock import now_ms
from stackfluence.collect.payloads import customer_hash, email_digest, email_hash
from stackfluence.errors import StackfluenceError
from stackfluence.events import erase as erasing
from stackfluence.events.erase import PersonKind
from stackfluence.operations.erase import BOOK, note
from stackfluence.operations.site import Site, finished
from stackfluence.vocabulary import ConnectionStatus, ConnectionVendor, PrivacyKind

log = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
REQUESTS_A_ROUND = 100
# Shopify's refresh tokens end after 90 days without any use; renewed weekly, three months of being away are no loss
IDLE_MS = 7 * 86_400_000
RENEWALS_A_ROUND = 20
DAY_MS = 86_400_000


class ShopUpkeep:
    """What is done for shops beside a running core."""

    def __init__(self, site: Site, shops: Shops) -> None:
        self._site = site
        self._shops = shops
        self._tried: dict[str, int] = {}  # connection → when its tokens' renewal failed; once a day is enough

    async def run(self) -> None:
        """Work in rounds until cancelled; one that fails is logged, and what it left comes again."""
        while True:
            try:
                await carry_out(self._site)
                await self.renew()
            except Exception as error:  # the store's, or whatever the catalog's driver raises
                log.error("shop_upkeep_failed", extra={"error": repr(error)})
            await asyncio.sleep(ROUND_SECONDS)

    async def renew(self) -> int:
        """Renew tokens that nobody needed for a week; returns how many."""
        wanted = select(Connection.id).where(
            Connection.vendor == ConnectionVendor.shopify.value, Connection.status == ConnectionStatus.active.value
        )
        async with self._site.catalog.reading() as session:
            identifiers = (await session.scalars(wanted)).all()
        done = 0
        for identifier in identifiers:
            now = self._shops.now()
            if done >= RENEWALS_A_ROUND or now - self._tried.get(identifier, 0) < DAY_MS:
                continue
            try:
                tokens = (await self._shops.find(identifier)).tokens
                ends_at = tokens.access_expires_at if tokens else None
                if ends_at is None or now - ends_at < IDLE_MS:
                    continue
                await self._shops.access_token(identifier)
                done += 1
            except StackfluenceError as error:
                self._tried[identifier] = now
                log.warning("shop_token_not_renewed", extra={"connection_id": identifier, "error": str(error)})
        return done


async def carry_out(site: Site) -> int:
    """Carry out what was asked and isn't done, the oldest first; returns how many. Forgets who asked long ago."""
    await _forget(site)
    if site.opened is None:
        return 0
    wanted = select(PrivacyRequest).where(PrivacyRequest.done_at.is_(None)).order_by(PrivacyRequest.received_at)
    async with site.catalog.reading() as session:
        requests = (await session.scalars(wanted.limit(REQUESTS_A_ROUND))).all()
    done = 0
    for request in requests:
        try:
            await _carry_out(site, request)
            done += 1
        except (StackfluenceError, OSError) as error:  # whatever one fails by, those behind it are done
            log.error("privacy_request_failed", extra={"request_id": request.id, "error": repr(error)})
    return done


async def _carry_out(site: Site, request: PrivacyRequest) -> None:
    async with site.catalog.reading() as session:
        connection = await session.get_one(Connection, request.connection_id)
        organization = await session.get_one(Organization, request.organization_id)
    person = whom(site.settings, request) or Person()
    is_erasure = request.kind != PrivacyKind.data_request
    keys = list(_keys(PrivacyKind(request.kind), person, connection.account, organization.customer_key))
    found = set[str]()  # most events are found in more than one way
    async with site.turn:
        for kind, value in keys:
            found |= await finished(partial(_touch, site, request, kind, value, is_erasure))
    events = len(found)
    async with site.catalog.writing("shopify") as change:
        await change.add(
            AuditEntry(
                organization_id=request.organization_id,
                at=change.at_ms,
                actor=change.actor,
                action="person.erased" if is_erasure else "person.data_requested",
                subject_type="connection",
                subject_id=connection.id,  # the person's own id would be what was to be erased
                before=None,
                after={"kind": request.kind, "request_id": request.id, "events": events},
            )
        )
        values = {"done_at": change.at_ms, "events": events} | ({"person": b""} if is_erasure else {})
        await change.session.execute(
            # one that came again meanwhile stays open
            update(PrivacyRequest)
            .where(PrivacyRequest.id == request.id, PrivacyRequest.received_at == request.received_at)
            .values(**values)
        )
        if request.kind == PrivacyKind.shop_redact:
            row = await change.session.get_one(Connection, connection.id)
            if row.status == ConnectionStatus.disconnected:  # 48 hours later somebody may have installed the app again
                row.hook_secrets, row.credentials = b"", b""


def _keys(kind: PrivacyKind, person: Person, account: str, customer_key: bytes) -> Iterator[tuple[PersonKind, str]]:
    """Yield by what a person's events are found."""
    if kind is PrivacyKind.shop_redact:
        yield PersonKind.shop, account
        return
    if person.customer_id:
        yield PersonKind.customer_hash, customer_hash(customer_key, person.customer_id, account)
        yield PersonKind.customer_hash, customer_hash(customer_key, person.customer_id)  # told by who names no shop
    if person.email:
        yield PersonKind.email_hash, email_hash(customer_key, email_digest(person.email))
    for order_id in person.orders:
        yield PersonKind.order_id, order_id


def _touch(site: Site, request: PrivacyRequest, kind: PersonKind, value: str, is_erasure: bool) -> frozenset[str]:
    """Erase, or only find, and return the ids of the events."""
    if not is_erasure:
        return erasing.find_person(site.store, site.journals, request.organization_id, kind, value).event_ids
    note(site.settings.data_path / BOOK, request.organization_id, kind, value, now_ms())
    return erasing.erase_person(site.store, site.journals, request.organization_id, kind, value).event_ids


async def _forget(site: Site) -> None:
    """Forget who a done request was about, after 60 days."""
    async with site.catalog.transaction() as connection:
        await connection.execute(
            update(PrivacyRequest)
            .where(PrivacyRequest.done_at < now_ms() - PERSON_DAYS * DAY_MS, PrivacyRequest.person != b"")
            .values(person=b"")
        )
