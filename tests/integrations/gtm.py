"""A Google Tag Manager template read from its file, and its scenarios run by a harness of our own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "integrations" / "gtm" / "template.tpl"
HARNESS = Path(__file__).with_name("gtm_harness.mjs")
PACKAGES = ROOT / "tests" / "vendor" / "node_modules"


class Template(NamedTuple):
    """The sections that matter here."""

    names: list[str]
    information: dict[str, Any]
    parameters: list[dict[str, Any]]
    code: str
    permissions: list[dict[str, Any]]
    tests: dict[str, Any]


def read_template(text: str) -> Template:
    """Return a template's sections; raises ValueError for one that can't be read."""
    _, *parts = re.split(r"^___([A-Z_]+)___$", text, flags=re.MULTILINE)
    sections = {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    return Template(
        names=parts[::2],
        information=json.loads(sections["INFO"]),
        parameters=json.loads(sections["TEMPLATE_PARAMETERS"]),
        code=sections["SANDBOXED_JS_FOR_WEB_TEMPLATE"],
        permissions=json.loads(sections["WEB_PERMISSIONS"]),
        tests=yaml.safe_load(sections["TESTS"]),
    )


class Played(NamedTuple):
    """What the sandbox would refuse, None where acorn isn't installed; and each scenario's failure or None."""

    faults: list[str] | None
    results: dict[str, str | None]


def play(
    code: str, permissions: list[dict[str, Any]], scenarios: list[dict[str, str]], setup: str, folder: Path
) -> Played:
    """Run scenarios; skips the test without Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    harness = folder / HARNESS.name  # a module looks for packages from where it is
    shutil.copy(HARNESS, harness)
    if PACKAGES.is_dir() and not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(PACKAGES)
    given = {"code": code, "permissions": permissions, "tests": {"scenarios": scenarios, "setup": setup}}
    done = subprocess.run(
        [node, harness], input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Played(told["faults"], {result["name"]: result["error"] for result in told["results"]})
