"""Files of links: our own CSV in and out, Dub's and Bitly's exports in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

from stackfluence.api.lines import LineForm, Record, read_header, read_rows, unescape
from stackfluence.api.link_bodies import NewLink
from stackfluence.errors import Invalid

_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_SEEN_NOT_ACTIVE = frozenset({"archived", "hidden", "inactive"})

TOLD_ONLY = ("id", "url", "created_at", "updated_at")  # in our own files, and ignored when they come back
COLUMNS = (
    *("id", "url", "host", "creator_handle", "campaign_slug", "asset_slug", "destination_url", "status", "kind"),
    *("expires_at", "fallback_url", "tags", "is_test", "created_at", "updated_at"),
)


class Format(StrEnum):
    """Whose columns a CSV file has."""

    stackfluence = "stackfluence"
    dub = "dub"
    bitly = "bitly"


# what their exports call a thing, in lower case; the columns in front are those of the file, the others of the API
_DESTINATION = {
    Format.stackfluence: ("destination_url",),
    Format.dub: ("destination url", "url"),
    Format.bitly: ("destination url", "long url", "long_url"),
}
_SHORT = {
    Format.dub: ("short link", "shortlink", "link", "key"),
    Format.bitly: ("custom link", "link", "bitlink", "short url"),
}
_EXPIRY = ("expires at", "expiresat")


def read_csv(body: bytes, format: Format | None, form: LineForm[NewLink]) -> tuple[Format, list[Record[NewLink]]]:
    """Return a CSV file's format and lines; raises Invalid when it is none of the known ones."""
    header, rows = read_header(body)
    format = _recognize(header, format)
    read = _read_own if format is Format.stackfluence else _read_foreign(format)
    return format, read_rows(header, rows, form, read)


def join_tags(tags: Sequence[str]) -> str:
    """Return tags as one cell, separated by commas, quoted as CSV cells where needed."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(tags)
    return out.getvalue()


def split_tags(cell: str) -> list[str]:
    """Return the tags of a cell, the inverse of `join_tags`."""
    rows = csv.reader(io.StringIO(cell, newline=""), skipinitialspace=True)
    return [tag.strip() for row in rows for tag in row if tag.strip()]


def _recognize(header: Sequence[str], format: Format | None) -> Format:
    known = set(header)
    if format is None:
        for candidate in (Format.stackfluence, Format.dub, Format.bitly):
            if known & set(_DESTINATION[candidate]) and (candidate not in _SHORT or _tells_apart(known, candidate)):
                format = candidate
                break
        else:
            raise Invalid(f"format: these columns are not known: {', '.join(header)[:300]!r}.", field="format")
    if not known & set(_DESTINATION[format]):
        raise Invalid(f"body: a {format} file has a column {_DESTINATION[format][0]!r}.", field="body")
    if format is Format.stackfluence and (unknown := known - set(COLUMNS)):
        raise Invalid(f"body: these columns are not known: {', '.join(sorted(unknown))[:300]!r}.", field="body")
    return format


def _tells_apart(known: set[str], format: Format) -> bool:
    """Whether a file is Dub's or Bitly's: `Link` with `Destination URL` is Bitly's, `Link` with `URL` is Dub's."""
    if format is Format.dub:
        return bool(known & {"short link", "shortlink", "key"}) or {"link", "url"} <= known
    return bool(known & set(_SHORT[format]))


def _read_own(row: dict[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: cell for name, raw in row.items() if name not in TOLD_ONLY and (cell := unescape(raw.strip()))
    }
    if "tags" in fields:
        fields["tags"] = split_tags(fields["tags"])
    if "is_test" in fields:
        fields["is_test"] = _flag("is_test", fields["is_test"])
    return fields


def _read_foreign(format: Format) -> Callable[[dict[str, str]], dict[str, Any]]:
    """Return what reads a line of another product's export: destination, tags, expiry, the end of the short address."""

    def read(row: dict[str, str]) -> dict[str, Any]:
        row = {name: cell.strip() for name, cell in row.items()}
        fields: dict[str, Any] = {
            name: row[name]
            for name in ("creator_handle", "campaign_slug", "asset_slug", "host")
            if row.get(name)  # columns that somebody added by hand
        }
        fields["destination_url"] = _first(row, _DESTINATION[format])
        fields.setdefault("asset_slug", _slug(_first(row, _SHORT[format])) or None)
        if tags := split_tags(row.get("tags", "")):
            fields["tags"] = tags
        if expiry := _first(row, _EXPIRY):
            fields["expires_at"] = expiry
        is_archived = bool(row.get("archived")) and _flag("archived", row["archived"])
        if is_archived or row.get("status", "").lower() in _SEEN_NOT_ACTIVE:
            fields["status"] = "archived"
        return fields

    return read


def _first(row: Mapping[str, str], names: Sequence[str]) -> str:
    return next((row[name] for name in names if row.get(name)), "")


def _slug(short: str) -> str:
    """Return the end of a short address as an asset slug: `go.brand.example/a/b` gives `a-b`."""
    try:
        path = urlsplit(short if "//" in short else f"//{short}").path if "/" in short else short
    except ValueError:
        path = short
    return "-".join(part for part in unquote(path).split("/") if part)


def _flag(where: str, text: str) -> bool:
    try:
        return _FLAGS[text.lower()]
    except KeyError:
        raise Invalid(f"{where}: must be true or false.", field=where) from None
