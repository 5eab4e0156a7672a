"""Carries out what people asked Shopify for: tells what there is of them, or erases it; and keeps shops' tokens alive.

An erasure that can't be done now, because the event store is away for one, is done in a later round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select, update

from stackfluence.api.shopify.keeping import Shops
from stackfluence.api.shopify.overlap import end_overlap, is_over
from stackfluence.api.shopify.privacy import PERSON_DAYS, Person, whom
from stackfluence.catalog import PrivacyRequest
from stackfluence.catalog.books import AuditEntry
from stackfluence.catalog.sources import Connection
from stackfluence.catalog.tables import Organization
from stackfluence.clock import now_ms
from stackfluence.collect.payloads import customer_hash, email_digest, email_hash
from stackfluence.errors import StackfluenceError, StoreError
from stackfluence.events import erase as erasing
from stackfluence.events.erase import PersonKind
from stackfluence.operations.erase import BOOK, forget, note
from stackfluence.operations.site import Site, finished
from stackfluence.vault import HookVault
from stackfluence.vocabulary import ConnectionStatus, ConnectionVendor, PrivacyKind

log = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
REQUESTS_A_ROUND = 100
ORDERS_A_PIECE = 500  # found by one look through the store; loads wait for it, some seconds at the most
PAUSE_SECONDS = 0.05
FIRST_WAIT_MS, LONGEST_WAIT_MS = 60_000, 3_600_000
# Shopify's refresh tokens end after 90 days without any use; renewed weekly, three months of being away are no loss
IDLE_MS = 7 * 86_400_000
RENEWALS_A_ROUND = 20
DAY_MS = 86_400_000


class ShopUpkeep:
    """What is done for shops beside a running core."""

    def __init__(self, site: Site, shops: Shops) -> None:
        self._site = site
        self._shops = shops
        self._failed: dict[str, Attempt] = {}  # privacy request → its last attempt
        self._tried: dict[str, int] = {}  # connection → when its tokens' renewal failed; once a day is enough

    async def run(self) -> None:
        """Work in rounds until cancelled; one that fails is logged, and what it left comes again."""
        while True:
            try:
                await carry_out(self._site, self._failed)
                await self.renew()
                await self.end_overlaps()
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

    async def end_overlaps(self) -> int:
        """Take client secrets from edges that were replaced and whose time is over; returns of how many shops."""
        wanted = select(Connection).where(Connection.vendor == ConnectionVendor.shopify.value)
        async with self._site.catalog.reading() as session:
            over = [row.id for row in await session.scalars(wanted) if is_over(row, self._shops.now())]
        vault, done = HookVault(self._site.settings.click_id_secrets), 0
        for identifier in over:
            try:
                async with self._shops.editing(identifier) as kept:
                    if is_over(kept.row, self._shops.now()):
                        end_overlap(kept.row, vault)
                done += 1
            except StackfluenceError as error:  # encrypted with a key that is lost: at edges, too, they don't open
                log.error("overlap_not_ended", extra={"connection_id": identifier, "error": str(error)})
        return done


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request's last attempt, which failed."""

    at_ms: int
    failures: int

    @property
    def due_ms(self) -> int:
        """When it is tried again: after a minute, twice as long each time, at most an hour."""
        return self.at_ms + min(FIRST_WAIT_MS << min(self.failures - 1, 10), LONGEST_WAIT_MS)


async def carry_out(site: Site, failed: dict[str, Attempt] | None = None, now: Callable[[], int] = now_ms) -> int:
    """Carry out what was asked and isn't done; returns how many. Forgets who asked long ago.

    What was never tried goes first, the oldest before the others, then what was tried longest ago: `failed` remembers
    that from round to round, so that requests which always fail keep no other waiting.
    """
    failed = {} if failed is None else failed
    await _forget(site)
    if site.opened is None:
        return 0
    wanted = select(PrivacyRequest.id).where(PrivacyRequest.done_at.is_(None)).order_by(PrivacyRequest.received_at)
    async with site.catalog.reading() as session:
        waiting = (await session.scalars(wanted)).all()
    for identifier in failed.keys() - set(waiting):
        del failed[identifier]
    due = [each for each in waiting if each not in failed or failed[each].due_ms <= now()]
    due.sort(key=lambda each: failed[each].at_ms if each in failed else 0)
    done = 0
    for identifier in due[:REQUESTS_A_ROUND]:
        try:
            await _carry_out(site, identifier)
        except Exception as error:  # whatever one fails by, those behind it are done
            log.error("privacy_request_failed", extra={"request_id": identifier, "error": repr(error)})
            if isinstance(error, StoreError) and getattr(error, "code", None) is None:
                break  # nobody could be asked: it is no request's fault, and all are tried as soon as the store is back
            before = failed.get(identifier)
            failed[identifier] = Attempt(now(), before.failures + 1 if before else 1)
        else:
            done += 1
    return done


async def _carry_out(site: Site, identifier: str) -> None:
    async with site.catalog.reading() as session:
        request = await session.get_one(PrivacyRequest, identifier)
        connection = await session.get_one(Connection, request.connection_id)
        organization = await session.get_one(Organization, request.organization_id)
    person = whom(site.settings, request) or Person()
    is_erasure = request.kind != PrivacyKind.data_request
    found = set[str]()  # most events are found in more than one way
    for kind, names in _keys(PrivacyKind(request.kind), person, connection.account, organization.customer_key):
        async with site.turn:  # a turn for each piece: other commands and loads get theirs in between
            found |= await finished(partial(_touch, site, request, kind, names, is_erasure))
            if is_erasure:
                for name in names:
                    await forget(site, request.organization_id, kind, name)
        await asyncio.sleep(PAUSE_SECONDS)
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


def _keys(
    kind: PrivacyKind, person: Person, account: str, customer_key: bytes
) -> Iterator[tuple[PersonKind, list[str]]]:
    """Yield by what a person's events are found, in pieces."""
    if kind is PrivacyKind.shop_redact:
        yield PersonKind.shop, [account]
        return
    shops = (account, "")  # an order's server may have told of it without naming the shop
    if person.customer_id:
        for shop in shops:
            yield PersonKind.customer_hash, [customer_hash(customer_key, person.customer_id, shop)]
    if person.email:
        yield PersonKind.email_hash, [email_hash(customer_key, email_digest(person.email))]
    for start in range(0, len(person.orders), ORDERS_A_PIECE):
        some = person.orders[start : start + ORDERS_A_PIECE]
        yield PersonKind.order_id, [f"{shop}/{order_id}" for order_id in some for shop in shops]


def _touch(
    site: Site, request: PrivacyRequest, kind: PersonKind, values: list[str], is_erasure: bool
) -> frozenset[str]:
    """Erase, or only find, and return the ids of the events."""
    if not is_erasure:
        return erasing.find_person(site.store, site.journals, request.organization_id, kind, *values).event_ids
    note(site.settings.data_path / BOOK, request.organization_id, kind, values, now_ms())
    return erasing.erase_person(site.store, site.journals, request.organization_id, kind, *values).event_ids


async def _forget(site: Site) -> None:
    """Forget who a done request was about, after 60 days."""
    async with site.catalog.transaction() as connection:
        await connection.execute(
            update(PrivacyRequest)
            .where(PrivacyRequest.done_at < now_ms() - PERSON_DAYS * DAY_MS, PrivacyRequest.person != b"")
            .values(person=b"")
        )
