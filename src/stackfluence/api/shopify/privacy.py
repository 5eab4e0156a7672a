"""What people asked Shopify for, kept from the hook until it is done; `operations/privacy.py` does it.

Source: Shopify, "Privacy law compliance": customers/data_request, customers/redact and shop/redact.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from stackfluence.catalog import Catalog, PrivacyRequest
from stackfluence.catalog.sources import Connection
from stackfluence.names import new_id
from stackfluence.settings import Settings
from stackfluence.vault import decrypt, derive_key, encrypt
from stackfluence.vocabulary import PrivacyKind

PERSON_DAYS = 60  # who asked is kept so long at the most; the law gives a shop 30 days to answer
MAX_ORDERS = 10_000


class Person(msgspec.Struct):
    """Whom a request is about. Numbers are text: a shop's go beyond 2**53."""

    customer_id: str = ""
    email: str = ""
    orders: list[str] = []
    request_id: str = ""


def read_person(body: dict[str, Any]) -> Person:
    """Return whom a privacy topic's body names; what is missing or no text or number is left out."""
    customer = body.get("customer")
    customer = customer if isinstance(customer, dict) else {}
    request = body.get("data_request")
    orders = body.get("orders_requested", body.get("orders_to_redact"))
    return Person(
        _text(customer.get("id")),
        _text(customer.get("email")),
        [text for order in (orders if isinstance(orders, list) else [])[:MAX_ORDERS] if (text := _text(order))],
        _text(request.get("id")) if isinstance(request, dict) else "",
    )


def _text(value: object) -> str:
    return str(value) if type(value) in (int, str) else ""


async def keep_request(
    catalog: Catalog, settings: Settings, row: Connection, kind: PrivacyKind, person: Person, at_ms: int
) -> str:
    """Keep a request and return its id. One that was done is done again: there may be something new by now."""
    # keyed, because it stays when the person is forgotten: an address could be tried against a plain hash
    key = hmac.digest(_key(settings), msgspec.json.encode([kind, person]), hashlib.sha256).hex()
    async with catalog.transaction() as connection:
        # one at a time for each connection; SQLite's transaction began immediate
        await connection.execute(select(Connection.id).where(Connection.id == row.id).with_for_update())
        wanted = (PrivacyRequest.connection_id == row.id, PrivacyRequest.request_key == key)
        found = (await connection.execute(select(PrivacyRequest.id).where(*wanted))).scalar()
        identifier = found or new_id("pvr_")
        values = {
            "person": encrypt(_key(settings), msgspec.json.encode(person), _place(identifier)),
            "received_at": at_ms,
            "done_at": None,
        }
        if found:
            await connection.execute(update(PrivacyRequest).where(PrivacyRequest.id == found).values(**values))
        else:
            await connection.execute(
                insert(PrivacyRequest).values(
                    id=identifier,
                    organization_id=row.organization_id,
                    connection_id=row.id,
                    kind=kind.value,
                    request_key=key,
                    **values,
                )
            )
    return identifier


def whom(settings: Settings, request: PrivacyRequest) -> Person | None:
    """Return whom a request is about, None when that was forgotten; raises Undecryptable."""
    if not request.person:
        return None
    return msgspec.json.decode(decrypt(_key(settings), request.person, _place(request.id)), type=Person)


def _key(settings: Settings) -> bytes:
    return derive_key(settings.master_key.encode(), b"privacy requests")


def _place(identifier: str) -> str:
    return f"privacy_requests/{identifier}/person"
