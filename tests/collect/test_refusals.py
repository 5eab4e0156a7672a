"""Who wonders why nothing arrives is told what was refused, on the admin socket alone."""

from __future__ import annotations

import asyncio

from stackfluence.click.admin import Admin
from stackfluence.click.server import Server
from stackfluence.collect.recording import REMEMBERED_REFUSALS
from tests.edge.edges import HOST, ORGANIZATION, PUBLISHABLE_KEY, Client, RunningEdge


async def test_refused_requests_are_listed_with_their_page(running: RunningEdge) -> None:
    body = b'{"session_id":"s"}'
    stranger = {"Origin": "https://other.example", "Authorization": f"Bearer {PUBLISHABLE_KEY}"}
    await running.request("POST", "/v1/events/session?x=1", body, **stranger)
    await running.request("POST", "/v1/events/session", body, Origin="https://other.example")
    intake = running.intake
    admin = Server(Admin(running.edge, running.server, intake.recorder.counts, intake.recorder.refusals))
    accepting = await asyncio.get_running_loop().create_server(admin.accept, HOST, 0)
    client = Client(*await asyncio.open_connection(HOST, accepting.sockets[0].getsockname()[1]))
    try:
        answer = await client.request("GET", "/refusals")
        elsewhere = await client.request("GET", "/refusal")
    finally:
        await client.close()
        accepting.close()
        await admin.drain(0)
    assert (answer.status, elsewhere.status) == (200, 404)
    known, unknown = answer.json["items"]
    assert (known["status"], known["kind"], known["organization_id"]) == (403, "forbidden", ORGANIZATION)
    assert (known["path"], known["origin"]) == ("/v1/events/session", "https://other.example")
    assert (unknown["status"], unknown["kind"], unknown["organization_id"]) == (401, "unauthorized", "")
    assert known["at_ms"] <= unknown["at_ms"]


async def test_refusals_are_forgotten_in_their_order(running: RunningEdge) -> None:
    client = await running.connect()
    for number in range(REMEMBERED_REFUSALS + 5):
        assert (
            await client.request("POST", "/v1/events/session", b"{}", Origin=f"https://{number}.example")
        ).status == 401
    origins = [refusal.origin for refusal in running.intake.recorder.refusals]
    assert origins == [f"https://{number}.example" for number in range(5, REMEMBERED_REFUSALS + 5)]
