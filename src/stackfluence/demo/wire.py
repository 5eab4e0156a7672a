"""HTTP/1.1 by hand: libraries order and rewrite headers, and the order is what sets one client apart from another."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

Headers = list[tuple[str, str]]  # in order and case

ANSWER_SECONDS = 15.0  # the edge answers within 250 ms; this is a visitor's patience
MAX_IDLE_SECONDS = 30.0  # a connection unused for longer is not trusted: the edge closes idle ones after 75 s
MAX_LINE = 64 << 10


class Unanswered(Exception):
    """The request may have arrived, but no whole answer came back."""


class NotSent(Unanswered):
    """No connection could be made: the request never arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names as they were sent."""

    status: int
    headers: Headers
    body: bytes

    def get(self, name: str) -> str:
        """Return a header's value, empty when it is not there; `name` in lower case."""
        return next((value for known, value in self.headers if known.lower() == name), "")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens, as a URL without a path names it."""

    host: str
    port: int
    is_https: bool

    @classmethod
    def of(cls, url: str) -> Self:
        """Return the address behind an http or https URL; raises ValueError for another."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https address")
        is_https = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if is_https else 80), is_https)

    @property
    def host_header(self) -> str:
        """What a client writes into Host."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.is_https else 80) else f"{name}:{self.port}"


class Connection:
    """One client's connection, made when it is needed and made again after the server closed it.

    `source` is the loopback address to come from, so that visitors of one machine differ; None leaves it to the system.
    """

    def __init__(self, address: Address, source: str | None = None) -> None:
        self._address = address
        self._source = source
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._used_at = 0.0

    async def request(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Answer:
        """Send a request, headers exactly as given, and return the answer; follows nothing. Raises Unanswered."""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await self._connected()
                writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
                await writer.drain()
                answer = await _read_answer(reader, method == "HEAD")
        except Unanswered:
            await self.close()
            raise
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:  # TimeoutError is an OSError
            await self.close()
            raise Unanswered(repr(error)) from None
        asked = next((value for name, value in headers if name.lower() == "connection"), "")
        if "close" in (asked.lower(), answer.get("connection").lower()):
            await self.close()
        self._used_at = asyncio.get_running_loop().time()
        return answer

    async def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        idle = asyncio.get_running_loop().time() - self._used_at
        if self._reader is not None and (self._reader.at_eof() or idle > MAX_IDLE_SECONDS):
            await self.close()
        if self._reader is None or self._writer is None:
            try:
                self._reader, self._writer = await self._connect(self._source)
            except OSError as error:
                raise NotSent(repr(error)) from None
        return self._reader, self._writer

    async def _connect(self, source: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._address
        tls = ssl.create_default_context() if address.is_https else None
        local = (source, 0) if source else None
        try:
            return await asyncio.open_connection(address.host, address.port, ssl=tls, local_addr=local, limit=MAX_LINE)
        except OSError:
            if source is None:
                raise
            return await self._connect(None)  # other systems own only 127.0.0.1, and ::1 has no neighbours


async def _read_answer(reader: asyncio.StreamReader, is_head: bool) -> Answer:
    """Read one answer; raises EOFError or ValueError for a broken one."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"no HTTP: {first[:80]!r}")
    status = int(rest[:3])
    pairs = [line.partition(":") for line in lines]
    answer = Answer(status, [(name, value.strip()) for name, _, value in pairs], b"")
    if status < 200:
        return await _read_answer(reader, is_head)  # 100 or 103: the answer itself follows
    if is_head or status in (204, 304):
        return answer
    return Answer(status, answer.headers, await _read_body(reader, answer))


async def _read_body(reader: asyncio.StreamReader, answer: Answer) -> bytes:
    if "chunked" in answer.get("transfer-encoding").lower():
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers
            pass
        return body
    if length := answer.get("content-length"):
        return await reader.readexactly(int(length))
    return await reader.read()
