"""Restore a backup into an empty data directory (and empty databases, where these are elsewhere).

What the backup has in its journal and not in its store is loaded afterwards by the loader, which judges by (node, seq)
and seals: nothing is doubled. Edges begin nodes of their own, so that the restored journal is never continued.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackfluence.catalog import ensure_salts
from stackfluence.catalog.policies import add_first_policies
from stackfluence.errors import OperationRefused
from stackfluence.events.erase import erase_person
from stackfluence.events.segment_file import sync_directory
from stackfluence.events.turn import SQL as LOAD
from stackfluence.migrate import restorable_versions
from stackfluence.operations import catalog_rows, journal_copy
from stackfluence.operations.backup import FORMAT, MANIFEST, SQL, TABLES
from stackfluence.operations.erase import BOOK, forget, note, noted
from stackfluence.operations.packing import digest_of, unpack, unpacked_lines
from stackfluence.operations.site import Site, Tell, open_site, told
from stackfluence.processes import UNFINISHED
from stackfluence.settings import Settings, read_settings

EVERYTHING = 2**63 - 1


def restore(directory: Path, erasures: Path | None, tell: Tell) -> dict[str, Any]:
    """Restore a backup and return its counts; `erasures` is a later erasures.jsonl, to be applied again.

    Raises OperationRefused for a backup that isn't whole or a place that isn't empty, StoreError, OSError.
    """
    settings = read_settings()
    manifest = read_manifest(directory)
    _check_hashes(directory, manifest, tell)
    data_path = settings.data_path
    if data_path.exists() and any(data_path.iterdir()):
        raise OperationRefused(f"{data_path} is not empty; a backup is restored into an empty data directory.")
    data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_path.chmod(0o700)
    for name in ("secrets.env", BOOK):
        if name in manifest["files"]:
            shutil.copyfile(directory / name, data_path / name)
            (data_path / name).chmod(0o600)
    settings = read_settings()
    settings.check()
    result = asyncio.run(_restore(settings, directory, manifest, erasures, tell))
    (data_path / UNFINISHED).unlink()
    sync_directory(data_path)
    return result


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return a backup's manifest; raises OperationRefused when there is none that this version can restore."""
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError):
        raise OperationRefused(f"{directory} has no {MANIFEST}: it is no backup, or was never finished.") from None
    if manifest.get("backup") != FORMAT or manifest.get("catalog_version") not in restorable_versions():
        raise OperationRefused(
            f"The backup was made by version {manifest.get('stackfluence')}; restore it with that one, then upgrade."
        )
    return manifest


def _check_hashes(directory: Path, manifest: dict[str, Any], tell: Tell) -> None:
    total = sum(facts["bytes"] for facts in manifest["files"].values())
    done = 0
    for name, facts in manifest["files"].items():
        tell(told("checking", done, total))
        path = directory / name
        if not path.is_file() or digest_of(path) != facts["sha256"]:
            raise OperationRefused(f"{path} is missing or was changed: this backup can't be trusted.")
        done += facts["bytes"]


async def _restore(
    settings: Settings, directory: Path, manifest: dict[str, Any], erasures: Path | None, tell: Tell
) -> dict[str, Any]:
    async with open_site(settings) as site:
        await _refuse_used(site)
        marker = os.open(settings.data_path / UNFINISHED, os.O_WRONLY | os.O_CREAT, 0o600)
        os.close(marker)
        highest = await asyncio.to_thread(_put_back_store, site, directory, manifest, tell)
        tell(told("journal", 0, 0))
        files = {place: {"mtime_ns": mtime} for place, mtime in manifest["journal"].items()}
        site.journals.mkdir(mode=0o700, exist_ok=True)
        await asyncio.to_thread(journal_copy.put_back, files, directory / "journal", site.journals)
        tell(told("catalog", 0, 0))
        counts = await catalog_rows.put_back(site.catalog, unpacked_lines(directory / "catalog.jsonl.zst"))
        if not _are_same(counts, manifest["catalog"]):
            raise OperationRefused(f"The catalog has {counts} rows, the manifest says {manifest['catalog']}.")
        await catalog_rows.jump(site.catalog, highest)
        await ensure_salts(site.catalog, datetime.now(UTC).date())
        erased = 0
        if erasures:
            erased = await asyncio.to_thread(_erase_again, site, erasures)
            for entry in noted(erasures):
                await forget(site, *entry)
        async with site.catalog.writing("restore") as change:
            await add_first_policies(change.session)
    waiting = [place for place in files if place.endswith(".segment")]
    restored = {table: rows for table, rows in manifest["tables"].items() if table in TABLES}
    return {**restored, "waiting_segments": len(waiting), "erased_again": erased}


async def _refuse_used(site: Site) -> None:
    with site.store.session() as session:
        used = sum(session.row(SQL["count_rows"], horizon=EVERYTHING).values())
    if used or not await catalog_rows.is_empty(site.catalog):
        raise OperationRefused("The databases are not empty; a backup is restored into new ones.")


def _put_back_store(site: Site, directory: Path, manifest: dict[str, Any], tell: Tell) -> int:
    """Insert the rows of every table, see that they are all there, and return the highest load number."""
    expected = {table: manifest["tables"].get(table, 0) for table in TABLES}  # an older version had others
    total, done = sum(expected.values()), 0
    with site.store.session() as session:
        for table in TABLES:
            tell(told(table, done, total))
            if expected[table]:
                session.put_back(table, unpack(directory / f"events/{table}.native.zst"))
            done += expected[table]
        found = session.row(SQL["count_rows"], horizon=EVERYTHING)
        # what expired since the backup may go while it is inserted
        if found | {"events_personal": 0} != expected | {"events_personal": 0}:
            raise OperationRefused(f"The event store has {found} rows, the manifest says {expected}.")
        highest: int = session.row(LOAD["highest_load_number"])["load_number"]
    return highest


def _are_same(counts: dict[str, int], others: dict[str, int]) -> bool:
    """Whether two counts of rows by table agree, a table that isn't named having none."""
    return all(counts.get(table, 0) == others.get(table, 0) for table in counts.keys() | others.keys())


def _erase_again(site: Site, erasures: Path) -> int:
    """Apply the erasures of a later book again, whether or not the backup knows them: again is harmless."""
    known = set()
    with contextlib.suppress(FileNotFoundError):
        known = set(noted(site.settings.data_path / BOOK))
    later = [entry for entry in dict.fromkeys(noted(erasures)) if entry not in known]
    for organization_id, kind, value in later:
        done = erase_person(site.store, site.journals, organization_id, kind, value)
        note(site.settings.data_path / BOOK, organization_id, kind, [value], done.erased_ms)
    return len(later)
