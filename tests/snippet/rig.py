"""An advertiser's pages on a loopback port, a real edge beside them, and what the edge then has on its disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from stackfluence import snapshot
from stackfluence.collect.snippet import serve_snippet
from stackfluence.snapshot import Key
from tests.edge.edges import (
    ORGANIZATION,
    Event,
    RunningEdge,
    a_link,
    a_snapshot,
    digest,
    journal_lines,
    key_of,
    read_event,
    start_edge,
)

OPEN_KEY = "sf_pub_for-any-origin"
WAIT_SECONDS = 20.0
# what a page has in front of the tag, so that it may call sfq before the file is there
STUB = "<script>window.sfq = window.sfq || function () { (sfq.q = sfq.q || []).push(arguments) }</script>"
# a shop of one page: its links change the address and the heading, nothing is loaded anew
APP = """<h1>Home</h1><a id="product" href="/PREFIX/product?sku=1">Product</a> <a id="cart" href="/PREFIX/cart">Cart</a>
<script>
for (const link of document.querySelectorAll("a")) link.onclick = (event) => {
  event.preventDefault(); history.pushState({}, "", link.href); document.querySelector("h1").textContent = link.id;
};
</script>"""
# what the browsers in apps say that they are
IN_APP = {
    "Instagram": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 Instagram 380.0.0.28.85 (iPhone16,2; iOS 18_6; de_DE; de; scale=3.00; 1290x2796; 700000000)",
    "Facebook": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 [FBAN/FBIOS;FBAV/520.0.0.38.101;FBDV/iPhone16,2;FBMD/iPhone;FBSN/iOS;FBSV/18.6;FBSS/3]",
    "TikTok": "Mozilla/5.0 (Linux; Android 15; Pixel 8 Build/AP3A.240905.015; wv) AppleWebKit/537.36 (KHTML, like "
    "Gecko) Version/4.0 Chrome/138.0.0.0 Mobile Safari/537.36 trill_400103 BytedanceWebview/d8a21c6",
    "Snapchat": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Mobile/15E148 Safari/604.1 Snapchat/13.50.0.40 (like Safari/8620, panda)",
}
_numbers = count(1)


class PageServer(ThreadingHTTPServer):
    """Serves whatever is put into `pages`: path to (headers, text); below `/measure/` it hands on to the edge."""

    daemon_threads = True
    edge_address = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.pages: dict[str, tuple[dict[str, str], str]] = {}
        self.port = int(self.server_address[1])
        self.targets: list[str] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that was closed before it had its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def asked(self, target: str) -> bool:
        """Whether somebody asked for a path and query."""
        return target in self.targets


class _Answering(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.targets.append(self.path)
        if path.startswith("/measure/"):
            self._hand_on()
            return
        headers, text = self.server.pages.get(path, ({}, ""))
        status = 200 if path in self.server.pages else 404
        self._answer(status, {"content-type": "text/html; charset=utf-8", **headers}, text.encode())

    def do_POST(self) -> None:
        if self.path.startswith("/measure/"):
            self._hand_on()
            return
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def _hand_on(self) -> None:
        """Do what a proxy of the site does: docs/snippet.md has it for nginx, Caddy and a worker."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        kept = {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "origin")}
        url = self.server.edge_address + self.path.removeprefix("/measure")
        answer = httpx.request(self.command, url, content=body, headers=kept)
        self._answer(answer.status_code, {"content-type": answer.headers["content-type"]}, answer.content)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@dataclass
class Installation:
    """A running edge and a page server, for the tests of one module."""

    pages: PageServer
    running: RunningEdge
    link: str = "/c/emma/summer"
    _read: dict[bytes, Event] = field(default_factory=dict)

    @property
    def edge(self) -> str:
        """The edge's address, of another host than the pages."""
        return f"http://127.0.0.1:{self.running.port}"

    def lines(self) -> list[Event]:
        """Return every event that is whole on disk."""
        whole = [line for line in journal_lines(self.running.journal.directory) if line.endswith(b"\n")]
        for line in whole:
            if line not in self._read:
                self._read[line] = read_event(line)
        return [self._read[line] for line in whole]


