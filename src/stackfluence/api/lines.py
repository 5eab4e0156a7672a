"""Files of lines, whatever the lines want: CSV, JSON and JSON lines in, CSV out.

A cell that a spreadsheet would run as a formula goes out with an apostrophe in front, and comes in without it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import ValidationError

from stackfluence.api.fields import Given
from stackfluence.api.problems import plain
from stackfluence.errors import Invalid, MalformedJson, UnsupportedMediaType

MAX_LINES = 10_000
JSON_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
CSV = frozenset({"text/csv", "application/csv", "text/tab-separated-values"})
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")  # OWASP's list, and what quotes them here

Wanted = TypeVar("Wanted", bound=Given)


@dataclass(frozen=True, slots=True)
class Record(Generic[Wanted]):
    """A line of a file: what it wants, or why it can't be read. `number` counts lines, or elements, from 1."""

    number: int
    wanted: Wanted | None
    is_readable: bool = True
    errors: Sequence[dict[str, str]] = ()


@dataclass(frozen=True, slots=True)
class LineForm(Generic[Wanted]):
    """What a line becomes: `body` is its model, `defaults` fill fields that are missing or empty.

    A default for `creator_handle` is not used where the line has a `creator_id`.
    """

    body: type[Wanted]
    defaults: Mapping[str, str]

    def record(
        self, number: int, item: object, read: Callable[[Any], dict[str, Any]] = lambda item: dict(item)
    ) -> Record[Wanted]:
        """Return the line of an item; `read` makes the body's fields of it, and may raise Invalid."""
        if not isinstance(item, dict):
            return unreadable(number, "The line is no JSON object.")
        try:
            fields = read(item)
            for name, value in self.defaults.items():
                if not fields.get(name) and not fields.get(name.partition("_")[0] + "_id"):
                    fields[name] = value
            return Record(number, self.body.model_validate(fields))
        except ValidationError as error:
            return Record(number, None, errors=plain(error.errors()))
        except Invalid as error:
            where = str(error.extra["field"])
            return Record(number, None, errors=[{"field": where, "message": error.detail.removeprefix(f"{where}: ")}])


def unreadable(number: int, message: str) -> Record[Any]:
    """Return the record of a line that is nothing."""
    return Record(number, None, is_readable=False, errors=[{"field": "", "message": message}])


def read_header(body: bytes) -> tuple[list[str], Iterator[tuple[int, list[str] | None]]]:
    """Return the names of a CSV file's columns in lower case, and its further rows, each with its line's number.

    A row that can't be read is None. Comma, semicolon or tab, whichever the first line has most of; UTF-8 or UTF-16.
    """
    text = _decode(body)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = _rows(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    header = [name.strip().lower() for name in next(rows, (0, []))[1] or []]
    return header, rows


def read_rows(
    header: Sequence[str],
    rows: Iterable[tuple[int, list[str] | None]],
    form: LineForm[Wanted],
    read: Callable[[dict[str, str]], dict[str, Any]],
) -> list[Record[Wanted]]:
    """Return the lines of rows that `read_header` gave; empty ones are passed over. Raises Invalid for too many."""
    records: list[Record[Wanted]] = []
    for number, cells in rows:
        if cells is None or len(cells) > len(header):
            records.append(unreadable(number, f"The line must have {len(header)} cells, as the header."))
        elif any(cell.strip() for cell in cells):
            records.append(form.record(number, dict(zip(header, cells, strict=False)), read))
        _check_count(records)
    return records


def read_json(body: bytes, name: str, form: LineForm[Wanted]) -> list[Record[Wanted]]:
    """Return the lines of a JSON array, or of an object's only member `name`; raises MalformedJson or Invalid."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedJson from None
    if isinstance(found, dict):
        found = found.get(name) if found.keys() == {name} else None
    if not isinstance(found, list):
        raise Invalid(f"{name}: must be an array of {name}.", field=name)
    _check_count(found)
    return [form.record(number, item) for number, item in enumerate(found, 1)]


def read_json_lines(body: bytes, form: LineForm[Wanted]) -> list[Record[Wanted]]:
    """Return the lines of a file with one JSON object a line; empty ones are passed over."""
    records: list[Record[Wanted]] = []
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(form.record(number, msgspec.json.decode(line)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            records.append(unreadable(number, "The line is no JSON."))
        _check_count(records)
    return records


def read_other(content_type: str, body: bytes, name: str, form: LineForm[Wanted]) -> list[Record[Wanted]]:
    """Return the lines of a file that is no CSV, JSON or JSON lines; raises UnsupportedMediaType for anything else."""
    if content_type == "application/json":
        return read_json(body, name, form)
    if content_type in JSON_LINES:
        return read_json_lines(body, form)
    raise UnsupportedMediaType("Send text/csv, application/json or application/x-ndjson.")


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


def _check_count(records: Sequence[object]) -> None:
    if len(records) > MAX_LINES:
        raise Invalid(f"body: at most {MAX_LINES} lines.", field="body")
