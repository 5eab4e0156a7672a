"""A `stackfluence serve` of its own for a test: own data directory, own port, ended with the test."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PROGRAM = [sys.executable, "-m", "stackfluence"]
START_SECONDS = 60.0  # a busy machine with two cores imports slowly


@dataclass
class Serving:
    """A running installation: its address, keys, and the supervisor's process."""

    directory: Path
    address: str
    keys: dict[str, str]
    process: subprocess.Popen[str]
    log: Path
    pids: dict[str, int] = field(default_factory=dict)

    @property
    def secret(self) -> dict[str, str]:
        """The headers of a request with the secret key."""
        return {"Authorization": f"Bearer {self.keys['secret_key']}"}

    def pid_of(self, name: str) -> int:
        """Return the process id of a child, `core` or `edge-0`, as the supervisor last printed it."""
        found = re.findall(rf"^{name} started, process (\d+)$", self.log.read_text(), re.MULTILINE)
        return int(found[-1])

    def kill(self, name: str) -> None:
        """kill -9 a child."""
        os.kill(self.pid_of(name), signal.SIGKILL)


def environment(directory: Path, **more: str) -> dict[str, str]:
    """Return the variables of an installation in a directory, with none of this machine's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SF_")}
    return {**kept, "SF_DATA_DIR": str(directory), **more}


def run(directory: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(directory, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def initialized(directory: Path, **more: str) -> dict[str, str]:
    """Create an organization and return its id and keys."""
    done = run(directory, "init", "--org", "Brand", "--json", **more)
    assert done.returncode == 0, done.stderr
    keys: dict[str, str] = json.loads(done.stdout)
    return keys


@contextlib.contextmanager
def serving(directory: Path, **more: str) -> Iterator[Serving]:
    """Serve from a directory until the block ends; yields when edge and core answer."""
    keys = initialized(directory, **more)
    log = directory / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", "0"],
            env=environment(directory, **more),
            stdout=output,
            stderr=output,
            text=True,
        )
    try:
        address = wait_for(lambda: re.search(r"listens on (\S+)", log.read_text()), log)[1]
        wait_for(lambda: _answers(f"{address}/openapi.json"), log)
        yield Serving(directory, address, keys, process, log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def wait_for(condition: Callable[[], Any], log: Path | None = None, seconds: float = START_SECONDS) -> Any:
    """Return the condition's first truthy value; fails with the log's end after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s in vain; {log.read_text()[-3000:] if log else ''}")


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2).status_code < 500
    return False
