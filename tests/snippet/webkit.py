"""WebKitGTK through its WebDriver (W3C WebDriver): the engine of Safari, without Safari's limits on what scripts store.

Debian packages: webkit2gtk-driver, xvfb, dbus.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.snippet.rig import Shop, until

DRIVER = shutil.which("WebKitWebDriver") or ""
SCREEN = shutil.which("Xvfb") or ""
BROWSER = next((str(path) for path in sorted(Path("/usr/lib").glob("*/webkit2gtk-*/MiniBrowser"))), "")
BUS = shutil.which("dbus-run-session") or ""
NEEDED = {"webkit2gtk-driver": DRIVER and BROWSER, "xvfb": SCREEN, "dbus": BUS}
MISSING = [package for package, found in NEEDED.items() if not found]


class WebKit:
    """One visitor's browser: a session of the driver."""

    def __init__(self, driver: httpx.Client, *arguments: str) -> None:
        self._driver = driver
        options = {"binary": BROWSER, "args": ["--automation", *arguments]}
        wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
        told = self._call("POST", "", wanted)
        self._session = f"/{told['sessionId']}"
        self.version: str = told["capabilities"]["browserVersion"]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._driver.request(method, f"/session{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def go(self, url: str) -> None:
        """Open an address."""
        self._call("POST", f"{self._session}/url", {"url": url})

    @property
    def address(self) -> str:
        """The page's address."""
        return str(self._call("GET", f"{self._session}/url"))

    def run(self, script: str) -> Any:
        """Run the body of a function in the page and return what it returns."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def click(self, selector: str) -> None:
        """Click as a person does."""
        [element] = self._call(
            "POST", f"{self._session}/element", {"using": "css selector", "value": selector}
        ).values()
        self._call("POST", f"{self._session}/element/{element}/click", {})

    def wipe(self, *, with_storage: bool) -> None:
        """Forget cookies that scripts may write, and localStorage too, as Safari does after one day and after seven."""
        for cookie in self._call("GET", f"{self._session}/cookie"):
            if not cookie["httpOnly"]:
                self._call("DELETE", f"{self._session}/cookie/{cookie['name']}")
        if with_storage:
            self.run("window.localStorage?.clear()")

    def forget(self, shop: Shop) -> None:
        """Be as new: leave the page, close all other tabs, and forget what is stored."""
        for handle in self._call("GET", f"{self._session}/window/handles")[1:]:
            self._call("POST", f"{self._session}/window", {"handle": handle})
            self.close_tab()
        self.go(shop.url("nowhere"))  # of the same origin, and without the tag
        self.wipe(with_storage=True)

    def open_tab(self) -> None:
        """Open another tab and go on there."""
        made = self._call("POST", f"{self._session}/window/new", {"type": "tab"})
        self._call("POST", f"{self._session}/window", {"handle": made["handle"]})

    def close_tab(self) -> None:
        """Close this tab, and go on in one that is left."""
        left = self._call("DELETE", f"{self._session}/window")
        if left:
            self._call("POST", f"{self._session}/window", {"handle": left[0]})

    def quit(self) -> None:
        """End the browser."""
        self._driver.delete(f"/session{self._session}")


@contextlib.contextmanager
def driving(directory: Path) -> Iterator[httpx.Client]:
    """Run a screen that nobody sees and the driver on it; yields a client of the driver."""
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        [SCREEN, "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with open(reading) as named:
        display = named.readline().strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = {name: str(directory) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")}
    quiet = {
        "DISPLAY": f":{display}",
        "NO_AT_BRIDGE": "1",
        "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
        "GDK_BACKEND": "x11",
    }
    driver = subprocess.Popen(
        [BUS, "--", DRIVER, f"--port={port}"],
        env={**os.environ, **home, **quiet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until(lambda: _is_up(client))
            yield client
    finally:
        os.killpg(driver.pid, signal.SIGTERM)  # the bus alone would leave the driver behind
        driver.wait(20)
        screen.terminate()
        screen.wait(20)


def _is_up(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return client.get("/status").status_code == 200
    return False
