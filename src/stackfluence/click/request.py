"""One request at the edge, and its answer."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from stackfluence.click.visitor import is_nearby

if TYPE_CHECKING:
    from stackfluence.click.edge import Route
    from stackfluence.click.head import Head
    from stackfluence.click.relay import Relay
    from stackfluence.click.server import Connection

MAX_BODY = 1 << 20  # of what is answered here; a batch of 1,000 events fits
# of a vendor's hook: one that is refused is sent again, and after some refusals the vendor sends none at all
MAX_HOOK_BODY = 4 << 20
HOOKS = b"/v1/hooks/"
STATUS = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 410: "Gone", 413: "Content Too Large", 415: "Unsupported Media Type",
    422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}  # fmt: skip
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)


class Turn:
    """A request's turn among those of its connection, and its answer once there is one.

    All that is kept of a click that was taken whole, which is why it is so small.
    """

    __slots__ = ("connection", "keeps_alive", "response")
    relay: Relay | None = None

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.keeps_alive = True
        self.response: bytes | None = None

    def answer(self, response: bytes) -> None:
        """Send a whole response, after those of earlier requests on this connection. Only the first counts."""
        if self.response is None:
            self.response = response
            self.connection.flush()


class Request(Turn):
    """One request that was read. Header names keep their case in `headers`, not in `fields`.

    Of a request whose head was known, `headers` stay empty, and `fields` too when it was for a link.
    """

    method = b"GET"
    body: bytes | bytearray = b""
    route: Route | None = None
    head: Head | None = None  # of a request for a link
    asked: Any = None  # what the intake read in the head, so that it is read once for all requests that bring the same
    forwarded = b""  # X-Forwarded-For, of which one address may be the visitor's

    def __init__(self, connection: Connection, target: bytes = b"") -> None:
        super().__init__(connection)
        self.target = target
        self.headers: list[tuple[bytes, bytes]] = []
        self.fields: dict[bytes, bytes] = {}

    @property
    def head_size(self) -> int:
        """Bytes of target and headers."""
        return len(self.target) + sum(len(name) + len(value) for name, value in self.headers)

    @property
    def most_bytes(self) -> int:
        """How many bytes its body may have when it is answered here."""
        return MAX_HOOK_BODY if self.target.startswith(HOOKS) else MAX_BODY

    @property
    def address(self) -> str:
        """The visitor's address, behind trusted proxies the one they name."""
        if not self.connection.is_proxied:
            return self.connection.peer
        return self.connection.edge.proxies.client_address(self.connection.peer, self.forwarded)

    @property
    def is_behind_unknown_proxy(self) -> bool:
        """Whether a proxy on this machine or network that isn't trusted passed the request on."""
        connection = self.connection
        return self.forwarded != b"" and not connection.is_proxied and is_nearby(connection.peer)

    @property
    def is_https(self) -> bool:
        """Whether the visitor's connection is encrypted, as all proxies on the way say.

        One behind a network of proxies only knows how that reached it; what those say of the visitor is in headers of
        their own.
        """
        if not self.connection.is_proxied:
            return False
        fields = self.fields
        if b'"http"' in fields.get(b"cf-visitor", b"") or fields.get(b"cloudfront-forwarded-proto", b"") == b"http":
            return False
        schemes = fields.get(b"x-forwarded-proto", b"").lower().split(b",")
        return all(scheme.strip() == b"https" for scheme in schemes)

    def refuse(self, status: int, kind: str, detail: str, headers: bytes = b"") -> None:
        """Answer with problem+json, RFC 9457; its `type` is `/problems/<kind>`."""
        self.answer(problem(self.connection.edge.date, status, kind, detail, headers, self.method == b"HEAD"))


def take_host_from_target(request: Request) -> bool:
    """Turn a target in absolute form (RFC 9112, section 3.2.2) into the usual one; False when it names nothing here."""
    if request.target == b"*" and request.method == b"OPTIONS":
        return True
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is None or request.method == b"CONNECT":
        return False
    request.fields[b"host"] = absolute[1]
    path = absolute[2] or b"/"
    request.target = path if path.startswith(b"/") else b"/" + path
    return True


def cors(request: Request) -> bytes:
    """Return the headers that let a page read the answer."""
    origin = request.fields.get(b"origin")
    return b"access-control-allow-origin: %b\r\nvary: origin\r\n" % origin if origin else b""


def problem(date: bytes, status: int, kind: str, detail: str, headers: bytes = b"", is_head: bool = False) -> bytes:
    """Return a whole problem+json response."""
    document = {"type": f"/problems/{kind}", "title": STATUS[status], "status": status, "detail": detail}
    body = json.dumps(document).encode()
    return (
        b"HTTP/1.1 %d %b\r\ndate: %b\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n"
        b"x-robots-tag: noindex\r\n%bcontent-length: %d\r\n\r\n%b"
    ) % (status, STATUS[status].encode(), date, headers, len(body), b"" if is_head else body)
