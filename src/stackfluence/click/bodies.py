"""Memory for bodies that are being received, of one edge process: anybody may begin to send one, and take their time.

As many bytes as a head may have are every body's own, so that an event always gets through; what large ones need
beyond that is shared. Who finds it used up is to come again.
"""

from __future__ import annotations

from collections.abc import Iterable

from stackfluence.click.request import Request

OWN_BYTES = 16 << 10  # a page's event has 1 to 4 KB, a shop's order 5 to 50
SHARED_BYTES = 64 << 20  # 16 hooks of the largest kind at once, or 64 batches


class Bodies:
    """Counts what is shared. Whole bodies give theirs back at once, those of lost connections when it is counted anew.

    `shared` is in bytes.
    """

    def __init__(self) -> None:
        self.shared = 0

    def add(self, request: Request, piece: bytes) -> bool:
        """Add a piece to a request's body, unless what is shared is used up: then the body is let go."""
        if len(request.body) + len(piece) > OWN_BYTES:
            more = beyond(request, len(piece)) - beyond(request)
            if self.shared + more > SHARED_BYTES:
                self.done(request)
                request.body = b""
                return False
            self.shared += more
        if not request.body:
            request.body = piece
        elif isinstance(request.body, bytearray):
            request.body += piece
        else:
            request.body = bytearray(request.body + piece)  # grows in place: a body may come in pieces of one byte
        return True

    def done(self, request: Request) -> None:
        """A body is whole, and about to be read."""
        if len(request.body) > OWN_BYTES:
            self.shared = max(self.shared - beyond(request), 0)

    def recount(self, under_way: Iterable[Request | None]) -> None:
        """Count what is shared anew, from all requests that are being received."""
        self.shared = sum(beyond(request) for request in under_way if request is not None)


def beyond(request: Request, more: int = 0) -> int:
    """Return how many bytes of a body are beyond its own, with so many more."""
    return max(len(request.body) + more - OWN_BYTES, 0)
