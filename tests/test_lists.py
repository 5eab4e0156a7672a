"""The lists are built from what npm installed, whole and dated, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import maxminddb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import SearchTreeLeaf

from stackfluence import doctor, lists
from stackfluence.errors import ListsUnusable
from stackfluence.lists import build
from stackfluence.settings import Settings

PACKAGES = json.loads((lists.PLACE / "package.json").read_text())["dependencies"]
LOCK = (lists.PLACE / "package-lock.json").read_text()
NODE = shutil.which("node")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a copy of the small lists, in which a test may break something."""
    for name in ("manifest.json", "isbot.json", "chrome_builds.json", "languages.json"):
        shutil.copy(lists.BUILT / name, tmp_path / name)
    monkeypatch.setattr(lists, "BUILT", tmp_path)
    lists.manifest.cache_clear()
    yield tmp_path
    lists.manifest.cache_clear()


def test_every_list_tells_where_it_comes_from() -> None:
    assert set(lists.manifest()) == {"isbot", "chrome_builds", "languages", "country", "asn"}
    for name, origin in lists.manifest().items():
        assert origin["version"] == PACKAGES[origin["package"]], name
        assert origin["licence"]
        assert origin["attribution"]
        assert hashlib.sha256(lists.path(name).read_bytes()).hexdigest() == origin["sha256"]
    for name in ("country", "asn"):
        assert lists.manifest()[name]["licence"] == "CC-BY-4.0"
        assert "https://db-ip.com" in lists.manifest()[name]["attribution"]
        assert lists.manifest()[name]["made_on"] > "2026-01-01"


def test_each_list_says_its_version_with_its_content() -> None:
    assert lists.load("isbot")["version"] == PACKAGES["isbot"]
    assert len(lists.load("isbot")["patterns"]) > 200
    builds = lists.load("chrome_builds")["builds"]
    assert builds["131"] == [6723 + 1, 6778], "131 was branched as 6778, after 130 at 6723"
    assert all(low <= high for low, high in builds.values())
    languages = lists.load("languages")
    assert {"de", "tr"} <= set(languages["languages"]["DE"])
    assert "en" in languages["spread"]


@pytest.mark.skipif(NODE is None or not build.INSTALLED.is_dir(), reason="needs Node and the installed packages")
def test_the_patterns_read_are_those_that_the_package_exports() -> None:
    assert NODE is not None
    script = "process.stdout.write(JSON.stringify(require('isbot').list))"
    done = subprocess.run([NODE, "-e", script], cwd=lists.PLACE, capture_output=True, check=True)
    assert lists.load("isbot")["patterns"] == json.loads(done.stdout)


def test_a_missing_list_says_what_to_do(copied: Path) -> None:
    (copied / "isbot.json").unlink()
    with pytest.raises(ListsUnusable, match=r"run `make setup`.*isbot\.json: No such file"):
        lists.load("isbot")
    with pytest.raises(ListsUnusable, match=r"'cookies' is none of the lists"):
        lists.load("cookies")


def test_a_list_that_was_changed_or_cut_is_not_used(copied: Path) -> None:
    whole = (copied / "isbot.json").read_bytes()
    (copied / "isbot.json").write_bytes(whole.replace(b"bot", b"cat", 1))
    with pytest.raises(ListsUnusable, match="not as it was built"):
        lists.load("isbot")
    (copied / "isbot.json").write_bytes(whole[:-1])
    with pytest.raises(ListsUnusable, match="was built with"):
        lists.load("isbot")


def thinned(folder: Path, file: str, name: str) -> None:
    """Leave nearly nothing of a list, in a manifest that agrees."""
    content = json.loads((folder / file).read_text())
    counted = lists.LEAST[name][0]
    kept = list(content[counted])[:3]
    content[counted] = kept if isinstance(content[counted], list) else {key: content[counted][key] for key in kept}
    raw = json.dumps(content).encode()
    (folder / file).write_bytes(raw)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name].update(size=len(raw), sha256=hashlib.sha256(raw).hexdigest())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lists.manifest.cache_clear()


@pytest.mark.parametrize("name", lists.LEAST)
def test_a_list_that_is_thin_is_refused_though_its_manifest_agrees(copied: Path, name: str) -> None:
    lists.check()
    thinned(copied, f"{name}.json", name)
    with pytest.raises(ListsUnusable, match=f"{name} has only 3 "):
        lists.load(name)
    with pytest.raises(ListsUnusable, match=f"run `make setup`.* {name} has only 3 "):
        lists.check()


