"""An edge to test: in this process on a free port, and the small parts it is made of.

`start_edge` gives a real server, snapshot and journal in the test's event loop; `Client` speaks HTTP over a bare
socket, so that a test can send what no library would. `journal_events` reads back what is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from stackfluence import snapshot
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.click.edge import Edge, LookUp
from stackfluence.click.geo import Places
from stackfluence.click.judge import Judge
from stackfluence.click.links import Snapshot
from stackfluence.click.server import Server
from stackfluence.click.velocity import Velocity
from stackfluence.click.visitor import DAY_MS, Networks
from stackfluence.clock import now_ms
from stackfluence.collect.hooks import Hooks
from stackfluence.collect.ingest import Intake
from stackfluence.events.event import Expiring, Kept, Leaf, commitment, split_line
from stackfluence.events.journal import Journal
from stackfluence.names import base32, link_key
from stackfluence.settings import Settings
from stackfluence.snapshot import Host, Key, Link, Organization
from stackfluence.vault import HookVault

SECRETS = {1: b"k3Jx9fQ2vT7mZ1pR8sW4yB6nD0hL5gCe"}
TTL_HOURS = 30 * 24
ORGANIZATION = "org_" + base32(b"\x01\x02\x03\x04")
OTHER_ORGANIZATION = "org_" + base32(b"\x05\x06\x07\x08")
LINK = "lnk_" + base32(b"\x0a\x0b\x0c\x0d\x0e\x0f")
SECRET_KEY = "sf_sec_of-the-brand"
PUBLISHABLE_KEY = "sf_pub_of-the-brand"
REVOKED_KEY = "sf_sec_revoked"
OTHER_KEY = "sf_sec_of-another-brand"
SHOP_ORIGIN = "https://shop.brand.example"
HOST = "127.0.0.1"


def a_link(**fields: Any) -> Link:
    """Return a link of the brand, active and without dates."""
    given: dict[str, Any] = {
        "id": LINK,
        "organization_id": ORGANIZATION,
        "creator_id": "crt_" + base32(bytes(6)),
        "campaign_id": "cmp_" + base32(bytes(6)),
        "asset_slug": "",
        "destination_url": "https://shop.brand.example/dresses",
        "status": "active",
        "kind": "organic",
        "expires_at_ms": None,
        "starts_at_ms": None,
        "ends_at_ms": None,
        "fallback_url": "",
        "is_test": False,
        "creator_handle": "emma",
        "campaign_slug": "summer",
        "platform": "instagram",
    }
    return Link(**{**given, **fields})


def key_of(link: Link, host: str = "") -> bytes:
    """Return the key under which a link is kept."""
    return link_key(host, link.creator_handle, link.campaign_slug, link.asset_slug)


def a_snapshot(links: Iterable[Link] = ()) -> Snapshot:
    """Return a snapshot that knows the brand, its keys, two days' salts and some links."""
    known = Snapshot(ClickIdKeys(SECRETS, TTL_HOURS))
    rows = [snapshot.EdgeRow(snapshot.LINK, key_of(link), snapshot.encode(link)) for link in links]
    for organization, key in ((ORGANIZATION, b"1" * 32), (OTHER_ORGANIZATION, b"2" * 32)):
        packed = snapshot.encode(Organization(organization, "EUR", key))
        rows.append(snapshot.EdgeRow(snapshot.ORGANIZATION, organization.encode(), packed))
    keys = {
        digest(SECRET_KEY): Key("key_1", ORGANIZATION, "secret", [], False),
        digest(PUBLISHABLE_KEY): Key("key_2", ORGANIZATION, "publishable", [SHOP_ORIGIN], False),
        digest(REVOKED_KEY): Key("key_3", ORGANIZATION, "secret", [], True),
        digest(OTHER_KEY): Key("key_4", OTHER_ORGANIZATION, "secret", [], False),
        ORGANIZATION.encode(): Key("", ORGANIZATION, "publishable", [SHOP_ORIGIN], False),
    }
    rows += [snapshot.EdgeRow(snapshot.KEY, name, snapshot.encode(key)) for name, key in keys.items()]
    for row in rows:
        known.apply_one(row)
    today = now_ms() // DAY_MS
    known.salts.update({today - 1: b"y" * 32, today: b"t" * 32, today + 1: b"m" * 32})
    return known


