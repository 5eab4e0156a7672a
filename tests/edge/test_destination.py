"""Whatever a visitor appends to a link, the shop sees its own address, its own parameters and our click ID."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stackfluence.click.click_id import ClickIdKeys
from stackfluence.click.destination import MAX_PASSED, Destination, page_of, to_ascii
from tests.edge.edges import SECRETS, TTL_HOURS, a_link

SIGNED = b"A" * 63
ID = "inf_click_id"


def a_destination(url: str, **fields: Any) -> Destination:
    """Return a link's destination made ready."""
    link = a_link(destination_url=url, **fields)
    return Destination(link, ClickIdKeys(SECRETS, TTL_HOURS).mint_for(link.organization_id, link.id))


def location(url: str, query: bytes = b"", **fields: Any) -> str:
    """Return where a visitor who brings a query is sent."""
    return a_destination(url, **fields).address(query, SIGNED).decode("ascii")


# How shops read a query: each returns, by the name as it reads it, all that it found under it, in order.

Read = dict[str, list[Any]]


def read_as_urllib(query: str) -> Read:
    """Python: the first or the last of a list."""
    found: Read = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="surrogateescape"):
        found.setdefault(name, []).append(value)
    return found


def read_as_whatwg(query: str) -> Read:
    """URLSearchParams of the WHATWG URL standard: the first wins."""
    found: Read = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = (unquote(part.replace("+", " "), errors="replace") for part in pair.partition("="))
            found.setdefault(name, []).append(value)
    return found


def read_as_php(query: str) -> Read:
    """PHP's php_register_variable_ex: names mangled, the last wins, brackets make arrays."""
    found: Read = {}
    for pair in query.split("&"):
        raw, _, value = pair.partition("=")
        name = unquote_to_bytes(raw.replace("+", " ")).lstrip(b" ").partition(b"\0")[0]
        bracket = name.find(b"[")
        key = (name if bracket < 0 else name[:bracket]).replace(b" ", b"_").replace(b".", b"_")
        if not key:
            continue
        if bracket < 0:
            found[key.decode("latin-1")] = [value]
        elif b"]" in name[bracket + 1 :]:
            found.setdefault(key.decode("latin-1"), []).append((name[bracket:], value))
        else:
            for rest in (name[bracket + 1 :], name[bracket + 1 :].translate(bytes.maketrans(b" .[", b"___"))):
                found[(key + b"_" + rest).decode("latin-1")] = [value]
    return found


def read_without_case(query: str) -> Read:
    """ASP and others: names without case."""
    found: Read = {}
    for name, values in read_as_whatwg(query).items():
        found.setdefault(name.casefold(), []).extend(values)
    return found


def read_with_semicolons(query: str) -> Read:
    """Old Python, Rack and Perl: `;` separates too."""
    return read_as_urllib(query.replace(";", "&"))


READERS: list[Callable[[str], Read]] = [
    read_as_urllib, read_as_whatwg, read_as_php, read_without_case, read_with_semicolons,
]  # fmt: skip

