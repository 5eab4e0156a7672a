"""What sf.js costs a page: milliseconds of its main thread from the load to the first answer, and bytes on the wire.

Measured in turn with two yardsticks: an empty script as large, which is what the browser takes for any script, and a
page's own that does once what every shop's does. Behind that one, sf.js isn't the first to ask for cookies, storage and
the network; alone on its page, it is.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.snippet.rig import PageServer, until

from bench.chromium import CHROMIUM, Chromium, running_chromium
from stackfluence.collect.snippet import MAX_GZIP_BYTES, read_scripts

RUNS = 9
MOST_MS = 5.0
SLOWED = 4  # as DevTools' "mid-tier mobile"
CATEGORIES = ["devtools.timeline"]
COUNTED = ("EvaluateScript", "v8.compile", "FunctionCall", "EventDispatch", "TimerFire", "FireIdleCallback")
REST_SECONDS = 0.2
BATCH = "/v1/events/batch"
OWN = """<script>
  document.cookie = 'cart=1; Path=/';
  localStorage.cart = document.cookie.match(/cart=(.)/)[1];
  for (const name in localStorage) document.currentScript.dataset[name] = new Date().toISOString();
  addEventListener('pointermove', () => {}, true);
  fetch('/own', { method: 'POST', body: JSON.stringify([location.href, navigator.language, crypto.randomUUID?.()]) });
</script>"""
ARTICLES = "<article><h2>Socks</h2><p>Warm ones.</p><a href='/socks'>More</a></article>" * 200
# a page's kind: what stands before the tag, and by how much its processor is slowed down
KINDS = {"alone": ("", 1), "after_own": (OWN, 1), f"after_own_slowed_{SLOWED}x": (OWN, SLOWED)}


def run() -> dict[str, Any]:
    """Return medians of loads, the script's beside the empty one's; says when there is no Chromium."""
    newest = read_scripts()[max(read_scripts())]
    size = {"gzip_bytes": len(newest.packed), "most_gzip_bytes": MAX_GZIP_BYTES}
    if not CHROMIUM:
        return {"skipped": "apt-get install chromium", **size}
    scripts = {"sf": newest.plain.decode(), "empty": f"/*{'-' * (len(newest.plain) - 5)}*/\n"}
    found: dict[str, list[dict[str, float]]] = {}
    with _serving(scripts) as server, running_chromium() as browser:
        for number, kind, name in itertools.product(range(RUNS), KINDS, scripts):
            events = _load(browser, server, kind, name, f"/{number}/{kind}")
            found.setdefault(f"{name}_{kind}", []).append(costs(events, f"/{number}/{kind}/{name}.js"))
            if KINDS[kind] == (OWN, 1):
                found.setdefault("page_own", []).append(costs(events, f"/{number}/{kind}/{name}?"))
        version = browser.call("Browser.getVersion")["product"]
    medians = {name: _median(each) for name, each in found.items()}
    own_ms, alone_ms = medians["sf_after_own"]["processor_ms"], medians["sf_alone"]["processor_ms"]
    return {
        "measured": "sf.js on a page's main thread until its first answer, Chromium's trace, beside yardsticks",
        "main_thread_ms": own_ms,
        "most_ms": MOST_MS,
        "is_within": max(own_ms, alone_ms) < MOST_MS,
        **medians,
        "runs": RUNS,
        "load_average": round(os.getloadavg()[0], 1),
        "chromium": version,
        **size,
    }


def costs(events: list[dict[str, Any]], script: str) -> dict[str, float]:
    """Return what a script's own slices took, each moment once, in ms; the script is part of its address.

    `processor_ms` is of the thread's processor; `clock_ms` has the waiting too, for processes that keep cookies and
    storage and for whoever else wants the machine; `longest_ms` is the processor time of the longest slice. Raises
    RuntimeError when the trace doesn't name the script.
    """
    slices = sorted(
        (event["ts"], event["ts"] + event["dur"], event.get("tdur", event["dur"]))
        for event in events
        if event.get("ph") == "X" and event["name"] in COUNTED and script in json.dumps(event.get("args", {}))
    )
    clock, covered, busy = 0, 0, [0]
    for start, end, processor in slices:
        if start >= covered:
            clock, covered = clock + end - start, end
            busy.append(processor)
    if not clock:
        raise RuntimeError("the trace doesn't name the script: Chromium's trace has another form")
    return {"processor_ms": sum(busy) / 1_000, "clock_ms": clock / 1_000, "longest_ms": max(busy) / 1_000}


def _median(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(each[name] for each in found), 2) for name in found[0]}


@contextlib.contextmanager
def _serving(scripts: dict[str, str]) -> Iterator[PageServer]:
    """Serve a page and a script per load, by whose path the trace tells it, and a place that takes events."""
    server = PageServer()
    server.pages = {"/own": ({}, "{}")}
    for number, kind, name in itertools.product(range(RUNS), KINDS, scripts):
        path = f"/{number}/{kind}/{name}"
        tag = f"<link rel=icon href='data:,'><script async src={path}.js data-org=org_00g40r4></script>"
        loaded = f"<script>addEventListener('load', () => fetch('/{number}/{kind}/loaded/{name}'))</script>"
        page = f"<!doctype html><title>Socks</title>{KINDS[kind][0]}{tag}{loaded}<main>{ARTICLES}</main>"
        server.pages[path] = ({}, page)
        server.pages[f"{path}.js"] = ({"content-type": "text/javascript"}, scripts[name])
        server.pages[f"/{number}/{kind}{BATCH}"] = ({}, "{}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _load(browser: Chromium, server: PageServer, kind: str, name: str, path: str) -> list[dict[str, Any]]:
    """Load a page as a visitor from a creator's link, until its script has its answer; returns the trace's events."""
    slowed = KINDS[kind][1]
    with browser.tab() as session, browser.traced(CATEGORIES) as events:
        if slowed > 1:
            browser.call("Emulation.setCPUThrottlingRate", session, rate=slowed)
        address = f"http://127.0.0.1:{server.port}{path}/{name}?inf_click_id={'A' * 63}"
        browser.call("Page.navigate", session, url=address)
        until(lambda: server.asked(f"{path}/loaded/{name}") and (name != "sf" or server.asked(path + BATCH)))
        time.sleep(REST_SECONDS * slowed)
    return events
