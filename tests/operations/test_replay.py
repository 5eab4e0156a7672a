"""Raw events out of one store and into another: the same counts, the same proofs, and nothing changed unnoticed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackfluence.events.event import split_line
from tests.events.journals import Writer
from tests.operations.installations import refusal, result, rows, stored
from tests.operations.test_backup_under_load import assert_proven

COUNTS = (
    "select (select count() from events) as stored, (select count() from quarantined_events) as quarantined, "
    "(select count() from events_personal) as personal, (select sum(revenue_cents) from events) as revenue, "
    "(select groupBitXor(cityHash64(line)) from events) as leaves"
)
SEALS = "select seal_hash from seals order by seal_hash"


@dataclass
class Exported:
    """A loaded installation, and the files of events and of seals of each of its organizations."""

    home: Path
    files: dict[str, tuple[Path, Path]]

    @property
    def everything(self) -> list[str]:
        return [str(path) for paths in self.files.values() for path in paths]

    @property
    def first(self) -> tuple[Path, Path]:
        return next(iter(self.files.values()))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Load two organizations' events of two nodes, and export both."""
    folder = tmp_path_factory.mktemp("exported")
    home = folder / "home"
    brands = [result(home, "init", "--org", name)["organization_id"] for name in ("Brand", "Other brand")]
    for node in ("n_0000000000000001", "n_0000000000000002"):
        writer = Writer(home / "journal" / "w0", node)
        for segment in range(3):
            for brand in brands:
                writer.clicks(20, organization_id=brand, kept={"properties": '{"a":1}'})
                writer.event("conversion", organization_id=brand, order_id=f"{node}{segment}", revenue_cents=100)
                writer.event("session", organization_id=brand, quarantine_reason="unusable_field", expiring=None)
            writer.finish()
    loaded = result(home, "load")
    assert (loaded["lines"], loaded["quarantined"]) == (264, 12)
    files: dict[str, tuple[Path, Path]] = {}
    for place, brand in enumerate(brands):
        files[brand] = (folder / f"events-{place}.ndjson", folder / f"seals-{place}.ndjson")
        for feed, path in zip(("events", "seals"), files[brand], strict=True):
            result(home, "export", feed, "--organization", brand, "--with-personal", "--output", str(path))
    return Exported(home, files)


def test_what_was_exported_is_replayed_with_the_same_counts_and_proofs(exported: Exported, tmp_path: Path) -> None:
    again = tmp_path / "again"
    files = exported.everything
    done = result(again, "replay", *files, files[0])  # one of them twice
    assert (done["events"], done["quarantined"], done["repeated"]) == (252, 12, 132)
    assert (done["partial"], done["unsealed"]) == (0, 0)
    with stored(exported.home) as store:
        before, sealed = rows(store, COUNTS), rows(store, SEALS)
    with stored(again) as store:
        assert rows(store, COUNTS) == before
        assert rows(store, SEALS) == sealed
        assert len(sealed) == done["proven"]
        for brand in exported.files:
            assert_proven(store, brand, 5)
    assert "is not empty" in refusal(again, "replay", *files)


def test_one_organization_alone_is_replayed_and_checked_against_its_own_part_of_the_seals(
    exported: Exported, tmp_path: Path
) -> None:
    events, seals = exported.first
    done = result(tmp_path / "again", "replay", str(seals), str(events))
    assert (done["events"], done["quarantined"], done["unsealed"]) == (126, 6, 0)
    assert done["proven"] > 0
    with stored(tmp_path / "again") as store:
        assert rows(store, SEALS) == [], "what others have in them isn't known"


@pytest.mark.parametrize("change", ["another leaf", "another personal part", "no json", "another seal"])
def test_what_was_changed_on_the_way_is_not_replayed(exported: Exported, tmp_path: Path, change: str) -> None:
    events, seals = exported.first
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    others = [json.loads(line) for line in seals.read_text().splitlines()]
    reason = "is not"
    if change == "another leaf":
        lines[3]["leaf"] = lines[3]["leaf"].replace("lnk_", "lnk-")
        reason = "something was changed"
    elif change == "another personal part":
        lines[3]["kept"] = lines[3]["kept"].replace("1", "2")
        reason = "line 4: the personal part"
    elif change == "no json":
        lines[3]["leaf"] = lines[3]["leaf"][:-1]
        reason = "line 4"
    else:
        others[0]["seal"]["last_seq"] += 1
        reason = "line 1: the seal was changed"
    files = write(tmp_path / events.name, lines), write(tmp_path / seals.name, others)
    assert reason in refusal(tmp_path / "again", "replay", *files)
    assert "restored by half" in refusal(tmp_path / "again", "load")


def write(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_an_export_has_the_bytes_that_were_in_the_journal(exported: Exported) -> None:
    archived = b"".join(path.read_bytes() for path in (exported.home / "journal").glob("*/n_*/archive/*.lines"))
    parts = [split_line(line) for line in archived.splitlines()]
    leaves = {part.leaf.decode() for part in parts if part is not None}
    given = {
        json.loads(line)["leaf"] for events, _ in exported.files.values() for line in events.read_text().splitlines()
    }
    assert given == leaves
    assert len(given) == 264


def test_an_export_that_can_not_be_made_is_refused(exported: Exported) -> None:
    home, brand = exported.home, next(iter(exported.files))
    events = ("export", "events", "--organization", brand)
    assert "exists" in refusal(home, *events, "--output", str(exported.first[0]))
    assert "format" in refusal(home, *events, "--format", "xml")
    assert "from" in refusal(home, *events, "--from", "yesterday")
    assert "no feed" in refusal(home, "export", "clicks", "--organization", brand)
    assert "no organization" in refusal(home, "export", "events", "--organization", "org_0000000")