NAMES = ["sku", "a", "a.b", "a_b", "a[b]", "a[b", "a b", "A", "größe", "_x", "x_", "ID", "id", "k[]", "q;r", "", "é"]
SPELLINGS = [
    lambda name: name,
    str.upper,
    lambda name: quote(name, safe=""),
    lambda name: "".join(f"%{byte:02x}" for byte in name.encode()),
    lambda name: "+" + name,
    lambda name: name + "+",
    lambda name: name + "%00x",
    lambda name: name + "[]",
    lambda name: name + "[x]",
    lambda name: name + "[",
    lambda name: name.replace("_", "."),
    lambda name: name.replace("_", "["),
    lambda name: name.replace("_", "%20"),
    lambda name: "x=1;" + name,
    lambda name: "%0a" + name,
    lambda name: "x#" + name,
]
spelled = st.builds(lambda name, spell: spell(name), st.sampled_from(NAMES), st.sampled_from(SPELLINGS))
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)
pairs = st.builds(lambda name, value: f"{name}={value}", st.one_of(spelled, visible), visible) | visible | spelled
queries = st.lists(pairs, max_size=6).map("&".join)
incoming = st.one_of(queries.map(str.encode), st.binary(max_size=60))
own_values = st.text(st.characters(min_codepoint=0x21, blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=8)
own_pairs = st.builds(
    lambda name, value: f"{name}={quote(value, safe='/?:@!$()*,;%')}", st.sampled_from(NAMES[:-1]), own_values
)
own_queries = st.none() | st.lists(own_pairs, max_size=4).map("&".join)
paths = st.lists(own_values.map(lambda text: text.replace("#", "").replace("?", "").replace("\\", "")), max_size=3)
fragments = st.none() | own_values.map(lambda text: text.replace("#", ""))
urls = st.builds(
    lambda path, query, fragment: (
        "https://shop.brand.example"
        + "".join(f"/{part}" for part in path)
        + ("" if query is None else f"?{query}")
        + ("" if fragment is None else f"#{fragment}")
    ),
    paths,
    own_queries,
    fragments,
)


@given(urls, incoming)
@example("https://shop.brand.example?a_b=1", b"a[b=2")
@example("https://shop.brand.example?x_=1", b"x+=2")
@example("https://shop.brand.example?sku=1", b"y=1;sku=2")
@example("https://shop.brand.example?gr%C3%B6%C3%9Fe=1", b"GR%C3%96SSE=2&GR%C3%96%C3%9FE=3")
@example("https://shop.brand.example/#top?a=1", b"a=2")
@example("https://shop.brand.example/", b"//evil.example/#?&&=&%&%%&a=%zz")
@example("https://shop.brand.example?inf_click_id=1", b"inf.click.id=2&INF_CLICK_ID=3")
def test_nothing_that_is_brought_changes_what_the_destination_says(url: str, query: bytes) -> None:
    result = location(url, query)

    assert all(0x21 <= ord(character) <= 0x7E for character in result)  # fits into a header, and ends none
    before, after = urlsplit(to_ascii(url)), urlsplit(result)
    assert (after.scheme, after.netloc, after.path) == (before.scheme, before.netloc, before.path)
    assert after.fragment == before.fragment
    for read in READERS:
        own, whole = read(before.query), read(after.query)
        for name, values in own.items():
            expected = values + (["A" * 63] if name == ID and read is not read_as_php else [])
            if not (name == ID and read is read_as_php):
                assert whole[name] == expected, (read.__name__, name)
        assert whole[ID][-1] == "A" * 63
        if ID not in own:
            assert whole[ID] == ["A" * 63]


@given(urls)
def test_the_destinations_own_address_round_trips(url: str) -> None:
    before, after = urlsplit(url), urlsplit(location(url))
    assert unquote_to_bytes(after.path) == unquote_to_bytes(before.path)
    assert unquote_to_bytes(after.fragment) == unquote_to_bytes(before.fragment)
    added = parse_qsl(after.query, keep_blank_values=True)
    assert added == [*parse_qsl(before.query, keep_blank_values=True), (ID, "A" * 63)]


@given(urls, incoming)
def test_without_an_id_it_is_the_same_address_but_for_the_id(url: str, query: bytes) -> None:
    destination = a_destination(url)
    with_id, without = destination.address(query, SIGNED).decode(), destination.address(query, b"").decode()
    kept = [pair for pair in urlsplit(with_id).query.split("&") if pair and pair != f"{ID}={'A' * 63}"]
    assert [pair for pair in urlsplit(without).query.split("&") if pair] == kept
    assert destination.address(b"", b"").decode() == to_ascii(url)


@given(
    st.lists(
        st.tuples(st.sampled_from(["utm_source", "gclid", "ref", "größe", "x y"]), st.text(max_size=9)), max_size=5
    )
)
def test_what_collides_with_nothing_is_passed_on_as_it_was_meant(brought: list[tuple[str, str]]) -> None:
    brought = [(name, value.encode("utf-8", "replace").decode()) for name, value in brought]
    query = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in brought).encode()
    result = parse_qsl(urlsplit(location("https://shop.brand.example/?sku=1", query)).query, keep_blank_values=True)
    assert result == [("sku", "1"), *brought, (ID, "A" * 63)]


