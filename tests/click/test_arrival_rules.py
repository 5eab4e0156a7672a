"""How a request came: for its headers alone, ahead of the person, or over a link that was tampered with."""

from __future__ import annotations

import time

import pytest

from stackfluence.click.rules import arrival
from stackfluence.click.signals import Signals
from stackfluence.reasons import FLAGGED, REASONS, score_of
from stackfluence.vocabulary import TrafficReason as R
from tests.click.header_sets import (
    CHROME,
    changed,
    found,
)


def test_a_head_request_is_found() -> None:
    assert found(CHROME, method="HEAD") == {R.head_request}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Sec-Purpose", "prefetch", R.prefetch),
        ("Sec-Purpose", "prefetch;anonymous-client-ip", R.prefetch),
        ("Sec-Purpose", "prefetch;prerender", R.prerender),
        ("Purpose", "prefetch", R.prefetch),
        ("X-Purpose", "preview", R.prefetch),
        ("X-Moz", "prefetch", R.prefetch),
    ],
)
def test_a_page_fetched_ahead_has_that_one_reason_which_a_session_lifts(name: str, value: str, reason: R) -> None:
    # as Chromium 156 sends it: other order, other Accept; a link's prefetch is not asked for as a page is at all
    ahead = [(name, value), *CHROME[::-1]]
    assert found(ahead) == {reason}
    assert found(changed(ahead, accept="*/*", sec_fetch_mode="no-cors", sec_fetch_dest="empty")) == {reason}
    assert REASONS[reason].is_provisional


def test_a_purpose_of_another_kind_is_left_alone() -> None:
    assert found(changed(CHROME, purpose="reading")) == set()


@pytest.mark.parametrize(
    ("query", "reasons"),
    [
        (b"", ()),
        (b"utm_source=newsletter&utm_content=caf%C3%A9+and%20more", ()),
        (b"utm_content=50%off&price=100%", ()),
        (b"utm_content=%%CACHEBUSTER%%", ()),
        (b"next=https://brand.example/a/b", ()),
        (b"note=it's+or+not&text=line%0Abreak", ()),
        (b"q=select+a+colour", ()),
        (b"inf_click_id=abc", (R.replayed_click_id,)),
        (b"a=1&inf_click_id=abc", (R.replayed_click_id,)),
        (b"my_inf_click_id=abc", ()),
        (b"inf%5Fclick_id=abc", (R.replayed_click_id,)),
        (b"a=1&INF_CLICK_ID=abc", (R.replayed_click_id,)),
        (b"inf.click+id=abc", (R.replayed_click_id,)),
        (b"inf_click_id", ()),
        (b"utm_campaign=union+select+coffee", ()),
        (b"utm_campaign=the+union+selected+coffee,+tea", ()),
        (b"q=it%27s+%27and+5", ()),
        (b"q=rock+%27n%27+roll+or+jazz", ()),
        (b"next=../../home", ()),
        (b"next=..%2F..%2F..%2Fshop%2Fcart", ()),
        (b"utm_source=news%2", (R.malformed_parameters,)),
        (b"a=b%00c", (R.malformed_parameters,)),
        (b"a=b\x01c", (R.malformed_parameters,)),
        (b"q=%3CScript%3E", (R.malformed_parameters,)),
        (b"q=1'+OR+'1'='1", (R.malformed_parameters,)),
        (b"q=1+UNION+SELECT+1", (R.malformed_parameters,)),
        (b"q=1+union+all+select+null,null", (R.malformed_parameters,)),
        (b"q=1+union+select+name+from+visitors", (R.malformed_parameters,)),
        (b"q=x%27+and+5=5", (R.malformed_parameters,)),
        (b"q=x%27+or+a+like+%27b", (R.malformed_parameters,)),
        (b"file=..%2f..%2fetc", (R.malformed_parameters,)),
        (b"file=../../../../../../secret", (R.malformed_parameters,)),
        (b"a=$%7Bjndi:ldap", (R.malformed_parameters,)),
    ],
)
def test_parameters_are_read_apart_from_the_headers(query: bytes, reasons: tuple[R, ...]) -> None:
    assert arrival.parameter_reasons(query) == reasons
    assert score_of(reasons) < FLAGGED, "what a link carries is its maker's doing too"


@pytest.mark.parametrize(
    "part", [b"../", b"union select ", b"' or ", b"' or '", b"'", b"union  ", b"inf_click_id&", b"%69"]
)
def test_endless_parameters_are_read_in_time_in_step_with_their_length(part: bytes) -> None:
    for query in (b"q=" + part * (16_000 // len(part)), b"q=' or " + part * (15_000 // len(part))):
        started = time.process_time()
        arrival.parameter_reasons(query)
        assert time.process_time() - started < 0.5


def test_a_link_that_is_named_as_the_referrer_is_a_reason() -> None:
    headers = (("User-Agent", "Mozilla/5.0"),)
    assert arrival.self_referred(Signals(headers, is_self_referred=True)) is R.self_referred
    assert arrival.self_referred(Signals(headers)) is None
