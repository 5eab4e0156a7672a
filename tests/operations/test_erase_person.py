"""A person is erased through the command line: gone everywhere, and every count, seal and proof stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from stackfluence.cli import cli
from stackfluence.events.seal import broken_link
from stackfluence.events.seal_book import SealBook
from tests.events.journals import Writer
from tests.operations.installations import column, loaded, new_link, refusal, result, rows, signed_click_id, stored
from tests.operations.test_backup_under_load import assert_proven
from tests.processes.serving import HTTP, Serving, serving

PHONE = "Mozilla/5.0 (emma's own phone)"
OTHER_PHONE = "Mozilla/5.0 (somebody else's phone)"
COUNTS = (
    "select (select count() from events) as stored, (select count() from quarantined_events) as quarantined, "
    "(select sum(revenue_cents) from events) as revenue"
)


def buy(running: Serving, link: str, phone: str, customer_id: str) -> str:
    """Click, visit, buy; returns the signed click ID."""
    sent = signed_click_id(HTTP.get(link, headers={"User-Agent": phone}, timeout=20))
    for kind, fields in (
        ("session", {"session_id": f"visit-of-{customer_id}", "page_url": f"https://brand.example/{customer_id}"}),
        ("conversion", {"order_id": f"order-{customer_id}", "revenue_cents": 1900, "customer_id": customer_id}),
    ):
        body: dict[str, Any] = {"inf_click_id": sent, **fields, "metadata": {"remark": f"remark on {customer_id}"}}
        headers = running.secret | {"User-Agent": phone}
        answer = HTTP.post(f"{running.address}/v1/events/{kind}", json=body, headers=headers, timeout=20)
        assert answer.status_code == 202, answer.text
    return sent


def on_disk(directory: Path, text: str) -> list[str]:
    """Return the journal files in which a text is."""
    files = [path for path in (directory / "journal").rglob("*") if path.is_file()]
    return [path.name for path in files if text.encode() in path.read_bytes()]


def leaves(exported: str) -> list[str]:
    return [json.loads(line)["leaf"] for line in exported.splitlines()]


def test_a_person_is_erased_everywhere_and_every_count_and_proof_stays(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        organization_id = running.keys["organization_id"]
        link = new_link(running)
        emma = buy(running, link, PHONE, "emma-1")
        buy(running, link, OTHER_PHONE, "somebody-2")
        loaded(running)
        assert on_disk(tmp_path, "remark on emma-1"), "loaded lines are in the archive"
        assert on_disk(tmp_path, PHONE)
        core = result(tmp_path, "load")
        assert (core["loaded_by"], core["lines"], core["held"]) == ("core", 6, {})
        exported = tmp_path / "before.ndjson"
        asked = ("export", "events", "--organization", organization_id, "--with-personal")
        before = result(tmp_path, *asked, "--output", str(exported))
        assert "remark on emma-1" in exported.read_text()

        erase = ("erase", "--organization", organization_id)
        environment = {"SF_DATA_DIR": str(tmp_path)}
        refused = CliRunner().invoke(cli, [*erase, "--customer-id", "emma-1"], env=environment, input="n\n")
        assert refused.exit_code == 1, "nobody said yes"
        assert "1 events belong to this person" in refused.stdout
        first = result(tmp_path, *erase, "--customer-id", "emma-1", "--yes", is_own_process=True)
        assert (first["events"], first["rows"]) == (1, 1)
        second = result(tmp_path, *erase, "--click-id", emma, "--yes")
        assert second["events"] == 3, "click, session and purchase"
        again = result(tmp_path, *erase, "--click-id", emma, "--yes")
        assert (again["rows"], again["lines"]) == (0, 0)

        after = result(tmp_path, *asked, "--output", str(tmp_path / "after.ndjson"))
        assert after["rows"] == before["rows"]
        text = (tmp_path / "after.ndjson").read_text()
        assert "remark on emma-1" not in text
        assert PHONE not in text
        assert "remark on somebody-2" in text
        leaves = [
            [json.loads(line)["leaf"] for line in content.splitlines()] for content in (text, exported.read_text())
        ]
        assert leaves[0] == leaves[1]
        assert on_disk(tmp_path, "remark on emma-1") == []
        assert on_disk(tmp_path, PHONE) == []
        assert on_disk(tmp_path, "remark on somebody-2")
        log = HTTP.get(f"{running.address}/v1/audit-log", headers=running.secret, timeout=20).json()["items"]
        erasures = [entry for entry in log if entry["action"] == "person.erased"]
        assert [entry["subject_id"] for entry in erasures].count("click_id") == 2
        assert emma not in json.dumps(log)

    with stored(tmp_path) as store:
        assert rows(store, COUNTS) == [{"stored": 6, "quarantined": 0, "revenue": 3800}]
        kept = column(store, "select concat(kept, expiring) from events_personal")
        assert len(kept) == 3
        assert not any("emma" in half for half in kept)
        assert_proven(store, organization_id, 6)
    assert broken_link(SealBook(tmp_path / "journal" / "w0").seals()) is None
    assert (tmp_path / "erasures.jsonl").stat().st_mode & 0o077 == 0


def test_a_backup_older_than_an_erasure_is_restored_without_the_erased(tmp_path: Path) -> None:
    home, copy, elsewhere = tmp_path / "home", tmp_path / "copy", tmp_path / "elsewhere"
    organization_id = result(home, "init", "--org", "Brand")["organization_id"]
    writer = Writer(home / "journal" / "w0")
    for session_id in ("visit-1", "visit-2"):
        expiring = {"page_url": f"https://brand.example/{session_id}"}
        writer.event("session", organization_id, session_id=session_id, expiring=expiring)
        writer.finish()
        result(home, "load")  # no core runs: commands open the store themselves
    result(home, "backup", str(copy))
    result(home, "erase", "--organization", organization_id, "--session-id", "visit-1", "--yes")
    done = result(elsewhere, "restore", str(copy), "--erasures", str(home / "erasures.jsonl"))
    assert done["erased_again"] == 1
    assert on_disk(elsewhere, "https://brand.example/visit-1") == []
    assert on_disk(elsewhere, "https://brand.example/visit-2")
    with stored(elsewhere) as store:
        assert column(store, "select count() from events") == [2]
        assert column(store, "select expiring like '%/visit-2%' from events_personal") == [True]


def test_an_erasure_of_nobody_or_of_an_unknown_organization_is_refused(tmp_path: Path) -> None:
    result(tmp_path, "init", "--org", "Brand")
    asked = ("erase", "--organization", "org_0000000", "--yes")
    assert "There is no organization" in refusal(tmp_path, *asked, "--session-id", "s")
    nobody = CliRunner().invoke(cli, asked, env={"SF_DATA_DIR": str(tmp_path)})
    assert nobody.exit_code == 2
