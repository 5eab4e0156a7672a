"""A process of its own that needs a shop's access token, several times at once: prints each it got.

Arguments: the catalog's address, the data directory, Shopify's address, the connection.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from stackfluence.api import Core
from stackfluence.api.shopify.keeping import Shops
from stackfluence.catalog import open_catalog
from stackfluence.click.click_id import ClickIdKeys
from tests.api.brands import SECRET
from tests.shopify.conftest import core_settings


async def renew(catalog_url: str, directory: str, address: str, connection_id: str) -> None:
    catalog = open_catalog(catalog_url)
    shops = Shops(Core(core_settings(Path(directory)), catalog, ClickIdKeys({1: SECRET}, 720)), address)
    found = await asyncio.gather(*(shops.access_token(connection_id) for _ in range(4)))
    await shops.close()
    await catalog.close()
    sys.stdout.write("\n".join(found))


if __name__ == "__main__":
    asyncio.run(renew(*sys.argv[1:]))
