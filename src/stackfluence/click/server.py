"""HTTP/1.1 at the edge: one protocol object a connection, answers in the order of the requests.

Parsing is httptools' (llhttp, strict: both lengths, odd chunking or a bare line feed end the connection with 400). What
the edge doesn't own is streamed to the core by `relay`.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from stackfluence.click.relay import Relay
from stackfluence.click.visitor import client_address

if TYPE_CHECKING:
    from stackfluence.click.edge import Edge, Route

MAX_HEAD = 16 << 10  # bytes of request line and headers; browsers send 1 to 4 KB
MAX_BODY = 1 << 20  # of what is answered here; a batch of 1,000 events fits
MAX_CONNECTIONS = 20_000
MAX_PIPELINED = 64
HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
IDLE_SECONDS = 75.0
FOREVER = float("inf")
STATUS = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 410: "Gone", 413: "Content Too Large", 415: "Unsupported Media Type",
    422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}  # fmt: skip


class Request:
    """One request, and its answer once there is one. Header names keep their case in `headers`, not in `fields`."""

    __slots__ = (
        "body",
        "connection",
        "fields",
        "headers",
        "keeps_alive",
        "method",
        "relay",
        "response",
        "route",
        "target",
    )

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.method = b""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.fields: dict[bytes, bytes] = {}
        self.body = b""
        self.keeps_alive = True
        self.response: bytes | None = None
        self.route: Route | None = None
        self.relay: Relay | None = None

    @property
    def head_size(self) -> int:
        """Bytes of target and headers."""
        return len(self.target) + sum(len(name) + len(value) for name, value in self.headers)

    @property
    def address(self) -> str:
        """The visitor's address, behind trusted proxies the one they name."""
        if not self.connection.is_proxied:
            return self.connection.peer
        return client_address(
            self.connection.peer, self.fields.get(b"x-forwarded-for", b""), self.connection.edge.proxies
        )

    @property
    def is_https(self) -> bool:
        """Whether the visitor's connection is encrypted, as a trusted proxy says."""
        return self.connection.is_proxied and self.fields.get(b"x-forwarded-proto", b"").lower() == b"https"

    def answer(self, response: bytes) -> None:
        """Send a whole response, after those of earlier requests on this connection. Only the first counts."""
        if self.response is None:
            self.response = response
            self.connection.flush()

    def refuse(self, status: int, kind: str, detail: str, headers: bytes = b"") -> None:
        """Answer with problem+json, RFC 9457; its `type` is `/problems/<kind>`."""
        self.answer(problem(self.connection.edge.date, status, kind, detail, headers, self.method == b"HEAD"))


