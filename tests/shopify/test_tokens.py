"""An access token is renewed in time, by one at a time, and a shop is not lost to an answer that was."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from stackfluence.api.shopify.admin import ShopAway, ShopRefused
from stackfluence.api.shopify.keeping import EARLY_MS, LEASE_MS
from stackfluence.clock import now_ms
from stackfluence.errors import Conflict
from tests.shopify.conftest import Connected, on_both_databases
from tests.shopify.fake import ACCOUNT

HOUR_MS = 3_600_000
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def installed(connected: Connected) -> Connected:
    await connected.install()
    return connected


def later(connected: Connected, ms: int) -> None:
    connected.shops.now = lambda: now_ms() + ms


async def test_a_token_serves_until_shortly_before_its_end(installed: Connected) -> None:
    first = await installed.shops.access_token(installed.connection_id)
    later(installed, HOUR_MS - EARLY_MS - 60_000)
    assert await installed.shops.access_token(installed.connection_id) == first
    later(installed, HOUR_MS - EARLY_MS + 1000)
    second = await installed.shops.access_token(installed.connection_id)
    assert second != first
    assert installed.shopify.refreshes == 1
    assert set(installed.shopify.shops[ACCOUNT].access) == {second}
    kept = (await installed.shops.find(installed.connection_id)).tokens
    assert kept
    assert (kept.access_token, kept.refresh_token) == (second, installed.shopify.shops[ACCOUNT].refresh)


@on_both_databases
async def test_many_who_need_it_at_once_renew_it_once(installed: Connected) -> None:
    later(installed, HOUR_MS)
    installed.shopify.delay = 0.2
    found = await asyncio.gather(*(installed.shops.access_token(installed.connection_id) for _ in range(12)))
    assert len(set(found)) == 1
    assert installed.shopify.refreshes == 1


@on_both_databases
async def test_processes_renew_it_once_between_them(installed: Connected, catalog_url: str, tmp_path: Path) -> None:
    later(installed, HOUR_MS)
    async with installed.shops.editing(installed.connection_id) as kept:
        assert kept.tokens
        kept.credentials |= {"tokens": kept.credentials["tokens"] | {"access_expires_at": now_ms()}}
    installed.shopify.delay = 0.3
    command = [sys.executable, "-m", "tests.shopify.renew", catalog_url, str(tmp_path), installed.shopify.address]
    processes = [
        await asyncio.create_subprocess_exec(
            *command, installed.connection_id, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    outputs = [await process.communicate() for process in processes]
    assert [error.decode() for _, error in outputs] == [""] * 2
    tokens = {token for output, _ in outputs for token in output.decode().split()}
    assert len(tokens) == 1
    assert installed.shopify.refreshes == 1


async def test_an_answer_that_was_lost_costs_nothing(installed: Connected) -> None:
    later(installed, HOUR_MS)
    installed.shopify.trouble = [520]
    with pytest.raises(ShopAway, match="HTTP 520"):
        await installed.shops.access_token(installed.connection_id)
    kept = (await installed.shops.find(installed.connection_id)).tokens
    assert kept
    assert kept.refresh_token == installed.shopify.shops[ACCOUNT].refresh_before, "Shopify has gone on, we have not"
    token = await installed.shops.access_token(installed.connection_id)
    assert token in installed.shopify.shops[ACCOUNT].access


async def test_a_token_that_shopify_does_not_take_is_renewed_and_asked_with_again(installed: Connected) -> None:
    installed.shopify.shops[ACCOUNT].access = {}
    answer = await installed.brand.post(f"{installed.path}/setup")
    assert answer.status_code == 200, answer.text
    assert installed.shopify.refreshes == 1


async def test_a_shop_that_shut_us_out_is_told_so(installed: Connected) -> None:
    installed.shopify.shops[ACCOUNT].uninstall()
    answer = await installed.brand.post(f"{installed.path}/setup")
    assert (answer.status_code, answer.json()["type"]) == (502, "/problems/vendor-failed")
    assert "install the app again" in answer.json()["detail"]
    assert answer.json()["vendor_status"] == 400


async def test_nobody_waits_for_a_process_that_died_renewing(installed: Connected) -> None:
    later(installed, HOUR_MS)
    async with installed.shops.editing(installed.connection_id) as kept:
        lease = {"holder": "a process that died", "until": installed.shops.now() + LEASE_MS}
        kept.credentials = kept.credentials | {"lease": lease}
    later(installed, HOUR_MS + LEASE_MS + 1000)
    assert await installed.shops.access_token(installed.connection_id)
    assert installed.shopify.refreshes == 1


async def test_who_waits_too_long_for_anothers_renewal_is_told(
    installed: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackfluence.api.shopify.keeping.PATIENCE_SECONDS", 0.2)
    later(installed, HOUR_MS)
    async with installed.shops.editing(installed.connection_id) as kept:
        lease = {"holder": "another", "until": installed.shops.now() + 10 * LEASE_MS}
        kept.credentials = kept.credentials | {"lease": lease}
    with pytest.raises(ShopAway, match="takes long"):
        await installed.shops.access_token(installed.connection_id)
    assert installed.shopify.refreshes == 0


@on_both_databases
async def test_a_new_install_during_a_renewal_wins(installed: Connected) -> None:
    later(installed, HOUR_MS)
    gate = installed.shopify.gates["refresh_token"] = asyncio.Event()
    renewing = asyncio.create_task(installed.shops.access_token(installed.connection_id))
    deadline = time.monotonic() + 10
    while not (await installed.shops.find(installed.connection_id)).credentials.get("lease"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    kept = await installed.shops.find(installed.connection_id)
    tokens = await installed.shops.shop(ACCOUNT).exchange_code(kept.app, _code(installed), installed.shops.now())
    await installed.shops.keep_tokens(installed.connection_id, tokens, "test")
    gate.set()
    assert await renewing == tokens.access_token
    assert (await installed.shops.find(installed.connection_id)).tokens == tokens


def _code(connected: Connected) -> str:
    connected.shopify.shops[ACCOUNT].codes.add("a code")
    return "a code"


async def test_a_refresh_token_that_is_too_old_is_not_even_sent(installed: Connected) -> None:
    later(installed, 91 * 24 * HOUR_MS)
    with pytest.raises(ShopRefused, match="install the app again"):
        await installed.shops.access_token(installed.connection_id)
    assert installed.shopify.refreshes == 0


async def test_without_an_install_there_is_no_token(connected: Connected) -> None:
    with pytest.raises(Conflict, match="not installed"):
        await connected.shops.access_token(connected.connection_id)
    assert (await connected.brand.post(f"{connected.path}/setup")).status_code == 409


@pytest.mark.parametrize("account", ["evil.example", "brand.myshopify.com.evil.example", "-a.myshopify.com", "a/b", ""])
async def test_nothing_is_sent_to_what_is_no_shop(connected: Connected, account: str) -> None:
    with pytest.raises(ValueError, match="no shop's domain"):
        connected.shops.shop(account)
