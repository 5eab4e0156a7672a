"""An installation of an earlier version: it is upgraded where it stands, and its backups are restored by this one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from stackfluence.catalog import open_catalog
from stackfluence.events.statements import Statement
from stackfluence.facts.policies import DEFAULT_POLICIES, PolicyBook, read_policy_books
from stackfluence.operations.packing import pack, unpacked_lines
from stackfluence.settings import Settings
from tests.events.journals import Writer
from tests.operations.installations import column, refusal, result, stored

LATER_TABLES = (  # of the catalog, since version v0002
    "codes", "connections", "privacy_requests", "policies", "policy_versions", "own_customers",
)  # fmt: skip
OLDER_STORE = (
    "events", "events_personal", "quarantined_events", "seals", "erasures", "scored_clicks", "shared_prefix_clicks",
    "click_verdicts", "derivation_runs", "derived_days",
)  # fmt: skip


def make_older(home: Path, copy: Path) -> None:
    """Turn a backup into what version v0002 would have written of the same installation."""
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["catalog_version"] = "v0002"
    rows = sum(manifest["catalog"].pop(table) for table in LATER_TABLES)
    assert rows == 1, "the organization's first policy"
    catalog = copy / "catalog.jsonl.zst"
    kept = [line for line in unpacked_lines(catalog) if json.loads(line)[0] not in LATER_TABLES]
    catalog.unlink()
    manifest["files"][catalog.name] = pack(catalog, kept)
    for table in set(manifest["tables"]) - set(OLDER_STORE):
        del manifest["tables"][table]
        (copy / f"events/{table}.native.zst").unlink()
        del manifest["files"][f"events/{table}.native.zst"]
    place = "events/events_personal.native.zst"
    (copy / place).unlink()
    with stored(home) as store, store.session() as session:
        older = Statement("older", "", "select * except (email_hash) from events_personal")
        manifest["files"][place] = pack(copy / place, session.stream(older, "Native"))
    (copy / "manifest.json").write_text(json.dumps(manifest))


def test_a_backup_of_an_earlier_version_is_restored_and_one_of_a_later_refused(tmp_path: Path) -> None:
    home, copy, again = tmp_path / "home", tmp_path / "copy", tmp_path / "again"
    organization_id = result(home, "init", "--org", "Brand")["organization_id"]
    writer = Writer(home / "journal" / "w0")
    writer.event("identify", organization_id, kept={"customer_hash": "ab" * 16})
    writer.clicks(5, organization_id=organization_id)
    writer.finish()
    assert result(home, "load")["lines"] == 6
    result(home, "backup", str(copy))
    make_older(home, copy)
    done = result(again, "restore", str(copy))
    assert (done["events"], done["events_personal"]) == (6, 6)
    with stored(again) as store:
        assert column(store, "select customer_hash from events_personal where kept != ''") == ["ab" * 16]
        assert set(column(store, "select email_hash from events_personal")) == {""}
    assert asyncio.run(policies_of(again)) == {organization_id: DEFAULT_POLICIES}
    assert "restore it with that one" in refuse_version(copy, tmp_path / "third", "v9999")
    assert "restore it with that one" in refuse_version(copy, tmp_path / "fourth", "v0001")


async def policies_of(home: Path) -> dict[str, PolicyBook]:
    catalog = open_catalog(Settings(data_dir=str(home)).catalog_url)
    try:
        return await read_policy_books(catalog)
    finally:
        await catalog.close()


def refuse_version(copy: Path, target: Path, version: str) -> str:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "catalog_version": version}))
    return refusal(target, "restore", str(copy))
