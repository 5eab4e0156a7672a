"""A core process: API, salts, and the stores it owns, put together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI

from stackfluence.api import Core, create_api
from stackfluence.catalog import Catalog, CatalogNumbers, ensure_salts, open_catalog, renew_hook_secrets
from stackfluence.catalog.policies import longest_windows
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.clock import now_ms
from stackfluence.events.journal import lock
from stackfluence.events.load import Loader
from stackfluence.events.store import Store
from stackfluence.names import new_id
from stackfluence.operations.derivations import Derivations
from stackfluence.operations.operator_api import create_operator_api, listen_for_operators
from stackfluence.operations.privacy import ShopUpkeep
from stackfluence.operations.site import Site, open_store
from stackfluence.operations.watch import watch
from stackfluence.processes import DRAIN_SECONDS, core_socket, refuse_unfinished, until_told
from stackfluence.settings import Settings
from stackfluence.vault import HookVault

log = logging.getLogger(__name__)

SALT_SECONDS = 600.0
FIRST_PAUSE_SECONDS = 0.5  # until an event store that could not be opened is tried again; doubled up to the last
LAST_PAUSE_SECONDS = 15.0


async def run_core(settings: Settings, lifeline: int | None, admin_port: int | None) -> None:
    """Serve the API on the core's Unix socket, load segments, keep house, until told to stop.

    `/metrics` and `/readyz` are on operator.sock and, when given, on a loopback port. Raises JournalLocked when a core
    of this data directory runs already.
    """
    refuse_unfinished(settings)
    held = lock(settings.data_path / "core.lock", create=True)
    catalog = open_catalog(settings.catalog_url)
    await renew_hook_secrets(catalog, HookVault(settings.click_id_secrets))
    await _compare_windows(catalog, settings)
    core = Core(settings, catalog, ClickIdKeys(settings.click_id_secrets, settings.click_id_ttl_hours))
    site = Site(settings, catalog, None)
    is_open = await _open_events(core, site)
    upkeep = [
        asyncio.create_task(_keep_salts(catalog)),
        asyncio.create_task(_load(core, site, is_open)),
        asyncio.create_task(Derivations(site).run()),
    ]
    core_socket(settings).unlink(missing_ok=True)
    api = create_api(core)
    site.rates = api.state.rates
    upkeep.append(asyncio.create_task(ShopUpkeep(site, api.state.shops).run()))
    # the socket is the edges' alone, so what they say of the visitor's address and scheme is believed
    public = _server(api, uds=str(core_socket(settings)), proxy_headers=True, forwarded_allow_ips="*")
    commands = _server(create_operator_api(site), lifespan="off")
    servers = [public, commands]
    serving = [public.serve(), commands.serve([listen_for_operators(settings)])]
    if admin_port is not None:
        watching = FastAPI(openapi_url=None)
        watch(watching, site)
        servers.append(_server(watching, lifespan="off", host="127.0.0.1", port=admin_port))
        serving.append(servers[-1].serve())
    served = asyncio.gather(*serving)
    gc.freeze()  # what a start made stays, and isn't looked through at every collection
    gc.set_threshold(50_000, 20, 50)
    await until_told(lifeline)
    api.state.closing.set()  # open streams end, and their clients come back with their cursors
    for server in servers:
        server.should_exit = True
    await served
    for task in upkeep:
        task.cancel()
    for outcome in await asyncio.gather(*upkeep, return_exceptions=True):
        if isinstance(outcome, Exception):
            log.error("upkeep_failed", extra={"error": repr(outcome)})
    await asyncio.to_thread(_close_events, site)
    await api.state.rates.close()
    await api.state.shops.close()
    await catalog.close()
    os.close(held)


async def _compare_windows(catalog: Catalog, settings: Settings) -> None:
    """Warn when policies look back further than click IDs live; `doctor` says what to do."""
    async with catalog.reading() as session:
        longest = max((await longest_windows(session, now_ms())).values(), default=0)
    if longest > settings.click_id_ttl_hours // 24:
        log.warning("attribution_window_exceeds_click_ids", extra={"window_days": longest})


async def _open_events(core: Core, site: Site) -> bool:
    """Open the event store and its loader; False when that can't be done now."""
    # a core owns its embedded store and journals alone; with a server, loaders beside other edges take turns with it
    numbers = CatalogNumbers(
        core.catalog, asyncio.get_running_loop(), new_id("ldr_"), is_sole=core.settings.is_embedded_store
    )
    opening = asyncio.ensure_future(asyncio.to_thread(_open_store_and_loader, site, numbers))
    try:
        site.opened, site.loader = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])  # the lock on the directory is held until the thread has let go
        if opening.exception() is None:
            site.opened, site.loader = opening.result()
        raise
    except Exception as error:  # the store's, the network's or the disk's
        log.error("event_store_not_open", extra={"error": repr(error)})
        return False
    core.store = site.opened
    return True


def _open_store_and_loader(site: Site, numbers: CatalogNumbers) -> tuple[Store, Loader]:
    store = open_store(site.settings)
    try:
        return store, Loader(site.journals, store, numbers)
    except BaseException:
        store.close()
        raise


async def _load(core: Core, site: Site, is_open: bool) -> None:
    """Load segments; an event store that is away keeps nothing else from being served, and is tried again."""
    pause = FIRST_PAUSE_SECONDS
    while not is_open:
        await asyncio.sleep(pause)
        pause = min(pause * 2, LAST_PAUSE_SECONDS)
        is_open = await _open_events(core, site)
    assert site.loader is not None
    await site.loader.run()


def _close_events(site: Site) -> None:
    if site.loader is not None:
        site.loader.close()
    if site.opened is not None:
        site.opened.close()


def _server(application: FastAPI, **options: Any) -> _Uvicorn:
    graceful = int(DRAIN_SECONDS)
    return _Uvicorn(
        uvicorn.Config(application, log_config=None, access_log=False, timeout_graceful_shutdown=graceful, **options)
    )


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handlers: `until_told` decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _keep_salts(catalog: Catalog) -> None:
    while True:
        try:
            await ensure_salts(catalog, datetime.now(UTC).date())
        except Exception as error:  # a database that is away comes back; salts are made two days ahead
            log.warning("salts_not_kept", extra={"error": repr(error)})
        await asyncio.sleep(SALT_SECONDS)
