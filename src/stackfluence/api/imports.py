"""Many links at once: in bulk as JSON, or as a file, with a report by line; and all links as a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from stackfluence.api import files
from stackfluence.api.access import (
    Access,
    Accessed,
    IdempotencyKeyHeader,
    base_url,
    hash_request,
    recheck,
    repeat,
)
from stackfluence.api.core import Core
from stackfluence.api.fields import Given, Text, Told
from stackfluence.api.files import Format, Record
from stackfluence.api.link_bodies import NewLink, public_url
from stackfluence.api.links import Link, LinkFilter, filtered, told
from stackfluence.api.place import MAX_LINES, Path, Placed, place
from stackfluence.api.problems import documented
from stackfluence.api.routes import BODY, router
from stackfluence.catalog import Change, tables
from stackfluence.clock import rfc3339
from stackfluence.errors import Invalid, UnsupportedMediaType
from stackfluence.vocabulary import LineOutcome, LineRefusal

_JSON_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_CSV = frozenset({"text/csv", "application/csv", "text/tab-separated-values"})


class Bulk(Given):
    """Links to be made at once."""

    links: Annotated[list[NewLink], Field(min_length=1, max_length=files.MAX_LINES)]


class LineReport(Told):
    """What became of one line. `line` counts lines of a file, elements of an array, from 1."""

    line: int
    outcome: LineOutcome
    reason: LineRefusal | None = None
    link_id: str | None = None
    url: str | None = None
    errors: list[dict[str, str]] = Field(default_factory=list)


class ImportReport(Told):
    """What became of all lines; what was refused can be sent again, corrected, with or without the others."""

    format: Format
    is_dry_run: bool
    created: int
    existing: int
    refused: int
    lines: list[LineReport]


class BulkQuery(BaseModel):
    """How links are made at once."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Report what would happen and keep nothing.")


class ImportQuery(BulkQuery):
    """How a file is imported."""

    format: Format | None = Field(default=None, description="Of a CSV file; recognized by its header when left out.")
    creator_handle: Text = Field(default="", max_length=200, description="For lines that name no creator.")
    campaign_slug: Text = Field(default="", max_length=200, description="For lines that name no campaign.")


class ExportQuery(LinkFilter):
    """Which links go into the file."""


class _Undone(Exception):
    """Rolls a dry run back."""


routes = router("links")

_UPLOAD = {
    "requestBody": {
        "required": True,
        "description": "At most 10,000 lines and 16 MiB.",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/Bulk"}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
}
_BULK = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Bulk"}}},
    }
}


