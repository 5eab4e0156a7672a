"""The whole way: what Shopify sends to the public port reaches the core, and orders stay with the edge."""

from __future__ import annotations

import httpx

from tests.processes.serving import Serving
from tests.shopify.fake import ACCOUNT, CLIENT_ID, CLIENT_SECRET, signed_body, signed_query


def test_hooks_and_owners_reach_the_core_through_the_public_port(shared: Serving) -> None:
    with httpx.Client(base_url=shared.address, timeout=20) as nobody:
        made = nobody.post(
            "/v1/connections",
            json={"vendor": "shopify", "account": ACCOUNT, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
            headers=shared.secret,
        )
        assert made.status_code == 201, made.text
        path = f"/v1/connections/{made.json()['id']}/shopify"
        body, signature = signed_body(
            {
                "shop_id": 1,
                "shop_domain": ACCOUNT,
                "customer": {"id": 7},
                "orders_requested": [],
                "data_request": {"id": 2},
            }
        )
        headers = {"X-Shopify-Topic": "customers/data_request", "X-Shopify-Hmac-Sha256": signature}
        assert nobody.post(path, content=body, headers=headers).json() == {"status": "accepted"}
        assert nobody.post(path, content=body + b" ", headers=headers).status_code == 401
        found = nobody.get(f"{path}/privacy-requests", headers=shared.secret).json()["items"]
        assert [(request["kind"], request["request_id"]) for request in found] == [("data_request", "2")]
        assert nobody.get(f"/v1/shopify/callback?{signed_query({'shop': ACCOUNT, 'state': 'x'})}").status_code == 401
        refused = nobody.get(f"{path}/open?{signed_query({'shop': ACCOUNT})}")
        assert (refused.status_code, "https" in refused.json()["detail"]) == (409, True)
        assert nobody.get(path).status_code == 401
