"""Files of links: our own CSV in and out, Dub's and Bitly's exports in, JSON and JSON lines in.

A cell that a spreadsheet would run as a formula goes out with an apostrophe in front, and comes in without it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from pydantic import ValidationError

from stackfluence.api.link_bodies import NewLink
from stackfluence.api.problems import plain
from stackfluence.errors import Invalid, MalformedJson

MAX_LINES = 10_000
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")  # OWASP's list, and what quotes them here
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


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a file: the link it wants, or why it can't be read. `number` counts lines, or elements, from 1."""

    number: int
    wanted: NewLink | None
    is_readable: bool = True
    errors: Sequence[dict[str, str]] = ()


def read_csv(body: bytes, format: Format | None, defaults: Mapping[str, str]) -> tuple[Format, list[Record]]:
    """Return a CSV file's format and lines; raises Invalid when it is none of the known ones.

    `defaults` fill columns that are missing or empty.
    """
    text = _decode(body)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip().lower() for name in next(_rows(reader), (0, []))[1] or []]
    format = _recognize(header, format)
    read = _read_own if format is Format.stackfluence else _read_foreign(format)
    records = []
    for number, cells in _rows(reader):
        if cells is None or len(cells) > len(header):
            records.append(_unreadable(number, f"The line must have {len(header)} cells, as the header."))
        elif any(cell.strip() for cell in cells):
            row = dict(zip(header, cells, strict=False))
            records.append(_record(number, row, read, defaults))
        _check_count(records)
    return format, records


def read_json(body: bytes, defaults: Mapping[str, str]) -> list[Record]:
    """Return the links of a JSON array, or of an object's `links`; raises MalformedJson or Invalid for others."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedJson from None
    if isinstance(found, dict):
        found = found.get("links") if found.keys() == {"links"} else None
    if not isinstance(found, list):
        raise Invalid("links: must be an array of links.", field="links")
    _check_count(found)
    return [_record(number, item, dict, defaults) for number, item in enumerate(found, 1)]


def read_json_lines(body: bytes, defaults: Mapping[str, str]) -> list[Record]:
    """Return the links of a file with one JSON object a line; empty lines are passed over."""
    records = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(_record(number, msgspec.json.decode(line), dict, defaults))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            records.append(_unreadable(number, "The line is no JSON."))
        _check_count(records)
    return records


def write_csv(rows: Iterable[Sequence[str]], *, is_escaped: bool = False) -> bytes:
    """Return rows as CSV (RFC 4180), in which no cell is a formula; `is_escaped`: cells went through `escape`."""
    out = io.StringIO()
    csv.writer(out).writerows(row if is_escaped else [escape(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def escape(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def unescape(cell: str) -> str:
    """Return what `escape` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell


def join_tags(tags: Sequence[str]) -> str:
    """Return tags as one cell, separated by commas, quoted as CSV cells where needed."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(tags)
    return out.getvalue()


def split_tags(cell: str) -> list[str]:
    """Return the tags of a cell, the inverse of `join_tags`."""
    rows = csv.reader(io.StringIO(cell, newline=""), skipinitialspace=True)
    return [tag.strip() for row in rows for tag in row if tag.strip()]


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("body: the file must be UTF-8.", field="body") from None


def _rows(reader: Any) -> Iterator[tuple[int, list[str] | None]]:
    """Yield each row with the line it begins in; None for a row that can't be read."""
    while True:
        number = reader.line_num + 1
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield number, None


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


def _check_count(records: Sequence[object]) -> None:
    if len(records) > MAX_LINES:
        raise Invalid(f"body: at most {MAX_LINES} lines.", field="body")


def _unreadable(number: int, message: str) -> Record:
    return Record(number, None, is_readable=False, errors=[{"field": "", "message": message}])


def _record(number: int, item: object, read: Callable[[Any], dict[str, Any]], defaults: Mapping[str, str]) -> Record:
    if not isinstance(item, dict):
        return _unreadable(number, "The line is no JSON object.")
    try:
        fields = read(item)
        for name, value in defaults.items():
            if not fields.get(name) and not fields.get(name.partition("_")[0] + "_id"):
                fields[name] = value
        return Record(number, NewLink.model_validate(fields))
    except ValidationError as error:
        return Record(number, None, errors=plain(error.errors()))
    except Invalid as error:
        where = str(error.extra["field"])
        return Record(number, None, errors=[{"field": where, "message": error.detail.removeprefix(f"{where}: ")}])


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
