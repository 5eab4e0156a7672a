"""Folders in memory for the servers and engines of tests: nothing they write must survive a power cut.

An engine syncs every table that it creates and every row that it stores, and a file system needs processor time for
each of the hundred files that this takes. What a test is itself about is written below `tmp_path`, as ever.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 4 << 30  # two engines and two servers take a tenth of it; a container's own 64 MB are too little
_NAME = "stackfluence-tests-"


@contextlib.contextmanager
def memory_folder() -> Iterator[Path]:
    """Make an empty folder, in memory where there is plenty, and remove it in the end."""
    is_there = os.access(_MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(_MEMORY).free >= _NEEDED_BYTES
    if is_there:
        _remove_left()
    made = tempfile.mkdtemp(prefix=f"{_NAME}{os.getpid()}-", dir=_MEMORY if is_there else None)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _remove_left() -> None:
    """Remove the folders of test processes that were killed."""
    for path in _MEMORY.glob(f"{_NAME}*"):
        maker = re.match(rf"{_NAME}(\d+)-", path.name)
        if maker and not Path("/proc", maker[1]).exists():
            shutil.rmtree(path, ignore_errors=True)
