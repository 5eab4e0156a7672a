"""Chromium driven over a pipe, with nothing switched on in its pages.

Playwright has DevTools look into every page, whose recording of stacks takes longer than a small script itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from typing import IO, Any

CHROMIUM = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), "")
# a window of its own would load the browser's start page into every trace
OPTIONS = ["--headless=new", "--no-startup-window", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
END_SECONDS = 20.0
# the browser's two ends of the pipe have these numbers (chromium's --remote-debugging-pipe)
READS, WRITES = 3, 4


class Chromium:
    """A running browser: calls of the DevTools protocol, and the events that came meanwhile."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        self._reading, self._writing = reading, writing
        self._left = b""
        self._numbers = count(1)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method, of a page when its session is given; raises RuntimeError with what the browser says."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        self._writing.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") != number:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']['message']}")
            else:
                found: dict[str, Any] = answer["result"]
                return found

    def wait(self, method: str) -> None:
        """Read until an event of a name came."""
        while not any(event["method"] == method for event in self.events):
            self.events.append(self._read())

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            read = self._reading.read(1 << 20)
            if not read:
                raise RuntimeError("Chromium ended")
            self._left += read
        text, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found

    @contextlib.contextmanager
    def tab(self) -> Iterator[str]:
        """Open an empty page of a visitor with nothing stored; yields its session."""
        visitor = self.call("Target.createBrowserContext")["browserContextId"]
        page = self.call("Target.createTarget", url="about:blank", browserContextId=visitor)["targetId"]
        yield self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.call("Target.disposeBrowserContext", browserContextId=visitor)

    @contextlib.contextmanager
    def traced(self, categories: list[str]) -> Iterator[list[dict[str, Any]]]:
        """Record what all pages do in the block, still open at its end; the list that is yielded is full afterwards."""
        found: list[dict[str, Any]] = []
        self.events.clear()
        self.call("Tracing.start", traceConfig={"includedCategories": categories}, transferMode="ReportEvents")
        yield found
        self.call("Tracing.end")
        self.wait("Tracing.tracingComplete")
        for event in self.events:
            if event["method"] == "Tracing.dataCollected":
                found.extend(event["params"]["value"])


@contextlib.contextmanager
def running_chromium() -> Iterator[Chromium]:
    """Run a headless browser with a profile of its own until the block ends."""
    theirs, ours = os.pipe(), os.pipe()

    def place() -> None:
        # copies first: a number that is wanted may be taken by the other end
        reading, writing = os.dup(theirs[0]), os.dup(ours[1])
        os.dup2(reading, READS)
        os.dup2(writing, WRITES)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, *OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            preexec_fn=place,
            close_fds=False,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs[0])
        os.close(ours[1])
        try:
            with os.fdopen(ours[0], "rb", 0) as reading, os.fdopen(theirs[1], "wb", 0) as writing:
                yield Chromium(reading, writing)
        finally:
            process.terminate()
            process.wait(END_SECONDS)
