"""Redirects with the click on disk first, against nginx's static `return 302` on the same core in the same run."""

from __future__ import annotations

import os
from typing import Any

from bench import rig

LINKS = 100_000
ROUNDS = 5
SECONDS = 4.0
# every link once, in turn, so that the edge has unpacked what it will serve; then at random
WARM = f'local n = -1; request = function() n = n + 1; return wrk.format("GET", "/c/emma/spring/" .. n % {LINKS}) end'
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
        for _ in range(3):
            rig.wrk(address, WARM, 128, 4.0)
        result: dict[str, Any] = {
            "against": "nginx return 302, same core, same run",
            "links": LINKS,
            "cores": os.cpu_count(),
        }
        for connections in (128, 32):
            rounds = [
                (rig.wrk(yardstick, PICK, connections, SECONDS), rig.wrk(address, PICK, connections, SECONDS))
                for _ in range(ROUNDS)
            ]
            nginx, edge = rig.medians([r[0] for r in rounds]), rig.medians([r[1] for r in rounds])
            result[f"connections_{connections}"] = {
                "ratio": round(edge["per_second"] / nginx["per_second"], 3), "nginx": nginx, "edge": edge,
            }  # fmt: skip
        for name, script, connections in (("with_browser_headers", BROWSER, 128), ("steady", BROWSER + STEADY, 64)):
            thrice = [rig.wrk(address, script + PICK, connections, SECONDS) for _ in range(3)]
            result[f"edge_{name}"] = rig.medians(thrice)
    return {"ratio": result["connections_128"]["ratio"], "target": 0.40, **result}
