"""A `stackfluence serve` for tests: one of a test's own, ended with it, or the one that a process's tests share."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import dataclasses
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackfluence.catalog import open_catalog
from stackfluence.migrate import migrate
from stackfluence.settings import Settings, ensure_secrets

PROGRAM = [sys.executable, "-m", "stackfluence"]
START_SECONDS = 60.0  # a busy machine with two cores imports slowly
ORGANIZATIONS = 20  # as many tests can share an installation
HTTP = httpx.Client(  # reading the certificates of authorities takes longer than to ask a process of this machine
    timeout=5, verify=False, limits=httpx.Limits(max_keepalive_connections=0)
)


@dataclass
class Serving:
    """A running installation: its address, keys, and the supervisor's process."""

    directory: Path
    address: str
    keys: dict[str, str]
    process: subprocess.Popen[str]
    log: Path

    @property
    def secret(self) -> dict[str, str]:
        """The headers of a request with the secret key."""
        return {"Authorization": f"Bearer {self.keys['secret_key']}"}

    def pid_of(self, name: str) -> int:
        """Return the process id of a child, `core` or `edge-0`, as the supervisor last printed it."""
        found = re.findall(rf"^{name} started, process (\d+)$", self.log.read_text(), re.MULTILINE)
        return int(found[-1])

    def is_answering(self) -> bool:
        """Whether edge and core answer: without a key, a core refuses, and an edge alone says that there is none."""
        with contextlib.suppress(httpx.HTTPError):
            return HTTP.get(f"{self.address}/v1/links").status_code == 401
        return False

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


@functools.cache
def template() -> tuple[Path, dict[str, str]]:
    """Make, once in this process, a data directory with an organization; returns it and the organization's keys."""
    folder = Path(tempfile.mkdtemp(prefix="sf-template-"))
    atexit.register(shutil.rmtree, folder)
    ensure_secrets(Settings(data_dir=str(folder)))
    (keys,) = add_organizations(folder, 1)
    return folder, keys


def add_organizations(directory: Path, count: int) -> list[dict[str, str]]:
    """Add organizations to the catalog of a data directory; returns the id and keys of each."""
    url = Settings(data_dir=str(directory)).catalog_url

    async def add() -> list[dict[str, str]]:
        await migrate(url)
        catalog = open_catalog(url)
        try:
            async with catalog.writing("cli") as change:
                return [asdict(await change.add_organization("Brand", "USD", "UTC")) for _ in range(count)]
        finally:
            await catalog.close()

    with ThreadPoolExecutor(1) as thread:  # Playwright keeps an event loop in a test's own
        return thread.submit(asyncio.run, add()).result()


def initialized(directory: Path) -> dict[str, str]:
    """Make a data directory as `init` does, unless there is one; returns its organization's id and keys."""
    folder, keys = template()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("secrets.env", "catalog.sqlite"):
        if not (directory / name).exists():
            shutil.copy(folder / name, directory / name)
    return keys


@contextlib.contextmanager
def serving(directory: Path, log_name: str = "serve.log", **more: str) -> Iterator[Serving]:
    """Serve from a directory until the block ends; yields when edge and core answer."""
    keys = initialized(directory)
    log = directory / log_name
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
        running = Serving(directory, address, keys, process, log)
        wait_for(running.is_answering, log)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[Serving]]:
    """Serve one installation for all tests of this process that end with it whole; each gets an organization of it."""
    directory = tmp_path_factory.mktemp("served")
    initialized(directory)
    organizations = add_organizations(directory, ORGANIZATIONS)
    with serving(directory) as running:
        yield (dataclasses.replace(running, keys=keys) for keys in organizations)


@pytest.fixture
def shared(served: Iterator[Serving]) -> Serving:
    """Return the installation that tests share, whole, with an organization that no other test has seen.

    Paths of links are the installation's: the campaign's name is to be the test's own.
    """
    running = next(served)
    wait_for(running.is_answering, running.log)
    return running


def wait_for(condition: Callable[[], Any], log: Path | None = None, seconds: float = START_SECONDS) -> Any:
    """Return the condition's first truthy value; fails with the log's end after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s in vain; {log.read_text()[-3000:] if log else ''}")
