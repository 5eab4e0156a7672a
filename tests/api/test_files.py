"""Files of links: nothing in them is a formula, and whatever goes out comes back the same."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackfluence.api.files import Format, join_tags, read_csv, split_tags
from stackfluence.api.lines import LineForm, escape, read_json_lines, unescape, write_csv
from stackfluence.api.link_bodies import NewLink
from stackfluence.errors import Invalid

BARE = LineForm(NewLink, {})
MOVED = LineForm(NewLink, {"creator_handle": "emma", "campaign_slug": "moved"})
OWN = b"creator_handle,campaign_slug,destination_url\nemma,summer,https://x.example/\n"
BITLY = (
    b"Link,Custom Link,Date created,Title,Destination URL,Engagements,Status\n"
    b"https://bit.ly/3aBcD,https://go.brand.example/Socks,2026-01-02,Socks,https://shop.brand.example/socks,12,Active\n"
    b"https://bit.ly/3aBcE,,2026-01-02,=cmd|' /C calc'!A0,https://shop.brand.example/hats,0,Archived\n"
)
DUB = (
    b"Short link,Destination URL,Clicks,Created at,Updated at,Tags,Archived\n"
    b'https://go.brand.example/summer/reel,https://shop.brand.example/?a=1,7,2026-01-02T03:04:05.000Z,,"eu,story",false\n'
    b"https://go.brand.example/old,https://shop.brand.example/old,0,,,,true\n"
)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n")))
def test_an_escaped_cell_is_no_formula_and_comes_back(cell: str) -> None:
    assert unescape(escape(cell)) == cell
    assert not escape(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''"])
def test_what_spreadsheets_run_goes_out_as_text(cell: str) -> None:
    (row,) = csv.reader(io.StringIO(write_csv([[cell, "safe"]]).decode(), newline=""))
    assert row[0].startswith("'")
    assert unescape(row[0]) == cell
    assert row[1] == "safe"


@given(st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1), max_size=5))
def test_tags_come_back_whatever_is_in_them(tags: list[str]) -> None:
    assert split_tags(join_tags(tags)) == tags


@pytest.mark.parametrize(
    "body",
    [
        OWN,
        b"\xef\xbb\xbf" + OWN,
        OWN.decode().encode("utf-16"),
        OWN.replace(b",", b";"),
        OWN.replace(b",", b"\t"),
        OWN.replace(b"\n", b"\r\n"),
        b"\n".join([*OWN.split(b"\n"), b"", b",,", b""]),
        OWN.replace(b"creator_handle", b" Creator_Handle "),
    ],
)
def test_a_csv_file_is_read_as_spreadsheets_write_it(body: bytes) -> None:
    format, records = read_csv(body, None, BARE)
    assert format is Format.stackfluence
    (record,) = records
    assert record.number == 2
    assert record.wanted is not None
    assert (record.wanted.creator_handle, record.wanted.destination_url) == ("emma", "https://x.example/")


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    body = b'creator_handle,campaign_slug,destination_url,tags\nemma,summer,https://x.example/,"a\nb"\nnoah,,,,,\n'
    _, records = read_csv(body, None, BARE)
    assert [(record.number, record.is_readable) for record in records] == [(2, True), (4, False)]


def test_bitlys_export_becomes_links_named_by_their_back_halves() -> None:
    format, records = read_csv(BITLY, None, MOVED)
    assert format is Format.bitly
    wanted = [record.wanted for record in records]
    assert [
        (new.creator_handle, new.campaign_slug, new.asset_slug, new.destination_url, new.status.value)
        for new in wanted
        if new
    ] == [
        ("emma", "moved", "Socks", "https://shop.brand.example/socks", "active"),
        ("emma", "moved", "3aBcE", "https://shop.brand.example/hats", "archived"),
    ]


def test_dubs_export_keeps_tags_and_archived() -> None:
    body = DUB.replace(b"Archived\n", b"Archived,creator_handle,campaign_slug\n").replace(b"false", b"false,noah,")
    format, records = read_csv(body, None, MOVED)
    assert format is Format.dub
    first, second = (record.wanted for record in records)
    assert first is not None
    assert second is not None
    assert (first.creator_handle, first.asset_slug, first.tags) == ("noah", "summer-reel", ["eu", "story"])
    assert (second.creator_handle, second.asset_slug, second.status.value) == ("emma", "old", "archived")


def test_a_format_that_is_named_is_taken_and_one_that_is_unknown_refused() -> None:
    assert read_csv(b"Link,URL\nb.example/x,https://x.example/\n", None, BARE)[0] is Format.dub
    assert read_csv(b"url,tags\nhttps://x.example/,\n", Format.dub, BARE)[0] is Format.dub
    for body, format in (
        (b"", None),
        (b"a,b\n1,2\n", None),
        (b"url,tags\nhttps://x.example/,\n", None),
        (b"Link,Title\nb.example/x,y\n", Format.bitly),
        (OWN.replace(b"campaign_slug", b"campain_slug"), None),
        (b"\xff\xfe\xff", None),
        (b"destination_url\n\xe9", None),
    ):
        with pytest.raises(Invalid):
            read_csv(body, format, BARE)


def test_a_line_that_is_wrong_says_where_and_the_others_are_read() -> None:
    lines = [
        b'{"destination_url": "https://x.example/", "is_test": "yes"}',
        b"[1]",
        b"{",
        b"",
        b'{"colour": 1}',
        b"\xff",
    ]
    records = read_json_lines(b"\n".join(lines), BARE)
    assert [(record.number, record.wanted, record.is_readable) for record in records] == [
        (1, None, True),
        (2, None, False),
        (3, None, False),
        (5, None, True),
        (6, None, False),
    ]
    assert [error["field"] for error in records[0].errors] == ["is_test"]
    assert {error["field"] for error in records[3].errors} == {"destination_url", "colour"}
    _, (record,) = read_csv(b"destination_url,is_test,expires_at\nhttps://x.example/,maybe,soon\n", None, BARE)
    assert record.errors == [{"field": "is_test", "message": "must be true or false."}]


@given(st.binary(max_size=300))
def test_no_file_breaks_the_reader(body: bytes) -> None:
    for start in (b"", b"destination_url,creator_handle\n", b"Link,Destination URL,Tags\n"):
        try:
            _, records = read_csv(start + body, None, BARE)
        except Invalid:
            continue
        assert all(record.wanted or record.errors for record in records)
