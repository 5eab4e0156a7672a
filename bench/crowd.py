"""Clients that click and buy as fast as they are answered, and remember what was promised to be on disk."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from dataclasses import dataclass, field

UNRECORDED = 0b01


@dataclass
class Answers:
    """What was promised: event ids of clicks answered 302 without the unrecorded flag, and of events answered 202."""

    clicks: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    unrecorded: int = 0
    refused: int = 0
    broken: int = 0

    @property
    def promised(self) -> list[str]:
        """Every event id that must be found exactly once."""
        return self.clicks + self.events


class Crowd:
    """`clients` connections to one address; `paths` are links, `secret` a key for conversions."""

    def __init__(self, host: str, port: int, paths: list[str], secret: str, clients: int = 16, seed: int = 1) -> None:
        self.answers = Answers()
        self._host, self._port, self._paths, self._secret = host, port, paths, secret
        self._clients = clients
        self._random = random.Random(seed)
        self._orders = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Click and buy until told to stop; a broken connection is opened again."""
        await asyncio.gather(*(self._client(stop) for _ in range(self._clients)))

    async def _client(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            writer: asyncio.StreamWriter | None = None
            try:
                async with asyncio.timeout(10):
                    reader, writer = await asyncio.open_connection(self._host, self._port)
                while not stop.is_set():
                    async with asyncio.timeout(10):
                        await self._ask(reader, writer)
            except (OSError, EOFError, TimeoutError):
                self.answers.broken += 1
                await asyncio.sleep(0.01)
            finally:
                if writer is not None:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_click = self._random.random() < 0.7
        writer.write(self._click() if is_click else self._conversion())
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if b": " in line)
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
        if status == 302:
            location = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"location:"))
            self._note_click(location.rpartition(b"inf_click_id=")[2].decode())
        elif status == 202:
            self.answers.events.append(json.loads(body)["event_id"])
        else:
            self.answers.refused += 1

    def _note_click(self, signed: str) -> None:
        raw = base64.urlsafe_b64decode(signed + "=")
        if raw[2] & UNRECORDED:
            self.answers.unrecorded += 1
            return
        text = raw[15:31].hex()
        self.answers.clicks.append(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")

    def _click(self) -> bytes:
        path = self._random.choice(self._paths)
        return f"GET {path} HTTP/1.1\r\nHost: go.brand.example\r\nUser-Agent: crowd\r\n\r\n".encode()

    def _conversion(self) -> bytes:
        self._orders += 1
        body = json.dumps({"order_id": f"o{self._orders}", "revenue_cents": 100, "idempotency_key": f"k{self._orders}"})
        return (
            f"POST /v1/events/conversion HTTP/1.1\r\nHost: go.brand.example\r\nAuthorization: Bearer {self._secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
