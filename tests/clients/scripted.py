"""A server that answers as a test says, and the programs of other languages that send to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
KEY = "sf_sec_of-the-brand"


@dataclass
class Scripted:
    """What it will answer, 202 when nothing is left, and what it was asked. Status 0 breaks the connection."""

    address: str = ""
    answers: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def then(self, status: int, body: object = None, **headers: str) -> None:
        """Add an answer; underscores in header names stand for hyphens."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, text))

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request and answer it, one a connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
            }
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            asked = Asked(head.split(" ")[1], fields.get("authorization", ""), json.loads(body), len(body))
            self.asked.append(asked)
            status, headers, text = self.answers.pop(0) if self.answers else (202, {}, json.dumps(asked.receipts()))
            if status:
                lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text.encode())}", "Connection: close"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + text.encode())
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class Asked(NamedTuple):
    """A request."""

    path: str
    authorization: str
    body: Any
    size: int

    def receipts(self) -> dict[str, Any]:
        """Return what an edge would answer that can use everything."""
        events = self.body["events"] if self.path.endswith("/batch") else [self.body]
        told = [{"event_id": f"id of {event.get('idempotency_key')}", "status": "accepted"} for event in events]
        return {"events": told} if self.path.endswith("/batch") else told[0]


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """Serve on a free loopback port until the end of the block."""
    running = Scripted()
    server = await asyncio.start_server(running.converse, "127.0.0.1", 0)
    running.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield running


def needs(program: str) -> str:
    """Return where a program is; skips the test where it isn't."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


async def run(*command: str | Path, endpoint: str, key: str = KEY, folder: Path | None = None, **more: str) -> str:
    """Run a program that sends to an endpoint, and return what it printed; fails when it does."""
    status, printed, complaints = await run_badly(*command, endpoint=endpoint, key=key, folder=folder, **more)
    assert status == 0, f"{printed}\n{complaints}"
    return printed


async def run_badly(
    *command: str | Path, endpoint: str, key: str = KEY, folder: Path | None = None, **more: str
) -> tuple[int, str, str]:
    """Run a program that may fail; returns its status and what it printed on both."""
    environment = {
        **os.environ,
        "STACKFLUENCE_ENDPOINT": endpoint,
        "STACKFLUENCE_SECRET_KEY": key,
        "NO_PROXY": "127.0.0.1",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            printed, complaints = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, printed.decode(), complaints.decode()


def link_package(folder: Path) -> None:
    """Install clients/node in a folder, as `npm install` of a directory does: by a link."""
    package = folder / "node_modules" / "stackfluence"
    package.parent.mkdir(exist_ok=True)
    if not package.is_symlink():
        package.symlink_to(ROOT / "clients" / "node")