def add_host(known: Snapshot, name: str, *, is_default: bool = False) -> None:
    """Let a snapshot know a host name."""
    host = Host(name, None if is_default else ORGANIZATION, is_default)
    known.apply_one(snapshot.EdgeRow(snapshot.HOST, name.encode(), snapshot.encode(host)))


def digest(key: str) -> bytes:
    """Return what a key is stored as."""
    return hashlib.sha256(key.encode()).digest()


@dataclass
class Response:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        """Return a header's only value, None when it is not there."""
        values = [value for known, value in self.headers if known == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        assert value is not None, f"no {name} in {self}"
        return value

    @property
    def json(self) -> Any:
        """The body, read."""
        return msgspec.json.decode(self.body)


class Client:
    """One connection, spoken to in bytes; answers are parsed strictly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(raw)

    def ask(self, method: str, target: str, body: bytes = b"", host: str = "go.brand.example", **headers: str) -> None:
        """Send a request; underscores in header names stand for hyphens."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def response(self, *, of_head: bool = False, seconds: float = 5.0) -> Response:
        """Return the next response; raises EOFError when the connection ends before or inside it."""
        async with asyncio.timeout(seconds):
            return await self._response(of_head)

    async def _response(self, of_head: bool) -> Response:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        answer = Response(int(status), headers, b"")
        if of_head or answer.status < 200 or answer.status in (204, 304):
            return answer
        if answer.get("transfer-encoding") == "chunked":
            assert answer.get("content-length") is None
            answer.body = b"".join([chunk async for chunk in self.chunks()])
        elif (length := answer.get("content-length")) is not None:
            answer.body = await self.reader.readexactly(int(length))
        else:
            answer.body = await self.reader.read()
        return answer

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks of a chunked body as they come."""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            chunk = await self.reader.readexactly(size + 2)
            assert chunk.endswith(b"\r\n")
            yield chunk[:-2]
        assert await self.reader.readexactly(2) == b"\r\n"

    async def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> Response:
        """Send a request and return its response."""
        self.ask(method, target, body, **headers)
        return await self.response(of_head=method == "HEAD")

    async def closed(self, seconds: float = 5.0) -> bytes:
        """Return what still comes until the server closes; fails when it doesn't."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        """Close this end."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Absent:
    """A catalog that has no further link, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def __call__(self, key: bytes) -> bytes | None:
        self.asked.append(key)
        return None


@dataclass
class RunningEdge:
    """An edge at work in this event loop."""

    edge: Edge
    intake: Intake
    server: Server
    journal: Journal
    port: int
    clients: list[Client] = field(default_factory=list)

    @property
    def snapshot(self) -> Snapshot:
        return self.edge.snapshot

    async def connect(self) -> Client:
        """Return a new connection, closed at the end of the test."""
        client = Client(*await asyncio.open_connection(HOST, self.port, limit=1 << 22))
        self.clients.append(client)
        return client

    async def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> Response:
        """Send a request on a connection of its own and return the response."""
        client = await self.connect()
        answer = await client.request(method, target, body, **headers)
        await client.close()
        return answer

    async def get(self, target: str, **headers: str) -> Response:
        """GET on a connection of its own."""
        return await self.request("GET", target, b"", **headers)

    async def send(self, raw: bytes, *, seconds: float = 5.0) -> bytes:
        """Send bytes on a connection of its own, end our half, and return all that comes back."""
        client = await self.connect()
        client.send(raw)
        client.writer.write_eof()
        return await client.closed(seconds)

    async def is_well(self) -> bool:
        """Whether another visitor is served."""
        return (await self.get("/healthz")).status == 200

    def events(self) -> list[Event]:
        """Return what is on disk."""
        return journal_events(self.journal.directory)


@functools.cache
def places() -> Places:
    """Return the places of what set-up installed, opened once: 16 MB."""
    return Places(Settings())


@contextlib.asynccontextmanager
async def start_edge(
    directory: Path,
    links: Iterable[Link] = (),
    *,
    find_link: LookUp | None = None,
    proxies: Networks = (),
    core_socket: str = "",
    known: Snapshot | None = None,
) -> AsyncIterator[RunningEdge]:
    """Run an edge until the end of the block; without links it knows one, `/c/emma/summer`."""
    loop = asyncio.get_running_loop()
    journal = Journal(directory / "journal" / "w0")
    journal.open(loop)
    edge = Edge(
        known if known is not None else a_snapshot(links or [a_link()]),
        journal,
        Judge(places(), Velocity()),
        find_link=find_link or Absent(),
        proxies=proxies,
        core_socket=core_socket or str(directory / "core.sock"),
    )
    intake = Intake(edge)
    Hooks(intake.recorder, HookVault(SECRETS))
    server = Server(edge)
    accepting = await loop.create_server(server.accept, HOST, 0)
    running = RunningEdge(edge, intake, server, journal, accepting.sockets[0].getsockname()[1])
    try:
        yield running
    finally:
        accepting.close()
        for client in running.clients:
            client.writer.transport.abort()
        await server.drain(1.0)
        await journal.close()


@dataclass
class Event:
    """A line of the journal, read strictly."""

    node: str
    seq: int
    organization_id: str
    leaf: Leaf
    kept: Kept | None
    expiring: Expiring | None
    line: bytes


class _StrictLeaf(Leaf, forbid_unknown_fields=True, kw_only=True):
    schema_version: int
    organization_id: str
    node: str
    seq: int


class _StrictKept(Kept, forbid_unknown_fields=True):
    pass


class _StrictExpiring(Expiring, forbid_unknown_fields=True):
    pass


def read_event(line: bytes) -> Event:
    """Read a journal line; fails on a torn one, an unknown field or a commitment that doesn't hold."""
    parts = split_line(line)
    assert parts is not None, f"torn: {line[:200]!r}"
    leaf = msgspec.json.decode(parts.leaf, type=_StrictLeaf)
    kept = msgspec.json.decode(parts.kept, type=_StrictKept) if parts.kept else None
    expiring = msgspec.json.decode(parts.expiring, type=_StrictExpiring) if parts.expiring else None
    assert leaf.personal_commitment == commitment(parts.kept, parts.expiring)
    assert leaf.schema_version == 1
    return Event(leaf.node, leaf.seq, leaf.organization_id, leaf, kept, expiring, line)


def journal_lines(directory: Path) -> list[bytes]:
    """Return the lines of all segments of a journal directory, open ones too, in order."""
    while True:
        files = _segment_files(directory)
        try:
            lines = [line for path in files for line in path.read_bytes().rstrip(b"\0").splitlines(keepends=True)]
        except FileNotFoundError:
            continue  # finished just now, and so renamed
        if files == _segment_files(directory):
            return lines


def _segment_files(directory: Path) -> list[Path]:
    return sorted([*directory.glob("n_*/*.segment"), *directory.glob("n_*/*.open")])


def journal_events(directory: Path) -> list[Event]:
    """Return all events of a journal directory."""
    return [read_event(line) for line in journal_lines(directory)]


def assert_gap_free(events: Iterable[Event]) -> None:
    """Fail unless every node counts from 1 without a gap."""
    by_node: dict[str, list[int]] = {}
    for event in events:
        by_node.setdefault(event.node, []).append(event.seq)
    for seqs in by_node.values():
        assert seqs == list(range(1, len(seqs) + 1))


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait until a condition holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
