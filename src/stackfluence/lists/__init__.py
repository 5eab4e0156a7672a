"""The public lists that set-up installs: who is a robot, which builds of Chrome exist, which address is where.

None of them is part of this project: npm installs the packages that `package.json` pins, and `lists.build` turns them
into the files of `built/`, beside which `manifest.json` says what each was made from. Standard library only, because
the hot path imports it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from stackfluence.errors import ListsUnusable

PLACE = Path(__file__).parent
BUILT = PLACE / "built"
MANIFEST = "manifest.json"
MADE_BY = ("package-lock.json", "build.py")  # what decides the lists' content; both are part of an installation
# what each JSON list counts in, and how many there must be: about half of what the pinned versions hold
LEAST = {"isbot": ("patterns", 100), "chrome_builds": ("builds", 100), "languages": ("languages", 200)}
LEAST_RANGES = 100_000  # of the table of networks


class ListOrigin(TypedDict):
    """What a built file is and where it comes from; `made_on` is a date, empty when the source tells none."""

    file: str
    name: str
    package: str
    version: str
    licence: str
    attribution: str
    made_on: str
    size: int
    sha256: str


@cache
def manifest() -> dict[str, ListOrigin]:
    """Return the origin of each list: isbot, chrome_builds, languages, country, asn. Raises ListsUnusable."""
    files: dict[str, ListOrigin] = _manifest()["files"]
    return files


def stamp() -> str:
    """Return what tells one version's lists from another's, empty where the files that tell aren't installed."""
    try:
        return hashlib.sha256(b"".join((PLACE / name).read_bytes() for name in MADE_BY)).hexdigest()
    except FileNotFoundError:
        return ""


def check() -> None:
    """Raise ListsUnusable unless the lists are this version's, whole, and as long as they must be.

    Tables of addresses are the business of who opens them: an installation that has its own needs none of these.
    """
    made_by = stamp()
    if made_by and _manifest().get("stamp") != made_by:
        raise ListsUnusable(f"{BUILT} was built by another version or from other packages.")
    for name in LEAST:
        load(name)


def is_installed(name: str) -> bool:
    """Whether set-up installed a list, in whatever state it is now. Raises ListsUnusable for a damaged manifest."""
    return (BUILT / MANIFEST).exists() and name in manifest()


def path(name: str) -> Path:
    """Return where a list's file is, present and of the right size. Raises ListsUnusable."""
    origin = manifest().get(name)
    if origin is None:
        raise ListsUnusable(f"{name!r} is none of the lists; there are {', '.join(manifest())}.")
    found = BUILT / origin["file"]
    try:
        size = found.stat().st_size
    except OSError as error:
        raise ListsUnusable(f"{found}: {error.strerror}.") from None
    if size != origin["size"]:
        raise ListsUnusable(f"{found} has {size:,} bytes and was built with {origin['size']:,}.")
    return found


def attribution(name: str) -> str:
    """Return what a list's licence wants to be shown with results of it. Raises ListsUnusable."""
    origin = manifest()[name]
    return f"{origin['attribution']} ({origin['licence']})"


def attributions(versions: Mapping[str, str]) -> list[str]:
    """Return what to show with a verdict that rests on these versions, as it was stored: that of set-up's tables.

    Empty where set-up hasn't run: what a table wants is told with it.
    """
    try:
        owed = {name: f"{origin['name']} " for name, origin in manifest().items() if name not in LEAST}
        return [attribution(name) for name, own in owed.items() if versions.get(name, "").startswith(own)]
    except ListsUnusable:
        return []


def whole(name: str) -> Path:
    """Return where a list's file is, checked against the SHA-256 it was built with. Raises ListsUnusable."""
    found = path(name)
    if hashlib.sha256(found.read_bytes()).hexdigest() != manifest()[name]["sha256"]:
        raise ListsUnusable(f"{found} is not as it was built.")
    return found


def load(name: str) -> dict[str, Any]:
    """Return a JSON list, whole and as long as it must be. Raises ListsUnusable.

    isbot: name, version, licence and `patterns`, regular expressions of user agents, case-insensitive.
    chrome_builds: name, version, licence and `builds`, major → [lowest, highest] build number ever published for it;
    the highest major's range was still growing when the list was made.
    languages: name, version, licence, `languages`, country → the languages spoken there (ISO 639), and `spread`,
    those spoken in so many countries that they are rare in none.
    """
    found: dict[str, Any] = json.loads(whole(name).read_bytes())
    require_enough(name, found)
    return found


def require_enough(name: str, content: dict[str, Any]) -> None:
    """Raise ListsUnusable for a JSON list that is so short that something must have been lost of it."""
    counted, least = LEAST[name]
    if len(content[counted]) < least:
        raise ListsUnusable(f"{name} has only {len(content[counted]):,} {counted}; there must be {least:,}.")


def _manifest() -> dict[str, Any]:
    try:
        found = json.loads((BUILT / MANIFEST).read_bytes())
        if not isinstance(found["files"], dict):
            raise TypeError("its files are no object")
    except FileNotFoundError:
        raise ListsUnusable(f"{BUILT / MANIFEST} is missing.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ListsUnusable(f"{BUILT / MANIFEST} is damaged: {type(error).__name__}: {error}.") from None
    return dict(found)
