"""Redirects with the click on disk first, against nginx's static `return 302` on the same core in the same run."""

from __future__ import annotations

import os
from typing import Any

from bench import rig

LINKS = 100_000
ROUNDS = 5
SECONDS = 4.0
# every link in turn, so that the edge has unpacked what it will serve; then at random
IN_TURN = 'local n = {}; request = function() n = n + 1; return wrk.format("GET", "/c/emma/spring/" .. n % {}) end'
PICK = f'request = function() return wrk.format("GET", "/c/emma/spring/" .. math.random(0, {LINKS - 1})) end'
STEADY = "delay = function() return 8 end\n"  # milliseconds: about 5,000 requests a second from 64 connections
BROWSER = """
wrk.headers["User-Agent"] = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 " ..
  "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
wrk.headers["Accept-Language"] = "en-GB,en;q=0.9"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br"
wrk.headers["Sec-Fetch-Dest"] = "document"
wrk.headers["Sec-Fetch-Mode"] = "navigate"
wrk.headers["Sec-Fetch-Site"] = "cross-site"
wrk.headers["Referer"] = "https://social.example/"
"""


def run() -> dict[str, Any]:
    """Return the ratio of requests/s at 128 connections (target 0.40) and at 32, p50 and p99, also when steady."""
    if lacking := rig.missing_tools():
        return {"skipped": lacking}
    with rig.nginx() as yardstick, rig.edge(LINKS) as (address, _, _process):
        first_clicks = _click_all(address)
        result: dict[str, Any] = {
            "against": "nginx return 302, same core, same run",
            "links": LINKS,
            "cores": os.cpu_count(),
            "edge_first_clicks": first_clicks,
        }
        for connections in (128, 32):
            result[f"connections_{connections}"] = rig.side_by_side(
                (yardstick, PICK), (address, PICK), connections, ROUNDS, SECONDS
            )
        headed = (address, BROWSER + PICK)
        result["browser_headers"] = rig.side_by_side((yardstick, PICK), headed, 128, ROUNDS, SECONDS)
        thrice = [rig.wrk(address, BROWSER + STEADY + PICK, 64, SECONDS) for _ in range(3)]
        result["edge_steady"] = rig.medians(thrice)
    return {"ratio": result["connections_128"]["ratio"], "target": 0.40, **result}


def _click_all(address: str) -> dict[str, float]:
    """Click every link at least once, in several runs, since wrk begins anew in each; returns the runs' medians."""
    rounds: list[dict[str, float]] = []
    clicked = 0
    while clicked < LINKS:
        rounds.append(rig.wrk(address, IN_TURN.format(clicked - 1, LINKS), 128, SECONDS))
        clicked += int(rounds[-1]["per_second"] * SECONDS * 0.9)
    return rig.medians(rounds)
