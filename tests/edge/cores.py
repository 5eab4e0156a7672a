"""A core to test the relay against: an HTTP server on a Unix socket that does what a test tells it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Asked:
    """A request as the core got it; `read_body` reads the rest."""

    line: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for known, value in self.headers if known.lower() == name]

    async def read_body(self) -> bytes:
        """Read the body, of a given length or in chunks."""
        self.body = b"".join([piece async for piece in self.pieces()])
        return self.body

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        if self.all("transfer-encoding") == ["chunked"]:
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                piece = await self.reader.readexactly(size + 2)
                yield piece[:-2]
            assert await self.reader.readexactly(2) == b"\r\n"
            return
        left = int((self.all("content-length") or ["0"])[0])
        while left:
            piece = await self.reader.read(min(left, 65536))
            assert piece, "the body ended early"
            left -= len(piece)
            yield piece

    def answer(self, body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> None:
        """Write a whole response."""
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body) if length is None else length}", *headers]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def is_gone(self) -> bool:
        """Wait until the edge closes this connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        return True


Answer = Callable[[Asked], Awaitable[None]]


@dataclass
class FakeCore:
    """What was asked of the core so far."""

    asked: list[Asked] = field(default_factory=list)
    opened: int = 0
    ended: int = 0


async def echo(asked: Asked) -> None:
    """Answer with the request's body."""
    asked.answer(await asked.read_body(), "content-type: application/octet-stream")


@contextlib.asynccontextmanager
async def start_core(path: Path, answer: Answer = echo) -> AsyncIterator[FakeCore]:
    """Run a core until the end of the block."""
    core = FakeCore()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        core.opened += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            line, *lines = head[:-4].decode("latin-1").split("\r\n")
            asked = Asked(line, [(n, v.strip()) for n, _, v in (h.partition(":") for h in lines)], reader, writer)
            core.asked.append(asked)
            await answer(asked)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            core.ended += 1
            writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield core
    finally:
        server.close()
        await server.wait_closed()
