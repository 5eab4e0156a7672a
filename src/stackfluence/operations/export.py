"""Write an organization's raw events, or the seals that prove them, to a file."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stackfluence.api import exports
from stackfluence.api.core import Core
from stackfluence.catalog.tables import Organization
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.errors import OperationRefused, Problem
from stackfluence.operations.site import Arguments, Site, Tell, told

FEEDS = ("events", "seals")


async def export(site: Site, arguments: Arguments, tell: Tell) -> dict[str, Any]:
    """Write a feed to `output`, a new file of mode 0600; returns its rows, bytes and SHA-256.

    Raises OperationRefused for an unknown organization, feed, format or time, and for a file that exists.
    """
    organization_id, feed = str(arguments["organization_id"]), arguments["feed"]
    if feed not in FEEDS:
        raise OperationRefused(f"There is no feed {feed!r}; there are {', '.join(FEEDS)}.")
    async with site.catalog.reading() as session:
        if await session.get(Organization, organization_id) is None:
            raise OperationRefused(f"There is no organization {organization_id!r}.")
    settings = site.settings
    keys = ClickIdKeys(settings.click_id_secrets, settings.click_id_ttl_hours)
    core = Core(settings, site.catalog, keys, site.store)
    try:
        asked = exports.ExportQuery.model_validate(arguments["query"])
        if feed == "events":
            rows, to_load, content = await exports.events_file(core, organization_id, asked)
            written = await _write(Path(arguments["output"]), content, rows, tell)
            written["rows"] = rows  # a Parquet file's lines are none
        else:
            _, to_load, content = await exports.seals_file(core, organization_id, asked)
            written = await _write(Path(arguments["output"]), content, 0, tell)
        return {**written, "to_load": to_load}
    except ValidationError as error:
        first = error.errors()[0]
        raise OperationRefused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    except Problem as problem:
        raise OperationRefused(problem.detail) from None


async def _write(path: Path, content: AsyncIterator[bytes], rows: int, tell: Tell) -> dict[str, Any]:
    digest, size, lines = hashlib.sha256(), 0, 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise OperationRefused(f"{path} exists.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            async for piece in content:
                digest.update(piece)
                lines += piece.count(b"\n")
                size += await asyncio.to_thread(file.write, piece)
                tell(told("rows", min(lines, rows) if rows else lines, rows))
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise
    return {"rows": lines, "bytes": size, "sha256": digest.hexdigest()}
