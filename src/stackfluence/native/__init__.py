"""What is done with every click and every line, in C where set-up found a compiler, elsewhere in Python and SQL.

`clicks.c` and `lines.c` hold functions that have a twin in Python; the twin stands where it is used, says what both do,
and is marked with `@compiled`. `build` makes the extension modules. One that was made from other sources or for another
Python is not used: the name of its file says which Python it is for, and its `SOURCES` which sources it was made from.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

PLACE = Path(__file__).parent
BUILT = PLACE / "built"  # set-up makes it, so git doesn't have it
MODULES = {  # and the sources of each
    "_clicks": ("clicks.c", "crc32.h", "heads.h", "ids.h", "parameters.h", "sha256.h", "spans.h", "build.py"),
    "_lines": ("lines.c", "columns.h", "crc32.h", "hashes.h", "leaf.h", "sha256.h", "build.py"),
}

_P = ParamSpec("_P")
_R = TypeVar("_R")


def sources_digest(module: str) -> str:
    """Return the SHA-256 of a module's sources, hex; the built one carries that of those it was made from."""
    return hashlib.sha256(b"\0".join((PLACE / name).read_bytes() for name in MODULES[module])).hexdigest()


def _load() -> tuple[dict[str, Callable[..., Any]] | None, str]:
    """Return the functions of the built modules by name, or None and why they aren't used."""
    functions: dict[str, Callable[..., Any]] = {}
    for name in MODULES:
        try:
            module = importlib.import_module(f"stackfluence.native.built.{name}")
        except ImportError:
            return None, "not built for this Python"
        try:
            if sources_digest(name) != module.SOURCES:
                return None, "built from other sources"
        except OSError as error:
            return None, f"its sources can't be read: {error}"
        functions |= {name: found for name, found in vars(module).items() if callable(found)}
    return functions, ""


_functions, why_not = _load()
twins: dict[str, Callable[..., Any]] = {}  # the functions that have a twin in C, as they are in Python


def is_compiled() -> bool:
    """Whether compiled code is used; `why_not` says why it isn't."""
    return _functions is not None


def compiled(twin: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return a function's counterpart in C, the function itself where there is none. Arguments are positional."""
    name = twin.__name__
    twins[name] = twin
    return cast(Callable[_P, _R], _functions[name]) if _functions is not None else twin


def counterpart(name: str) -> Callable[..., Any]:
    """Return a function in C by its name; raises KeyError where there is none."""
    return (_functions or {})[name]
