"""Run the benches named on the command line, or all of them, one after another."""

from __future__ import annotations

import importlib
import json
import sys

NAMES = ("redirect", "ingest", "snapshot", "load", "visible", "crash")


def main() -> None:
    """Print a JSON line per bench; a bench whose tools are missing says so in its line."""
    for name in sys.argv[1:] or NAMES:
        result = importlib.import_module(f"bench.{name}").run()
        print(json.dumps({"bench": name, **result}), flush=True)


if __name__ == "__main__":
    main()
