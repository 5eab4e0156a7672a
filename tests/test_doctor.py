"""`stackfluence doctor` says what must not be forgotten when secrets or lifetimes change."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from stackfluence.catalog import open_catalog
from stackfluence.doctor import Finding, examine
from stackfluence.migrate import migrate
from stackfluence.settings import Settings
from stackfluence.vault import HookVault
from stackfluence.vocabulary import ConnectionVendor

OLD, NEW = "Wn3xR8vQ1kZ6tM0yLb5CjF2hDs9PgKeU", "q9Zr4TvK2mXw7Lc0HsBn5JpYd8EfGuAx"


def finding(check: str, settings: Settings) -> Finding:
    return next(finding for finding in examine(settings) if finding.check == check)


def hook_secrets(directory: Path, click_id_secret: str) -> Finding:
    return finding("hook secrets", Settings(data_dir=str(directory), click_id_secret=click_id_secret))


async def connect(settings: Settings) -> None:
    await migrate(settings.catalog_url)
    catalog = open_catalog(settings.catalog_url)
    async with catalog.writing("cli") as change:
        brand = await change.add_organization("Brand", "EUR", "UTC")
        row = await change.add_connection(brand.organization_id, ConnectionVendor.stripe, "Main")
        row.hook_secrets = HookVault(settings.click_id_secrets).encrypt(["whsec_abcdefgh"], row.id)
    await catalog.close()


def test_hook_secrets_that_an_older_secret_encrypted_are_told_before_it_goes_and_after(tmp_path: Path) -> None:
    asyncio.run(connect(Settings(data_dir=str(tmp_path), click_id_secret=f"1:{OLD}")))
    fine = hook_secrets(tmp_path, f"1:{OLD}")
    assert (fine.is_well, fine.detail) == (True, "all 1 open")
    rotated = hook_secrets(tmp_path, f"2:{NEW},1:{OLD}")
    assert (rotated.is_well, rotated.detail) == (True, "1 of 1 are encrypted with an older secret")
    assert "Start a core" in rotated.advice
    lost = hook_secrets(tmp_path, f"2:{NEW}")
    assert (lost.is_well, lost.detail) == (False, "1 of 1 connections' secrets don't open")
    assert "SF_CLICK_ID_SECRET" in lost.advice


def test_click_ids_that_die_before_a_policy_stops_looking_are_told(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), click_id_secret=f"1:{OLD}")
    asyncio.run(connect(settings))
    fine = finding("policies", settings)
    assert (fine.is_well, fine.detail) == (True, "click IDs live for 30 days, no organization looks back further")
    short = finding("policies", replace(settings, click_id_ttl_days="7"))
    assert not short.is_well
    assert short.detail == "1 of 1 organizations look back up to 30 days, click IDs live for 7"
    assert "SF_CLICK_ID_TTL_DAYS to 30" in short.advice
