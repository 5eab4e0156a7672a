"""What the edge doesn't own goes to the core: request and response streamed through a Unix socket, both ways bounded.

The core trusts forwarding headers from this socket alone, so the visitor's own are replaced here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    from stackfluence.click.request import Request

CORE = 4  # the reason for which a client is held while the core is not ready
HELD_BYTES = 256 << 10  # of a body that is read ahead while the core is not ready for it
CONNECT_SECONDS = 5.0
PATIENCE_SECONDS = 120.0  # for the first byte of an answer; an import of 10,000 links takes ten
_DROPPED = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"trailer", b"upgrade",
        b"expect", b"host",
        b"transfer-encoding", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip",
        b"http2-settings",
    )
)  # fmt: skip


class Relay(asyncio.Protocol):
    """One request handed to the core over a connection of its own; it begins when its turn to be answered has come."""

    def __init__(self, request: Request, core_socket: str, version: str) -> None:
        self._request = request
        self._socket = core_socket
        self._is_chunked = b"transfer-encoding" in request.fields
        self._knows_chunks = version == "1.1"  # the client; or it gets the body as it is, and the end by the close
        self._status = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._held: list[bytes] | None = []  # body before the connection stands
        self._held_bytes = 0
        self._core: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_answered = False
        self._is_done = False
        self._is_asked = False  # the request has gone out whole
        self._patience: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpResponseParser(self)

    def start(self) -> None:
        """Connect, once."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._connect())

    def send_body(self, body: bytes) -> None:
        """Pass on a piece of the request's body."""
        self._send(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body)

    def end_body(self) -> None:
        """The request is complete."""
        if self._is_chunked:
            self._send(b"0\r\n\r\n")
        self._is_asked = True
        self._wait()

    def client_gone(self) -> None:
        """Nobody waits for the answer any more."""
        self._end()
        if self._task is not None:
            self._task.cancel()
        if self._core is not None:
            self._core.abort()

    def give_up(self) -> bool:
        """The request turned out malformed. Returns whether something else can be answered: nothing has been yet."""
        self.client_gone()
        return not self._has_answered

    def pause_reading(self) -> None:
        """The client reads slowly: the core must wait."""
        if self._core is not None and not self._core.is_closing():
            self._core.pause_reading()

    def resume_reading(self) -> None:
        """The client caught up."""
        if self._core is not None and not self._core.is_closing():
            self._core.resume_reading()

    # the connection to the core

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._core = cast(asyncio.Transport, transport)
        if self._is_done:
            self._core.abort()
            return
        if self._request.connection.is_read_slowly:
            self._core.pause_reading()
        self._request.connection.release(CORE)
        self._core.write(self._head() + b"".join(self._held or ()))  # may hold the client again, in pause_writing
        self._held = None
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._is_done:
            return
        self._has_answered = True
        if self._knows_chunks:
            self._request.connection.transport.write(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._cut()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_done:
            return
        if self._has_answered:
            self._cut()
        else:
            self._fail()

    def pause_writing(self) -> None:
        if not self._is_done:
            self._request.connection.hold(CORE)

    def resume_writing(self) -> None:
        self._request.connection.release(CORE)

    # the response parser, which tells where the response ends, and what it says for a client that knows no chunks

    def on_status(self, status: bytes) -> None:
        self._status += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in (b"transfer-encoding", b"connection"):
            self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        if not self._knows_chunks:
            self._request.connection.transport.write(body)

    def on_headers_complete(self) -> None:
        if not self._knows_chunks and self._parser.get_status_code() >= 200:
            lines = [b"%b: %b\r\n" % pair for pair in self._headers]
            head = b"HTTP/1.1 %d %b\r\n%bconnection: close\r\n\r\n"
            self._request.connection.transport.write(
                head % (self._parser.get_status_code(), self._status, b"".join(lines))
            )
        if self._request.method == b"HEAD" and self._parser.get_status_code() >= 200:
            self._finish()

    def on_message_complete(self) -> None:
        self._status, self._headers = b"", []
        if self._parser.get_status_code() >= 200:
            self._finish()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.create_unix_connection(lambda: self, self._socket), CONNECT_SECONDS)
        except (OSError, TimeoutError):
            self._fail()

    def _send(self, data: bytes) -> None:
        if self._is_done:
            return
        if self._held is None:
            assert self._core is not None
            self._core.write(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HELD_BYTES:
            self._request.connection.hold(CORE)

    def _head(self) -> bytes:
        request = self._request
        lines = [b"%b %b HTTP/1.1\r\n" % (request.method, request.target)]
        if b"host" in request.fields:
            lines.append(b"host: %b\r\n" % request.fields[b"host"])
        lines += [b"%b: %b\r\n" % pair for pair in request.headers if pair[0].lower() not in _DROPPED]
        if self._is_chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        scheme = b"https" if request.is_https else b"http"
        lines.append(b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n\r\n" % (request.address.encode(), scheme))
        return b"".join(lines)

    def _finish(self) -> None:
        if self._is_done:
            return
        self._end()
        assert self._core is not None
        self._core.close()
        self._request.connection.release(CORE)
        if not self._parser.should_keep_alive():
            self._request.keeps_alive = False
        self._request.answer(b"")

    def _wait(self) -> None:
        """Begin to count the time that the core takes, when it has the whole request."""
        if self._is_asked and self._core is not None and not self._is_done:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._lose_patience)

    def _lose_patience(self) -> None:
        """The core stands still: better a word than a connection that hangs."""
        if not self._has_answered and self._core is not None:
            self._core.abort()
            self._fail()

    def _end(self) -> None:
        self._is_done = True
        if self._patience is not None:
            self._patience.cancel()

    def _fail(self) -> None:
        self._end()
        self._request.connection.release(CORE)
        self._request.keeps_alive = False  # its body may still be on the way
        self._request.refuse(
            503,
            "core-unavailable",
            "This part is restarting; links and events work meanwhile.",
            b"retry-after: 2\r\n",
        )

    def _cut(self) -> None:
        """The core broke off inside its answer: so does this connection, or half an answer would look whole."""
        self._end()
        self._request.connection.transport.abort()
