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
from stackfluence.click.exchange import Exchange
from stackfluence.click.geo import Places
from stackfluence.click.judge import Judge
from stackfluence.click.links import Copy, Snapshot
from stackfluence.click.server import Server
from stackfluence.click.velocity import Velocity
from stackfluence.collect.hooks import Hooks
from stackfluence.collect.ingest import Intake
from stackfluence.collect.snippet import serve_snippet
from stackfluence.events.journal import Journal
from stackfluence.processes import DRAIN_SECONDS, core_socket, until_told
from stackfluence.settings import Settings
from stackfluence.snapshot import LINK, EdgeRow
from stackfluence.vault import HookVault

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
POLL_PATIENCE_SECONDS = 120.0  # a full answer of a million links takes 15 s
COPY_ROWS = 20_000
GEOIP_SECONDS = 10.0  # between looks at whether a table of networks was replaced
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

    # who restarts an edge has looked at its files before; one that broke since must not keep it from redirecting
    judge = Judge(Places(settings, is_strict=lifeline is None), Velocity())
    edge = Edge(links, journal, judge, find_link=find, proxies=settings.proxies, core_socket=str(core_socket(settings)))
    intake = Intake(edge)
    Hooks(intake.recorder, HookVault(settings.click_id_secrets))
    serve_snippet(edge)
    server = Server(edge)
    feed = Feed(catalog, edge, copy)
    if not links.revision:  # a first start: without a copy there is nothing to redirect to
        await feed.poll()
    exchange: Exchange | None = None
    upkeep = [asyncio.create_task(feed.run()), asyncio.create_task(_watch_places(judge))]
    if settings.redis_url:
        exchange = Exchange(judge.velocity, settings.redis_url, next(iter(settings.click_id_secrets.values())))
        upkeep.append(asyncio.create_task(exchange.run()))
    gc.collect()
    gc.freeze()  # a million links are not looked through again at every collection
    gc.set_threshold(50_000, 20, 50)
    admin = Server(Admin(edge, server, intake.recorder.counts, intake.recorder.refusals, exchange))
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
    for task in upkeep:
        task.cancel()
    await asyncio.gather(*upkeep, return_exceptions=True)
    if exchange is not None:
        await exchange.close()
    await journal.close()
    copy.close()
    await catalog.close()


async def _watch_places(judge: Judge) -> None:
    """Take over tables of networks that were replaced, until cancelled."""
    while True:
        await asyncio.sleep(GEOIP_SECONDS)
        try:
            if await asyncio.to_thread(judge.places.refresh):
                judge.forget()
        except Exception as error:  # the files in use stay
            log.error("geoip_not_refreshed", extra={"error": repr(error)})


class Feed:
    """Keeps an edge's snapshot current, and its copy on disk.

    What changes is on disk at once. A full answer is in memory first, so that the edge can begin, and goes to disk
    behind it: a million links take longer to write than to receive.
    """

    def __init__(self, catalog: Catalog, edge: Edge, copy: Copy) -> None:
        self._catalog = catalog
        self._edge = edge
        self._copy = copy
        self._turn = asyncio.Lock()  # what is read from memory is written before anything newer is
        self._rewriting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            while True:
                await asyncio.sleep(POLL_SECONDS)
                await self.poll()
        finally:
            if self._rewriting is not None:
                self._rewriting.cancel()

    async def poll(self) -> None:
        """Take over what changed; a catalog that is away leaves the snapshot as it is."""
        try:
            async with self._turn:
                await self._take_over()
        except Exception as error:  # whatever the driver raises: the edge serves what it knows
            log.warning("catalog_away", extra={"error": repr(error)})

    async def _take_over(self) -> None:
        links = self._edge.snapshot
        links.begin()
        rows: list[EdgeRow] = []
        revision: int | None = None
        lineage = ""
        is_full = False
        answering = changes_since(self._catalog, links.revision, links.lineage)
        async with asyncio.timeout(POLL_PATIENCE_SECONDS), contextlib.aclosing(answering) as answer:
            async for chunk in answer:
                links.apply(chunk)
                is_full = is_full or chunk.is_reset
                rows += (row for row in chunk.rows if not is_full or row.space != LINK)
                revision, lineage = chunk.revision, chunk.lineage
        if revision is None:
            if self._copy.is_behind and not self._is_rewriting:
                await self._keep([], links.revision)
            return
        rows += links.finish(revision, lineage)
        self._edge.forget_absent()
        if is_full:
            if self._rewriting is not None:
                self._rewriting.cancel()
            self._rewriting = asyncio.create_task(self._rewrite(rows))
        else:
            await self._keep(rows, None if self._is_rewriting else revision)

    @property
    def _is_rewriting(self) -> bool:
        return self._rewriting is not None and not self._rewriting.done()

    async def _rewrite(self, rows: list[EdgeRow]) -> None:
        """Put all links on disk, after `rows`; only then does the copy say which revision it is."""
        links = self._edge.snapshot
        async with self._turn:
            await self._keep(rows, None)
        keys = list(links.links)
        for start in range(0, len(keys), COPY_ROWS):
            async with self._turn:
                some = [
                    EdgeRow(LINK, key, links.links[key])
                    for key in keys[start : start + COPY_ROWS]
                    if key in links.links
                ]
                await self._keep(some, None)
        async with self._turn:
            await self._keep([], links.revision)

    async def _keep(self, rows: list[EdgeRow], revision: int | None) -> None:
        """Put changes into the copy on disk; one that can't be written now is completed later."""
        try:
            await asyncio.to_thread(self._copy.write, rows, revision, self._edge.snapshot.lineage)
        except sqlite3.Error as error:
            log.warning("snapshot_not_kept", extra={"error": str(error)})
