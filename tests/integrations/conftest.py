"""What clients and the snippet are tried on is here for recipes too."""

from tests.clients.conftest import edge, server
from tests.snippet.conftest import chromium, context, installation, playwright, shop

__all__ = ["chromium", "context", "edge", "installation", "playwright", "server", "shop"]
