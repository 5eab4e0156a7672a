"""What a restored installation does with journal that the backup, or an edge's disk, still has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stackfluence.events.event import split_line
from stackfluence.events.seal import broken_link, leaf_hash
from stackfluence.events.seal_book import SealBook
from tests.events.journals import Writer
from tests.operations.installations import column, refusal, result, rows, stored
from tests.operations.test_backup_under_load import assert_proven

ONCE = "select count() as stored, uniqExact(node, seq) as places, max(load_number) as load_number from events"


@pytest.fixture
def home(tmp_path: Path) -> tuple[Path, Writer]:
    directory = tmp_path / "home"
    organization_id = result(directory, "init", "--org", "Brand")["organization_id"]
    writer = Writer(directory / "journal" / "w0")
    writer.clicks(30, organization_id=organization_id)
    writer.finish()
    assert result(directory, "load")["lines"] == 30
    return directory, writer


def organization_of(directory: Path) -> str:
    with stored(directory) as store:
        return str(column(store, "select any(organization_id) from events")[0])


def test_what_was_waiting_or_being_written_is_loaded_once_after_the_restore(
    home: tuple[Path, Writer], tmp_path: Path
) -> None:
    directory, writer = home
    organization_id = organization_of(directory)
    writer.clicks(10, organization_id=organization_id)
    writer.finish()
    writer.clicks(5, organization_id=organization_id)
    open_file = writer.finish().rename(directory / "journal" / "w0" / writer.node / f"{41:016d}.open")
    with open_file.open("ab") as file:
        file.write(b'00000000\t{"schema_version":1,"organ')  # the line that is being written
    made = result(directory, "backup", str(tmp_path / "copy"))
    assert made["events"] == 30
    done = result(tmp_path / "again", "restore", str(tmp_path / "copy"))
    assert (done["events"], done["waiting_segments"]) == (30, 2)
    loaded = result(tmp_path / "again", "load")
    assert (loaded["lines"], loaded["quarantined"], loaded["held"]) == (15, 0, {})
    with stored(tmp_path / "again") as store:
        (counted,) = rows(store, ONCE)
        assert (counted["stored"], counted["places"]) == (45, 45)
        assert counted["load_number"] > 1_000_000
        assert_proven(store, organization_id, 45)
    assert broken_link(SealBook(tmp_path / "again" / "journal" / "w0").seals()) is None


def test_archives_of_after_the_backup_are_put_back_and_loaded_once(home: tuple[Path, Writer], tmp_path: Path) -> None:
    directory, writer = home
    organization_id = organization_of(directory)
    result(directory, "backup", str(tmp_path / "copy"))
    writer.clicks(20, organization_id=organization_id)
    writer.finish()
    assert result(directory, "load")["lines"] == 20
    again = tmp_path / "again"
    result(again, "restore", str(tmp_path / "copy"))
    for archived in directory.glob("journal/*/n_*/archive/*.lines"):
        folder = again / archived.parent.parent.relative_to(directory)
        first = int(archived.read_bytes().split(b'"seq":', 1)[1].split(b",", 1)[0])
        shutil.copyfile(archived, folder / f"{first:016d}.segment")
    result(again, "load")
    with stored(again) as store:
        (counted,) = rows(store, ONCE)
        assert (counted["stored"], counted["places"]) == (50, 50)
        assert_proven(store, organization_id, 50)


def test_an_installation_that_was_restored_by_half_does_not_start(home: tuple[Path, Writer], tmp_path: Path) -> None:
    directory, _ = home
    result(directory, "backup", str(tmp_path / "copy"))
    packed = tmp_path / "copy" / "manifest.json"
    packed.write_text(packed.read_text().replace('"events": 30', '"events": 31'))
    assert "the manifest says" in refusal(tmp_path / "again", "restore", str(tmp_path / "copy"))
    assert "restored by half" in refusal(tmp_path / "again", "load")
    assert "restored by half" in refusal(tmp_path / "again", "core")


def test_a_quarantined_leaf_whose_hash_ends_in_a_zero_byte_is_proven_and_replayed(
    home: tuple[Path, Writer], tmp_path: Path
) -> None:
    directory, writer = home
    organization_id = organization_of(directory)
    while True:  # 1 in 256: as text in the store it would lose that byte
        writer.event("session", organization_id, quarantine_reason="unusable_field", expiring=None)
        parts = split_line(writer.waiting[-1])
        assert parts is not None
        if leaf_hash(parts.leaf).endswith(b"\0"):
            break
        writer.waiting.pop()
        writer.seq -= 1
    writer.clicks(2, organization_id=organization_id)
    writer.finish()
    assert result(directory, "load")["quarantined"] == 1
    with stored(directory) as store:
        assert_proven(store, organization_id, 32)
    files = [str(tmp_path / feed) for feed in ("events", "seals")]
    for feed, path in zip(("events", "seals"), files, strict=True):
        result(directory, "export", feed, "--organization", organization_id, "--with-personal", "--output", path)
    done = result(tmp_path / "again", "replay", *files)
    assert (done["quarantined"], done["proven"], done["unsealed"]) == (1, 2, 0)
