"""Raw events as files: every row of a range of loads or times, byte for byte as it was sealed, and the seals.

Below the last finished load nothing changes any more. So the same request with the same `to_load` gives the same bytes,
but for people who were erased or whose data expired meanwhile, and a manifest can be asked for before or after.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from stackfluence.api import lines
from stackfluence.api.access import Access, Accessed
from stackfluence.api.core import Core
from stackfluence.api.event_queries import EventFilter
from stackfluence.api.fields import Told
from stackfluence.api.routes import router
from stackfluence.catalog import load_horizon
from stackfluence.errors import Invalid
from stackfluence.events.event import Leaf, read_leaf
from stackfluence.events.seal import read_seal
from stackfluence.events.statements import read_statements
from stackfluence.events.store import Row, Store

SQL = read_statements(Path(__file__).with_name("exports.sql"))
PAGE_ROWS = 5_000
WINDOW_ROWS = 20_000  # loads are read together until they have so many: small ones cost a query each otherwise
MAX_PARQUET_ROWS = 1_000_000  # a Parquet file is made in memory, about 100 bytes a row
_LAST_LOAD = (1 << 63) - 1

_PLACE = ("load_number", "node", "seq", "is_quarantined")
_FIELDS = tuple(field.name for field in msgspec.structs.fields(Leaf))
_PERSONAL = ("kept", "expiring", "expiring_hash")


class Shape(StrEnum):
    """The format of an export."""

    ndjson = "ndjson"
    csv = "csv"
    parquet = "parquet"


_MEDIA_TYPES = {
    Shape.ndjson: "application/x-ndjson",
    Shape.csv: "text/csv",
    Shape.parquet: "application/vnd.apache.parquet",
}


class LoadRange(BaseModel):
    """Which loads."""

    model_config = ConfigDict(extra="forbid")

    after_load: int = Field(default=0, ge=0, le=_LAST_LOAD, description="Begin behind this load number.")
    to_load: int | None = Field(
        default=None, ge=0, le=_LAST_LOAD, description="End with this one; without it, with the last that can be read."
    )


class ExportQuery(EventFilter, LoadRange):
    """Which events, and how."""

    format: Shape = Shape.ndjson
    with_personal: bool = Field(
        default=False, description="With what is kept of people, as replaying needs it. Not in Parquet."
    )


class Manifest(Told):
    """What an export has: asked for with the same query, it tells whether a file is whole and unchanged."""

    format: Shape
    rows: int
    bytes: int
    sha256: str
    after_load: int
    to_load: int


@dataclass(frozen=True, slots=True)
class _Export:
    store: Store
    organization_id: str
    asked: ExportQuery
    to_load: int
    rows: int
    windows: list[tuple[int, int]]  # first and last load number, both inclusive

    @property
    def parameters(self) -> dict[str, Any]:
        """What all statements are asked with, but for the loads."""
        return {"organization_id": self.organization_id, **self.asked.filters().parameters()}


routes = router("exports")

_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Stackfluence-Rows": {"schema": {"type": "string"}, "description": "How many rows the file has."},
            "Stackfluence-To-Load": {
                "schema": {"type": "string"},
                "description": "Give it as `to_load` to get it again.",
            },
        },
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_SEALS: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}


@routes.get("/exports/events", response_class=Response, responses=_FILES, summary="Export events")
async def export_events(asked: Annotated[ExportQuery, Query()], request: Request, access: Accessed) -> Response:
    """Export every row of a range, quarantined and repeated ones too, in the order of the loads.

    `leaf` of NDJSON and CSV, `line` of Parquet, has the sealed bytes. An answer that breaks off was not complete.
    """
    export = await _begin(request.app.state.core, access, asked)
    headers = {
        "Content-Disposition": f'attachment; filename="events.{asked.format}"',
        "Stackfluence-Rows": str(export.rows),
        "Stackfluence-To-Load": str(export.to_load),
    }
    media_type = _MEDIA_TYPES[asked.format]
    if asked.format is Shape.parquet:
        return Response(await _parquet(export), headers=headers, media_type=media_type)
    return StreamingResponse(_content(export), headers=headers, media_type=media_type)


@routes.get("/exports/events/manifest", summary="Get an export's manifest")
async def get_manifest(asked: Annotated[ExportQuery, Query()], request: Request, access: Accessed) -> Manifest:
    """Get row count, size and SHA-256 of the export with the same query, made anew and not sent."""
    export = await _begin(request.app.state.core, access, asked)
    digest, size = hashlib.sha256(), 0
    async for chunk in _content(export):
        digest.update(chunk)
        size += len(chunk)
    return Manifest(
        format=asked.format,
        rows=export.rows,
        bytes=size,
        sha256=digest.hexdigest(),
        after_load=asked.after_load,
        to_load=export.to_load,
    )


@routes.get("/exports/seals", response_class=Response, responses=_SEALS, summary="Export seals")
async def export_seals(asked: Annotated[LoadRange, Query()], request: Request, access: Accessed) -> StreamingResponse:
    """Export the seals of a range of loads, one a line, in the order of the loads.

    Each names the one before it in its journal, so the chain can be followed; only your own entry is opened.
    """
    core: Core = request.app.state.core
    store, to_load = core.events, await _last_load(core, asked)
    headers = {
        "Content-Disposition": 'attachment; filename="seals.ndjson"',
        "Stackfluence-To-Load": str(to_load),
    }
    return StreamingResponse(
        _seals(store, access.organization_id, asked.after_load + 1, to_load),
        headers=headers,
        media_type=_MEDIA_TYPES[Shape.ndjson],
    )


async def _last_load(core: Core, asked: LoadRange) -> int:
    horizon = await load_horizon(core.catalog)
    if asked.to_load is None:
        return horizon
    if asked.to_load > horizon:
        raise Invalid(f"to_load: loads up to {horizon} can be read.", field="to_load")
    return asked.to_load


async def _begin(core: Core, access: Access, asked: ExportQuery) -> _Export:
    store, to_load = core.events, await _last_load(core, asked)
    counted = await store.read(
        SQL["count_rows_by_load"],
        organization_id=access.organization_id,
        first_load=asked.after_load + 1,
        to_load=to_load,
        **asked.filters().parameters(),
    )
    rows = sum(row["row_count"] for row in counted)
    if asked.format is Shape.parquet and rows > MAX_PARQUET_ROWS:
        raise Invalid(
            f"format: a Parquet file has at most {MAX_PARQUET_ROWS} rows, this range {rows}; narrow it.", field="format"
        )
    return _Export(store, access.organization_id, asked, to_load, rows, _windows(counted))


def _windows(counted: Iterable[Row]) -> list[tuple[int, int]]:
    windows: list[tuple[int, int]] = []
    held = 0
    for row in counted:
        load = row["load_number"]
        if windows and held + row["row_count"] <= WINDOW_ROWS:
            windows[-1] = (windows[-1][0], load)
            held += row["row_count"]
        else:
            windows.append((load, load))
            held = row["row_count"]
    return windows


async def _parquet(export: _Export) -> bytes:
    if not export.windows:
        first_load, last_load = 1, 0
    else:
        first_load, last_load = export.windows[0][0], export.windows[-1][1]
    return await export.store.read_raw(
        SQL["parquet_of_rows"], "Parquet", first_load=first_load, to_load=last_load, **export.parameters
    )


async def _content(export: _Export) -> AsyncIterator[bytes]:
    if export.asked.format is Shape.parquet:
        yield await _parquet(export)
        return
    names = [*_PLACE, *_FIELDS, "leaf", *(_PERSONAL if export.asked.with_personal else ())]
    if export.asked.format is Shape.csv:
        yield lines.write_csv([names])
    async for rows in _pages(export):
        if export.asked.format is Shape.csv:
            yield lines.write_csv((_cells(row, names) for row in rows), is_escaped=True)
        else:
            yield b"".join(msgspec.json.encode(_object(row, export.asked.with_personal)) + b"\n" for row in rows)


async def _pages(export: _Export) -> AsyncIterator[Sequence[Row]]:
    for first_load, last_load in export.windows:
        after: tuple[int, str, int] = (0, "", 0)
        while True:
            rows = await export.store.read(
                SQL["page_of_rows"],
                first_load=first_load,
                to_load=last_load,
                after_load=after[0],
                after_node=after[1],
                after_seq=after[2],
                limit=PAGE_ROWS,
                **export.parameters,
            )
            if rows and export.asked.with_personal:
                await _add_personal(export, rows)
            if rows:
                yield rows
                after = (rows[-1]["load_number"], rows[-1]["node"], rows[-1]["seq"])
            if len(rows) < PAGE_ROWS:
                break


async def _add_personal(export: _Export, rows: Sequence[Row]) -> None:
    by_node: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_node.setdefault(row["node"], {})[row["seq"]] = row
    for node, by_seq in by_node.items():
        found = await export.store.read(
            SQL["personal_of_rows"],
            organization_id=export.organization_id,
            node=node,
            first_seq=min(by_seq),
            last_seq=max(by_seq),
        )
        for half in found:
            if half["seq"] in by_seq:
                by_seq[half["seq"]].update({name: half[name] for name in _PERSONAL})


def _object(row: Row, with_personal: bool) -> dict[str, Any]:
    told = {name: row[name] for name in _PLACE} | {"leaf": row["line"]}
    if with_personal:
        told |= {name: row.get(name, "") for name in _PERSONAL}
    return told


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    leaf = read_leaf(row["line"].encode())
    values = leaf | {name: row[name] for name in _PLACE} | {name: row.get(name, "") for name in _PERSONAL}
    values["leaf"] = row["line"]
    return [_cell(values.get(name)) for name in names]


def _cell(value: Any) -> str:
    """Return a value as a cell; text can't be a formula, a number is none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return lines.escape(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else msgspec.json.encode(value).decode()


