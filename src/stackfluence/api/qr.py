"""A link as a QR code, for posters, parcels and the end of a video."""

from __future__ import annotations

import asyncio
import io
from enum import StrEnum
from typing import Annotated, Any

import segno
from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from stackfluence.api.access import Reads
from stackfluence.api.links import tell
from stackfluence.api.routes import MISSING, find, router
from stackfluence.catalog import tables
from stackfluence.errors import Invalid

QUIET_MODULES = 4  # the empty border ISO/IEC 18004 asks for


class Picture(StrEnum):
    """The format of a picture."""

    svg = "svg"
    png = "png"


class QrQuery(BaseModel):
    """Which picture."""

    model_config = ConfigDict(extra="forbid")

    format: Picture = Picture.svg
    size: int = Field(
        default=512,
        ge=64,
        le=4096,
        description="Pixels a side. A PNG has whole pixels a module: at most this, at least one each.",
    )


routes = router("links")

_PICTURES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "image/svg+xml": {"schema": {"type": "string"}},
            "image/png": {"schema": {"type": "string", "format": "binary"}},
        }
    }
}


@routes.get(
    "/links/{link_id}/qr", response_class=Response, responses=MISSING | _PICTURES, summary="Get a link's QR code"
)
async def get_qr_code(link_id: str, asked: Annotated[QrQuery, Query()], reading: Reads) -> Response:
    """Get a link's public address as a QR code; up to a quarter of it may be covered or worn off."""
    row = await find(reading.session, tables.Link, reading.organization_id, link_id)
    url = (await tell(reading.session, row, reading.base_url)).url
    picture = await asyncio.to_thread(draw, url, asked.format, asked.size)
    media_type = "image/png" if asked.format is Picture.png else "image/svg+xml"
    return Response(picture, media_type=media_type, headers={"Cache-Control": "private, max-age=300"})


def draw(text: str, format: Picture, size: int) -> bytes:
    """Return a text as a QR code with the strongest error correction that it fits with, at most Q (25 %)."""
    code = _encode(text)
    modules = code.symbol_size(border=QUIET_MODULES)[0]
    out = io.BytesIO()
    if format is Picture.png:
        code.save(out, kind="png", scale=max(1, size // modules), border=QUIET_MODULES)
    else:
        code.save(out, kind="svg", scale=size / modules, border=QUIET_MODULES, light="white")
    return out.getvalue()


def _encode(text: str) -> segno.QRCode:
    for level in ("q", "m", "l"):
        try:
            return segno.make_qr(text, error=level, boost_error=False)
        except segno.DataOverflowError:
            continue
    raise Invalid("link_id: its address is too long for a QR code.", field="link_id")
