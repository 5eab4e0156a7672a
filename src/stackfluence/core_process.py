"""A core process: API, salts, and the stores it owns, put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime

import uvicorn

from stackfluence.api import Core, create_api
from stackfluence.catalog import Catalog, CatalogNumbers, ensure_salts, open_catalog
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.events.journal import lock
from stackfluence.events.load import Loader
from stackfluence.events.store import Store
from stackfluence.migrate import migrate
from stackfluence.names import new_id
from stackfluence.operations.operator_api import create_operator_api, listen_for_operators
from stackfluence.operations.site import Site, open_store, refuse_unfinished
from stackfluence.processes import DRAIN_SECONDS, core_socket, until_told
from stackfluence.settings import Settings

log = logging.getLogger(__name__)

SALT_SECONDS = 600.0


async def run_core(settings: Settings, lifeline: int | None) -> None:
    """Serve the API on the core's Unix socket, load segments, keep house, until told to stop.

    Raises JournalLocked when a core of this data directory runs already.
    """
    refuse_unfinished(settings)
    held = lock(settings.data_path / "core.lock", create=True)
    await migrate(settings.catalog_url)
    catalog = open_catalog(settings.catalog_url)
    click_ids = ClickIdKeys(settings.click_id_secrets, settings.click_id_ttl_hours)
    store = await asyncio.to_thread(open_store, settings)
    # a core owns its embedded store and journals alone; with a server, loaders beside other edges take turns with it
    numbers = CatalogNumbers(catalog, asyncio.get_running_loop(), new_id("ldr_"), is_sole=settings.is_embedded_store)
    loader = await asyncio.to_thread(Loader, settings.data_path / "journal", store, numbers)
    upkeep = [asyncio.create_task(_keep_salts(catalog)), asyncio.create_task(loader.run())]
    core_socket(settings).unlink(missing_ok=True)
    # the socket is the edges' alone, so what they say of the visitor's address and scheme is believed
    api = create_api(Core(settings, catalog, click_ids, store))
    configuration = uvicorn.Config(
        api,
        uds=str(core_socket(settings)),
        proxy_headers=True,
        forwarded_allow_ips="*",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
    )
    servers = [_Uvicorn(configuration)]
    serving = [asyncio.create_task(servers[0].serve())]
    site = Site(settings, catalog, store, loader)
    commands = uvicorn.Config(
        create_operator_api(site),
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
    )
    servers.append(_Uvicorn(commands))
    serving.append(asyncio.create_task(servers[1].serve([listen_for_operators(settings)])))
    await until_told(lifeline)
    api.state.closing.set()  # open streams end, and their clients come back with their cursors
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving)
    for task in upkeep:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await asyncio.to_thread(_close_store, loader, store)
    await catalog.close()
    os.close(held)


def _close_store(loader: Loader, store: Store) -> None:
    loader.close()
    store.close()


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
