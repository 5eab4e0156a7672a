"""A creator's own customer who is erased is erased from that list too, also when an older backup is restored."""

from __future__ import annotations

import asyncio
from pathlib import Path

from stackfluence.catalog import open_catalog
from stackfluence.catalog.tables import Creator, Organization
from stackfluence.collect.payloads import customer_hash, email_digest, email_hash
from stackfluence.facts.policies import read_own_customers
from stackfluence.settings import Settings
from tests.operations.installations import result

EMAIL = "emma@creator.example"


def address(home: Path) -> str:
    return Settings(data_dir=str(home)).catalog_url


async def name_own_customers(home: Path, organization_id: str) -> list[str]:
    """Name emma's own address and two of her ids, and return their pseudonyms."""
    catalog = open_catalog(address(home))
    async with catalog.writing("cli") as change:
        key = (await change.session.get_one(Organization, organization_id)).customer_key
        emma: Creator = await change.add_creator(organization_id, "emma")
        hashes = [email_hash(key, email_digest(EMAIL)), customer_hash(key, "7", "shop"), customer_hash(key, "7")]
        await change.replace_own_customers(emma, hashes)
    await catalog.close()
    return hashes


async def own_customers(home: Path, organization_id: str) -> set[str]:
    catalog = open_catalog(address(home))
    found = await read_own_customers(catalog, organization_id)
    await catalog.close()
    return {period.customer_hash for period in found}


def test_who_is_erased_is_nobodys_own_customer_and_a_restored_backup_does_not_bring_them_back(tmp_path: Path) -> None:
    home, copy, elsewhere = tmp_path / "home", tmp_path / "copy", tmp_path / "elsewhere"
    organization_id = result(home, "init", "--org", "Brand")["organization_id"]
    _, in_shop, by_id = asyncio.run(name_own_customers(home, organization_id))
    result(home, "backup", str(copy))
    erase = ("erase", "--organization", organization_id, "--yes")
    result(home, *erase, "--email", EMAIL)
    assert asyncio.run(own_customers(home, organization_id)) == {in_shop, by_id}
    result(home, *erase, "--customer-id", "7", "--shop", "shop")
    assert asyncio.run(own_customers(home, organization_id)) == {by_id}
    result(elsewhere, "restore", str(copy), "--erasures", str(home / "erasures.jsonl"))
    assert asyncio.run(own_customers(elsewhere, organization_id)) == {by_id}
