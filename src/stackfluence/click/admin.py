"""What operators ask an edge, never on the public port: `/metrics` (Prometheus text), `/readyz`, `/refusals`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from stackfluence.click.visitor import Proxies

if TYPE_CHECKING:
    from collections import Counter

    from stackfluence.click.edge import Edge, Route
    from stackfluence.click.exchange import Exchange
    from stackfluence.click.redirect import Taken
    from stackfluence.click.request import Request, Turn
    from stackfluence.click.server import Server

METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Refusal(NamedTuple):
    """A request to the intake or a hook that was refused: when, in milliseconds since 1970 UTC, how, and by which page.

    `organization_id` is that of a key or connection which was known but may not do this, else empty. `path` is without
    its query, `origin` the Origin header.
    """

    at_ms: int
    status: int
    kind: str
    detail: str
    path: str
    origin: str
    organization_id: str


class Admin:
    """Stands in an edge's place behind a server of its own."""

    proxies = Proxies()
    core_socket = ""
    kit = ()

    def __init__(
        self,
        edge: Edge,
        server: Server,
        intake_counts: Counter[str],
        refusals: Iterable[Refusal],
        exchange: Exchange | None = None,
    ) -> None:
        self._edge = edge
        self.date = edge.date
        self._server = server
        self._intake_counts = intake_counts
        self._refusals = refusals
        self._exchange = exchange

    def take(self, turn: Turn, click: Taken) -> None:
        """Never asked: without a kit nothing is a usual click."""
        raise AssertionError("a click on an admin page")

    def tick(self) -> None:
        """Take the time over from the edge."""
        self.date = self._edge.date

    def route(self, method: bytes, target: bytes) -> Route:
        """Return what answers; nothing is handed on from here."""
        path = target.partition(b"?")[0]
        pages = {b"/metrics": self._metrics, b"/readyz": self._readyz, b"/refusals": self._list_refusals}
        return pages.get(path, _not_found)

    def _metrics(self, request: Request) -> None:
        text = "".join(f"{name} {value}\n" for name, value in self._samples())
        self._answer(request, 200, METRICS_TYPE, text.encode())

    def _samples(self) -> Iterable[tuple[str, float]]:
        edge, journal = self._edge, self._edge.journal
        for outcome, count in {"recorded": edge.recorded, **edge.counts}.items():
            yield f'stackfluence_redirects_total{{outcome="{outcome}"}}', count
        for status, count in self._intake_counts.items():
            yield f'stackfluence_intake_events_total{{status="{status}"}}', count
        yield "stackfluence_clicks_behind_unknown_proxies_total", edge.hidden
        yield "stackfluence_requests_refused_total", self._server.refused
        yield "stackfluence_connections", len(self._server.connections)
        yield "stackfluence_journal_lines_total", journal.committed
        yield "stackfluence_journal_commits_total", journal.batches
        yield "stackfluence_journal_failures_total", journal.failures
        yield "stackfluence_journal_late_lines_total", journal.late
        yield "stackfluence_journal_is_stalled", int(journal.is_stalled(time.monotonic()))
        yield "stackfluence_snapshot_links", len(edge.snapshot.links)
        yield "stackfluence_snapshot_revision", edge.snapshot.revision
        yield "stackfluence_snapshot_unusable_links", edge.snapshot.unusable
        for kind, file in edge.judge.places.files.items():
            yield f'stackfluence_geoip_built_seconds{{kind="{kind}"}}', file.built_at
        yield "stackfluence_geoip_refused_total", edge.judge.places.refused
        yield "stackfluence_velocity_keys", edge.judge.velocity.keys
        yield "stackfluence_velocity_overflow_total", edge.judge.velocity.overflow
        if self._exchange is not None:
            yield "stackfluence_velocity_exchange_failures_total", self._exchange.failures
            yield "stackfluence_velocity_exchange_edges", self._exchange.edges

    def _readyz(self, request: Request) -> None:
        journal = self._edge.journal
        is_ready = self._edge.snapshot.revision > 0 and not journal.is_stalled(time.monotonic())
        state = {
            "status": "ready" if is_ready else "not ready",
            "snapshot_revision": self._edge.snapshot.revision,
            "links": len(self._edge.snapshot.links),
            "journal_error": journal.last_error,
        }
        self._answer(request, 200 if is_ready else 503, b"application/json", json.dumps(state).encode())

    def _list_refusals(self, request: Request) -> None:
        """Answer the last requests that were refused, the newest last."""
        body = json.dumps({"items": [refusal._asdict() for refusal in self._refusals]})
        self._answer(request, 200, b"application/json", body.encode())

    def _answer(self, request: Request, status: int, content_type: bytes, body: bytes) -> None:
        reason = b"OK" if status == 200 else b"Service Unavailable"
        request.answer(
            b"HTTP/1.1 %d %b\r\ndate: %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (status, reason, self.date, content_type, len(body), b"" if request.method == b"HEAD" else body)
        )


def _not_found(request: Request) -> None:
    request.refuse(404, "not-found", "Here are /metrics, /readyz and /refusals.")
