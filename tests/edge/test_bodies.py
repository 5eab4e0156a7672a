"""Memory for bodies has an end: large ones share it, small ones always have theirs."""

from __future__ import annotations

import pytest

from stackfluence.click import bodies
from tests.collect.vendors import connect, sign_stripe
from tests.edge.edges import SECRET_KEY, Client, RunningEdge, until

HOOK = b"POST /v1/hooks/stripe/%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
LARGE = 300 << 10


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share as much as two large bodies need, and half of one more."""
    monkeypatch.setattr(bodies, "SHARED_BYTES", 5 * LARGE // 2)


async def begin(running: RunningEdge, size: int, of: int = 1 << 20) -> Client:
    """Send a part of a hook's body, and no more, as nobody in particular could."""
    client = await running.connect()
    client.send(HOOK % (b"con_nobodys", of) + b"x" * size)
    return client


async def event(running: RunningEdge) -> int:
    """Return how a page's event is answered."""
    sent = {"Authorization": f"Bearer {SECRET_KEY}"}
    return (await running.request("POST", "/v1/events/session", b'{"session_id":"s1"}', **sent)).status


async def test_who_finds_the_memory_used_up_is_to_come_again(running: RunningEdge) -> None:
    held = [await begin(running, LARGE) for _ in range(2)]
    await until(lambda: running.server.bodies.shared == 2 * (LARGE - bodies.OWN_BYTES))
    late = await begin(running, LARGE)
    refused = await late.response()
    assert (refused.status, refused.get("retry-after"), refused.get("connection")) == (503, "5", "close")
    assert refused.json["type"] == "/problems/unavailable"
    assert await late.closed() == b""
    assert running.server.bodies.shared == 2 * (LARGE - bodies.OWN_BYTES), "of what was refused nothing is kept"
    assert await event(running) == 202, "a small one has its own"
    for client in held:
        await client.close()
    await until(lambda: running.server.bodies.shared == 0)
    again = await begin(running, LARGE, LARGE)
    assert (await again.response()).status == 404, "read whole: there is no such connection"


async def test_bodies_that_are_read_give_their_memory_back_at_once(running: RunningEdge) -> None:
    """Many more than fit, one after the other on two connections; the disk may take its time."""
    connection = connect(running, vendor="stripe")
    body = b'{"id": "evt_1", "type": "invoice.finalized", "data": {"object": {"x": "%b"}}}' % (b"x" * LARGE)
    for _ in range(2):
        client = await running.connect()
        for _ in range(10):
            client.ask("POST", f"/v1/hooks/stripe/{connection}", body, Stripe_Signature=sign_stripe(body))
            assert (await client.response()).status == 200
            assert running.server.bodies.shared == 0


async def test_a_body_that_is_too_large_or_too_slow_gives_its_memory_back(running: RunningEdge) -> None:
    over = await begin(running, LARGE, 5 << 20)
    assert (await over.response()).status == 413
    lost = [await begin(running, LARGE) for _ in range(2)]
    await until(lambda: running.server.bodies.shared == 2 * (LARGE - bodies.OWN_BYTES))
    for _ in lost:
        next(each for each in running.server.connections if each._request is not None).expire()
    assert sorted([(await client.response()).status for client in lost]) == [408, 408]
    await until(lambda: running.server.bodies.shared == 0)
    assert await running.is_well()


async def test_pieces_of_any_size_make_the_same_body(running: RunningEdge) -> None:
    body = b'{"session_id":"s1","metadata":{"x":"%b"}}' % (b"y" * 40_000)
    for size in (7_001, 16_384, 40_050):
        client = await running.connect()
        head = f"POST /v1/events/session HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {SECRET_KEY}\r\n"
        client.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.send(b"0\r\n\r\n")
        answer = await client.response()
        assert (answer.status, answer.json["status"]) == (202, "quarantined"), "as metadata of more than 16 KiB is"
        assert running.server.bodies.shared == 0
