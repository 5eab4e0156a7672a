"""A body that is read in one step says what it says when it is looked at closely."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackfluence.collect.payloads import MAX_CENTS, MAX_TEXT, Payload, idempotency_key, read_payload
from stackfluence.collect.unusable import Unusable
from stackfluence.collect.usual import UsualPayload, read_usual

texts = st.one_of(st.text(max_size=8), st.sampled_from(["ä" * MAX_TEXT, "ä" * (MAX_TEXT + 1), "\ud800", "\0", '"\\']))
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from(
        [MAX_CENTS, MAX_CENTS + 1, 2**53, 2**63 - 1, 2**63, -(2**63), 2**64, 10**40, 1.0, -0.0, 1.5, 1e300]
    ),
)
anything = st.recursive(
    st.one_of(texts, numbers, st.none(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)
fields = st.sampled_from(Payload.__struct_fields__)
likely = st.dictionaries(fields, st.one_of(texts, numbers), max_size=6)
documents = st.one_of(likely, st.dictionaries(st.one_of(fields, fields, texts), anything, max_size=6))


def general(document: Any) -> Payload | None:
    """Return what a document says when it is looked at closely, None when it can't be used."""
    try:
        return read_payload(document)
    except Unusable:
        return None


def fields_of(payload: Payload) -> dict[str, Any]:
    """Return an event's fields, those of its lines too."""
    plain: dict[str, Any] = msgspec.to_builtins(payload)
    return plain


@settings(max_examples=600, deadline=None)
@given(documents)
def test_what_is_read_in_one_step_is_what_a_closer_look_finds(document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    found = read_usual(body, is_batch=False)
    if found is None:
        return
    read = msgspec.json.decode(body)
    [payload] = found.payloads
    closer = general(read)
    assert closer is not None
    assert fields_of(payload) == fields_of(closer)
    assert str(payload.idempotency_key) == idempotency_key(read)
    assert (found.organization_id, found.key) == (closer.organization_id, closer.key)


@given(st.lists(likely, max_size=3), st.booleans())
def test_a_batch_is_read_as_its_events_are(events: list[dict[str, Any]], has_key: bool) -> None:
    body = json.dumps({"events": events, **({"key": "k"} if has_key else {})}).encode()
    found = read_usual(body, is_batch=True)
    single = [read_usual(json.dumps(event).encode(), is_batch=False) for event in events]
    if found is None:
        assert None in single
        return
    assert [fields_of(payload) for payload in found.payloads] == [
        fields_of(one.payloads[0]) for one in single if one is not None
    ]
    assert found.key == ("k" if has_key else "")
    assert [msgspec.json.decode(document) for document in found.documents] == json.loads(body)["events"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"order_id":"1","odd":"\xff"}',
        b'{"order_id":"1","odd":"\\ud800"}',
        b'{"order_id":"1","odd":1e999}',
        b'{"order_id":"1","lines":[{"odd":"\xff"}]}',
        b'{"order_id":"1"',
        b'{"order_id":"1"} 2',
        b"[]",
        b"",
        b'{"metadata":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
    ],
)
def test_what_is_no_json_is_never_read_in_one_step(body: bytes) -> None:
    assert read_usual(body, is_batch=False) is None
    assert read_usual(b'{"events":[%b]}' % body, is_batch=True) is None or not body


def test_what_our_snippet_and_a_plain_shop_send_is_read_in_one_step() -> None:
    visit = {
        "type": "pageview", "inf_click_id": "", "page_url": "https://brand.example/ä", "referrer": "",
        "occurred_at": "2026-11-22T13:00:00.123Z", "idempotency_key": "1", "consent": "unknown",
        "is_webdriver": False, "has_interaction": True, "session_id": "s", "metadata": {},
    }  # fmt: skip
    batch = {"organization_id": "org_1", "key": "sf_pub_1", "events": [visit]}
    assert read_usual(json.dumps(batch).encode(), is_batch=True) is not None
    order = {
        "order_id": 5,
        "revenue_cents": 4_999,
        "currency": "EUR",
        "coupon_codes": ["EMMA10"],
        "lines": [{"sku": "S"}],
    }
    found = read_usual(json.dumps(order).encode(), is_batch=False)
    assert found is not None
    assert isinstance(found.payloads[0], UsualPayload)
