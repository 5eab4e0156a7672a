"""The loader: click lines from a journal's segments into an embedded store, sealed, synced, on one core."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import wraps
from pathlib import Path
from typing import Any

from stackfluence.clock import now_ms, rfc3339, uuid7
from stackfluence.events.event import Expiring, Leaf, commitment, encode_leaf, encode_personal, fresh_salt, join_line
from stackfluence.events.load import Loader
from stackfluence.events.store import Store
from stackfluence.events.turn import Desk, Step, Turn

LINES = int(os.environ.get("SF_BENCH_LINES", "200000"))
RUNS = int(os.environ.get("SF_BENCH_RUNS", "5"))
SEGMENT_LINES = 20_000  # half a second of a busy edge
ORGANIZATIONS = 20
CORE = 1
AIM = 150_000
_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/22B83 "
    "Instagram 355.0.0.29.91 (iPhone15,3; iOS 18_1; de_DE; de; scale=3.00; 1290x2796; 668012345)",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/131.0.6778.39 Mobile Safari/537.36 trill_370204 BytedanceWebview/d8a21c6",
)


def run() -> dict[str, Any]:
    """Return lines a second, the median of five runs in a process pinned to one core, and where the time goes."""
    child = subprocess.run([sys.executable, "-m", "bench.load"], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(child.stdout)
    return result


def click(at_ms: int, seq: int, node: bytes) -> bytes:
    """Return a click's line as an edge writes it, with 25 fields or so and what it keeps of the headers."""
    event_id, at = uuid7(at_ms)[1], rfc3339(at_ms)
    is_campaign = seq % 4 == 0
    signals = json.dumps({"method": "GET", "transport": "https", "headers": [["host", "go.brand.example"]]})
    expiring = encode_personal(
        Expiring(
            salt=fresh_salt(),
            user_agent=random.choice(_AGENTS),
            signals=signals,
            ip_prefix=f"203.0.{random.randrange(256)}.0/24",
            ad_click_ids={"fbclid": f"IwAR{random.getrandbits(120):030x}"} if is_campaign else {},
            referrer="https://l.instagram.com/",
        )
    )
    leaf = Leaf(
        event_id=event_id,
        event_type="click",
        occurred_at=at,
        received_at=at,
        click_id=event_id,
        link_id=f"lnk_{random.randrange(100_000):010x}",
        creator_id=f"crt_{random.randrange(1000):010x}",
        campaign_id=f"cmp_{random.randrange(100):010x}",
        asset_slug=f"reel-{random.randrange(50)}",
        visitor_hash=f"{random.getrandbits(88):022x}",
        referrer_host="l.instagram.com",
        landing_params={"utm_source": "instagram", "fbclid": "1"} if is_campaign else {},
        bot_score=random.choice((0, 0, 0, 5, 80)),
        bot_reasons=["datacenter"] if seq % 20 == 0 else [],
        ua_family="Instagram",
        os_family="iOS",
        device_class="phone",
        in_app_browser="instagram",
        country="DE",
        asn=3320,
        trust_tier="server",
        consent="unknown",
        personal_commitment=commitment(b"", expiring),
    )
    organization = f"org_{random.randrange(ORGANIZATIONS):07d}".encode()
    return join_line(organization, node, seq, encode_leaf(leaf), b"\t" + expiring)


class Numbers:
    """Load numbers without a catalog."""

    last = 0

    def take(self, minimum: int) -> int:
        self.last = max(self.last + 1, minimum)
        return self.last

    def finish(self, number: int) -> None:
        """Nobody reads here."""

    def horizon(self) -> int:
        return self.last


def timed(step: Step, spent: defaultdict[str, float]) -> Step:
    """Return a step that adds its seconds to `spent`."""

    @wraps(step)
    def measured(desk: Desk, turn: Turn) -> None:
        started = time.perf_counter()
        step(desk, turn)
        spent[step.__name__] += time.perf_counter() - started

    return measured


def measure() -> dict[str, Any]:
    """Load the same lines several times, each time into an empty store."""
    random.seed(7)
    os.sched_setaffinity(0, {min(CORE, (os.cpu_count() or 1) - 1)})
    node = "n_0123456789abcdef"
    start_ms = now_ms()
    lines = [click(start_ms + seq // 20, seq, node.encode()) for seq in range(1, LINES + 1)]
    rates: list[float] = []
    cpu: list[float] = []
    spent: defaultdict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory(dir=os.environ.get("SF_BENCH_DIR")) as folder:
        for attempt in range(RUNS + 1):
            store = Store(f"chdb://{folder}/engine", f"run_{attempt}")
            store.create_schema()
            segments = Path(folder, f"journal_{attempt}", "w0", node)
            segments.mkdir(parents=True)
            for first in range(0, LINES, SEGMENT_LINES):
                segment = segments / f"{first + 1:016d}.segment"
                segment.write_bytes(b"".join(lines[first : first + SEGMENT_LINES]))
            os.sync()
            loader = Loader(segments.parents[1], store, Numbers())
            times: defaultdict[str, float] = defaultdict(float)
            loader.steps = tuple(timed(step, times) for step in loader.steps)
            loaded, started, begun = 0, time.perf_counter(), time.process_time()
            while report := loader.turn().lines:
                loaded += report
            wall, used = time.perf_counter() - started, time.process_time() - begun
            assert loaded == loader.counts.lines == LINES
            assert not loader.counts.held
            loader.close()
            store.close()
            if attempt:  # the first warms the caches
                rates.append(LINES / wall)
                cpu.append(used / LINES * 1e6)
                for step, seconds in times.items():
                    spent[step] += seconds
    leaves, personal = zip(*((len(line.split(b"\t")[1]), len(line.split(b"\t", 2)[2])) for line in lines), strict=True)
    by_cost = sorted(spent.items(), key=lambda item: -item[1])
    return {
        "lines_per_second": round(statistics.median(rates)),
        "aim": AIM,
        "best": round(max(rates)),
        "lines": LINES,
        "runs": RUNS,
        "leaf_bytes": round(statistics.mean(leaves)),
        "personal_bytes": round(statistics.mean(personal)),
        "cpu_us_per_line": round(statistics.median(cpu), 2),
        "wall_us_per_line_by_step": {name: round(t / RUNS / LINES * 1e6, 2) for name, t in by_cost if t},
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
