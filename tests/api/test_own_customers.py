"""Creators' own customers over HTTP: who they are goes in, how many they are comes out."""

from __future__ import annotations

from typing import Any

import pytest

from stackfluence.catalog import Catalog
from stackfluence.catalog.tables import Organization
from stackfluence.clock import parse_rfc3339
from stackfluence.collect.payloads import customer_hash, email_digest, email_hash
from stackfluence.facts.policies import NO_END, read_own_customers
from tests.api.brands import Brand, errors

EMAIL = "emma@creator.example"
SHOP = "brand.myshopify.com"


async def creator_of(brand: Brand, handle: str = "emma") -> str:
    return str((await brand.make("creators", handle=handle))["id"])


async def replaced(brand: Brand, creator_id: str, **body: Any) -> dict[str, Any]:
    response = await brand.put(f"/v1/creators/{creator_id}/own-customers", json=body)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    assert (await brand.get(f"/v1/creators/{creator_id}/own-customers")).json() == told
    return told


async def key_of(catalog: Catalog, brand: Brand) -> bytes:
    async with catalog.reading() as session:
        return (await session.get_one(Organization, brand.keys.organization_id)).customer_key


async def test_own_customers_are_kept_as_the_pseudonyms_that_events_carry(brand: Brand, catalog: Catalog) -> None:
    creator = await creator_of(brand)
    told = await replaced(
        brand,
        creator,
        emails=[f" {EMAIL.upper()} ", EMAIL],
        customers=[{"customer_id": "5021", "shop": SHOP}, {"customer_id": 5021, "shop": SHOP}, {"customer_id": 7}],
    )
    key = await key_of(catalog, brand)
    hashes = {email_hash(key, email_digest(EMAIL)), customer_hash(key, "5021", SHOP), customer_hash(key, "7")}
    (period,) = told["periods"]
    assert (told["creator_id"], told["count"], period["customers"], period["retracted_at"]) == (creator, 3, 3, None)
    from_ms = parse_rfc3339(period["created_at"])
    assert await read_own_customers(catalog, brand.keys.organization_id) == sorted(
        (creator, hashed, from_ms, NO_END) for hashed in hashes
    )


async def test_what_is_not_named_any_more_is_retracted_and_stays_dated(
    brand: Brand, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    creator = await creator_of(brand)
    days = [f"2026-11-2{number}T12:00:00.000Z" for number in range(4)]
    told: dict[str, Any] = {}
    for day, body in (
        (days[0], {"emails": [EMAIL], "customers": [{"customer_id": "1"}]}),
        (days[1], {"emails": [EMAIL]}),
        (days[2], {"emails": [EMAIL]}),
        (days[3], {"customers": [{"customer_id": "1"}]}),
    ):
        monkeypatch.setattr("stackfluence.catalog.connect.now_ms", lambda day=day: parse_rfc3339(day))
        told = await replaced(brand, creator, **body)
    assert told["count"] == 1
    assert [tuple(period.values()) for period in told["periods"]] == [
        (days[3], None, 1),
        (days[0], days[3], 1),
        (days[0], days[1], 1),
    ]
    assert (await replaced(brand, creator))["count"] == 0
    assert len(await read_own_customers(catalog, brand.keys.organization_id)) == 3


async def test_the_audit_log_and_answers_tell_counts_and_nobody(brand: Brand, catalog: Catalog) -> None:
    creator = await creator_of(brand)
    answer = await brand.put(
        f"/v1/creators/{creator}/own-customers", json={"emails": [EMAIL], "customers": [{"customer_id": "5021"}]}
    )
    log = await brand.get("/v1/audit-log", params={"subject_id": creator})
    entry = log.json()["items"][0]
    assert (entry["action"], entry["before"]) == ("own_customers.changed", {"count": 0})
    assert entry["after"] == {"count": 2, "added": 2, "retracted": 0}
    own = await read_own_customers(catalog, brand.keys.organization_id)
    known = [EMAIL, "5021", *(period.customer_hash for period in own)]
    texts = (answer.text, log.text, (await brand.get(f"/v1/creators/{creator}")).text)
    assert [word for word in known for text in texts if word in text] == []


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("emails.1", {"emails": [EMAIL, "emma"]}),
        ("emails.0", {"emails": ["x" * 320 + "@x"]}),
        ("emails", {"emails": EMAIL}),
        ("emails", {"emails": [f"emma{number}@creator.example" for number in range(201)]}),
        ("customers.0.customer_id", {"customers": [{"shop": SHOP}]}),
        ("customers.0.email", {"customers": [{"customer_id": "1", "email": EMAIL}]}),
        ("customers.0.shop", {"customers": [{"customer_id": "1", "shop": 7}]}),
        ("phone", {"phone": "1"}),
    ],
)
async def test_what_is_nobody_is_refused_by_the_name_of_its_field_and_changes_nothing(
    brand: Brand, field: str, body: dict[str, Any]
) -> None:
    creator = await creator_of(brand)
    before = await replaced(brand, creator, emails=[EMAIL])
    response = await brand.put(f"/v1/creators/{creator}/own-customers", json=body)
    assert response.status_code == 422
    assert errors(response).keys() == {field}
    assert EMAIL not in response.text
    assert (await brand.get(f"/v1/creators/{creator}/own-customers")).json() == before


async def test_an_id_that_is_no_text_and_no_number_is_refused(brand: Brand) -> None:
    creator = await creator_of(brand)
    for customer_id in ("", True, None, 1.5, ["1"]):
        body = {"customers": [{"customer_id": customer_id}]}
        response = await brand.put(f"/v1/creators/{creator}/own-customers", json=body)
        assert response.status_code == 422, customer_id
        assert all(field.startswith("customers.0.customer_id") for field in errors(response))


async def test_the_same_person_is_another_pseudonym_in_another_organization(
    brand: Brand, other: Brand, catalog: Catalog
) -> None:
    creators = [await creator_of(each) for each in (brand, other)]
    for each, creator in zip((brand, other), creators, strict=True):
        await replaced(each, creator, emails=[EMAIL])
    hashes = set()
    for each, creator in zip((brand, other), creators, strict=True):
        (period,) = await read_own_customers(catalog, each.keys.organization_id)
        assert period.creator_id == creator
        hashes.add(period.customer_hash)
    assert len(hashes) == 2
    for method in ("GET", "PUT"):
        theirs = await other.request(method, f"/v1/creators/{creators[0]}/own-customers", json={})
        assert theirs.status_code == 404
    assert (await brand.get(f"/v1/creators/{creators[0]}/own-customers")).json()["count"] == 1


async def test_one_person_may_be_the_own_customer_of_several_creators(brand: Brand, catalog: Catalog) -> None:
    for handle in ("emma", "noah"):
        await replaced(brand, await creator_of(brand, handle), emails=[EMAIL])
    own = await read_own_customers(catalog, brand.keys.organization_id)
    assert len({period.creator_id for period in own}) == 2
    assert len({period.customer_hash for period in own}) == 1