class Connection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_head_bytes",
        "_is_in_head",
        "_parser",
        "_queue",
        "_request",
        "deadline",
        "edge",
        "is_proxied",
        "peer",
        "server",
        "transport",
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self.edge = server.edge
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Request] = deque()
        self._request: Request | None = None
        self._is_in_head = False
        self._head_bytes = 0
        self.deadline = server.now + HEAD_SECONDS

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peername = transport.get_extra_info("peername")
        self.peer: str = peername[0] if isinstance(peername, tuple) else ""
        self.is_proxied = (
            bool(self.edge.proxies) and client_address(self.peer, b"0.0.0.0", self.edge.proxies) != self.peer
        )
        self.server.connections.add(self)
        if len(self.server.connections) > MAX_CONNECTIONS:
            self.end(503, "unavailable", "Too many connections.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        for request in self._queue:
            if request.relay is not None:
                request.relay.client_gone()
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.transport.pause_reading()  # the request itself is answered, as plain HTTP, and is the last
        except httptools.HttpParserError:
            self.end(400, "malformed-request", "The request is not well-formed HTTP/1.1.")
        else:
            if self._is_in_head and self._head_bytes > MAX_HEAD:
                self._head_too_large()

    def eof_received(self) -> bool:
        return bool(self._queue)  # a client may close its half and still read the answer

    def pause_writing(self) -> None:
        self.transport.pause_reading()
        if self._queue and self._queue[0].relay is not None:
            self._queue[0].relay.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()
        if self._queue and self._queue[0].relay is not None:
            self._queue[0].relay.resume_reading()

    # what the parser calls

    def on_message_begin(self) -> None:
        self._request = Request(self)
        self._is_in_head = True
        self.deadline = self.server.now + HEAD_SECONDS

    def on_url(self, url: bytes) -> None:
        assert self._request is not None
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self._request
        assert request is not None
        request.headers.append((name, value))
        lower = name.lower()
        if lower in request.fields and lower in _SINGLE:
            raise ValueError(f"two {name!r} headers")
        request.fields[lower] = value

    def on_headers_complete(self) -> None:
        request = self._request
        assert request is not None
        self._is_in_head = False
        request.method = self._parser.get_method()
        request.keeps_alive = (
            self._parser.should_keep_alive()
            and self._parser.get_http_version() == "1.1"
            and not self._parser.should_upgrade()
        )
        fields = request.fields
        if self._head_bytes > MAX_HEAD and request.head_size > MAX_HEAD:  # body bytes may be among the first
            self._head_too_large()
            return
        request.route = self.edge.route(request.method, request.target)
        if b"content-length" in fields or b"transfer-encoding" in fields:
            self.deadline = self.server.now + BODY_SECONDS
            if request.route is not None and int(fields.get(b"content-length", b"0")) > MAX_BODY:
                self.end(413, "too-large", f"The body may have at most {MAX_BODY} bytes.")
                return
            if fields.get(b"expect", b"").lower() == b"100-continue" and not self._queue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.route is None:
            request.relay = Relay(request, self.edge.core_socket, b"transfer-encoding" in fields)
            self._queue.append(request)
            self.flush()

    def on_body(self, body: bytes) -> None:
        request = self._request
        if request is None:
            return
        if request.relay is not None:
            self.deadline = self.server.now + BODY_SECONDS
            request.relay.send_body(body)
            return
        request.body += body
        if len(request.body) > MAX_BODY:
            self.end(413, "too-large", f"The body may have at most {MAX_BODY} bytes.")

    def on_message_complete(self) -> None:
        request, self._request = self._request, None
        self._head_bytes = 0
        if request is None:
            return
        self.deadline = FOREVER
        if request.relay is not None:
            request.relay.end_body()
            return
        self._queue.append(request)
        if len(self._queue) > MAX_PIPELINED:
            self.transport.pause_reading()
        assert request.route is not None
        request.route(request)

    # answers

    def flush(self) -> None:
        """Send what is answered, in order, as far as it goes without a gap."""
        queue = self._queue
        while queue:
            request = queue[0]
            if request.response is None:
                if request.relay is not None:
                    request.relay.start()
                return
            queue.popleft()
            self.transport.write(request.response)
            if not request.keeps_alive or self.server.is_draining:
                queue.clear()
                self.transport.close()
                return
            if len(queue) == MAX_PIPELINED:
                self.transport.resume_reading()
        if self._request is None:
            self.deadline = self.server.now + IDLE_SECONDS

    def end(self, status: int, kind: str, detail: str) -> None:
        """Answer what can't be read any further, and close."""
        self._request = None
        if not self.transport.is_closing():
            self.transport.write(problem(self.edge.date, status, kind, detail, b"connection: close\r\n"))
            self.transport.close()
        self.server.refused += 1

    def expire(self) -> None:
        """The deadline has passed: close, with a word when a request was under way."""
        if self._request is not None:
            self.end(408, "timeout", "The request came too slowly.")
        elif not self._queue:
            self.transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""
        return not self._queue and self._request is None

    def _head_too_large(self) -> None:
        self.end(431, "head-too-large", f"The request line and headers may have at most {MAX_HEAD} bytes.")


_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization"))


class Server:
    """The connections of one edge process."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.connections: set[Connection] = set()
        self.refused = 0  # requests that could not be read: malformed, too large, too slow
        self.is_draining = False
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()
        self._timer = self._loop.call_later(1, self._sweep)

    def accept(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(self)

    async def drain(self, seconds: float) -> None:
        """Answer what is under way, then close every connection; at most `seconds`."""
        self.is_draining = True
        patience = self._loop.time() + seconds
        while self.connections and self._loop.time() < patience:
            for connection in [c for c in self.connections if c.is_idle]:
                connection.transport.close()
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.transport.abort()
        self._timer.cancel()

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(1, self._sweep)
        self.now = self._loop.time()
        self.edge.tick()
        for connection in [c for c in self.connections if c.deadline < self.now]:
            connection.expire()


def problem(date: bytes, status: int, kind: str, detail: str, headers: bytes = b"", is_head: bool = False) -> bytes:
    """Return a whole problem+json response."""
    document = {"type": f"/problems/{kind}", "title": STATUS[status], "status": status, "detail": detail}
    body = json.dumps(document).encode()
    return (
        b"HTTP/1.1 %d %b\r\ndate: %b\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n"
        b"x-robots-tag: noindex\r\n%bcontent-length: %d\r\n\r\n%b"
    ) % (status, STATUS[status].encode(), date, headers, len(body), b"" if is_head else body)
