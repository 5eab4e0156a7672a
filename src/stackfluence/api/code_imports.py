"""Many codes at once: in bulk as JSON, or as a file, with a report by line."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Request, Response
from pydantic import Field

from stackfluence.api import lines
from stackfluence.api.access import Access, Accessed, IdempotencyKeyHeader
from stackfluence.api.batches import Batch, BulkQuery, LineReport, bulk_body, counted, file_body, refused
from stackfluence.api.code_bodies import NewCode
from stackfluence.api.fields import Given, Text, Told
from stackfluence.api.lines import LineForm, Record
from stackfluence.api.place_codes import PlacedCode, place_codes
from stackfluence.api.problems import documented
from stackfluence.api.routes import BODY, router
from stackfluence.catalog import Change
from stackfluence.errors import Invalid, UnsupportedMediaType
from stackfluence.vocabulary import LineOutcome

_TOLD_ONLY = frozenset({"id", "created_at"})  # in our own answers, and ignored when they come back
_COLUMNS = frozenset(NewCode.model_fields) | _TOLD_ONLY


class BulkCodes(Given):
    """Codes to be added at once."""

    codes: Annotated[list[NewCode], Field(min_length=1, max_length=lines.MAX_LINES)]


class CodeReport(LineReport):
    """What became of one line that wants a code."""

    code_id: str | None = None


class CodeImportReport(Told):
    """What became of all lines; what was refused can be sent again, corrected, with or without the others."""

    is_dry_run: bool
    created: int
    existing: int
    refused: int
    lines: list[CodeReport]


class CodeImportQuery(BulkQuery):
    """How a file of codes is imported."""

    creator_handle: Text = Field(default="", max_length=200, description="For lines that name no creator.")
    campaign_slug: Text = Field(default="", max_length=200, description="For lines that name no campaign.")


routes = router("codes")


@routes.post(
    "/codes/bulk",
    status_code=200,
    response_model=CodeImportReport,
    responses=BODY,
    openapi_extra=bulk_body("BulkCodes"),
    summary="Add many codes",
)
async def add_codes(
    asked: Annotated[BulkQuery, Query()],
    request: Request,
    access: Accessed,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Add up to 10,000 codes; each is added or refused by itself, a thousand a transaction."""
    body = await request.body()
    records = await asyncio.to_thread(lines.read_json, body, "codes", LineForm(NewCode, {}))
    return await _make(request, access, idempotency_key, records, asked.dry_run)


@routes.post(
    "/codes/import",
    status_code=200,
    response_model=CodeImportReport,
    responses=BODY | documented(UnsupportedMediaType),
    openapi_extra=file_body("BulkCodes"),
    summary="Import codes",
)
async def import_codes(
    asked: Annotated[CodeImportQuery, Query()],
    request: Request,
    access: Accessed,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Import a file of codes: CSV with a column `code` and others named as the fields, JSON, or JSON lines."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    names = {"creator_handle": asked.creator_handle, "campaign_slug": asked.campaign_slug}
    form = LineForm(NewCode, {name: value for name, value in names.items() if value})
    body = await request.body()
    if content_type in lines.CSV:
        records = await asyncio.to_thread(_read_csv, body, form)
    else:
        records = await asyncio.to_thread(lines.read_other, content_type, body, "codes", form)
    return await _make(request, access, idempotency_key, records, asked.dry_run)


def _read_csv(body: bytes, form: LineForm[NewCode]) -> list[Record[NewCode]]:
    header, rows = lines.read_header(body)
    if "code" not in header:
        raise Invalid("body: a file of codes has a column 'code'.", field="body")
    if unknown := set(header) - _COLUMNS:
        raise Invalid(f"body: these columns are not known: {', '.join(sorted(unknown))[:300]!r}.", field="body")
    return lines.read_rows(header, rows, form, _read_cells)


def _read_cells(row: dict[str, str]) -> dict[str, Any]:
    return {name: cell for name, raw in row.items() if name not in _TOLD_ONLY and (cell := lines.unescape(raw.strip()))}


async def _make(
    request: Request,
    access: Access,
    idempotency_key: str | None,
    records: Sequence[Record[NewCode]],
    is_dry_run: bool,
) -> Response:
    """Add the codes of all records and answer the report."""
    claimed: set[str] = set()

    async def place_some(change: Change, some: Sequence[Record[NewCode]]) -> list[CodeReport]:
        wanted = [each.wanted for each in some if each.wanted]
        placed = iter(await place_codes(change, access.organization_id, wanted, claimed))
        return [
            _line(each.number, next(placed), is_dry_run) if each.wanted else CodeReport.model_validate(refused(each))
            for each in some
        ]

    def report(told_lines: Sequence[CodeReport]) -> bytes:
        told = CodeImportReport(is_dry_run=is_dry_run, lines=list(told_lines), **counted(told_lines))
        return told.model_dump_json().encode()

    body = await Batch(records, place_some, report).make(request, access, idempotency_key, is_dry_run=is_dry_run)
    return Response(body, media_type="application/json")


def _line(number: int, placed: PlacedCode, is_dry_run: bool) -> CodeReport:
    code = placed.code or placed.taken_by
    is_undone = is_dry_run and placed.outcome is LineOutcome.created
    return CodeReport(
        line=number,
        outcome=placed.outcome,
        reason=placed.refusal,
        errors=placed.errors,
        code_id=code.id if code and not is_undone else None,
    )
