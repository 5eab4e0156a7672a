"""The file as the edge serves it, and as its source gives it."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from stackfluence.collect.snippet import MAX_GZIP_BYTES, PLACE, Script, read_scripts, serve_snippet
from tests.edge.edges import RunningEdge, start_edge

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "snippet"
SCRIPTS = read_scripts()
NODE = shutil.which("node")


@pytest.fixture
async def running(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Return an edge that serves the snippet."""
    async with start_edge(tmp_path) as edge:
        serve_snippet(edge.edge)
        yield edge


def newest() -> Script:
    return SCRIPTS[max(SCRIPTS)]


async def test_a_version_is_kept_for_a_year_and_the_newest_for_an_hour(running: RunningEdge) -> None:
    version, named = await running.get("/sf.v1.js"), await running.get("/sf.js?v=2")
    assert version["cache-control"] == "public, max-age=31536000, immutable"
    assert named["cache-control"] == "public, max-age=3600"
    assert named.body == newest().plain
    assert version.body == SCRIPTS[1].plain
    for answer in (version, named):
        assert answer.status == 200
        assert answer["content-type"] == "text/javascript; charset=utf-8"
        assert answer["access-control-allow-origin"] == "*"
        assert answer["cross-origin-resource-policy"] == "cross-origin"
        assert answer["x-content-type-options"] == "nosniff"
        assert answer["vary"] == "accept-encoding"
        assert answer.get("content-encoding") is None


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [("gzip, deflate, br, zstd", True), ("br;q=1, GZIP;q=0.8", True), ("gzip;q=0", False), ("br", False), ("", False)],
)
async def test_it_is_packed_for_those_who_take_it(running: RunningEdge, accepted: str, is_packed: bool) -> None:
    answer = await running.get("/sf.v1.js", **{"Accept-Encoding": accepted})
    assert (answer.get("content-encoding") == "gzip") is is_packed
    assert (gzip.decompress(answer.body) if is_packed else answer.body) == SCRIPTS[1].plain
    assert int(answer["content-length"]) == len(answer.body)


async def test_a_head_has_the_headers_alone(running: RunningEdge) -> None:
    answer = await running.request("HEAD", "/sf.js")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer["content-length"]) == len(newest().plain)


async def test_one_who_has_it_is_told_so(running: RunningEdge) -> None:
    for encoding in ("gzip", "identity"):
        first = await running.get("/sf.js", **{"Accept-Encoding": encoding})
        for known in (first["etag"], f"W/{first['etag']}", f'"other", {first["etag"]}', "*"):
            again = await running.get("/sf.js", **{"Accept-Encoding": encoding, "If-None-Match": known})
            assert (again.status, again.body) == (304, b"")
            assert again["etag"] == first["etag"]
    assert (await running.get("/sf.js", **{"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize("target", ["/sf.jsx", "/sf.v1.json", "/sf.js/1"])
async def test_another_name_is_not_found(running: RunningEdge, target: str) -> None:
    assert (await running.get(target)).status == 404


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=lambda script: f"v{script.version}")
def test_a_version_is_small_and_plain(script: Script) -> None:
    assert len(gzip.compress(script.plain, 9)) <= MAX_GZIP_BYTES
    text = script.plain.decode("ascii")
    for word in ("eval", "Function(", "innerHTML", "document.write", ".style"):
        assert word not in text, "a strict Content-Security-Policy must let it run"


@pytest.mark.skipif(
    NODE is None or not (SOURCE / "node_modules").is_dir(), reason="needs Node and `npm ci` in snippet/"
)
def test_the_newest_version_is_what_its_source_gives() -> None:
    assert NODE is not None
    for command in ([NODE, "node_modules/typescript/bin/tsc"], [NODE, "build.mjs", "--check"]):
        done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["gzip_bytes"] <= told["most_bytes"] == MAX_GZIP_BYTES
    assert told["integrity"] == newest().integrity
    assert told["bytes"] == len(newest().plain)


def test_the_page_about_it_names_the_hash_of_its_version() -> None:
    page = (ROOT / "docs" / "snippet.md").read_text()
    assert f'src="https://go.brand.example/sf.v{newest().version}.js" integrity="{newest().integrity}"' in page


def test_its_tools_are_pinned_and_the_lock_names_no_place_to_fetch_them() -> None:
    lock = (SOURCE / "package-lock.json").read_text()
    assert "resolved" not in lock
    wanted = json.loads((SOURCE / "package.json").read_text())["devDependencies"]
    assert all(version[0].isdigit() and f'"{name}": "{version}"' in lock for name, version in wanted.items())
    assert [path.name for path in PLACE.glob("*.js")] == [f"sf.v{version}.js" for version in sorted(SCRIPTS)]
