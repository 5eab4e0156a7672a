"""The install check of a running installation: what a page and a server told, and what its edge refused."""

from __future__ import annotations

from typing import Any

from stackfluence.client import Client, click_id_of
from tests.processes.serving import HTTP, Serving, wait_for

PAGE = "https://shop.brand.example/socks"


def check(running: Serving) -> dict[str, Any]:
    answer = HTTP.get(f"{running.address}/v1/install/check", params={"url": PAGE}, headers=running.secret, timeout=30)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_an_install_is_checked_from_the_click_to_the_order(shared: Serving) -> None:
    address, keys = shared.address, shared.keys
    made = {"creator_handle": "emma", "campaign_slug": "install-check", "destination_url": PAGE}
    assert HTTP.post(f"{address}/v1/links", json=made, headers=shared.secret).status_code == 201
    assert [found["finding"] for found in check(shared)["findings"]] == ["nothing_received"]

    location = wait_for(lambda: HTTP.get(f"{address}/c/emma/install-check").headers.get("location"), shared.log)
    click_id = click_id_of(location)
    visit = {"session_id": "s-1", "page_url": PAGE, "inf_click_id": click_id, "consent": "granted"}
    for event_type in ("session", "pageview"):
        body = {**visit, "organization_id": keys["organization_id"]}
        assert HTTP.post(f"{address}/v1/events/{event_type}", json=body).status_code == 202
    bearer = {"Authorization": f"Bearer {keys['publishable_key']}"}
    another = HTTP.post(f"{address}/v1/events/session", json={"organization_id": "org_0000000"}, headers=bearer)
    assert another.status_code == 403
    with Client(address, keys["secret_key"]) as client:
        receipt = client.conversion(order_id="1001", revenue_cents=4999, inf_click_id=click_id)
        assert receipt.status == "accepted"

    def complete() -> dict[str, Any] | None:
        told = check(shared)
        return told if len({row["event_type"] for row in told["arrivals"]}) == 4 else None

    told = wait_for(complete, shared.log)
    assert [found["finding"] for found in told["findings"]] == ["refused"]
    [refused] = told["refused"]
    assert (refused["status"], refused["path"], refused["requests"]) == (403, "/v1/events/session", 1)
    assert told["edges_asked"] == 1
    assert {(page["host"], page["path"]) for page in told["pages"]} == {("shop.brand.example", "/socks")}
