"""What the edge does with every click, in C where set-up found a compiler; in Python, with the same bytes, elsewhere.

`clicks.c` holds functions that have a twin in Python; the twin stands where it is used, says what both do, and is
marked with `@compiled`. `build` makes the extension module. One that was made from other sources or for another Python
is not used: the name of its file says which Python it is for, and its `SOURCES` which sources it was made from.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, cast

PLACE = Path(__file__).parent
BUILT = PLACE / "built"  # set-up makes it, so git doesn't have it
SOURCES = ("clicks.c", "sha256.h", "build.py")

_P = ParamSpec("_P")
_R = TypeVar("_R")


def sources_digest() -> str:
    """Return the SHA-256 of the sources, hex; the built module carries that of those it was made from."""
    return hashlib.sha256(b"\0".join((PLACE / name).read_bytes() for name in SOURCES)).hexdigest()


def _load() -> tuple[ModuleType | None, str]:
    """Return the built module, or None and why it isn't used."""
    try:
        module = importlib.import_module("stackfluence.native.built._clicks")
    except ImportError:
        return None, "not built for this Python"
    try:
        is_current = sources_digest() == module.SOURCES
    except OSError as error:
        return None, f"its sources can't be read: {error}"
    return (module, "") if is_current else (None, "built from other sources")


_module, why_not = _load()
twins: dict[str, Callable[..., Any]] = {}  # the functions that have a twin in C, as they are in Python


def is_compiled() -> bool:
    """Whether clicks are taken by compiled code; `why_not` says why they aren't."""
    return _module is not None


def compiled(twin: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return a function's counterpart in C, the function itself where there is none. Arguments are positional."""
    name = twin.__name__
    twins[name] = twin
    return cast(Callable[_P, _R], getattr(_module, name)) if _module is not None else twin


def counterpart(name: str) -> Callable[..., Any]:
    """Return a function in C by its name; raises AttributeError where nothing is compiled."""
    return cast(Callable[..., Any], getattr(_module, name))
