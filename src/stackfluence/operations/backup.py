"""A backup while everything runs: journal, then event store, then catalog, so that nothing falls between.

Loaders rest between two turns while seals, waiting segments and the store are copied; edges go on writing and visitors
notice nothing. What was answered before is in the backup, in one of its parts or in two, which the loader tells apart.
A directory of a backup:

    manifest.json            written last: counts, hashes, versions; without it, it is no backup
    events/<table>.native.zst
    journal/<w0 …>/…         seals, segments that were not loaded, archives
    catalog.jsonl.zst        rows, without visitor salts
    secrets.env, erasures.jsonl
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from stackfluence import __version__
from stackfluence.catalog import load_horizon
from stackfluence.clock import now_ms, rfc3339
from stackfluence.errors import OperationRefused
from stackfluence.events.segment_file import sync_directory
from stackfluence.events.statements import read_statements
from stackfluence.migrate import newest_version
from stackfluence.operations import catalog_rows
from stackfluence.operations.erase import BOOK
from stackfluence.operations.journal_copy import Files, copy_archives, copy_waiting
from stackfluence.operations.packing import pack, plain
from stackfluence.operations.site import Arguments, Site, Tell, told

FORMAT = 1
MANIFEST = "manifest.json"
TABLES = (
    "events",
    "events_personal",
    "quarantined_events",
    "seals",
    "erasures",
    # verdicts that were given, and what they rest on beside the events: some of it has expired since
    "scored_clicks",
    "shared_prefix_clicks",
    "click_verdicts",
    "click_rollups",
    "derivation_runs",
    "derived_days",
    "same_customers",
    "self_purchases",
    "conversions",
    "attributions",
    "order_shares",
    "order_runs",
    "derived_order_days",
)
SQL = read_statements(Path(__file__).with_name("backup.sql"))
_ALONE = ("secrets.env", BOOK)


async def backup(site: Site, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    """Write a backup into a new or empty directory and return its counts.

    Raises OperationRefused for a directory that can't be used, JournalLocked when a loader doesn't end its turn within
    a minute, StoreError, OSError; what was written is removed then.
    """
    target = Path(arguments["directory"])
    _check_target(site, target)
    try:
        manifest = await _write(site, target, tell)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return {
        "directory": str(target),
        "bytes": sum(facts["bytes"] for facts in manifest["files"].values()),
        "events": manifest["tables"]["events"],
        "quarantined": manifest["tables"]["quarantined_events"],
        "journal_files": len(manifest["journal"]),
        "load_number": manifest["horizon"],
        "has_secrets": "secrets.env" in manifest["files"],
    }


def _check_target(site: Site, target: Path) -> None:
    if target.resolve().is_relative_to(site.settings.data_path.resolve()):
        raise OperationRefused(f"{target} is inside of the data directory; a backup belongs on another disk.")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise OperationRefused(f"{target} is not empty.")
    target.chmod(0o700)  # secrets and personal halves


async def _write(site: Site, target: Path, tell: Tell) -> dict[str, Any]:
    started_ms = now_ms()
    loop = asyncio.get_running_loop()
    async with site.deriving:
        at_rest = await asyncio.to_thread(_copy_at_rest, site, target, loop, tell)
    files, journal = at_rest["files"], at_rest["journal"]
    journal |= await asyncio.to_thread(copy_archives, site.journals, target / "journal")
    tell(told("catalog", 0, 0))
    counts: dict[str, int] = {}
    lines = catalog_rows.rows(site.catalog, counts)
    files["catalog.jsonl.zst"] = await asyncio.to_thread(pack, target / "catalog.jsonl.zst", _Fetched(lines, loop))
    for name in _ALONE:
        source = site.settings.data_path / name
        if source.exists():
            files[name] = plain(target / name, source.read_bytes())
    files |= {
        f"journal/{place}.zst": {"bytes": facts["bytes"], "sha256": facts["sha256"]} for place, facts in journal.items()
    }
    manifest = {
        "backup": FORMAT,
        "stackfluence": __version__,
        "catalog_version": newest_version(),
        "started_at": rfc3339(started_ms),
        "finished_at": rfc3339(now_ms()),
        "horizon": at_rest["horizon"],
        "tables": at_rest["tables"],
        "catalog": counts,
        "journal": {place: facts["mtime_ns"] for place, facts in journal.items()},
        "files": files,
    }
    await asyncio.to_thread(_finish, target, manifest)
    return manifest


def _finish(target: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest when everything it names is on disk."""
    for folder in (path for path in target.rglob("*") if path.is_dir()):
        sync_directory(folder)
    plain(target / MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
    sync_directory(target)


def _copy_at_rest(site: Site, target: Path, loop: asyncio.AbstractEventLoop, tell: Tell) -> dict[str, Any]:
    """Copy what must fit together, in a thread; returns `journal`, `files`, `tables` (rows) and the horizon."""
    with site.journals_at_rest():
        journal: Files = copy_waiting(site.journals, target / "journal")
        horizon = asyncio.run_coroutine_threadsafe(load_horizon(site.catalog), loop).result()
        files: Files = {}
        (target / "events").mkdir(mode=0o700)
        with site.store.session() as session:
            tables = session.row(SQL["count_rows"], horizon=horizon)
            total = sum(tables.values())
            done = 0
            for table in TABLES:
                tell(told(table, done, total))
                place = f"events/{table}.native.zst"
                files[place] = pack(target / place, session.stream(SQL[f"all_{table}"], "Native", horizon=horizon))
                done += tables[table]
            tell(told("event store", done, total))
    return {"journal": journal, "files": files, "tables": tables, "horizon": horizon}


class _Fetched:
    """The pieces of an asynchronous source, for a thread that packs them while the loop reads them."""

    def __init__(self, source: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._source = source
        self._loop = loop

    def __iter__(self) -> _Fetched:
        return self

    def __next__(self) -> bytes:
        piece = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        if piece is None:
            raise StopIteration
        return piece

    async def _next(self) -> bytes | None:
        return await anext(self._source, None)
