"""The bench of error rates: on corpora made here, on those beside the repository, and without any."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench.bots_table import table
from bench.detectors import Detector, sample

from bench import bots, corpora

ROOT = Path(__file__).parents[2]
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Mobile/15E148 Safari/604.1"
)
IN_APP = PHONE.replace("Version/18.6 Mobile/15E148 Safari/604.1", "Mobile/15E148 Instagram 403.0.0.1 (iPhone17,1)")
CRAWLER = "ExampleBot/1.0 (+https://bots.example/)"


def write(path: Path, lines: list[Any]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return small corpora: a robot that says so and one that doesn't, people, and one of them taken for a robot."""
    for name in corpora.BOTS:
        write(tmp_path / f"{name}.txt.gz", [CRAWLER, PHONE])
    for name in corpora.HUMANS:
        write(tmp_path / f"{name}.txt.gz", [PHONE, IN_APP] * 200)
    write(tmp_path / "humans.txt.gz", [PHONE, IN_APP, CRAWLER, PHONE])
    labels = [
        {"ua": CRAWLER, "label": "bot", "kind": "crawler", "traffic_weight": 0},
        {"ua": PHONE, "label": "human", "kind": "browser", "traffic_weight": 0.75},
        {"ua": CRAWLER, "label": "human", "kind": "browser", "traffic_weight": 0.25},
    ]
    write(tmp_path / "ua_labels.jsonl.gz", labels)
    common = {"source": "captured on loopback: made here", "http": "1.1", "transport": "https"}
    bare = [["User-Agent", CRAWLER], ["Accept", "*/*"]]
    sets = [
        {**common, "label": "bot", "kind": "lib-default", "headers": bare},
        {**common, "label": "bot", "kind": "impersonate", "headers": [["User-Agent", PHONE]], "ambiguous": True},
        {**common, "label": "human", "kind": "inapp", "headers": [["User-Agent", IN_APP]], "partial": True},
    ]
    write(tmp_path / "headers.jsonl.gz", sets)
    return tmp_path


@pytest.fixture
def rows(directory: Path) -> dict[str, bots.Row]:
    """Return the rows of the small corpus by name, beside a detector that asks for three letters."""
    other = Detector("three letters", "1", lambda text: "bot" in text.lower(), at_most=300)
    return {row.name: row for row in bots.measure(directory, [other])}


def test_recall_and_false_positives_are_counted_by_corpus(rows: dict[str, bots.Row]) -> None:
    assert (rows["bots"].flagged.count, rows["bots"].flagged.n) == (1, 2)
    assert (rows["humans"].flagged.count, rows["humans"].flagged.n) == (1, 4)
    assert (rows["inapp"].flagged.count, rows["inapp"].flagged.n) == (0, 400)
    assert rows["bots"].meets(is_certain=False) is False
    assert rows["inapp"].meets(is_certain=True) is True
    assert rows["attacks"].meets(is_certain=False) is None


def test_other_detectors_are_asked_about_the_same_or_a_sample(rows: dict[str, bots.Row]) -> None:
    assert (rows["bots"].others["three letters"].n, rows["bots"].others["three letters"].count) == (2, 1)
    assert (rows["inapp"].others["three letters"].n, rows["inapp"].others["three letters"].count) == (300, 0)
    assert sample(["a", "b", "c", "d", "e", "f"], 3) == ["a", "c", "e"]


def test_an_app_has_a_rate_from_300_samples_on(rows: dict[str, bots.Row]) -> None:
    told = rows["inapp"].as_json()
    assert told["by_app"] == told["by_app_marker"]
    assert told["by_app"]["instagram"]["flagged"] == {"n": 200, "count": 0, "rate": None, "why": "not measurable"}
    assert "not measurable" in "\n".join(table(list(rows.values()), [], {"microseconds": {}, "detectors": {}}))


def test_a_rate_weighted_by_traffic_stands_beside_the_one_by_strings(rows: dict[str, bots.Row]) -> None:
    weighted = rows["humans"].as_json()["weighted_by_traffic"]
    assert (weighted["n"], weighted["rate"]) == (2, 25.0)
    assert weighted["low"] < 25 < weighted["high"]


def test_header_sets_that_nobody_can_tell_apart_or_that_lack_headers_stand_apart(rows: dict[str, bots.Row]) -> None:
    assert [name for name in rows if name.startswith("header_sets")] == [
        "header_sets_bot", "header_sets_bot_ambiguous", "header_sets_human_partial",
    ]  # fmt: skip
    assert rows["header_sets_bot"].flagged.count == 1
    assert rows["header_sets_human_partial"].flagged.count == 0
    assert [row.name for row in rows["header_sets_bot"].parts["by_kind"]] == ["lib-default"]


def test_without_corpora_it_says_where_they_were_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.bots", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (bots.MISSING, "")
    assert f"No labelled corpora in {tmp_path}" in done.stderr
    monkeypatch.setenv(corpora.VARIABLE, str(tmp_path / "elsewhere"))
    [line] = bots.run()
    assert str(tmp_path / "elsewhere") in line["skipped"]


@pytest.mark.skipif(not corpora.DIRECTORY.is_dir(), reason="the labelled corpora are not beside the repository")
def test_the_targets_hold_on_the_corpora_beside_the_repository() -> None:
    """The gate: these rates were tuned on these corpora, so one that is missed was lost by a later change."""
    rows = bots.measure(corpora.DIRECTORY, [])
    found = {
        f"{row.name}, {'certain' if is_certain else 'flagged'}": row.as_json()["certain" if is_certain else "flagged"]
        for row in rows
        for is_certain in (False, True)
        if row.meets(is_certain) is False
    }
    assert {row.name for row in rows} >= set(bots.TARGETS)
    assert found == {}
