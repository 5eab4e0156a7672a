"""What operators ask a core, never on the public port: `/metrics` (Prometheus text) and `/readyz`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse, Response

from stackfluence.catalog import load_horizon
from stackfluence.operations.site import Site

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CATALOG_SECONDS = 2.0


def watch(api: FastAPI, site: Site) -> None:
    """Add the two pages to an application that only operators reach."""
    routes = APIRouter()

    @routes.get("/metrics")
    async def metrics() -> Response:
        text = "".join(f"{name} {value}\n" for name, value in samples(site))
        return Response(text, media_type=METRICS_TYPE)

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        catalog_error = await _catalog_error(site)
        is_ready = site.loader is not None and not catalog_error
        state = {
            "status": "ready" if is_ready else "not ready",
            "is_event_store_open": site.opened is not None,
            "catalog_error": catalog_error,
            "held_journals": {} if site.loader is None else site.loader.counts.held,
        }
        return JSONResponse(state, 200 if is_ready else 503)

    api.include_router(routes)


def samples(site: Site) -> Iterator[tuple[str, float]]:
    """Yield each metric's name and value; what the loader counts is there once the event store is open."""
    yield "stackfluence_event_store_is_open", int(site.opened is not None)
    if site.rates is not None:
        yield "stackfluence_api_rates_failures_total", site.rates.failures
        yield "stackfluence_api_rates_is_alone", int(site.rates.is_away)
    if site.loader is None:
        return
    counts = site.loader.counts
    yield "stackfluence_loader_turns_total", counts.turns
    yield "stackfluence_loader_lines_total", counts.lines
    yield "stackfluence_loader_known_lines_total", counts.known
    yield "stackfluence_loader_quarantined_lines_total", counts.quarantined
    yield "stackfluence_loader_failures_total", counts.failures
    yield "stackfluence_loader_lag_seconds", round(counts.lag_seconds, 3)
    yield "stackfluence_loader_waiting_segments", counts.waiting
    yield "stackfluence_loader_held_journals", len(counts.held)


async def _catalog_error(site: Site) -> str:
    try:
        async with asyncio.timeout(CATALOG_SECONDS):
            await load_horizon(site.catalog)
    except Exception as error:  # whatever the database's driver raises
        return repr(error)
    return ""
