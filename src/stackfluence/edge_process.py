"""An edge process: snapshot, journal and server put together, and the feed that keeps the snapshot current."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import sqlite3
import sys

from stackfluence.catalog import Catalog, changes_since, find_link, open_catalog
from stackfluence.click.admin import Admin
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.click.edge import Edge
from stackfluence.click.links import Copy, Snapshot
from stackfluence.click.server import Server
from stackfluence.collect.ingest import Intake
from stackfluence.events.journal import Journal
from stackfluence.processes import DRAIN_SECONDS, core_socket, until_told
from stackfluence.settings import Settings
from stackfluence.snapshot import EdgeRow

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
POLL_PATIENCE_SECONDS = 120.0  # a full answer of a million links takes 15 s
COPY_ROWS = 20_000
SWITCH_SECONDS = (
    0.0005  # the committing thread needs the interpreter three times a batch; Python's default is 5 ms each
)


async def run_edge(
    settings: Settings, listener: socket.socket, worker: int, lifeline: int | None, admin_port: int | None
) -> None:
    """Serve links and events on a socket until SIGTERM, SIGINT or the end of the lifeline, then drain.

    `/metrics` and `/readyz` are on the socket `edge/w<worker>.sock` in the data directory and, when given, on a
    loopback port.
    """
    loop = asyncio.get_running_loop()
    sys.setswitchinterval(SWITCH_SECONDS)
    catalog = open_catalog(settings.catalog_url)
    links = Snapshot(ClickIdKeys(settings.click_id_secrets, settings.click_id_ttl_hours))
    copy = Copy(settings.data_path / "edge" / f"w{worker}.sqlite")
    await asyncio.to_thread(copy.load_into, links)
    journal = Journal(settings.data_path / "journal" / f"w{worker}", is_fsynced=settings.is_fsynced)
    journal.open(loop)

    async def find(key: bytes) -> bytes | None:
        return await find_link(catalog, *key.decode().split("\0"))

    edge = Edge(links, journal, find_link=find, proxies=settings.proxies, core_socket=str(core_socket(settings)))
    intake = Intake(edge)
    server = Server(edge)
    if not links.revision:  # a first start: without a copy there is nothing to redirect to
        await _poll(catalog, edge, copy)
    feed = asyncio.create_task(_follow_catalog(catalog, edge, copy))
    gc.collect()
    gc.freeze()  # a million links are not looked through again at every collection
    gc.set_threshold(50_000, 20, 50)
    admin = Server(Admin(edge, server, intake.counts))
    admin_socket = settings.data_path / "edge" / f"w{worker}.sock"
    admin_socket.unlink(missing_ok=True)
    await loop.create_unix_server(admin.accept, str(admin_socket))
    if admin_port is not None:
        await loop.create_server(admin.accept, "127.0.0.1", admin_port)
    accepting = await loop.create_server(server.accept, sock=listener)
    log.info("edge_ready", extra={"worker": worker, "links": len(links.links), "revision": links.revision})
    await until_told(lifeline)
    accepting.close()
    await server.drain(DRAIN_SECONDS)
    await admin.drain(0)
    feed.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await feed
    await journal.close()
    copy.close()
    await catalog.close()


async def _follow_catalog(catalog: Catalog, edge: Edge, copy: Copy) -> None:
    while True:
        await asyncio.sleep(POLL_SECONDS)
        await _poll(catalog, edge, copy)


async def _poll(catalog: Catalog, edge: Edge, copy: Copy) -> None:
    """Take over what changed; a catalog that is away leaves the snapshot as it is."""
    try:
        async with asyncio.timeout(POLL_PATIENCE_SECONDS):
            await _take_over(catalog, edge, copy)
    except Exception as error:  # whatever the driver raises: the edge serves what it knows
        log.warning("catalog_away", extra={"error": repr(error)})


async def _take_over(catalog: Catalog, edge: Edge, copy: Copy) -> None:
    links = edge.snapshot
    links.begin()
    rows: list[EdgeRow] = []
    revision: int | None = None
    lineage = ""
    async with contextlib.aclosing(changes_since(catalog, links.revision, links.lineage)) as answer:
        async for chunk in answer:
            links.apply(chunk)
            rows += chunk.rows
            revision, lineage = chunk.revision, chunk.lineage
            if len(rows) >= COPY_ROWS:
                await _keep(copy, rows, None)
                rows = []
    if revision is None:
        if copy.is_behind:
            await _keep(copy, [], links.revision, links.lineage)
        return
    rows += links.finish(revision, lineage)
    edge.forget_absent()
    await _keep(copy, rows, revision, lineage)


async def _keep(copy: Copy, rows: list[EdgeRow], revision: int | None, lineage: str = "") -> None:
    """Put changes into the copy on disk; one that can't be written now is completed later."""
    try:
        await asyncio.to_thread(copy.write, rows, revision, lineage)
    except sqlite3.Error as error:
        log.warning("snapshot_not_kept", extra={"error": str(error)})
