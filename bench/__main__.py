"""Run the benches named on the command line, or all of them, one after another."""

from __future__ import annotations

import importlib
import json
import sys

NAMES = (
    "redirect",
    "ingest",
    "snapshot",
    "load",
    "visible",
    "redis_away",
    "crash",
    "copies",
    "bots",
    "snippet",
    "oracle",
    "derive",
    "reports",
    "plain",
)


def main() -> None:
    """Print a JSON line per bench, or several; a bench whose tools are missing says so in its line."""
    for name in sys.argv[1:] or NAMES:
        found = importlib.import_module(f"bench.{name}").run()
        for result in found if isinstance(found, list) else [found]:
            print(json.dumps({"bench": name, **result}), flush=True)


if __name__ == "__main__":
    main()
