"""Erase a person: what an organization asks for by its customer's id or e-mail address, a click ID or a session.

The catalog's audit log says that it was done, never whom. `erasures.jsonl` in the data directory, mode 0600, says whom:
a backup older than an erasure is restored together with it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from stackfluence.catalog.books import AuditEntry
from stackfluence.catalog.policies import forget_own_customer
from stackfluence.catalog.tables import Organization
from stackfluence.click import click_id
from stackfluence.clock import now_ms, rfc3339
from stackfluence.collect.payloads import customer_hash, email_digest, email_hash
from stackfluence.errors import OperationRefused
from stackfluence.events import erase as erasing
from stackfluence.events.erase import PersonKind
from stackfluence.operations.site import Arguments, Site, Tell

BOOK = "erasures.jsonl"


async def find_person(site: Site, arguments: Arguments, _tell: Tell) -> dict[str, Any]:
    """Return how many events, stored personal rows and lines on the disk an erasure would touch; changes nothing."""
    organization_id, kind, value = await _person(site, arguments)
    found = await asyncio.to_thread(erasing.find_person, site.store, site.journals, organization_id, kind, value)
    return {"events": found.events, "rows": found.rows, "on_disk": found.on_disk}


async def erase(site: Site, arguments: Arguments, _tell: Tell) -> dict[str, Any]:
    """Erase a person and note it; again is harmless. Raises OperationRefused for an unknown organization."""
    organization_id, kind, value = await _person(site, arguments)
    # first: what was asked for must hold
    note(site.settings.data_path / BOOK, organization_id, kind, [value], now_ms())
    done = await asyncio.to_thread(erasing.erase_person, site.store, site.journals, organization_id, kind, value)
    await forget(site, organization_id, kind, value)
    counts = {"events": done.events, "rows": done.rows, "lines": done.lines}
    async with site.catalog.writing("cli") as change:
        entry = AuditEntry(
            organization_id=organization_id,
            at=change.at_ms,
            actor=change.actor,
            action="person.erased",
            subject_type="person",
            subject_id=kind.value,  # the person's own id would be what was to be erased
            before=None,
            after=counts,
        )
        await change.add(entry)
    return {**counts, "erased_at": rfc3339(done.erased_ms)}


async def forget(site: Site, organization_id: str, kind: PersonKind, value: str) -> None:
    """Erase a person from creators' own customers; again is harmless."""
    if kind in (PersonKind.customer_hash, PersonKind.email_hash):
        async with site.catalog.transaction() as connection:
            await forget_own_customer(connection, organization_id, value)


async def _person(site: Site, arguments: Arguments) -> tuple[str, PersonKind, str]:
    """Return organization, kind and value as the events have them."""
    organization_id = str(arguments["organization_id"])
    async with site.catalog.reading() as session:
        organization = await session.get(Organization, organization_id)
    if organization is None:
        raise OperationRefused(f"There is no organization {organization_id!r}.")
    if customer_id := arguments.get("customer_id"):
        hashed = customer_hash(organization.customer_key, customer_id, str(arguments.get("shop") or ""))
        return organization_id, PersonKind.customer_hash, hashed
    if email := arguments.get("email"):
        return organization_id, PersonKind.email_hash, email_hash(organization.customer_key, email_digest(email))
    if text := arguments.get("click_id"):
        return organization_id, PersonKind.click_id, _click_uuid(text)
    if session_id := arguments.get("session_id"):
        return organization_id, PersonKind.session_id, session_id
    raise OperationRefused("Say whom: --customer-id, --email, --click-id or --session-id.")


def _click_uuid(text: str) -> str:
    """Return the click's UUID, given as such or inside a signed click ID."""
    raw = click_id.decode(text)
    if raw is not None:
        return click_id.read(raw).event_id
    try:
        return str(UUID(text))
    except ValueError:
        raise OperationRefused(f"{text!r} is neither a click ID nor a UUID.") from None


def note(book: Path, organization_id: str, kind: PersonKind, values: Sequence[str], erased_ms: int) -> None:
    """Append erasures to the book, on disk when this returns."""
    named = {"organization_id": organization_id, "kind": kind.value}
    lines = [json.dumps(named | {"value": value, "erased_at": rfc3339(erased_ms)}) + "\n" for value in values]
    descriptor = os.open(book, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, "".join(lines).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def noted(book: Path) -> Iterator[tuple[str, PersonKind, str]]:
    """Yield the erasures of a book: organization, kind, value. Raises OperationRefused for a line that is none."""
    for line in book.read_text().splitlines():
        try:
            entry = json.loads(line)
            yield entry["organization_id"], PersonKind(entry["kind"]), entry["value"]
        except (ValueError, KeyError, TypeError):
            raise OperationRefused(f"{book} has a line that names no erasure.") from None
