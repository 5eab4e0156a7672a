"""A server that writes down what it is sent, byte by byte, and answers what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from stackfluence.demo.wire import Headers

CLICK_ID = "AQEA" + "A" * 59  # version 1, key 1, no flags, the rest zero: it reads, and nobody signed it
HOST = "127.0.0.1"


@dataclass
class Recorded:
    """One request as it came over the wire, and the address it came from."""

    method: str
    target: str
    headers: Headers
    body: bytes
    peer: str

    def get(self, name: str) -> str:
        """Return a header's value, empty when it is not there."""
        return next((value for known, value in self.headers if known.lower() == name), "")


Respond = Callable[[Recorded], bytes | None]  # None hangs up without an answer


@dataclass
class Recording:
    """The server's address, and what it was sent so far."""

    port: int
    requests: list[Recorded] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}"


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return a whole answer with a Content-Length."""
    lines = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


@contextlib.asynccontextmanager
async def record(respond: Respond) -> AsyncIterator[Recording]:
    """Serve on a free port until the end of the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while True:
                recorded = await _read(reader, writer.get_extra_info("peername")[0])
                recording.requests.append(recorded)
                answer = respond(recorded)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):  # asyncio logs a cancelled connection as a fault
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    recording = Recording(server.sockets[0].getsockname()[1])
    try:
        yield recording
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader, peer: str) -> Recorded:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    headers: Headers = []
    for line in lines:
        name, separator, value = line.partition(": ")
        assert separator, line
        headers.append((name, value))
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    return Recorded(method, target, headers, await reader.readexactly(sum(lengths)), peer)
