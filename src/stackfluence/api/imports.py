"""Many links at once: in bulk as JSON, or as a file, with a report by line; and all links as a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from stackfluence.api import files, lines
from stackfluence.api.access import Access, Accessed, IdempotencyKeyHeader, base_url
from stackfluence.api.batches import Batch, BulkQuery, LineReport, bulk_body, counted, file_body, refused
from stackfluence.api.core import Core
from stackfluence.api.fields import Given, Text, Told
from stackfluence.api.files import Format
from stackfluence.api.lines import LineForm, Record
from stackfluence.api.link_bodies import NewLink, public_url
from stackfluence.api.links import Link, LinkFilter, filtered, told
from stackfluence.api.place import Path, Placed, place
from stackfluence.api.problems import documented
from stackfluence.api.routes import BODY, router
from stackfluence.catalog import Change, tables
from stackfluence.clock import rfc3339
from stackfluence.errors import Invalid, UnsupportedMediaType
from stackfluence.vocabulary import LineOutcome


class Bulk(Given):
    """Links to be made at once."""

    links: Annotated[list[NewLink], Field(min_length=1, max_length=lines.MAX_LINES)]


class LinkReport(LineReport):
    """What became of one line that wants a link."""

    link_id: str | None = None
    url: str | None = None


class ImportReport(Told):
    """What became of all lines; what was refused can be sent again, corrected, with or without the others."""

    format: Format
    is_dry_run: bool
    created: int
    existing: int
    refused: int
    lines: list[LinkReport]


class ImportQuery(BulkQuery):
    """How a file is imported."""

    format: Format | None = Field(default=None, description="Of a CSV file; recognized by its header when left out.")
    creator_handle: Text = Field(default="", max_length=200, description="For lines that name no creator.")
    campaign_slug: Text = Field(default="", max_length=200, description="For lines that name no campaign.")


class ExportQuery(LinkFilter):
    """Which links go into the file."""


routes = router("links")


@routes.post(
    "/links/bulk",
    status_code=200,
    response_model=ImportReport,
    responses=BODY,
    openapi_extra=bulk_body("Bulk"),
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
    records = await asyncio.to_thread(lines.read_json, body, "links", LineForm(NewLink, {}))
    return await _make(request, access, idempotency_key, Format.stackfluence, records, asked.dry_run)


@routes.post(
    "/links/import",
    status_code=200,
    response_model=ImportReport,
    responses=BODY | documented(UnsupportedMediaType),
    openapi_extra=file_body("Bulk"),
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
    form = LineForm(NewLink, {name: value for name, value in names.items() if value})
    body = await request.body()
    format = Format.stackfluence
    if content_type in lines.CSV:
        format, records = await asyncio.to_thread(files.read_csv, body, asked.format, form)
    elif asked.format not in (None, Format.stackfluence):
        raise Invalid("format: exports of other products are read as CSV.", field="format")
    else:
        records = await asyncio.to_thread(lines.read_other, content_type, body, "links", form)
    return await _make(request, access, idempotency_key, format, records, asked.dry_run)


async def _make(
    request: Request,
    access: Access,
    idempotency_key: str | None,
    format: Format,
    records: Sequence[Record[NewLink]],
    is_dry_run: bool,
) -> Response:
    """Make the links of all records and answer the report."""
    base = base_url(request)
    claimed: dict[Path, int] = {}

    async def place_some(change: Change, some: Sequence[Record[NewLink]]) -> list[LinkReport]:
        placed = iter(
            await place(change, access.organization_id, [each.wanted for each in some if each.wanted], claimed)
        )
        return [
            _line(each.number, next(placed), base, is_dry_run)
            if each.wanted
            else LinkReport.model_validate(refused(each))
            for each in some
        ]

    def report(told_lines: Sequence[LinkReport]) -> bytes:
        counts = counted(told_lines)
        told_all = ImportReport(format=format, is_dry_run=is_dry_run, lines=list(told_lines), **counts)
        return told_all.model_dump_json().encode()

    body = await Batch(records, place_some, report).make(request, access, idempotency_key, is_dry_run=is_dry_run)
    return Response(body, media_type="application/json")


def _line(number: int, placed: Placed, base: str, is_dry_run: bool) -> LinkReport:
    is_undone = is_dry_run and placed.outcome is LineOutcome.created
    return LinkReport(
        line=number,
        outcome=placed.outcome,
        reason=placed.refusal,
        errors=placed.errors,
        link_id=None if is_undone else placed.link_id or None,
        url=None if placed.refusal else public_url(base, placed.host, placed.handle, placed.slug, placed.asset),
    )


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
    yield lines.write_csv([files.COLUMNS])
    query = filtered(organization_id, asked, is_sqlite=core.catalog.is_sqlite)
    query = query.order_by(tables.Link.created_at.desc(), tables.Link.id.desc()).execution_options(yield_per=1000)
    async with core.catalog.reading() as session:
        found = await session.stream(query)
        async for rows in found.partitions():
            yield lines.write_csv(_cells(told(*row, base=base)) for row in rows)


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