@contextlib.contextmanager
def installed(directory: Path) -> Iterator[Installation]:
    """Run both until the end of the block, the edge in a thread with a loop of its own."""
    pages = PageServer()
    loop = asyncio.new_event_loop()
    threads = [threading.Thread(target=pages.serve_forever), threading.Thread(target=loop.run_forever)]
    for thread in threads:
        thread.start()

    def wait(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(60)

    known = a_snapshot([a_link()])
    known.apply_one(snapshot.EdgeRow(snapshot.KEY, digest(OPEN_KEY), snapshot.encode(_any_origin())))
    known.apply_one(snapshot.EdgeRow(snapshot.KEY, ORGANIZATION.encode(), snapshot.encode(_any_origin())))
    stack = contextlib.AsyncExitStack()
    try:
        running: RunningEdge = wait(stack.enter_async_context(start_edge(directory, known=known)))
        serve_snippet(running.edge)
        made = Installation(pages, running)
        pages.edge_address = made.edge
        yield made
    finally:
        wait(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        pages.shutdown()
        for thread in threads:
            thread.join()
        pages.server_close()
        loop.close()


def _any_origin() -> Key:
    return Key("key_9", ORGANIZATION, "publishable", [], False)


@dataclass
class Shop:
    """One test's pages, below a path of their own, by which its events are told from other tests'."""

    installation: Installation
    host: str = "shop.brand.example"
    prefix: str = field(default_factory=lambda: f"t{next(_numbers)}")

    @property
    def edge(self) -> str:
        """The edge's address."""
        return self.installation.edge

    def tag(self, *, name: str = "sf.v1.js", stub: str = STUB, **attributes: str) -> str:
        """Return what a page has in its head."""
        given = {"data-org": ORGANIZATION, "data-key": OPEN_KEY, **attributes}
        written = " ".join(f'{attribute.replace("_", "-")}="{value}"' for attribute, value in given.items())
        return f'{stub}<script async src="{self.edge}/{name}" {written}></script>'

    def put(self, name: str, body: str = "", head: str | None = None, **headers: str) -> str:
        """Put up a page with the tag in its head, or with another head; returns its address."""
        text = f"<!doctype html><title>{name}</title>{self.tag() if head is None else head}{body}"
        path = f"/{self.prefix}/{name}"
        self.installation.pages.pages[path] = (headers, text.replace("PREFIX", self.prefix))
        return self.url(name)

    def url(self, name: str, host: str = "") -> str:
        """Return a page's address."""
        return f"http://{host or self.host}:{self.installation.pages.port}/{self.prefix}/{name}"

    def leads_to(self, name: str) -> str:
        """Let the creator's link lead to a page and return the link's address."""
        link = a_link(destination_url=self.url(name))
        row = snapshot.EdgeRow(snapshot.LINK, key_of(link), snapshot.encode(link))
        self.installation.running.snapshot.apply_one(row)
        return self.edge + self.installation.link

    def events(self, event_type: str = "") -> list[Event]:
        """Return what this test's pages told, one per event id, as the facts count them."""
        found: dict[str, Event] = {}
        for event in self.installation.lines():
            if event.leaf.page_path.startswith(f"/{self.prefix}/") and event_type in ("", event.leaf.event_type):
                found.setdefault(event.leaf.event_id, event)
        return list(found.values())

    def wait(self, event_type: str, number: int = 1) -> list[Event]:
        """Wait until there are as many events of a type, and return them."""
        until(lambda: len(self.events(event_type)) >= number, lambda: [e.leaf for e in self.events()])
        found = self.events(event_type)
        assert len(found) == number, [event.leaf for event in found]
        return found

    def refused(self) -> list[tuple[str, str]]:
        """Return the reasons of quarantined events of all pages; a test causes none but for an identify of nobody."""
        leaves = [event.leaf for event in self.installation.lines()]
        return [
            (leaf.event_type, leaf.quarantine_detail)
            for leaf in leaves
            if leaf.quarantine_reason and (leaf.event_type, leaf.quarantine_reason) != ("identify", "missing_field")
        ]


def properties(event: Event) -> dict[str, Any]:
    """Return an event's metadata."""
    found: dict[str, Any] = json.loads((event.kept.properties if event.kept else "") or "{}")
    return found


def click_id_of(address: str) -> str:
    """Return the signed click ID in an address."""
    return parse_qs(urlsplit(address).query)["inf_click_id"][0]


def until(condition: Callable[[], Any], told: Callable[[], Any] = lambda: "") -> Any:
    """Return a condition's first truthy value; fails with what `told` says after some time."""
    limit = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < limit:
        if value := condition():
            return value
        time.sleep(0.03)
    raise AssertionError(f"waited {WAIT_SECONDS:g} s in vain: {told()}")