@pytest.mark.parametrize(
    ("url", "query", "expected"),
    [
        ("https://shop.brand.example", b"", f"https://shop.brand.example?{ID}="),
        ("https://shop.brand.example/a?", b"", f"https://shop.brand.example/a?{ID}="),
        ("https://shop.brand.example/a?b", b"", f"https://shop.brand.example/a?b&{ID}="),
        ("https://shop.brand.example/a?b=1&", b"", f"https://shop.brand.example/a?b=1&{ID}="),
        ("https://shop.brand.example/a%2Fb?c=%26%3D#x%20y", b"", f"https://shop.brand.example/a%2Fb?c=%26%3D&{ID}="),
        ("https://Shop.Brand.example/A", b"b=C", f"https://Shop.Brand.example/A?b=C&{ID}="),
        ("HTTPS://shop.brand.example/", b"", f"HTTPS://shop.brand.example/?{ID}="),
        ("http://127.0.0.1:8080/x", b"", f"http://127.0.0.1:8080/x?{ID}="),
        ("http://[::1]:8080/é", b"", f"http://[::1]:8080/%C3%A9?{ID}="),
        ("https://bücher.example/größe", b"", f"https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe?{ID}="),
        ("https://straße.example/", b"", f"https://xn--strae-oqa.example/?{ID}="),
        ("https://BÜCHER。example:8080/", b"", f"https://xn--bcher-kva.example:8080/?{ID}="),
        ("https://शॉप.example/", b"", f"https://xn--n2bx1d.example/?{ID}="),
        ("https://shop.brand.example/", b"a=1&a=2", f"https://shop.brand.example/?a=1&a=2&{ID}="),
        ("https://shop.brand.example/?a=0", b"a=1&b=2&a=3", f"https://shop.brand.example/?a=0&b=2&{ID}="),
        ("https://shop.brand.example/", b"&&a&", f"https://shop.brand.example/?a&{ID}="),
        (
            "https://shop.brand.example/",
            b'a="<>\\^`{|}',
            f"https://shop.brand.example/?a=%22%3C%3E%5C%5E%60%7B%7C%7D&{ID}=",
        ),
        ("https://shop.brand.example/", b"a=100%&b=%41", f"https://shop.brand.example/?a=100%25&b=%41&{ID}="),
        ("https://shop.brand.example/", b"inf_click_id=old&x=1", f"https://shop.brand.example/?x=1&{ID}="),
    ],
)
def test_addresses(url: str, query: bytes, expected: str) -> None:
    fragment = "#x%20y" if "#" in url else ""
    assert location(url, query) == expected + "A" * 63 + fragment


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://Shop.Brand.example/Sale?x=1#top", "//shop.brand.example/Sale"),
        ("https://shop.brand.example/Sale/", "//shop.brand.example/Sale"),
        ("https://shop.brand.example", "//shop.brand.example"),
        ("http://shop.brand.example:8080/", "//shop.brand.example"),
        ("https://shop.brand.example/" + "p" * 1_000, "//shop.brand.example/" + "p" * 479),
    ],
)
def test_of_an_address_host_and_path_are_the_page(url: str, page: str) -> None:
    assert page_of(url) == page


def test_macros_in_the_query_are_filled() -> None:
    url = "https://shop.brand.example/{creator}?c={creator}&s={campaign}&a={asset}&p={platform}&l={link_id}&x={other}"
    fields = {"creator_handle": "łucja & co", "asset_slug": "reel-1"}
    query = urlsplit(location(url, b"", **fields)).query
    link = a_link()
    assert parse_qsl(query)[:-1] == [
        ("c", "łucja & co"), ("s", "summer"), ("a", "reel-1"), ("p", "instagram"), ("l", link.id), ("x", "{other}"),
    ]  # fmt: skip
    assert urlsplit(location(url, b"", **fields)).path == "/{creator}"


def test_what_is_brought_cannot_override_a_filled_macro() -> None:
    result = location("https://shop.brand.example/?utm_source={creator}", b"utm_source=evil&utm%5fsource=evil")
    assert parse_qsl(urlsplit(result).query)[0] == ("utm_source", "emma")
    assert "evil" not in result


def test_a_very_long_query_is_cut_between_parameters() -> None:
    query = b"&".join(b"p%d=%b" % (number, b"%C3%A9" * 20) for number in range(100))
    result = location("https://shop.brand.example/", query)
    passed = parse_qsl(urlsplit(result).query)[:-1]
    assert MAX_PASSED - 200 < len(result) < MAX_PASSED + 200
    assert passed == [(f"p{number}", "é" * 20) for number in range(len(passed))]
    assert (
        location("https://shop.brand.example/", b"gclid=" + b"x" * 3000)
        == f"https://shop.brand.example/?{ID}=" + "A" * 63
    )


@pytest.mark.parametrize(
    "url", ["", "shop.brand.example", "//shop.brand.example", "javascript:alert(1)", "data:,x", "ftp://a/", "https:///x",
            "https://[::1/", "https://" + "ü" * 80 + ".example/", "https://\ud800.example/", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        to_ascii(url)
