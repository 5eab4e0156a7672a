"""The README's quickstart does what it says: its commands are run as they stand."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def quickstart() -> list[str]:
    """Return the quickstart's shell blocks."""
    section = README.read_text().partition("<!-- quickstart")[2].partition("<!-- /quickstart -->")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def test_the_quickstart_runs_as_it_stands(tmp_path: Path) -> None:
    start, use = quickstart()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wait = (
        "for i in $(seq 240); do curl -sf -o /dev/null http://127.0.0.1:$PORT/openapi.json && break; sleep 0.25; done\n"
    )
    script = f"set -eu\n{start}\nPID=$!\ntrap 'kill $PID; wait $PID' EXIT\n{wait}\n{use}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SF_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**kept, "PATH": path, "PORT": str(port), "SF_DATA_DIR": str(tmp_path / "data")}
    with subprocess.Popen(
        ["bash", "-c", script], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as shell:
        printed, complaints = shell.communicate(timeout=180)
    assert shell.returncode == 0, complaints
    events = json.loads(printed[printed.rindex('{"items"') :])["items"]
    assert [event["event_type"] for event in events] == ["click", "conversion"]
    click, conversion = events
    assert conversion["click_id"] == click["event_id"]
    assert conversion["click_id_status"] == "valid"
    assert conversion["revenue_cents"] == 4999
