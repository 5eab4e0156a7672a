"""Many lines at once, whatever they want: a thousand a transaction, undone for a dry run, answered once for a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from stackfluence.api.access import Access, hash_request, recheck, repeat
from stackfluence.api.core import Core
from stackfluence.api.fields import Told
from stackfluence.api.lines import Record, Wanted
from stackfluence.catalog import Change
from stackfluence.errors import Invalid
from stackfluence.vocabulary import LineOutcome, LineRefusal

MAX_LINES = 1000  # at once: their look-ups stay far below PostgreSQL's 32,767 parameters, the write turn below 1 s


@dataclass
class Fate:
    """What became of one wanted thing: made now, there before, or refused."""

    refusal: LineRefusal | None = None
    errors: list[dict[str, str]] = field(default_factory=list)
    is_existing: bool = False

    @property
    def outcome(self) -> LineOutcome:
        """The word for it."""
        if self.refusal:
            return LineOutcome.refused
        return LineOutcome.existing if self.is_existing else LineOutcome.created

    def refuse(self, refusal: LineRefusal, where: str, message: str) -> None:
        """Note why the thing can't be made."""
        self.refusal = refusal
        self.errors = [{"field": where, "message": message}]

    def refuse_field(self, error: Invalid) -> None:
        """Note which field is wrong, and why."""
        where = str(error.extra["field"])
        self.refuse(LineRefusal.invalid_field, where, error.detail.removeprefix(f"{where}: "))


class BulkQuery(BaseModel):
    """How things are made at once."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Report what would happen and keep nothing.")


class LineReport(Told):
    """What became of one line. `line` counts lines of a file, elements of an array, from 1."""

    line: int
    outcome: LineOutcome
    reason: LineRefusal | None = None
    errors: list[dict[str, str]] = Field(default_factory=list)


Line = TypeVar("Line", bound=LineReport)
Place = Callable[[Change, Sequence[Record[Wanted]]], Awaitable[list[Line]]]
Report = Callable[[Sequence[Line]], bytes]


class Batch(Generic[Wanted, Line]):
    """The lines of one request. `place` makes up to MAX_LINES of them; `report` writes the answer."""

    def __init__(self, records: Sequence[Record[Wanted]], place: Place[Wanted, Line], report: Report[Line]) -> None:
        self._records = records
        self._place = place
        self._report = report

    async def make(self, request: Request, access: Access, idempotency_key: str | None, *, is_dry_run: bool) -> bytes:
        """Make what all lines want and return the report; the last transaction keeps it for repetitions.

        Raises Invalid when there are no lines, Repeated for a repetition. A dry run is one transaction, rolled back.
        """
        if not self._records:
            raise Invalid("body: there are no lines.", field="body")
        core: Core = request.app.state.core
        request_hash = await hash_request(request) if idempotency_key else ""
        lines: list[Line] = []
        step = len(self._records) if is_dry_run else MAX_LINES
        try:
            for start in range(0, len(self._records), step):
                async with core.catalog.writing(access.actor) as change:
                    await recheck(change, access)
                    if idempotency_key:
                        await repeat(change, access.organization_id, idempotency_key, request_hash)
                    for at in range(start, min(start + step, len(self._records)), MAX_LINES):
                        lines += await self._place(change, self._records[at : at + MAX_LINES])
                    if is_dry_run:
                        raise _Undone
                    if idempotency_key and len(lines) == len(self._records):
                        body = self._report(lines)
                        await change.remember_answer(access.organization_id, idempotency_key, request_hash, 200, body)
        except _Undone:
            pass
        return self._report(lines)


def bulk_body(schema: str) -> dict[str, object]:
    """Return what OpenAPI says of a body that is a JSON object of this schema."""
    return {"requestBody": {"required": True, "content": _json(schema)}}


def file_body(schema: str) -> dict[str, object]:
    """Return what OpenAPI says of a body that is a file of lines; as JSON it has this schema."""
    text = {"schema": {"type": "string"}}
    content = {"text/csv": text, **_json(schema), "application/x-ndjson": text}
    return {"requestBody": {"required": True, "description": "At most 10,000 lines and 16 MiB.", "content": content}}


def _json(schema: str) -> dict[str, object]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def counted(lines: Sequence[LineReport]) -> dict[str, int]:
    """Return how many lines ended in each outcome."""
    return {outcome.value: sum(line.outcome is outcome for line in lines) for outcome in LineOutcome}


def refused(record: Record[Wanted]) -> dict[str, object]:
    """Return the report's fields of a line that wants nothing."""
    return {
        "line": record.number,
        "outcome": LineOutcome.refused,
        "reason": LineRefusal.invalid_field if record.is_readable else LineRefusal.unreadable_line,
        "errors": list(record.errors),
    }


class _Undone(Exception):
    """Rolls a dry run back."""