async def _seals(store: Store, organization_id: str, first_load: int, to_load: int) -> AsyncIterator[bytes]:
    after: tuple[int, str, int] = (0, "", 0)
    while True:
        rows = await store.read(
            SQL["page_of_seals"],
            first_load=first_load,
            to_load=to_load,
            after_load=after[0],
            after_node=after[1],
            after_seq=after[2],
            limit=PAGE_ROWS,
        )
        yield b"".join(
            msgspec.json.encode(
                {"load_number": row["load_number"]} | read_seal(row["line"].encode()).view(organization_id)
            )
            + b"\n"
            for row in rows
        )
        if len(rows) < PAGE_ROWS:
            return
        after = (rows[-1]["load_number"], rows[-1]["node"], rows[-1]["first_seq"])


async def events_file(core: Core, organization_id: str, asked: ExportQuery) -> tuple[int, int, AsyncIterator[bytes]]:
    """Return rows, last load number and content of an export, for a command line; raises Invalid, StoreError."""
    export = await _begin(core, Access(organization_id, ""), asked)
    return export.rows, export.to_load, _content(export)


async def seals_file(core: Core, organization_id: str, asked: LoadRange) -> tuple[None, int, AsyncIterator[bytes]]:
    """Return the same of an organization's view of the seals; their number isn't known before."""
    to_load = await _last_load(core, asked)
    return None, to_load, _seals(core.events, organization_id, asked.after_load + 1, to_load)
