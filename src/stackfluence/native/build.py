"""Compile `clicks.c` and `lines.c` for the running Python: `python -m stackfluence.native.build`.

A second run with the same sources does nothing. Without a C compiler or Python.h it says so and ends well: the product
works the same, and takes about twice as much processor time for a click and for loading it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from stackfluence.native import BUILT, MODULES, PLACE, is_compiled, sources_digest

SECONDS = 120.0
_FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-fno-strict-overflow", "-fstack-protector-strong", "-fvisibility=hidden")


def build(built: Path = BUILT) -> str:
    """Compile into `built`, by rename, and return an empty text; or the reason why that can't be done here."""
    compiler = shlex.split(os.environ.get("CC", "")) or _compiler()
    include = Path(sysconfig.get_path("include"))
    if not compiler or shutil.which(compiler[0]) is None:
        return "no C compiler"
    if not (include / "Python.h").is_file():
        return f"no {include / 'Python.h'}"
    built.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent, prefix=".built-") as folder:
        draft = Path(folder) / "draft"
        for module in MODULES:
            reason = _compile(compiler, include, module, draft)
            if reason:
                return reason
            draft.chmod(0o755)
            draft.replace(built / f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}")
    return ""


def _compile(compiler: list[str], include: Path, module: str, draft: Path) -> str:
    linking = ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
    sources = [str(PLACE / name) for name in MODULES[module] if name.endswith(".c")]
    digest = f'-DSOURCES="{sources_digest(module)}"'
    command = [*compiler, *_FLAGS, *linking, digest, f"-I{include}", *sources, "-o", str(draft)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  # the compiler
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return f"{shlex.join(compiler)} failed: {done.stderr.strip().partition(chr(10))[0]}" if done.returncode else ""


def _compiler() -> list[str]:
    """Return the system's compiler, else the one that Python itself was built with."""
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    return [found] if found else shlex.split(sysconfig.get_config_var("CC") or "")


def main() -> None:
    """Compile unless what is there is of these sources, and say so where that can't be done."""
    try:
        reason = "" if is_compiled() else build()
    except OSError as error:  # an installation that is another account's
        reason = str(error)
    if reason:
        cost = "clicks and their loading cost twice as much, all else is the same"
        sys.stdout.write(f"Nothing is compiled ({cost}): {reason}.\n")


if __name__ == "__main__":
    main()
