"""What the catalog accepts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackfluence.catalog import checks
from stackfluence.catalog.tables import Campaign, Link, Organization
from stackfluence.errors import Invalid
from stackfluence.names import fold, is_name, link_key


@pytest.mark.parametrize(
    "text", ["javascript:alert(1)", "ftp://brand.example", "https://", "/cart", "brand.example", ""]
)
def test_a_destination_is_http_or_https_with_a_host(text: str) -> None:
    with pytest.raises(Invalid):
        Link(destination_url=text)


@pytest.mark.parametrize(
    "text",
    [
        "https://brand.example@evil.example/",
        "https://user:pass@brand.example/",
        "https://brand.example\\@evil.example/",
        "https://brand.example/\r\nSet-Cookie: a=b",
        "https://brand.example/a b",
        "https://brand.example:99999/",
        "https://[::1/",
        "https://brand.example/" + "a" * 2048,
    ],
)
def test_a_destination_cannot_mislead_or_break_a_header(text: str) -> None:
    with pytest.raises(Invalid):
        Link(destination_url=text)


@pytest.mark.parametrize(
    "text",
    ["https://brand.example/?a=b&c={creator_handle}#top", "http://[::1]:8000/x", "https://bücher.example/käse?q=é"],
)
def test_a_destination_keeps_its_query_fragment_macros_and_letters(text: str) -> None:
    assert Link(destination_url=f" {text} ").destination_url == text


@pytest.mark.parametrize("text", ["", "a b", "a/b", "..", "a\0b", "x" * 101, "😀", "a%20b"])
def test_a_slug_is_letters_digits_and_three_signs(text: str) -> None:
    with pytest.raises(Invalid):
        Campaign(slug=text)


@pytest.mark.parametrize(
    ("text", "slug"), [("Été_26.a-b", "été_26.a-b"), ("夏", "夏"), ("STRASSE", "strasse"), ("Straße", "strasse")]
)
def test_a_slug_is_stored_folded(text: str, slug: str) -> None:
    assert Campaign(slug=text).slug == slug


@given(st.text(max_size=30))
def test_what_can_be_a_name_folds_to_itself_and_gives_one_key(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    if is_name(folded):
        assert link_key("", text, text, text) == f"\0{folded}\0{folded}\0{folded}".encode()


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.currency, [("eur", "EUR"), ("JPY", "JPY")], ["EURO", "XXX", "", "ABC"]),
        (
            checks.time_zone,
            [("Europe/Berlin", "Europe/Berlin"), ("UTC", "UTC")],
            ["Mars/Base", "../etc/passwd", "", "CET+1"],
        ),
        (
            checks.hostname,
            [
                ("GO.Brand.Example.", "go.brand.example"),
                ("bücher.example", "xn--bcher-kva.example"),
                ("Straße.example", "xn--strae-oqa.example"),
                ("go。brand。example", "go.brand.example"),
                ("127.0.0.1", "127.0.0.1"),
            ],
            [
                "https://brand.example",
                "brand.example:80",
                "-a.example",
                "a..b",
                "",
                "a_b.example",
                "x" * 64 + ".example",
                "ß" * 64 + ".example",
            ],
        ),
    ],
)
def test_codes_zones_and_hosts_are_checked(
    check: Callable[[str, str], str], good: list[tuple[str, str]], bad: list[str]
) -> None:
    assert [check("field", text) for text, _ in good] == [value for _, value in good]
    for text in bad:
        with pytest.raises(Invalid):
            check("field", text)


@pytest.mark.parametrize(
    "text", ["*", "null", "https://brand.example/path", "https://brand.example?x", "brand.example"]
)
def test_an_origin_is_scheme_host_and_port(text: str) -> None:
    with pytest.raises(Invalid):
        checks.origins("allowed_origins", [text])


def test_the_refusal_names_the_field() -> None:
    with pytest.raises(Invalid) as refused:
        Organization(currency="EURO")
    assert refused.value.extra == {"field": "currency"}
