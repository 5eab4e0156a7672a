"""What is set up in a shop after an install, and again whenever somebody asks: hooks and the web pixel.

Each step looks at what is there first, so a repetition changes nothing, and an address that changed is corrected.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from stackfluence.api.shopify.admin import SCOPES
from stackfluence.api.shopify.keeping import Shops
from stackfluence.clock import rfc3339
from stackfluence.errors import Conflict, VendorFailed

# topic → whether its hook is the core's; orders go to the edge, which has them on disk before it answers
TOPICS = {
    "ORDERS_PAID": False,
    "ORDERS_UPDATED": False,
    "ORDERS_CANCELLED": False,
    "REFUNDS_CREATE": False,
    "ORDER_TRANSACTIONS_CREATE": False,
    "APP_UNINSTALLED": True,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was set up or couldn't be; `detail` says what to do."""

    step: str
    is_done: bool
    detail: str


def hook_paths(connection_id: str) -> dict[str, str]:
    """Return the path of each topic's hook."""
    return {
        topic: f"/v1/connections/{connection_id}/shopify" if is_core else f"/v1/hooks/shopify/{connection_id}"
        for topic, is_core in TOPICS.items()
    }


def public_address(base_url: str) -> str:
    """Return the address at which Shopify reaches us; raises Conflict for one it would not call."""
    if not base_url.startswith("https://"):
        raise Conflict(f"Shopify calls https addresses only, and ours is {base_url}; set SF_BASE_URL.")
    return base_url


async def set_up(shops: Shops, connection_id: str, base_url: str, actor: str) -> list[Step]:
    """Register hooks and pixel, keep and return what came of each; raises VendorFailed when nothing can be asked."""
    address = public_address(base_url)
    kept = await shops.find(connection_id)
    found = await shops.ask(connection_id, "Installation", topics=list(TOPICS))
    shop = found.get("shop") or {}
    if shop.get("myshopifyDomain") != kept.row.account:
        raise VendorFailed("The token is of another shop than the connection; install the app again.")
    granted = {scope["handle"] for scope in found["currentAppInstallation"]["accessScopes"]}
    steps = [_scopes(granted)]
    there = found["webhookSubscriptions"]["nodes"]
    for topic, path in hook_paths(connection_id).items():
        steps.append(await _hook(shops, connection_id, topic, address + path, there))
    settings = {"endpoint": address, "organization": kept.row.organization_id}
    steps.append(await _pixel(shops, connection_id, settings))
    async with shops.editing(connection_id, actor) as edited:
        told = {
            "set_up_at": rfc3339(shops.now()),
            "currency": shop.get("currencyCode"),
            "scopes": sorted(granted),
            "steps": [asdict(step) for step in steps],
        }
        edited.row.settings = edited.row.settings | {"shopify": told}
    return steps


def _scopes(granted: set[str]) -> Step:
    missing = [scope for scope in SCOPES if scope not in granted and scope.replace("read_", "write_") not in granted]
    if missing:
        return Step(
            "scopes", False, f"The app lacks {', '.join(missing)}: deploy shopify.app.toml, then install again."
        )
    return Step("scopes", True, "")


async def _hook(shops: Shops, connection_id: str, topic: str, uri: str, there: list[dict[str, Any]]) -> Step:
    step = f"hook {topic.lower()}"
    mine = [hook for hook in there if hook["topic"] == topic and connection_id in str(hook["uri"])]
    if any(hook["uri"] == uri for hook in mine):
        return Step(step, True, "")
    hook = {"uri": uri, "format": "JSON"}
    try:
        if mine:  # our address has changed
            answer = await shops.ask(connection_id, "MoveHook", id=mine[0]["id"], hook=hook)
        else:
            answer = await shops.ask(connection_id, "AddHook", topic=topic, hook=hook)
    except VendorFailed as error:
        return Step(step, False, error.detail)
    return _outcome(step, answer)


async def _pixel(shops: Shops, connection_id: str, settings: dict[str, str]) -> Step:
    try:
        answer = await shops.ask(connection_id, "AddPixel", settings=settings)
        codes = {error["code"] for error in answer["webPixelCreate"]["userErrors"]}
        if "TAKEN" in codes:
            pixel = (await shops.ask(connection_id, "Pixel"))["webPixel"]
            answer = await shops.ask(connection_id, "ChangePixel", id=pixel["id"], settings=settings)
        elif "NO_EXTENSION" in codes:
            return Step("pixel", False, "The app has no web pixel: deploy integrations/shopify, then set up again.")
    except VendorFailed as error:
        return Step("pixel", False, error.detail)
    return _outcome("pixel", answer)


def _outcome(step: str, answer: dict[str, Any]) -> Step:
    wrong = [str(error["message"]) for part in answer.values() for error in part["userErrors"]]
    return Step(step, not wrong, "; ".join(wrong)[:300])
