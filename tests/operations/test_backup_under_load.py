"""A backup of real processes under load, restored elsewhere: the same events, none twice, every proof valid."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

from stackfluence.events.feed import prove
from stackfluence.events.seal import broken_link, check_view, is_included
from stackfluence.events.seal_book import SealBook
from stackfluence.events.store import Store
from tests.operations.installations import (
    Visitors,
    column,
    new_link,
    refusal,
    result,
    rows,
    signed_click_id,
    stored,
)
from tests.processes.serving import HTTP, serving, wait_for


def assert_proven(store: Store, organization_id: str, some: int) -> None:
    """Check the proofs of some events of an organization."""
    chosen = rows(
        store,
        "select node, seq, line from events where organization_id = {org:String} "
        "order by cityHash64(node, seq) limit {n:UInt32}",
        org=organization_id,
        n=some,
    )
    assert chosen
    for row in chosen:
        proof = asyncio.run(prove(store, organization_id, row["node"], row["seq"]))
        assert proof is not None
        assert is_included(row["line"].encode(), proof.index, proof.leaves, proof.path, proof.root)
        assert check_view(proof.view)


def test_a_backup_under_load_restores_elsewhere_with_every_event_once(tmp_path: Path) -> None:
    home, copy, elsewhere = tmp_path / "home", tmp_path / "copy", tmp_path / "elsewhere"
    with serving(home) as running:
        link = new_link(running)
        visitors = Visitors(link)
        with visitors.visiting():
            wait_for(lambda: len(visitors.clicks) > 300, running.log)
            before = set(visitors.clicks)
            made = result(home, "backup", str(copy), is_own_process=True)
            wait_for(lambda: len(visitors.clicks) > len(before) + 100, running.log)
        assert "is not empty" in refusal(home, "backup", str(copy))
        organization_id = running.keys["organization_id"]
        mode = (home / "operator.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert HTTP.post(f"{running.address}/backup", json={}).status_code == 404
    assert made["events"] > 0
    assert made["has_secrets"]

    assert result(elsewhere, "restore", str(copy), is_own_process=True)["events"] == made["events"]
    result(elsewhere, "load")
    with stored(elsewhere) as store:
        clicks = column(store, "select toString(event_id) from events where event_type = 'click'")
        assert len(clicks) == len(set(clicks))
        assert before <= set(clicks)
        assert set(clicks) <= set(visitors.answered)
        personal = column(store, "select concat(node, ' ', toString(seq)) from events_personal")
        assert len(personal) == len(set(personal))
        assert set(column(store, "select concat(node, ' ', toString(seq)) from events")) <= set(personal)
        assert_proven(store, organization_id, 20)
        highest = column(store, "select max(load_number) from events")[0]
        sealed = set(column(store, "select seal_hash from seals"))
    book = SealBook(elsewhere / "journal" / "w0")
    assert broken_link(book.seals()) is None
    assert {seal.seal_hash for seal in book.seals()} == sealed

    with serving(elsewhere) as again:
        signed_click_id(HTTP.get(f"{again.address}/c/emma/spring", timeout=20))
        wait_for(lambda: len(SealBook(elsewhere / "journal" / "w0").seals()) > len(sealed), again.log)
    with stored(elsewhere) as store:
        assert column(store, "select count() from events where event_type = 'click'")[0] == len(clicks) + 1
        assert column(store, "select max(load_number) from events")[0] > max(highest, 1_000_000)
        assert_proven(store, organization_id, 5)


def test_a_backup_that_was_changed_or_never_finished_is_refused(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    result(home, "init", "--org", "Brand")
    result(home, "backup", str(copy))
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700

    assert "is not empty" in refusal(home, "restore", str(copy))

    manifest = json.loads((copy / "manifest.json").read_text())
    packed = copy / "catalog.jsonl.zst"
    packed.write_bytes(packed.read_bytes()[:-1] + b"\0")
    assert "can't be trusted" in refusal(tmp_path / "new", "restore", str(copy))
    assert manifest["files"]["catalog.jsonl.zst"]["bytes"] == packed.stat().st_size

    (copy / "manifest.json").unlink()
    assert "is no backup" in refusal(tmp_path / "new", "restore", str(copy))
    assert not (tmp_path / "new").exists()


def test_a_backup_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "is no data directory" in refusal(home, "backup", str(home / "copy"))
    result(home, "init", "--org", "Brand")
    assert "is inside of the data directory" in refusal(home, "backup", str(home / "copy"))
    assert not (home / "copy").exists()
