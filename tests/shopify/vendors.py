"""What Shopify publishes of its formats, where set-up installed it: `npm ci` in tests/vendor."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INTEGRATION = ROOT / "integrations" / "shopify"
PACKAGES = ROOT / "tests" / "vendor" / "node_modules"


def published(path: str) -> Path:
    """Return a file of a vendor's package; skips the test, counted, where it isn't installed."""
    found = PACKAGES / path
    if not found.exists():
        pytest.skip(f"{path} is not installed: npm ci in tests/vendor")
    return found