def test_lists_of_another_version_are_refused_until_set_up_has_run(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    assert manifest["stamp"] == lists.stamp()
    (copied / "manifest.json").write_text(json.dumps({**manifest, "stamp": "another's"}))
    with pytest.raises(ListsUnusable, match=r"run `make setup`.*another version"):
        lists.check()
    finding = doctor._lists(Settings())
    assert (finding.is_well, finding.advice) == (False, "Run `make setup` anew.")
    (copied / "manifest.json").write_text(json.dumps({"files": manifest["files"]}))
    with pytest.raises(ListsUnusable, match="another version"):
        lists.check()


def test_an_installation_without_the_sources_of_the_stamp_is_not_refused(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "PLACE", copied)
    assert lists.stamp() == ""
    lists.check()


@pytest.mark.parametrize("command", [["score", "-"], ["serve", "--port", "0"], ["edge", "--port", "0"]])
def test_no_command_that_judges_starts_with_lists_of_another_version(tmp_path: Path, command: list[str]) -> None:
    package = tmp_path / "stackfluence"
    shutil.copytree(Path(lists.__file__).parents[1], package, ignore=shutil.ignore_patterns("node_modules"))
    (package / "lists" / "package-lock.json").write_text(LOCK + "\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SF_DATA_DIR": str(tmp_path / "kept")}
    done = subprocess.run(
        [sys.executable, "-m", "stackfluence", *command], env=environment, input=b"", capture_output=True, timeout=60
    )
    assert done.returncode == 1
    assert b"run `make setup`" in done.stderr


@pytest.mark.parametrize("spoil", ["cut", "thinned", "gone"])
def test_set_up_mends_what_the_edge_refuses(copied: Path, spoil: str) -> None:
    for name in ("country.mmdb", "asn.mmdb"):
        shutil.copy(lists.PLACE / "built" / name, copied / name)
    assert build._is_built(copied, lists.stamp())
    if spoil == "cut":
        (copied / "country.mmdb").write_bytes((copied / "country.mmdb").read_bytes()[:-1])
    elif spoil == "thinned":
        thinned(copied, "isbot.json", "isbot")
    else:
        (copied / "languages.json").unlink()
    assert not build._is_built(copied, lists.stamp())


@pytest.mark.parametrize("text", [None, "", "[]", '{"stamp": ""}', '{"files": []}'])
def test_without_a_manifest_there_are_no_lists(copied: Path, text: str | None) -> None:
    if text is None:
        (copied / "manifest.json").unlink()
    else:
        (copied / "manifest.json").write_text(text)
    with pytest.raises(ListsUnusable, match=r"manifest\.json is (missing|damaged)"):
        lists.path("isbot")


def test_a_second_build_does_nothing() -> None:
    before = (lists.BUILT / "manifest.json").stat().st_ino
    assert build.build() is False
    assert (lists.BUILT / "manifest.json").stat().st_ino == before


def test_a_build_without_packages_says_how_to_install_them(tmp_path: Path) -> None:
    with pytest.raises(ListsUnusable, match="npm ci"):
        build.build(tmp_path / "node_modules", tmp_path / "built")


def package(folder: Path, name: str, files: dict[str, str]) -> Path:
    path = folder / name
    for file, text in {"package.json": json.dumps({"name": name, "version": "1.0.0"}), **files}.items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text(text)
    return path


@pytest.mark.parametrize(
    "module",
    [
        "export const list = [];",
        'var patterns_default = ["bot"];',
        "var patterns_default = [" + ",".join(["1"] * 200) + "];",
        "var patterns_default = [" + ",".join(['"bot"'] * 200),
        "var patterns_default = [/bot/];",
    ],
)
def test_a_module_of_another_shape_stops_the_build(tmp_path: Path, module: str) -> None:
    with pytest.raises(ListsUnusable, match="isbot"):
        build._isbot(package(tmp_path, "isbot", {"index.mjs": module}), tmp_path / "isbot.json")


@pytest.mark.parametrize("versions", [["1.2"], ["131.0.6778.1", "latest"], ["131.0.6778.1"]])
def test_versions_of_another_shape_stop_the_build(tmp_path: Path, versions: list[str]) -> None:
    found = package(tmp_path, "agents", {"data/chromiumBuildVersions.json": json.dumps(versions)})
    with pytest.raises(ListsUnusable, match="agents"):
        build._chrome_builds(found, tmp_path / "builds.json")


@st.composite
def ranges(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Return ranges that don't overlap, as (first, last, width), of IPv4 or IPv6, in a small part of either."""
    width = draw(st.sampled_from([32, 128]))
    start = draw(st.sampled_from([0, 1 << 24, (1 << width) - 4096]))
    if width == 128:
        start = max(start, 1 << 100)
    edges = sorted(draw(st.sets(st.integers(0, 4095), min_size=2, max_size=12)))
    return [(start + low, start + high - 1, width) for low, high in zip(edges[::2], edges[1::2], strict=False)]


@given(ranges())
def test_a_range_is_found_from_its_first_address_to_its_last(
    tmp_path_factory: pytest.TempPathFactory, given_ranges: list[tuple[int, int, int]]
) -> None:
    writer = build._Networks("test-asn", "2026-06-02")
    for index, (first, last, width) in enumerate(given_ranges):
        writer.add(first, last, width, SearchTreeLeaf({"autonomous_system_number": index}))
    path = tmp_path_factory.mktemp("asn") / "asn.mmdb"
    writer.to_db_file(str(path))
    with maxminddb.open_database(str(path)) as reader:
        for first, last, width in given_ranges:
            for value in {first - 1, first, (first + last) // 2, last, last + 1}:
                if not 0 <= value < 1 << width:
                    continue
                address = ip_address(value.to_bytes(width // 8, "big"))
                record = reader.get(address)
                number = next((n for n, (low, high, _) in enumerate(given_ranges) if low <= value <= high), None)
                assert record == (None if number is None else {"autonomous_system_number": number})


def test_overlapping_ranges_stop_the_build() -> None:
    writer = build._Networks("test-asn", "2026-06-02")
    writer.add(256, 511, 32, SearchTreeLeaf(1))
    with pytest.raises(ListsUnusable, match="overlap"):
        writer.add(300, 301, 32, SearchTreeLeaf(2))


def test_packages_are_pinned_and_the_lock_names_no_place_to_fetch_them() -> None:
    assert all(version[0].isdigit() for version in PACKAGES.values())
    assert "resolved" not in LOCK
    assert all(f'"{name}": "{version}"' in LOCK for name, version in PACKAGES.items())
