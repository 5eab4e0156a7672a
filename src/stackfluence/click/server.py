"""HTTP/1.1 at the edge: one protocol object a connection, answers in the order of the requests.

Parsing is httptools' (llhttp, strict: both lengths, odd chunking or a bare line feed end the connection with 400). What
the edge doesn't own is streamed to the core by `relay`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, cast

import httptools

from stackfluence.click.bodies import Bodies
from stackfluence.click.head import MAX_HEAD, Heads
from stackfluence.click.redirect import usual_click
from stackfluence.click.relay import Relay
from stackfluence.click.request import Request, Turn, cors, take_host_from_target
from stackfluence.click.visitor import ip_prefix, plain_address

if TYPE_CHECKING:
    from stackfluence.click.edge import Site

MAX_HEADERS = 100  # browsers send 10 to 25
MAX_CONNECTIONS = 20_000
MAX_PIPELINED = 64
HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
IDLE_SECONDS = 75.0
LINGER_SECONDS = 2.0  # a client that is still sending has this long to read why it is cut off
SWEEP_SECONDS = 1.0
WRITING, QUEUE = 1, 2  # why nothing is read from a client, as `relay.CORE`: it reads slowly, it asks too fast
FOREVER = float("inf")
RETRY = b"retry-after: 5\r\n"
log = logging.getLogger(__name__)


class _Malformed(Exception):
    """The request is well-formed for the parser, but means two things, or nothing."""


class Connection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_chunk_bytes",
        "_head_bytes",
        "_heads",
        "_holds",
        "_is_cut",
        "_is_in_head",
        "_is_last",
        "_lingers",
        "_parser",
        "_queue",
        "_read",
        "_request",
        "_usual",
        "deadline",
        "edge",
        "is_proxied",
        "is_read_slowly",
        "peer",
        "server",
        "transport",
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self.edge = server.edge
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Turn] = deque()
        self._request: Request | None = None
        self._read: Request | None = None  # the last one that the parser found whole in what came in just now
        self._is_in_head = False
        self._is_last = False  # nothing that comes after this is read as a request
        self._is_cut = False  # the client may be sending more than was read
        self._lingers = False
        self._chunk_bytes = 0  # what is being read
        self._head_bytes = 0  # since the last request, or the last piece of a body
        self._holds = 0
        self.is_read_slowly = False
        self.deadline = server.now + HEAD_SECONDS

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peername = transport.get_extra_info("peername")
        self.peer: str = plain_address(peername[0]) if isinstance(peername, tuple) else ""
        self.is_proxied = self.edge.proxies.has(self.peer)
        self._heads = self.server.heads[self.is_proxied]
        self._usual = partial(usual_click, self.edge.kit, self._heads.known, self.peer, ip_prefix(self.peer))
        self.server.connections.add(self)
        if len(self.server.connections) > MAX_CONNECTIONS:
            self.end(503, "unavailable", "Too many connections.")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        for turn in self._queue:
            if turn.relay is not None:
                turn.relay.client_gone()
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        if self._is_last:
            return
        is_between = self._request is None and not self._head_bytes
        if is_between:
            click = self._usual(data)
            if click is not None:
                turn = Turn(self)
                self._enqueue(turn)
                self.edge.take(turn, click)
                return
            found = self._heads.find(self, data)
            if found is not None:
                self._take(found)
                return
        self._chunk_bytes = len(data)
        self._head_bytes += self._chunk_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_last = True  # the request itself is answered, as plain HTTP
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(error.__context__, _Malformed):
                log.error("request_failed", exc_info=error.__context__)
            if not self._is_last:
                self.end(400, "malformed-request", "The request is not well-formed HTTP/1.1.")
        else:
            read, self._read = self._read, None
            if self._head_bytes > MAX_HEAD and self._request is not None:  # a head, or trailers and empty chunks
                self._head_too_large()
            elif is_between and read is not None:
                self._heads.learn(data, read)

    def eof_received(self) -> bool:
        """A client may close its half and still read its answers; one that waits for the core has left."""
        is_uploading = self._request is not None and self._request.relay is not None
        if not self._queue or self._queue[0].relay is not None or is_uploading:
            return False
        self._request = None
        self._is_last = True
        self._is_cut = False
        self._queue[-1].keeps_alive = False
        return True

    def pause_writing(self) -> None:
        self.is_read_slowly = True
        self.hold(WRITING)
        if self._queue and self._queue[0].relay is not None:
            self._queue[0].relay.pause_reading()

    def resume_writing(self) -> None:
        self.is_read_slowly = False
        self.release(WRITING)
        if self._queue and self._queue[0].relay is not None:
            self._queue[0].relay.resume_reading()

    def hold(self, reason: int) -> None:
        """Read no more from the client, for one of the three reasons."""
        if not self._holds and not self.transport.is_closing():
            self.transport.pause_reading()
        self._holds |= reason

    def release(self, reason: int) -> None:
        """Read on, unless there is another reason not to."""
        if self._holds == reason and not self.transport.is_closing():
            self.transport.resume_reading()
        self._holds &= ~reason

    # what the parser calls

    def on_message_begin(self) -> None:
        if self._is_last:
            raise _Malformed("a request after the last")
        self._request = Request(self)
        self._is_in_head = True
        self.deadline = self.server.now + HEAD_SECONDS

    def on_url(self, url: bytes) -> None:
        assert self._request is not None
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            return  # a trailer: nothing may be changed by what comes after it was judged
        request = self._request
        assert request is not None
        request.headers.append((name, value))
        lower = name.lower()
        if lower in request.fields:
            if lower in _SINGLE:
                raise _Malformed(f"two {name!r} headers")
            value = b"%b, %b" % (request.fields[lower], value)  # RFC 9110 section 5.2
        request.fields[lower] = value

    def on_headers_complete(self) -> None:
        request = self._request
        assert request is not None
        self._is_in_head = False
        request.method = self._parser.get_method()
        request.forwarded = request.fields.get(b"x-forwarded-for", b"")
        version = self._parser.get_http_version()
        request.keeps_alive = (
            version == "1.1" and self._parser.should_keep_alive() and not self._parser.should_upgrade()
        )
        fields = request.fields
        # further requests or a body may be among the bytes that were counted
        is_suspect = self._head_bytes > MAX_HEAD or self._chunk_bytes > MAX_HEAD
        if len(request.headers) > MAX_HEADERS or (is_suspect and request.head_size > MAX_HEAD):
            self._head_too_large()
            return
        if request.target[:1] != b"/" and not take_host_from_target(request):
            raise _Malformed(f"target {request.target!r}")
        if version != "1.0" and (version != "1.1" or b"host" not in fields):
            raise _Malformed("no HTTP/1.1, or no Host")
        request.route = self.edge.route(request.method, request.target)
        if b"content-length" in fields or b"transfer-encoding" in fields:
            encoding = fields.get(b"transfer-encoding", b"chunked").lower()
            if encoding != b"chunked" or (version == "1.0" and b"transfer-encoding" in fields):
                raise _Malformed("another transfer encoding than chunked, or one in HTTP/1.0")
            self.deadline = self.server.now + BODY_SECONDS
            if request.route is not None and int(fields.get(b"content-length", b"0")) > request.most_bytes:
                self._body_too_large(request)
                return
            if fields.get(b"expect", b"").lower() == b"100-continue" and not self._queue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if request.route is None:
            request.relay = Relay(request, self.edge.core_socket, version)
            self._queue.append(request)
            self.flush()

    def on_body(self, body: bytes) -> None:
        request = self._request
        if request is None:
            return
        self._head_bytes = 0
        if request.relay is not None:
            self.deadline = self.server.now + BODY_SECONDS
            request.relay.send_body(body)
            return
        if not self.server.bodies.add(request, body):
            self.end(503, "unavailable", "Too many large bodies are being received; send it again.", RETRY)
        elif len(request.body) > request.most_bytes:
            self._body_too_large(request)

    def on_message_complete(self) -> None:
        request, self._request = self._request, None
        self._head_bytes = 0
        if request is None:
            return
        self._is_last = not request.keeps_alive
        if request.relay is not None:
            self.deadline = FOREVER
            request.relay.end_body()
        else:
            self._read = request
            self.server.bodies.done(request)
            self._take(request)
            request.body = b""  # it was read, and its answer may wait for the disk

    def _take(self, request: Request) -> None:
        """Answer a request that was read whole, now or later."""
        self._enqueue(request)
        assert request.route is not None
        try:
            request.route(request)
        except Exception:
            log.exception("request_failed")
            request.refuse(503, "unavailable", "Something went wrong here; it is in the log.")

    def _enqueue(self, turn: Turn) -> None:
        self.deadline = FOREVER
        queue = self._queue
        queue.append(turn)
        if len(queue) > MAX_PIPELINED:
            self.hold(QUEUE)

    # answers

    def flush(self) -> None:
        """Send what is answered, in order, as far as it goes without a gap."""
        queue = self._queue
        while queue:
            turn = queue[0]
            response = turn.response
            if response is None:
                if turn.relay is not None:
                    turn.relay.start()
                return
            queue.popleft()
            if not turn.keeps_alive or self.server.is_draining:
                self.transport.write(response.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                self._close()
                return
            self.transport.write(response)
            if self._holds and len(queue) == MAX_PIPELINED:
                self.release(QUEUE)
        if self._request is None:
            self.deadline = self.server.now + IDLE_SECONDS

    def end(self, status: int, kind: str, detail: str, headers: bytes = b"") -> None:
        """Answer what can't be read any further, after the requests before it, and close."""
        request = self._request or Request(self)
        self._request = None
        self._is_in_head = False
        self._is_last = True
        self._is_cut = True
        self.server.refused += 1
        request.keeps_alive = False
        if request.relay is None:
            self._queue.append(request)
        elif not request.relay.give_up():
            self.transport.abort()  # inside its answer: anything else would be taken for a part of it
            return
        request.refuse(status, kind, detail, headers + cors(request))

    def expire(self) -> None:
        """The deadline has passed: close, with a word when a request was under way."""
        if self._lingers or self.transport.is_closing():
            self.transport.abort()  # it neither reads nor goes
        elif self._request is not None:
            self.end(408, "timeout", "The request came too slowly.")
        elif not self._queue:
            self.transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""
        return not self._queue and self._request is None

    def _close(self) -> None:
        """Close, but read on for a moment when the client may still be sending: or it would never see the answer."""
        self._queue.clear()
        is_cut = self._is_cut or self._request is not None
        self._request = None
        if not is_cut or self.transport.is_closing():
            self.transport.close()
            return
        self._is_last = self._lingers = True
        self.deadline = self.server.now + LINGER_SECONDS
        self.transport.write_eof()

    def _head_too_large(self) -> None:
        self.end(431, "head-too-large", f"The request line and headers may have at most {MAX_HEAD} bytes.")

    def _body_too_large(self, request: Request) -> None:
        self.end(413, "too-large", f"The body may have at most {request.most_bytes} bytes.")


_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization"))


class Server:
    """The connections of one edge process."""

    def __init__(self, edge: Site) -> None:
        self.edge = edge
        self.connections: set[Connection] = set()
        self.heads = (Heads(), Heads())  # of visitors' own connections, of trusted proxies'
        self.bodies = Bodies()
        self.refused = 0  # requests that could not be read: malformed, too large, too slow
        self.is_draining = False
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

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
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        self.now = self._loop.time()
        self.edge.tick()
        self.bodies.recount(connection._request for connection in self.connections)
        for connection in [c for c in self.connections if c.deadline < self.now]:
            connection.expire()
