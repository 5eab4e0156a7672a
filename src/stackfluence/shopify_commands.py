"""The command line's part of the Shopify app."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from stackfluence.settings import Settings, read_settings


def add_shopify(cli: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    shopify = typer.Typer(help="The Shopify app of a connection.", no_args_is_help=True)
    shopify.callback()(lambda: None)  # or Typer would take the only command for the group
    shopify.command("toml")(toml)
    cli.add_typer(shopify, name="shopify")


def toml(
    connection: Annotated[str, typer.Option(help="The connection's id, con_….")],
    base_url: Annotated[str | None, typer.Option(help="Where Shopify reaches us; SF_BASE_URL when left out.")] = None,
    name: Annotated[str, typer.Option(help="The app's name, as the shop's owner reads it.")] = "Stackfluence",
) -> None:
    """Print shopify.app.toml, which `shopify app deploy` takes."""
    from stackfluence.api.shopify.app_toml import app_toml

    settings = read_settings()
    client_id = asyncio.run(_client_id(settings, connection))
    typer.echo(app_toml(connection, client_id, (base_url or settings.base_url).rstrip("/"), name), nl=False)


async def _client_id(settings: Settings, connection_id: str) -> str:
    from stackfluence.catalog import open_catalog
    from stackfluence.catalog.sources import Connection
    from stackfluence.errors import OperationRefused
    from stackfluence.vocabulary import ConnectionVendor

    catalog = open_catalog(settings.catalog_url)
    try:
        async with catalog.reading() as session:
            row = await session.get(Connection, connection_id)
    finally:
        await catalog.close()
    if row is None or row.vendor != ConnectionVendor.shopify:
        raise OperationRefused(f"There is no connection {connection_id!r} to a Shopify shop.")
    return row.client_id
