"""Clients and the install page name the fields that the intake reads, and no others."""

from __future__ import annotations

import re
from typing import get_type_hints

from stackfluence import client
from stackfluence.collect.payloads import OrderLine, Payload
from tests.clients.scripted import ROOT

READ = set(Payload.__struct_fields__)
OF_PAGES = {"referrer", "time_on_page_ms", "is_webdriver", "has_interaction", "organization_id", "key"}


def interface(name: str) -> set[str]:
    """Return the fields of an interface in the Node client's types."""
    text = (ROOT / "clients" / "node" / "index.d.ts").read_text()
    body = re.search(rf"export interface {name}\b[^{{]*\{{(.*?)^\}}", text, re.DOTALL | re.MULTILINE)
    assert body, name
    return set(re.findall(r"^  (\w+)\??:", body[1], re.MULTILINE))


def test_the_python_client_has_every_field_a_server_may_send() -> None:
    assert set(get_type_hints(client.Event)) == READ - OF_PAGES
    assert set(get_type_hints(client.Line)) == set(OrderLine.__struct_fields__)


def test_both_clients_have_the_same_fields() -> None:
    assert interface("Fields") == set(get_type_hints(client.Fields))
    for name, kind in (("Conversion", client.Conversion), ("Refund", client.Refund)):
        assert interface(name) | interface("Fields") == set(get_type_hints(kind)), name
    assert interface("Line") == set(get_type_hints(client.Line))


def test_the_install_page_explains_each_field_once() -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    section = page.partition("### What an event says")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE)
    explained = [field for names, _ in rows for field in re.findall(r"`(\w+)`", names)]
    assert sorted(explained) == sorted(READ)
    [lines] = [text for names, text in rows if names == "`lines`"]
    assert set(re.findall(r"`(\w+)`", lines)) == set(OrderLine.__struct_fields__)
