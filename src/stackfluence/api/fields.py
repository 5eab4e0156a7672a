"""How fields are read and written, the same in every body: strict types, RFC 3339 times in UTC, nothing unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from stackfluence import clock
from stackfluence.catalog.tables import Base
from stackfluence.errors import Invalid

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last time that four digits can tell
_DATE_TIME = {"type": "string", "format": "date-time", "examples": ["2026-11-22T13:00:00.000Z"]}


def read_time(text: object) -> int:
    """Return the milliseconds since 1970 of an RFC 3339 time; raises ValueError for anything else."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time with a zone, as 2026-11-22T13:00:00Z")
    at_ms = clock.parse_rfc3339(text.upper())
    if not 0 <= at_ms <= _LAST_MS:
        raise ValueError("must lie between 1970 and 9999")
    return at_ms


def check_span(from_ms: int | None, to_ms: int | None) -> None:
    """Raise Invalid for a span that has no moment: `to` is exclusive. None is no bound."""
    if from_ms is not None and to_ms is not None and to_ms <= from_ms:
        raise Invalid("to: must be after `from`.", field="to")


def _storable(text: str) -> str:
    """Refuse what a database can't store: NUL, and halves of characters that are written as two."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain NUL or lone surrogates")
    return text


GivenTime = Annotated[int, BeforeValidator(read_time), WithJsonSchema(_DATE_TIME)]
Time = Annotated[int, PlainSerializer(clock.rfc3339), WithJsonSchema(_DATE_TIME)]
Text = Annotated[str, AfterValidator(_storable)]
Title = Annotated[Text, Field(max_length=200)]
Name = Annotated[
    Text, Field(max_length=200, description="letters, digits, `.`, `_`, `-`; case-folded", examples=["emma"])
]
Url = Annotated[Text, Field(max_length=2048, examples=["https://shop.brand.example/socks"])]
Id = Annotated[Text, Field(max_length=40)]


class Given(BaseModel):
    """A body: of the right JSON types, and without fields that mean nothing here."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Told(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


def change_columns(row: Base, given: Given, empty: Mapping[str, Any], *, but: tuple[str, ...] = ()) -> None:
    """Assign the fields that were given, and no others, to a row; an explicit null becomes the column's `empty`."""
    for field in sorted(given.model_fields_set - set(but)):
        value = getattr(given, field)
        setattr(row, field, empty.get(field) if value is None else value)
