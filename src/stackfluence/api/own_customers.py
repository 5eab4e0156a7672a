"""Creators' own customers: who buys as the creator, or for them, so that nobody earns by what they buy themselves.

Write-only: what is kept is the pseudonym that events carry, and nothing but counts and dates is ever told.
"""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field
from sqlalchemy import select

from stackfluence.api.access import Reading, Reads, Writes, Writing
from stackfluence.api.fields import Given, Text, Time, Told
from stackfluence.api.routes import BODY, MISSING, find, router
from stackfluence.catalog import tables
from stackfluence.catalog.policies import OwnCustomer
from stackfluence.collect.payloads import MAX_EMAIL, MAX_TEXT, customer_hash, email_digest, email_hash

MOST_CUSTOMERS = 200  # a household, an agency and its staff; not a way to disown an audience
MOST_PERIODS = 100  # that are told


def _address(text: str) -> str:
    """Refuse what the intake would refuse as an address: nothing could ever match it."""
    if "@" not in text:
        raise ValueError("must be an e-mail address")
    return text


Email = Annotated[Text, AfterValidator(_address), Field(max_length=MAX_EMAIL, examples=["emma@creator.example"])]
CustomerId = Annotated[Text, Field(min_length=1, max_length=MAX_TEXT)] | int


class GivenCustomer(Given):
    """A customer by the id that orders carry, with the shop that gave it, as orders name that; empty for none."""

    customer_id: CustomerId
    shop: Text = Field(default="", max_length=MAX_TEXT, examples=["brand.myshopify.com"])


class GivenOwnCustomers(Given):
    """All of a creator's own customers, from now on. Those that aren't named any more are retracted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "emails": ["emma@creator.example"],
                    "customers": [{"customer_id": "5021", "shop": "brand.myshopify.com"}],
                }
            ]
        }
    )

    emails: list[Email] = Field(default_factory=list, max_length=MOST_CUSTOMERS)
    customers: list[GivenCustomer] = Field(default_factory=list, max_length=MOST_CUSTOMERS)


class OwnCustomerPeriod(Told):
    """How many became a creator's own at one moment, and until when they are; null: they still are."""

    created_at: Time
    retracted_at: Time | None
    customers: int


class OwnCustomers(Told):
    """How many customers are a creator's own now, and how many were when; never who."""

    creator_id: str
    count: int
    periods: list[OwnCustomerPeriod] = Field(description="The last hundred, newest first.")


routes = router("creators")


@routes.get("/creators/{creator_id}/own-customers", responses=MISSING, summary="Count a creator's own customers")
async def count_own_customers(creator_id: str, reading: Reads) -> OwnCustomers:
    """Count the customers whose orders earn this creator nothing, by when they were named."""
    creator = await find(reading.session, tables.Creator, reading.organization_id, creator_id)
    return await _told(reading, creator)


@routes.put(
    "/creators/{creator_id}/own-customers", responses=MISSING | BODY, summary="Replace a creator's own customers"
)
async def replace_own_customers(creator_id: str, given: GivenOwnCustomers, writing: Writes) -> OwnCustomers:
    """Name all of a creator's own customers. It holds for orders from now on; earlier ones stay as they are."""
    creator = await find(writing.session, tables.Creator, writing.organization_id, creator_id)
    organization = await find(writing.session, tables.Organization, writing.organization_id, writing.organization_id)
    key = organization.customer_key
    hashes = {email_hash(key, email_digest(email)) for email in given.emails}
    hashes |= {customer_hash(key, customer.customer_id, customer.shop) for customer in given.customers}
    await writing.change.replace_own_customers(creator, hashes)
    return await _told(writing, creator)


async def _told(asked: Reading | Writing, creator: tables.Creator) -> OwnCustomers:
    wanted = select(OwnCustomer).where(
        OwnCustomer.organization_id == asked.organization_id, OwnCustomer.creator_id == creator.id
    )
    rows = list(await asked.session.scalars(wanted))
    dated = sorted(((row.created_at, row.retracted_at or 0, row.retracted_at) for row in rows), reverse=True)
    periods = [
        OwnCustomerPeriod(created_at=created_at, retracted_at=retracted_at, customers=len(list(same)))
        for (created_at, _, retracted_at), same in groupby(dated)
    ]
    return OwnCustomers(
        creator_id=creator.id, count=sum(row.retracted_at is None for row in rows), periods=periods[:MOST_PERIODS]
    )
