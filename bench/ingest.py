"""Conversions with a signed click ID, verified and on disk first, against nginx's static 302 on the same core."""

from __future__ import annotations

from typing import Any

from bench import rig
from stackfluence.click.click_id import ClickIdKeys
from stackfluence.clock import now_ms, uuid7
from stackfluence.settings import Settings

ROUNDS = 5
SECONDS = 4.0
SCRIPT = """
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer %s"
wrk.headers["Content-Type"] = "application/json"
local order = 0
request = function()
  order = order + 1
  return wrk.format(nil, "/v1/events/conversion", nil, '{"inf_click_id":"%s","event_type":"purchase","order_id":"' ..
    order .. '","idempotency_key":"' .. order .. '","revenue_cents":4999,"currency":"USD","coupon_codes":["EMMA10"]}')
end
"""
PLAIN = 'request = function() return wrk.format("GET", "/") end'


def run() -> dict[str, Any]:
    """Return the ratio of requests/s at 128 connections; target 0.15."""
    if lacking := rig.missing_tools():
        return {"skipped": lacking}
    with rig.nginx() as yardstick, rig.edge(1) as (address, organization, _process):
        keys = ClickIdKeys(Settings(click_id_secret=rig.SECRET).click_id_secrets, 720)
        mint = keys.mint_for(organization["organization_id"], "lnk_0000000001")
        script = SCRIPT % (organization["secret_key"], mint(uuid7(now_ms())[0], 0).decode())
        rig.wrk(address, script, 128, 2.0)
        found = rig.side_by_side((yardstick, PLAIN), (address, script), 128, ROUNDS, SECONDS)
    return {"ratio": found["ratio"], "target": 0.15, "against": "nginx return 302, same core, same run", **found}
