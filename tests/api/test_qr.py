"""QR codes: the format and size that were asked for, of the link's own address."""

from __future__ import annotations

import struct
from xml.etree import ElementTree

import segno

from stackfluence.api.qr import Picture, draw
from tests.api.brands import Brand, errors


async def test_a_qr_code_has_the_format_and_size_asked_for(brand: Brand) -> None:
    link = await brand.link("Füße")
    path = f"/v1/links/{link['id']}/qr"
    svg = await brand.get(path, params={"size": 300})
    assert svg.headers["content-type"] == "image/svg+xml"
    root = ElementTree.fromstring(svg.content)
    assert abs(float(root.attrib["width"]) - 300) < 1
    png = await brand.get(path, params={"format": "png", "size": 300})
    assert png.headers["content-type"] == "image/png"
    assert png.content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png.content[16:24])
    modules = segno.make_qr(link["url"], error="q", boost_error=False).symbol_size(border=4)[0]
    assert width == height == modules * (300 // modules)
    assert 300 - modules < width <= 300
    assert png.content == draw(link["url"], Picture.png, 300)
    assert png.content != draw(link["url"] + "x", Picture.png, 300)


async def test_a_picture_is_of_a_sensible_size_and_format(brand: Brand) -> None:
    link = await brand.link()
    for query, field in (
        ({"size": 63}, "size"),
        ({"size": 5000}, "size"),
        ({"format": "gif"}, "format"),
        ({"x": 1}, "x"),
    ):
        response = await brand.get(f"/v1/links/{link['id']}/qr", params=query)
        assert response.status_code == 422
        assert set(errors(response)) == {field}


async def test_a_long_address_is_drawn_with_less_room_for_damage_and_too_long_a_one_refused(brand: Brand) -> None:
    path = "/v1/links/{}/qr"
    long = await brand.link("𒀀" * 100)  # 12 characters each in an address
    assert len(long["url"]) > 1200
    assert (await brand.get(path.format(long["id"]), params={"format": "png"})).content[:4] == b"\x89PNG"
    longer = await brand.link("𒀀" * 100, creator_handle="𒀁" * 100, campaign_slug="𒀂" * 100)
    assert set(errors(await brand.get(path.format(longer["id"])))) == {"link_id"}
