"""SQL lives in files: every statement there has a name and a sentence, and is read once, as a literal.

    -- name: count_lines
    -- How many lines of a range of a node are in the store.
    select …

Values are bound, `{name:Type}`; nothing builds SQL from text. A statement that would change or remove anything but
personal halves is refused when its file is read: `events`, `quarantined_events`, `seals` and `erasures` only grow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackfluence.errors import StoreError

CHANGEABLE = ("events_personal",)

_HEADER = re.compile(r"^-- name: (\w+)\n((?:--.*\n)+)", re.MULTILINE)
_COMMENT_OR_TEXT = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'", re.DOTALL)
_HARMLESS = re.compile(
    # a temporary table belongs to one connection; dropping one never drops another
    r"\s*(?:select|with|insert\s+into|create\s+(?:temporary\s+)?table\s+if\s+not\s+exists"
    r"|create\s+or\s+replace\s+temporary\s+table|drop\s+temporary\s+table\s+if\s+exists)\b",
    re.IGNORECASE,
)
_ADDS_A_COLUMN = re.compile(  # to a store of an earlier version; what is stored stays as it is
    r"\s*alter\s+table\s+(\w+)\s+add\s+(?:column|index)\s+if\s+not\s+exists\b"
    r"(?!.*\b(?:delete|update|drop|modify|clear|rename|replace|move|detach|attach|materialize|reset)\b)",
    re.IGNORECASE | re.DOTALL,
)
_ADDED = re.compile(r"\badd\s+(?:column|index)\s+if\s+not\s+exists\s+(\w+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a .sql file."""

    name: str
    sentence: str
    sql: str

    @property
    def additions(self) -> set[tuple[str, str]]:
        """The table and name of each column or index that it adds to a store of an earlier version."""
        bare = _COMMENT_OR_TEXT.sub(" ", self.sql)
        alteration = _ADDS_A_COLUMN.match(bare)
        return {(alteration[1], part) for part in _ADDED.findall(bare)} if alteration else set()


def read_statements(path: Path) -> Mapping[str, Statement]:
    """Return a file's statements by name, in order; raises StoreError for one that is unnamed or not allowed."""
    text = path.read_text()
    headers = list(_HEADER.finditer(text))
    if not headers or _COMMENT_OR_TEXT.sub("", text[: headers[0].start()]).strip():
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
    if _HARMLESS.match(bare) or _ADDS_A_COLUMN.match(bare):
        return
    target = re.match(r"\s*alter\s+table\s+`?(\w+)`?\s", bare, re.IGNORECASE)
    if target is None or target[1] not in CHANGEABLE:
        raise StoreError(f"{name}: only {', '.join(CHANGEABLE)} may be changed; events are immutable.")
