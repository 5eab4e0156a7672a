"""HTTP by hand: every kind of answer is read whole, and a missing one is told apart."""

from __future__ import annotations

import asyncio

import pytest

from stackfluence.demo.wire import Address, Connection, NotSent, Unanswered
from tests.demo.recording import Recorded, record, response

HEADERS = [("HOST", "go.brand.example"), ("x-b", "1"), ("X-A", "2")]


async def ask(raw: bytes | None, method: str = "GET") -> tuple[int, bytes]:
    async with record(lambda _: raw) as server:
        connection = Connection(Address.of(server.base_url))
        try:
            answer = await connection.request(method, "/c/a?b=%C3%A4#", HEADERS)
        finally:
            await connection.close()
        assert server.requests[0].headers == HEADERS
        assert server.requests[0].target == "/c/a?b=%C3%A4#"
    return answer.status, answer.body


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\nT: 1\r\n\r\n",
            b"hello",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
async def test_bodies_are_read_as_their_headers_say(raw: bytes, body: bytes) -> None:
    assert await ask(raw) == (200, body)


async def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    assert await ask(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HEAD") == (200, b"")


async def test_a_redirect_is_read_and_not_followed() -> None:
    async with record(lambda _: response("302 Found", b"", "Location: http://127.0.0.1:1/elsewhere")) as server:
        connection = Connection(Address.of(server.base_url))
        answer = await connection.request("GET", "/c/a", HEADERS)
        await connection.close()
    assert answer.get("location") == "http://127.0.0.1:1/elsewhere"
    assert len(server.requests) == 1


@pytest.mark.parametrize("raw", [None, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"SSH-2.0-server\r\n\r\n"])
async def test_no_answer_or_none_that_can_be_read_is_unanswered(raw: bytes | None) -> None:
    with pytest.raises(Unanswered) as raised:
        await ask(raw)
    assert not isinstance(raised.value, NotSent), "the request may have arrived"


async def test_a_request_that_never_left_is_told_apart() -> None:
    async with record(lambda _: None) as server:
        address = Address.of(server.base_url)
    with pytest.raises(NotSent):
        await Connection(address, "127.7.7.7").request("GET", "/", HEADERS)


async def test_a_connection_is_kept_and_made_again_after_the_server_closed_it() -> None:
    peers: list[str] = []

    def respond(request: Recorded) -> bytes:
        peers.append(request.target)
        return response("200 OK", b"", *(["Connection: close"] if request.target == "/2" else []))

    async with record(respond) as server:
        connection = Connection(Address.of(server.base_url))
        for target in ("/1", "/2", "/3"):
            assert (await connection.request("GET", target, HEADERS)).status == 200
            await asyncio.sleep(0)
        await connection.close()
    assert peers == ["/1", "/2", "/3"]


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://go.brand.example", "go.brand.example"),
        ("https://go.brand.example:443/", "go.brand.example"),
        ("http://[::1]:81", "[::1]:81"),
    ],
)
def test_the_host_header_leaves_out_a_default_port(url: str, header: str) -> None:
    assert Address.of(url).host_header == header


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no http"):
        Address.of("go.brand.example")