@routes.post(
    "/links/bulk",
    status_code=200,
    response_model=ImportReport,
    responses=BODY,
    openapi_extra=_BULK,
    summary="Make many links",
)
async def make_links(
    asked: Annotated[BulkQuery, Query()],
    request: Request,
    access: Accessed,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Make up to 10,000 links; each is made or refused by itself, a thousand a transaction."""
    body = await request.body()
    records = await asyncio.to_thread(files.read_json, body, {})
    return await _make(request, access, idempotency_key, Format.stackfluence, records, asked.dry_run)


@routes.post(
    "/links/import",
    status_code=200,
    response_model=ImportReport,
    responses=BODY | documented(UnsupportedMediaType),
    openapi_extra=_UPLOAD,
    summary="Import links",
)
async def import_links(
    asked: Annotated[ImportQuery, Query()],
    request: Request,
    access: Accessed,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Import a file of links: our CSV, Dub's or Bitly's export, JSON, or JSON lines.

    Of a Dub or Bitly line the end of the short address becomes the asset slug; name creator and campaign in the query,
    or in columns `creator_handle` and `campaign_slug` added to the file.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    names = {"creator_handle": asked.creator_handle, "campaign_slug": asked.campaign_slug}
    defaults = {name: value for name, value in names.items() if value}
    body = await request.body()
    format = Format.stackfluence
    if content_type in _CSV:
        format, records = await asyncio.to_thread(files.read_csv, body, asked.format, defaults)
    elif asked.format not in (None, Format.stackfluence):
        raise Invalid("format: exports of other products are read as CSV.", field="format")
    elif content_type == "application/json":
        records = await asyncio.to_thread(files.read_json, body, defaults)
    elif content_type in _JSON_LINES:
        records = await asyncio.to_thread(files.read_json_lines, body, defaults)
    else:
        raise UnsupportedMediaType("Send text/csv, application/json or application/x-ndjson.")
    return await _make(request, access, idempotency_key, format, records, asked.dry_run)


async def _make(
    request: Request,
    access: Access,
    idempotency_key: str | None,
    format: Format,
    records: Sequence[Record],
    is_dry_run: bool,
) -> Response:
    """Make the links of all records and answer the report; the last transaction keeps it for repetitions."""
    if not records:
        raise Invalid("body: there are no lines.", field="body")
    core: Core = request.app.state.core
    request_hash = await hash_request(request) if idempotency_key else ""
    base = base_url(request)
    lines: list[LineReport] = []
    claimed: dict[Path, int] = {}
    step = len(records) if is_dry_run else MAX_LINES
    try:
        for start in range(0, len(records), step):
            async with core.catalog.writing(access.actor) as change:
                await recheck(change, access)
                if idempotency_key:
                    await repeat(change, access.organization_id, idempotency_key, request_hash)
                for at in range(start, min(start + step, len(records)), MAX_LINES):
                    lines += await _place(change, access.organization_id, records[at : at + MAX_LINES], claimed, base)
                if is_dry_run:
                    raise _Undone
                if idempotency_key and len(lines) == len(records):
                    body = _report(format, lines, is_dry_run)
                    await change.remember_answer(access.organization_id, idempotency_key, request_hash, 200, body)
    except _Undone:
        for line in lines:
            if line.outcome is LineOutcome.created:
                line.link_id = None
    return Response(_report(format, lines, is_dry_run), media_type="application/json")


async def _place(
    change: Change, organization_id: str, records: Sequence[Record], claimed: dict[Path, int], base: str
) -> list[LineReport]:
    wanted = [record.wanted for record in records if record.wanted]
    placed = iter(await place(change, organization_id, wanted, claimed))
    return [
        _line(record, next(placed), base)
        if record.wanted
        else LineReport(
            line=record.number,
            outcome=LineOutcome.refused,
            reason=LineRefusal.invalid_field if record.is_readable else LineRefusal.unreadable_line,
            errors=list(record.errors),
        )
        for record in records
    ]


def _line(record: Record, placed: Placed, base: str) -> LineReport:
    assert record.wanted
    report = LineReport(
        line=record.number,
        outcome=placed.outcome,
        reason=placed.refusal,
        link_id=placed.link_id or None,
        errors=placed.errors,
    )
    if not placed.refusal:
        report.url = public_url(base, placed.host, placed.handle, placed.slug, placed.asset)
    return report


def _report(format: Format, lines: Sequence[LineReport], is_dry_run: bool) -> bytes:
    counts = {outcome: sum(line.outcome is outcome for line in lines) for outcome in LineOutcome}
    report = ImportReport(
        format=format,
        is_dry_run=is_dry_run,
        created=counts[LineOutcome.created],
        existing=counts[LineOutcome.existing],
        refused=counts[LineOutcome.refused],
        lines=list(lines),
    )
    return report.model_dump_json().encode()


@routes.get(
    "/links/export",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    summary="Export links",
)
async def export_links(asked: Annotated[ExportQuery, Query()], request: Request, access: Accessed) -> StreamingResponse:
    """Export links as CSV, newest first, in the columns that an import takes."""
    core: Core = request.app.state.core
    headers = {"Content-Disposition": 'attachment; filename="links.csv"'}
    return StreamingResponse(
        _csv(core, access.organization_id, asked, base_url(request)), headers=headers, media_type="text/csv"
    )


async def _csv(core: Core, organization_id: str, asked: ExportQuery, base: str) -> AsyncIterator[bytes]:
    yield files.write_csv([files.COLUMNS])
    query = filtered(organization_id, asked, is_sqlite=core.catalog.is_sqlite)
    query = query.order_by(tables.Link.created_at.desc(), tables.Link.id.desc()).execution_options(yield_per=1000)
    async with core.catalog.reading() as session:
        found = await session.stream(query)
        async for rows in found.partitions():
            yield files.write_csv(_cells(told(*row, base=base)) for row in rows)


def _cells(link: Link) -> list[str]:
    """Return a link's cells in the order of `files.COLUMNS`."""
    written: dict[str, Any] = {
        **dict(link),
        "tags": files.join_tags(link.tags),
        "is_test": "true" if link.is_test else "",
        "expires_at": rfc3339(link.expires_at) if link.expires_at is not None else "",
        "created_at": rfc3339(link.created_at),
        "updated_at": rfc3339(link.updated_at),
    }
    return [str(written[column] or "") for column in files.COLUMNS]
