"""SQL lives in files: every statement there has a name and a sentence, and is read once, as a literal.

    -- name: count_lines
    -- How many lines of a range of a node are in the store.
    select …

Values are bound, `{name:Type}`; nothing builds SQL from text. Files that would change or remove what is immutable are
refused when they are read: `events`, `quarantined_events`, `seals` and `erasures` are only ever inserted into.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackfluence.errors import StoreError

IMMUTABLE = ("events", "quarantined_events", "seals", "erasures")

_HEADER = re.compile(r"^-- name: (\w+)\n((?:--.*\n)+)", re.MULTILINE)
_COMMENT_OR_TEXT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'", re.DOTALL)
_HARMLESS = re.compile(
    r"\s*(?:select|with|show|insert\s+into|create\s+(?:database|table|temporary\s+table)\s+if\s+not\s+exists)\b", re.IGNORECASE
)
_CHANGE = re.compile(
    r"\b(?:alter|delete|update|truncate|drop|rename|exchange|replace|detach|attach|optimize|move|freeze|kill|grant)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a .sql file."""

    name: str
    sentence: str
    sql: str


def read_statements(path: Path) -> Mapping[str, Statement]:
    """Return a file's statements by name, in order; raises StoreError for one that is unnamed or not allowed."""
    text = path.read_text()
    headers = list(_HEADER.finditer(text))
    if not headers or text[: headers[0].start()].strip():
        raise StoreError(f"{path.name} must begin with `-- name:` and a sentence.")
    found: dict[str, Statement] = {}
    for header, following in zip(headers, [*headers[1:], None], strict=True):
        sql = text[header.end() : following.start() if following else None].strip().removesuffix(";")
        sentence = " ".join(line.removeprefix("--").strip() for line in header[2].splitlines())
        if header[1] in found:
            raise StoreError(f"{path.name}: {header[1]} is there twice.")
        check_allowed(header[1], sql)
        found[header[1]] = Statement(header[1], sentence, sql)
    return found


def check_allowed(name: str, sql: str) -> None:
    """Raise StoreError for a statement that could change what is immutable, or that is more than one."""
    bare = _COMMENT_OR_TEXT.sub(" ", sql)
    if ";" in bare:
        raise StoreError(f"{name}: one statement at a time.")
    if _HARMLESS.match(bare) and not _CHANGE.search(re.sub(r"\btruncate\s*\(", "(", bare, flags=re.IGNORECASE)):
        return
    target = re.match(r"\s*(?:alter\s+table|truncate\s+table)\s+`?(\w+)`?\s", f"{bare} ", re.IGNORECASE)
    if target is None or target[1].lower() in IMMUTABLE:
        raise StoreError(f"{name}: only events_personal and staging may be changed, {', '.join(IMMUTABLE)} never.")
