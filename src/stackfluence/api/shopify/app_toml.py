"""The app's configuration, `shopify.app.toml`, which `shopify app deploy` takes: one app for each shop or client.

Source: Shopify CLI, "App configuration". The privacy topics can be subscribed to here alone; the others are registered
with the shop at its install, so that a shop without them is not sent anything.
"""

from __future__ import annotations

import json

from stackfluence.api.shopify.admin import API_VERSION, SCOPES
from stackfluence.api.shopify.setup import public_address

CALLBACK = "/v1/shopify/callback"
PRIVACY_TOPICS = ("customers/data_request", "customers/redact", "shop/redact")


def app_toml(connection_id: str, client_id: str, base_url: str, name: str = "Stackfluence") -> str:
    """Return the file for a connection's app; raises Conflict for an address that Shopify can't call."""
    address = public_address(base_url)
    core = f"{address}/v1/connections/{connection_id}/shopify"
    return f"""# The Shopify app of connection {connection_id}; beside `extensions`, shopify app deploy takes it.
client_id = {_text(client_id)}
name = {_text(name)}
application_url = {_text(core + "/open")}
embedded = false

[access_scopes]
scopes = {_text(",".join(SCOPES))}

[auth]
redirect_urls = [ {_text(address + CALLBACK)} ]

[webhooks]
api_version = {_text(API_VERSION)}

[[webhooks.subscriptions]]
compliance_topics = [ {", ".join(_text(topic) for topic in PRIVACY_TOPICS)} ]
uri = {_text(core)}
"""


def _text(value: str) -> str:
    """Return a text as TOML has it: a basic string is written as a JSON one, DEL aside, which none of ours has."""
    return json.dumps(value)
