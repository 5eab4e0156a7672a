"""Cursors: every row that was there at the start is told once, whatever happens meanwhile."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from stackfluence.api.paging import decode_cursor, encode_cursor
from stackfluence.errors import Invalid
from tests.api.brands import Brand, errors


async def test_a_list_read_while_it_grows_and_shrinks_has_no_gap_and_no_repeat(brand: Brand) -> None:
    bulk = [
        {
            "creator_handle": "emma",
            "campaign_slug": "summer",
            "asset_slug": f"a{n}",
            "destination_url": "https://x.example",
        }
        for n in range(30)  # one transaction: all have the same created_at
    ]
    await brand.post("/v1/links/bulk", json={"links": bulk})
    before = {link["id"] for link in await brand.all("/v1/links", limit=7)}
    assert len(before) == 30
    seen: list[str] = []
    cursor: str | None = ""
    turn = 0
    while cursor is not None:
        page = (await brand.get("/v1/links", params={"limit": 4, "cursor": cursor})).json()
        seen += [link["id"] for link in page["items"]]
        cursor, turn = page["next_cursor"], turn + 1
        await brand.link(f"meanwhile-{turn}")
        if turn == 2:  # the row that the cursor points at goes away
            await brand.delete(f"/v1/links/{page['items'][-1]['id']}")
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


async def test_the_last_page_has_no_cursor(brand: Brand) -> None:
    for handle in ("emma", "noah"):
        await brand.make("creators", handle=handle)
    full = (await brand.get("/v1/creators", params={"limit": 2})).json()
    assert (len(full["items"]), full["next_cursor"]) == (2, None)
    assert [each["handle"] for each in full["items"]] == ["noah", "emma"]
    part = (await brand.get("/v1/creators", params={"limit": 1})).json()
    assert part["next_cursor"]


async def test_a_cursor_of_something_else_is_refused(brand: Brand) -> None:
    await brand.make("creators", handle="emma")
    await brand.make("creators", handle="noah")
    creators = (await brand.get("/v1/creators", params={"limit": 1})).json()["next_cursor"]
    for path, cursor in (
        ("/v1/audit-log", creators),
        ("/v1/links", "x"),
        ("/v1/links", "Ω"),
        ("/v1/links", encode_cursor([1 << 70, "lnk_0"])),
        ("/v1/links", encode_cursor([1, "a\0b"])),
        ("/v1/links", encode_cursor(["1", "lnk_0"])),
        ("/v1/links", encode_cursor([1])),
        ("/v1/links", base64.urlsafe_b64encode(b"[1,[2]]").decode()),
        ("/v1/links", base64.urlsafe_b64encode(b"[" * 300).decode()),
    ):
        response = await brand.get(path, params={"cursor": cursor})
        assert response.status_code == 422, cursor
        assert set(errors(response)) == {"cursor"}


@given(st.text(max_size=60))
def test_no_text_breaks_the_cursor_reader(text: str) -> None:
    try:
        values = decode_cursor(text, 2)
    except Invalid:
        return
    assert len(values) == 2


@given(
    st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), st.text(st.characters(codec="ascii", exclude_characters="\0")))
)
def test_a_cursor_comes_back_as_it_was(values: tuple[int, str]) -> None:
    assert decode_cursor(encode_cursor(values), 2) == list(values)
