"""What the edge doesn't own goes to the core and back, in any size, at any speed, and without a trace left behind."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import AbstractAsyncContextManager
from ipaddress import ip_network
from pathlib import Path

import pytest

from stackfluence.click import relay
from tests.edge.cores import Answer, Asked, FakeCore, start_core
from tests.edge.edges import Client, RunningEdge, start_edge, until

BIG = 5_000_000


def core_at(directory: Path, answer: Answer | None = None) -> AbstractAsyncContextManager[FakeCore]:
    """Start a core where the edges of these tests look for it."""
    return start_core(directory / "core.sock", *([answer] if answer else []))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_every_method_and_its_body_reach_the_core_and_its_answer_the_client(
    running: RunningEdge, tmp_path: Path, method: str
) -> None:
    async with core_at(tmp_path) as core:
        answer = await running.request(method, "/v1/links?limit=5&x=%20", b"some body", X_Custom="yes")
    assert (answer.status, answer.body) == (200, b"some body")
    assert answer["content-type"] == "application/octet-stream"
    [asked] = core.asked
    assert asked.line == f"{method} /v1/links?limit=5&x=%20 HTTP/1.1"
    assert asked.all("x-custom") == ["yes"]
    assert asked.all("host") == ["go.brand.example"]


async def test_forwarding_headers_are_ours_and_hop_by_hop_ones_stay_here(running: RunningEdge, tmp_path: Path) -> None:
    async with core_at(tmp_path) as core:
        await running.request(
            "POST", "/v1/links", b"x", X_Forwarded_For="1.2.3.4", x_forwarded_proto="https", Forwarded="for=1.2.3.4",
            X_Forwarded_Host="evil.example", X_Real_IP="1.2.3.4", Connection="keep-alive", Keep_Alive="timeout=5",
            Upgrade="h2c", TE="trailers", Proxy_Authorization="x", Authorization="Bearer sf_sec_x", Cookie="a=b",
        )  # fmt: skip
    [asked] = core.asked
    assert asked.all("x-forwarded-for") == ["127.0.0.1"]
    assert asked.all("x-forwarded-proto") == ["http"]
    for name in ("forwarded", "x-forwarded-host", "x-real-ip", "connection", "keep-alive", "upgrade", "te"):
        assert asked.all(name) == []
    assert asked.all("proxy-authorization") == []
    assert asked.all("authorization") == ["Bearer sf_sec_x"]
    assert asked.all("cookie") == ["a=b"]


async def test_a_trusted_proxys_word_reaches_the_core(tmp_path: Path) -> None:
    async with start_edge(tmp_path, proxies=(ip_network("127.0.0.0/8"),)) as running, core_at(tmp_path) as core:
        await running.get("/v1/links", X_Forwarded_For="203.0.113.5, 198.51.100.7", X_Forwarded_Proto="https")
    assert core.asked[0].all("x-forwarded-for") == ["198.51.100.7"]
    assert core.asked[0].all("x-forwarded-proto") == ["https"]


async def test_the_absolute_form_reaches_the_core_as_the_usual_one(running: RunningEdge, tmp_path: Path) -> None:
    async with core_at(tmp_path) as core:
        await running.get("http://api.brand.example:8000?x=1")
    assert core.asked[0].line == "GET /?x=1 HTTP/1.1"
    assert core.asked[0].all("host") == ["api.brand.example:8000"]


async def test_a_chunked_body_stays_chunked(running: RunningEdge, tmp_path: Path) -> None:
    async with core_at(tmp_path) as core:
        client = await running.connect()
        client.send(b"POST /v1/links/import HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two" * 1000, b"x"):
            client.send(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0.01)
        client.send(b"0\r\nX-Trailer: 1\r\n\r\n")
        assert (await client.response()).body == b"one" + b"two" * 1000 + b"x"
        assert core.asked[0].all("content-length") == []
        assert (await client.request("GET", "/c/emma/summer")).status == 302


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_five_megabytes_go_up_and_down_and_the_connection_lives_on(
    running: RunningEdge, tmp_path: Path, is_chunked: bool
) -> None:
    body = b"0123456789abcdef" * (BIG // 16)

    async def echo_in_kind(asked: Asked) -> None:
        await asked.read_body()
        if not is_chunked:
            asked.answer(asked.body)
            return
        asked.writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(asked.body), 50_000):
            asked.writer.write(
                b"%x\r\n%b\r\n" % (len(asked.body[start : start + 50_000]), asked.body[start : start + 50_000])
            )
        asked.writer.write(b"0\r\n\r\n")

    async with core_at(tmp_path, echo_in_kind):
        client = await running.connect()
        for _ in range(2):
            if is_chunked:
                client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            else:
                client.ask("PUT", "/x", body)
            answer = await client.response(seconds=20)
            assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
        assert (await client.request("GET", "/c/emma/summer")).status == 302


async def test_a_client_that_reads_slowly_makes_the_core_wait(running: RunningEdge, tmp_path: Path) -> None:
    sent = 0

    async def pour(asked: Asked) -> None:
        nonlocal sent
        asked.answer(b"", length=BIG * 10)
        for _ in range(BIG * 10 // 10_000):
            asked.writer.write(bytes(10_000))
            await asked.writer.drain()
            sent += 10_000

    async with core_at(tmp_path, pour):
        client = await slow_client(running)
        client.ask("GET", "/v1/exports/x")
        amount = await settled(lambda: sent)
        assert 0 < amount < BIG * 2  # what sockets and buffers hold
        [connection] = running.server.connections
        assert connection.transport.get_write_buffer_size() < 1_000_000
        assert (await client.response(seconds=30)).body == bytes(BIG * 10)


async def test_a_core_that_reads_slowly_makes_the_client_wait(running: RunningEdge, tmp_path: Path) -> None:
    read_on = asyncio.Event()

    async def be_slow(asked: Asked) -> None:
        await read_on.wait()
        asked.answer(b"%d" % len(await asked.read_body()))

    async with core_at(tmp_path, be_slow):
        client = await running.connect()
        client.ask("PUT", "/x", bytes(BIG * 10))
        left = await settled(client.writer.transport.get_write_buffer_size)
        assert left > BIG * 8  # still on the client's side
        read_on.set()
        assert (await client.response(seconds=30)).body == b"%d" % (BIG * 10)


async def test_a_body_that_comes_before_its_turn_is_held_within_bounds(running: RunningEdge, tmp_path: Path) -> None:
    answer_now = asyncio.Event()

    async def wait_first(asked: Asked) -> None:
        if "/first" in asked.line:
            await answer_now.wait()
        asked.answer(b"%d" % len(await asked.read_body()))

    async with core_at(tmp_path, wait_first):
        client = await running.connect()
        client.ask("GET", "/first")
        client.ask("PUT", "/second", bytes(BIG * 4))
        client.ask("GET", "/c/emma/summer")
        assert (
            await settled(client.writer.transport.get_write_buffer_size) > BIG * 2
        )  # not here, but where it comes from
        answer_now.set()
        assert (await client.response()).body == b"0"
        assert (await client.response()).body == b"%d" % (BIG * 4)
        assert (await client.response()).status == 302


async def test_two_large_answers_in_a_row_wait_for_a_slow_client_both(running: RunningEdge, tmp_path: Path) -> None:
    sent = 0

    async def pour(asked: Asked) -> None:
        nonlocal sent
        asked.answer(b"", length=BIG)
        for _ in range(BIG // 10_000):
            asked.writer.write(bytes(10_000))
            await asked.writer.drain()
            sent += 10_000

    async with core_at(tmp_path, pour):
        client = await slow_client(running)
        for _ in range(4):
            client.ask("GET", "/v1/exports/x")
        await settled(lambda: sent)
        [connection] = running.server.connections
        assert connection.transport.get_write_buffer_size() < 1_000_000
        for _ in range(4):
            assert (await client.response(seconds=20)).body == bytes(BIG)


async def slow_client(running: RunningEdge) -> Client:
    """Return a client that reads nothing until it is asked for a response."""
    client = Client(*await asyncio.open_connection("127.0.0.1", running.port, limit=1000))
    running.clients.append(client)
    return client


async def settled(value: object, seconds: float = 10.0) -> int:
    """Return a number when it has stopped changing."""
    assert callable(value)
    before, end = -1, time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.15)
        now = int(value())
        if now == before and now:
            return now
        before = now
    raise TimeoutError


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_answers_without_a_body_end_at_their_head(running: RunningEdge, tmp_path: Path, status: str) -> None:
    async def nothing(asked: Asked) -> None:
        asked.writer.write(f"HTTP/1.1 {status}\r\netag: x\r\n\r\n".encode())
        await asked.is_gone()

    async with core_at(tmp_path, nothing):
        client = await running.connect()
        answer = await client.request("GET", "/v1/x")
        assert (answer.status, answer["etag"]) == (int(status[:3]), "x")
        assert (await client.request("GET", "/c/emma/summer")).status == 302


async def test_head_is_answered_without_the_body_whose_length_it_names(running: RunningEdge, tmp_path: Path) -> None:
    async def head_only(asked: Asked) -> None:
        asked.answer(b"", length=1234)
        await asked.is_gone()

    async with core_at(tmp_path, head_only):
        client = await running.connect()
        answer = await client.request("HEAD", "/v1/x")
        assert answer["content-length"] == "1234"
        assert (await client.request("GET", "/c/emma/summer")).status == 302


async def test_an_interim_answer_is_passed_on_before_the_final_one(running: RunningEdge, tmp_path: Path) -> None:
    async def hint(asked: Asked) -> None:
        asked.writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")
        asked.answer(b"done")

    async with core_at(tmp_path, hint):
        client = await running.connect()
        assert (await client.request("GET", "/")).status == 103
        assert (await client.response()).body == b"done"
        assert (await client.request("GET", "/c/emma/summer")).status == 302


async def test_events_are_streamed_as_they_come(running: RunningEdge, tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def stream(asked: Asked) -> None:
        asked.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(3):
            await go_on.wait()
            go_on.clear()
            asked.writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
        await go_on.wait()
        asked.writer.write(b"0\r\n\r\n")

    async with core_at(tmp_path, stream):
        client = await running.connect()
        client.ask("GET", "/v1/events/stream")
        await client.reader.readuntil(b"\r\n\r\n")
        chunks = client.chunks()
        for number in range(3):
            go_on.set()
            assert await asyncio.wait_for(anext(chunks), 2) == b"data: %d\n\n" % number
        go_on.set()
        assert await anext(chunks, None) is None
        assert (await client.request("GET", "/c/emma/summer")).status == 302


async def test_http_1_0_gets_a_streamed_answer_without_chunks(running: RunningEdge, tmp_path: Path) -> None:
    async def stream(asked: Asked) -> None:
        asked.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
        asked.writer.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")

    async with core_at(tmp_path, stream):
        client = await running.connect()
        client.send(b"GET /v1/x HTTP/1.0\r\n\r\n")
        answer = await client.response()
    assert (answer.body, answer.get("transfer-encoding")) == (b"hello world", None)
    assert (answer["content-type"], answer["connection"]) == ("text/plain", "close")


async def test_answers_come_in_the_order_of_the_requests(running: RunningEdge, tmp_path: Path) -> None:
    async def be_slow(asked: Asked) -> None:
        await asyncio.sleep(0.05)
        asked.answer(asked.line.encode())

    async with core_at(tmp_path, be_slow):
        client = await running.connect()
        for number in range(5):
            client.ask("GET", f"/c/emma/summer?ref=a{number}")
            client.ask("GET", f"/core/{number}")
            client.ask("GET", f"/c/emma/summer?ref=b{number}")
        for number in range(5):
            assert f"ref=a{number}&" in (await client.response())["location"]
            assert (await client.response()).body == b"GET /core/%d HTTP/1.1" % number
            assert f"ref=b{number}&" in (await client.response())["location"]
    assert len(running.events()) == 10


async def test_an_absent_core_is_503_and_everything_else_goes_on(running: RunningEdge) -> None:
    for _ in range(3):
        answer = await running.get("/v1/links")
        assert answer.status == 503
        assert answer.json["type"] == "/problems/core-unavailable"
        assert answer["retry-after"] == "2"
    upload = await running.connect()
    upload.ask("PUT", "/v1/links", bytes(BIG))
    assert (await upload.response()).status == 503
    assert (await running.get("/c/emma/summer")).status == 302


async def test_a_core_that_stands_still_is_503_after_a_while(
    running: RunningEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "PATIENCE_SECONDS", 0.2)

    async def never(asked: Asked) -> None:
        await asked.is_gone()

    async def late(asked: Asked) -> None:
        asked.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await asyncio.sleep(0.4)
        asked.writer.write(b"ok")

    async with core_at(tmp_path, never) as core:
        answer = await running.request("POST", "/v1/links", b"{}")
        assert (answer.status, answer.json["type"]) == (503, "/problems/core-unavailable")
        await until(lambda: core.ended == 1)
    (tmp_path / "core.sock").unlink(missing_ok=True)
    async with core_at(tmp_path, late):
        assert (await running.get("/v1/links")).body == b"ok"


async def test_a_core_that_dies_before_its_answer_is_503(running: RunningEdge, tmp_path: Path) -> None:
    async def die(asked: Asked) -> None:
        asked.writer.transport.abort()

    async with core_at(tmp_path, die):
        client = await running.connect()
        assert (await client.request("POST", "/v1/links", b"{}")).status == 503


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"]
)
async def test_a_core_that_dies_inside_its_answer_takes_the_connection_along(
    running: RunningEdge, tmp_path: Path, raw: bytes
) -> None:
    async def die(asked: Asked) -> None:
        asked.writer.write(raw)
        await asked.writer.drain()
        await asyncio.sleep(0.05)

    async with core_at(tmp_path, die):
        client = await running.connect()
        with pytest.raises((EOFError, ConnectionError)):
            await client.request("GET", "/v1/x")
        assert await running.is_well()


async def test_what_is_no_http_from_the_core_is_not_passed_for_an_answer(running: RunningEdge, tmp_path: Path) -> None:
    async def babble(asked: Asked) -> None:
        asked.writer.write(b"\0\0\0 what?\r\n\r\n")
        await asked.is_gone()

    async with core_at(tmp_path, babble):
        client = await running.connect()
        client.ask("GET", "/v1/x")
        await client.closed()
    assert await running.is_well()


@pytest.mark.parametrize("when", ["before the answer", "inside the answer", "inside the body", "before its turn"])
async def test_a_client_that_leaves_ends_the_cores_work(running: RunningEdge, tmp_path: Path, when: str) -> None:
    ends: list[bool] = []

    async def answer(asked: Asked) -> None:
        if when == "inside the answer":
            asked.answer(b"half", length=100)
        ends.append(await asked.is_gone())

    async with core_at(tmp_path, answer) as core:
        client = await running.connect()
        if when == "inside the body":
            client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        else:
            client.ask("GET", "/x")
        if when == "before its turn":
            client.ask("GET", "/second")
        await until(lambda: core.asked)
        if when == "inside the answer":
            await client.reader.readuntil(b"half")
        client.writer.transport.abort()
        await until(lambda: ends == [True] and core.ended == 1)
        assert len(core.asked) == 1
    assert await running.is_well()


async def test_a_body_that_turns_malformed_is_400_and_ends_the_cores_work(running: RunningEdge, tmp_path: Path) -> None:
    async def wait(asked: Asked) -> None:
        await asked.is_gone()

    async with core_at(tmp_path, wait) as core:
        client = await running.connect()
        client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await until(lambda: core.asked)
        client.send(b"this is no chunk\r\n")
        assert (await client.response()).status == 400
        await client.closed()
        await until(lambda: core.ended == 1)


async def test_an_early_answer_ends_the_request_although_its_body_goes_on(running: RunningEdge, tmp_path: Path) -> None:
    async def refuse(asked: Asked) -> None:
        asked.answer(b"too large", status="413 Content Too Large")
        await asked.writer.drain()
        await asyncio.sleep(0.1)

    async with core_at(tmp_path, refuse):
        client = await running.connect()
        client.ask("PUT", "/x", bytes(BIG * 4))
        assert (await client.response(seconds=10)).status == 413
        assert (await client.request("GET", "/c/emma/summer")).status == 302  # what was left of the body is skipped


async def test_a_refused_connection_leaves_no_relay_behind(running: RunningEdge, tmp_path: Path) -> None:
    """The core's listening queue is full or it doesn't accept: the client leaves while the edge connects."""
    for _ in range(20):
        client = await running.connect()
        client.ask("GET", "/x")
        await client.writer.drain()
        client.writer.transport.abort()
    async with core_at(tmp_path) as core:
        clients = [await running.connect() for _ in range(20)]
        for client in clients:
            client.ask("GET", "/x")
            await client.writer.drain()
            client.writer.transport.abort()
        await until(lambda: not running.server.connections)
        await asyncio.sleep(0.05)
        assert core.ended == core.opened
