"""What an edge process holds, beside its connections: snapshot, journal, judge, counters."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Protocol

from stackfluence import snapshot
from stackfluence.click import redirect
from stackfluence.click.judge import Judge
from stackfluence.click.links import Snapshot
from stackfluence.click.redirect import Kit, Taken
from stackfluence.click.visitor import Networks, Proxies
from stackfluence.events.journal import Journal
from stackfluence.names import is_link_key
from stackfluence.snapshot import EdgeRow
from stackfluence.vocabulary import RedirectOutcome

if TYPE_CHECKING:
    from stackfluence.click.request import Request, Turn

LOOK_UP_SECONDS = 0.25
MAX_LOOK_UPS = 64  # unknown links asked of the catalog at once: a scan must not become the catalog's load
MAX_ABSENT = 10_000
log = logging.getLogger(__name__)

LookUp = Callable[[bytes], Awaitable[bytes | None]]
Route = Callable[["Request"], None]


class Site(Protocol):
    """What a server answers for: the edge, or its admin pages."""

    date: bytes
    proxies: Proxies
    core_socket: str
    kit: Kit

    def take(self, turn: Turn, click: Taken) -> None:
        """Put a click on disk that `usual_click` took."""

    def tick(self) -> None:
        """Called once a second."""

    def route(self, method: bytes, target: bytes) -> Route | None:
        """Return what answers a request here; None hands it to the core."""


class Edge:
    """State of one edge process, touched by its event loop alone.

    `find_link(key)` asks the catalog for a packed link; `routes` are (methods, path prefix, function), tried in order,
    and what none of them takes is handed to the core behind `core_socket`.
    """

    def __init__(
        self,
        links: Snapshot,
        journal: Journal,
        judge: Judge,
        *,
        find_link: LookUp,
        proxies: Networks,
        core_socket: str,
    ) -> None:
        self.snapshot = links
        self.journal = journal
        self.judge = judge
        self.proxies = Proxies(proxies)
        self.core_socket = core_socket
        self.recorded = 0  # clicks answered with an ID that is on disk
        self.counts: Counter[str] = Counter()  # every other RedirectOutcome
        self.hidden = 0  # clicks through a proxy nearby that isn't among the trusted ones
        self.date = self.found = b""  # the Date header's text, and a redirect up to its address
        self.kit = redirect.kit_of(links, journal, judge, self.proxies)
        self.routes: list[tuple[frozenset[bytes], bytes, Route]] = [
            (
                frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS")),
                b"/c/",
                partial(redirect.redirect, self),
            ),
            (frozenset((b"GET", b"HEAD")), b"/healthz", self._healthz),
        ]
        self.settle_click = partial(redirect.settle, self)
        self._find_link = find_link
        self._asking: dict[bytes, list[Request]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._absent: set[bytes] = set()
        self.tick()

    def tick(self) -> None:
        """Called once a second: the Date header's text, RFC 9110 section 6.6.1, and what holds it."""
        self.date = formatdate(usegmt=True).encode()
        self.found = redirect.FOUND % self.date

    def take(self, turn: Turn, click: Taken) -> None:
        """Put a click on disk that `usual_click` took; `settle` answers it."""
        organization, body, personal, made = click
        self.journal.append(organization, body, personal, self.settle_click, (turn, made))

    def count(self, outcome: RedirectOutcome) -> None:
        """Count how a request for a link ended."""
        self.counts[outcome] += 1

    def route(self, method: bytes, target: bytes) -> Route | None:
        """Return the function that answers a request here; None hands it to the core."""
        for methods, prefix, function in self.routes:
            if target.startswith(prefix) and method in methods:
                return function
        return None

    def forget_absent(self) -> None:
        """After a change of the catalog, links that were not there may be."""
        self._absent.clear()

    def look_up(self, key: bytes, request: Request) -> None:
        """Ask the catalog for a link the snapshot lacks, once for all who wait for it, then answer them."""
        if key in self._absent or not is_link_key(key):
            self._unknown(request)
        elif key in self._asking:
            self._asking[key].append(request)
        elif len(self._asking) >= MAX_LOOK_UPS:
            self._undecided(request)
        else:
            self._asking[key] = [request]
            task = asyncio.get_running_loop().create_task(self._ask(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, key: bytes) -> None:
        patience = time.monotonic() + LOOK_UP_SECONDS
        is_answered, packed, taken_over = False, None, -1
        while taken_over != self.snapshot.taken_over:  # what the feed brought meanwhile may be newer than the answer
            taken_over = self.snapshot.taken_over
            is_answered, packed = await self._find_within(key, patience - time.monotonic())
        if packed is not None and key not in self.snapshot.links:
            self.snapshot.apply_one(EdgeRow(snapshot.LINK, key, packed))
        elif is_answered and packed is None and len(self._absent) < MAX_ABSENT:
            self._absent.add(key)
        destination = self.snapshot.find(key)
        for request in self._asking.pop(key):
            if destination is not None:
                redirect.follow(self, request, destination, request.target.partition(b"?")[2])
            elif is_answered:
                self._unknown(request)
            else:
                self._undecided(request)

    async def _find_within(self, key: bytes, seconds: float) -> tuple[bool, bytes | None]:
        """Return whether the catalog answered in time, and the packed link if there is one.

        Not `wait_for`: that would wait until a cancelled driver has tidied up.
        """
        looking = asyncio.ensure_future(self._find_link(key))
        try:
            await asyncio.wait({looking}, timeout=max(seconds, 0))
            if looking.done():
                return True, looking.result()
            looking.cancel()
            looking.add_done_callback(lambda late: late.cancelled() or late.exception())
            log.warning("link_look_up_timed_out")
        except Exception as error:  # whatever the catalog's driver raises, the visitor gets an answer
            log.warning("link_look_up_failed", extra={"error": repr(error)})
        return False, None

    def _unknown(self, request: Request) -> None:
        self.count(RedirectOutcome.unknown_link)
        request.refuse(404, "unknown-link", "There is no such link.")

    def _undecided(self, request: Request) -> None:
        self.count(RedirectOutcome.undecided_link)
        request.refuse(503, "unavailable", "This link can't be looked up right now.", b"retry-after: 1\r\n")

    def _healthz(self, request: Request) -> None:
        request.answer(
            b"HTTP/1.1 200 OK\r\ndate: %b\r\ncontent-type: application/json\r\ncache-control: no-store\r\n"
            b"content-length: 15\r\n\r\n%b" % (self.date, b"" if request.method == b"HEAD" else b'{"status":"ok"}')
        )
