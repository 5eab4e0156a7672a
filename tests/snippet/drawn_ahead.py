"""A Chromium that nobody looks into, since it draws pages ahead only then; its page goes on when it is told to."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.snippet.conftest import ARGUMENTS, CHROMIUM
from tests.snippet.rig import Shop


@contextlib.contextmanager
def drawing_ahead(shop: Shop, profile: Path) -> Iterator[Callable[[], str]]:
    """Open a page that has `next` drawn ahead; yields what makes it go there."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    rules = json.dumps({"prerender": [{"urls": ["next"], "eagerness": "immediate"}]})
    going = "<script>setInterval(async () => { if ((await fetch('go')).ok) location.href = 'next' }, 100)</script>"
    address = shop.put("landing", f"<script type=speculationrules>{rules}</script>{going}")
    # without a port it would end at once
    options = ["--headless=new", "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    process = subprocess.Popen([CHROMIUM, *ARGUMENTS, *options, address], stderr=subprocess.DEVNULL)
    try:
        yield partial(shop.put, "go", head="")
    finally:
        process.terminate()
        process.wait(20)
