"""What sf.js costs a page: milliseconds of its main thread in Chromium's own trace of a load, and bytes on the wire."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.snippet.rig import PageServer

from stackfluence.collect.snippet import MAX_GZIP_BYTES, read_scripts

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RUNS = 5
MOST_MS = 5.0
SLOWED = 4  # as DevTools' "mid-tier mobile"
CATEGORIES = ["devtools.timeline", "v8.compile", "disabled-by-default-v8.compile"]
COUNTED = ("EvaluateScript", "v8.compile", "FunctionCall", "EventDispatch", "TimerFire")
SCRIPT = "/sf.v1.js"
PAGE = f"""<!doctype html><title>Socks</title><script async src="{SCRIPT}" data-org="org_00g40r4"></script>
<main>{"<article><h2>Socks</h2><p>Warm ones.</p><a href='/socks'>More</a></article>" * 200}</main>"""


def run() -> dict[str, Any]:
    """Return the median of five loads, and of five on a processor slowed down; says when there is no Chromium."""
    chromium = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), "")
    newest = read_scripts()[max(read_scripts())]
    size = {"gzip_bytes": len(newest.packed), "most_gzip_bytes": MAX_GZIP_BYTES}
    if not chromium:
        return {"skipped": "apt-get install chromium", **size}
    from playwright.sync_api import sync_playwright

    with _serving(newest.plain) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        plain = [_main_thread_ms(browser, address, 1) for _ in range(RUNS)]
        slowed = [_main_thread_ms(browser, address, SLOWED) for _ in range(RUNS)]
        version = browser.version
        browser.close()
    found = statistics.median(clock for clock, _ in plain)
    return {
        "measured": "main-thread time of sf.js in a page load, Chromium's trace",
        "main_thread_ms": round(found, 2),
        "runs_ms": [round(clock, 2) for clock, _ in plain],
        "most_ms": MOST_MS,
        "is_within": found < MOST_MS,
        # what remains when others keep the machine busy; reading cookies and storage waits for other processes
        "processor_ms": round(statistics.median(processor for _, processor in plain), 2),
        "load_average": round(os.getloadavg()[0], 1),
        f"processor_ms_slowed_{SLOWED}x": round(statistics.median(processor for _, processor in slowed), 2),
        "chromium": version,
        **size,
    }


@contextlib.contextmanager
def _serving(script: bytes) -> Iterator[str]:
    """Serve a page, the script, and a place that takes events; yields the address."""
    server = PageServer()
    server.pages = {
        "/landing": ({}, PAGE),
        SCRIPT: ({"content-type": "text/javascript"}, script.decode()),
        "/v1/events/batch": ({}, "{}"),
    }
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _main_thread_ms(browser: Browser, address: str, slowed: int) -> tuple[float, float]:
    """Load a page as a visitor who then moves, scrolls and types; return what the script took, as `_outermost_ms`."""

    context = browser.new_context()
    page = context.new_page()
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slowed})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        browser.start_tracing(page=page, path=str(path), categories=CATEGORIES)
        page.goto(f"{address}/landing?inf_click_id={'A' * 63}")
        page.wait_for_function("window.sfq && document.cookie.includes('inf_click_session')")
        page.mouse.move(100, 100)
        page.mouse.wheel(0, 300)
        page.keyboard.press("Shift")
        page.wait_for_timeout(200)
        browser.stop_tracing()
        events = json.loads(path.read_text())["traceEvents"]
    context.close()
    return _outermost_ms(events)


def _outermost_ms(events: list[dict[str, Any]]) -> tuple[float, float]:
    """Return how long the script's own slices took, each moment once: by the clock, and of the thread's processor."""
    slices = sorted(
        (event["ts"], event["ts"] + event["dur"], event.get("tdur", event["dur"]))
        for event in events
        if event.get("ph") == "X" and event["name"] in COUNTED and SCRIPT in json.dumps(event.get("args", {}))
    )
    clock, processor, covered = 0, 0, 0
    for start, end, busy in slices:
        if start >= covered:
            clock, processor, covered = clock + end - start, processor + busy, end
    if not slices:
        raise RuntimeError("the trace doesn't name the script: Chromium's trace has another form")
    return clock / 1_000, processor / 1_000
