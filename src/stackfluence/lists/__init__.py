"""The public lists that set-up installs: who is a robot, which builds of Chrome exist, which address is where.

None of them is part of this project: npm installs the packages that `package.json` pins, and `lists.build` turns them
into the files of `built/`, beside which `manifest.json` says what each was made from. Standard library only, because
the hot path imports it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from stackfluence.errors import ListsUnusable

BUILT = Path(__file__).parent / "built"
MANIFEST = "manifest.json"


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
    try:
        files: dict[str, ListOrigin] = json.loads((BUILT / MANIFEST).read_bytes())["files"]
    except FileNotFoundError:
        raise ListsUnusable(f"{BUILT / MANIFEST} is missing.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ListsUnusable(f"{BUILT / MANIFEST} is damaged: {type(error).__name__}: {error}.") from None
    return files


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


def load(name: str) -> dict[str, Any]:
    """Return a JSON list, checked against the SHA-256 it was built with. Raises ListsUnusable.

    isbot: name, version, licence and `patterns`, regular expressions of user agents, case-insensitive.
    chrome_builds: name, version, licence and `builds`, major → [lowest, highest] build number ever published for it;
    the highest major's range was still growing when the list was made.
    languages: name, version, licence, `languages`, country → the languages spoken there (ISO 639), and `spread`,
    those spoken in so many countries that they are rare in none.
    """
    raw = path(name).read_bytes()
    if hashlib.sha256(raw).hexdigest() != manifest()[name]["sha256"]:
        raise ListsUnusable(f"{path(name)} is not as it was built.")
    found: dict[str, Any] = json.loads(raw)
    return found
