"""Who comes, and what they do: one function a kind of visit, and how often each comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from stackfluence.demo import buying
from stackfluence.demo.contents import CREATORS, SampleLink
from stackfluence.demo.header_sets import Kind
from stackfluence.demo.visitor import Landing, Visitor
from stackfluence.vocabulary import EventType, QuarantineReason

IN_APP_SHARE = 0.75  # of people coming from a platform that has an app
ODDLY_TYPED_SHARE = 0.05  # of links: capitals, a full stop copied along, a former handle
MEASURED_SHARE = 0.62  # of people who stay until the snippet has run
REFERERS = {
    "instagram": "https://www.instagram.com/", "facebook": "https://www.facebook.com/", "x": "https://t.co/",
    "tiktok": "https://www.tiktok.com/", "youtube": "https://www.youtube.com/", "newsletter": "",
    "pinterest": "https://www.pinterest.com/", "snapchat": "", "line": "", "wechat": "",
}  # fmt: skip
_BROUGHT = {  # what platforms append to links
    "instagram": "fbclid", "facebook": "fbclid", "tiktok": "ttclid", "x": "twclid", "pinterest": "epik",
    "snapchat": "ScCid",
}  # fmt: skip
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FORMER = {creator.handle: creator.former_handle for creator in CREATORS if creator.former_handle}


async def person(visitor: Visitor) -> None:
    """Somebody taps a link, and perhaps looks around and buys."""
    link = open_link(visitor)
    landing = await arrive(visitor, link)
    if landing is not None and visitor.rng.random() < MEASURED_SHARE:
        await buying.look_around(visitor, link, landing)


async def prefetcher(visitor: Visitor) -> None:
    """Chrome fetches a link before anybody taps it; half of the time somebody then does, without another request."""
    link = open_link(visitor)
    headers = visitor.traffic.header_sets.pick(visitor.rng, [Kind.prefetch])
    landing = await visitor.visit(link.path, headers, REFERERS[link.platform] or "https://mail.brand.example/")
    if landing is not None and visitor.rng.random() < 0.5:
        await visitor.pause(visitor.rng.uniform(1, 6))
        await buying.look_around(visitor, link, landing)


async def preview(visitor: Visitor) -> None:
    """A link is pasted into a chat or posted, and what fetches previews comes."""
    link = open_link(visitor)
    rng, sets = visitor.rng, visitor.traffic.header_sets
    name = rng.choice(
        ("whatsapp", "twitterbot", "slackbot", "discordbot", "telegrambot", "imessage", "facebook-preview", "mastodon",
         "linkedinbot")
    )  # fmt: skip
    if name == "mastodon":  # each server whose members follow the author fetches for itself, within seconds
        servers = [visitor.companion(str(number)) for number in range(rng.randrange(6, 20))]
        await asyncio.gather(*(_fetch(server, link) for server in servers))
        return
    await visitor.visit(link.path, sets.named(name))
    if name == "twitterbot":  # and then HEAD, as a browser
        for _ in range(3):
            await visitor.visit(link.path, sets.named("twitterbot-head"))


async def checker(visitor: Visitor) -> None:
    """Something looks whether the link still answers, with HEAD, again and again."""
    link = open_link(visitor)
    headers = visitor.traffic.header_sets.pick(visitor.rng, [Kind.checker])
    for _ in range(visitor.rng.choice((1, 3, 10, 30))):
        await visitor.visit(link.path, headers)


async def mail_scanner(visitor: Visitor) -> None:
    """A mail filter follows the links of a newsletter before it is delivered, often twice."""
    letters = [link for link in visitor.traffic.sample.links if link.platform == "newsletter" and not link.is_closed]
    sets = visitor.traffic.header_sets
    for link in letters:
        await visitor.visit(link.path, sets.pick(visitor.rng, [Kind.mail_scanner]))


async def script(visitor: Visitor) -> None:
    """A program fetches a link, or a list of them; one that drives a browser runs the snippet too."""
    rng, sets = visitor.rng, visitor.traffic.header_sets
    headers = sets.pick(rng, [Kind.script])
    landing: Landing | None = None
    link = open_link(visitor)
    for _ in range(rng.choice((1, 1, 2, 5, 12))):
        landing = await visitor.visit(link.path, headers)
        link = open_link(visitor)
    if landing is not None and "headless" in headers.name:
        fields = buying.session_fields(visitor, landing)
        await visitor.tell(EventType.session, fields, form="fetch")


async def lost(visitor: Visitor) -> None:
    """Somebody follows a link that never was: mistyped, cut off or guessed."""
    link = open_link(visitor)
    target = visitor.rng.choice(
        (
            f"/c/{link.creator}/{link.campaign[:-2]}/{link.asset}",
            f"/c/{link.creator}",
            f"/c/nobody-{visitor.rng.randrange(1000)}/{link.campaign}/{link.asset}",
            f"{link.path}/more",
            f"/c/{link.creator}/{link.campaign}/%ff%fe",
            "/c/.env/config",
        )
    )
    headers = visitor.traffic.header_sets.pick(visitor.rng, [Kind.in_app, Kind.person, Kind.script], link.platform)
    await visitor.visit(target, headers, is_closed=True)


async def late(visitor: Visitor) -> None:
    """Somebody follows a link that is paused or has expired."""
    closed = [link for link in visitor.traffic.sample.links if link.is_closed]
    link = visitor.rng.choices(closed, [link.weight for link in closed])[0]
    headers = visitor.traffic.header_sets.pick(visitor.rng, [Kind.in_app, Kind.person], link.platform)
    await visitor.visit(link.path, headers, REFERERS[link.platform], is_closed=True)


async def mishap(visitor: Visitor) -> None:
    """A shop's server or page sends what can't be used, or what must not be accepted."""
    order = {"order_id": f"LS-{visitor.name}", "revenue_cents": 4_900}
    faults: list[tuple[EventType, dict[str, Any], QuarantineReason]] = [
        (EventType.conversion, {**order, "revenue_cents": "49.90"}, QuarantineReason.wrong_type),
        (EventType.conversion, {"revenue_cents": 4_900}, QuarantineReason.missing_field),
        (EventType.conversion, {**order, "currency": "EURO"}, QuarantineReason.unknown_value),
        (EventType.conversion, {**order, "revenue_cents": -500}, QuarantineReason.amount_out_of_range),
        (EventType.refund, {"original_order_id": "LS-1"}, QuarantineReason.missing_field),
        (EventType.conversion, {**order, "occurred_at": "1999-12-31T23:59:59Z"}, QuarantineReason.time_out_of_range),
        (EventType.conversion, {**order, "shop": "x" * 300}, QuarantineReason.text_too_long),
    ]
    if visitor.rng.random() < 0.6:
        event_type, fields, reason = visitor.rng.choice(faults)
        await visitor.report([(event_type, fields)], expected=reason)
        return
    sets, sample = visitor.traffic.header_sets, visitor.traffic.sample
    body, key, expected = visitor.rng.choice(
        (
            (b'{"order_id": "LS-1", "revenue_cents": 4900', sample.secret_key, "400"),
            (b'{"order_id": "LS-1", "revenue_cents": 4900}', "sf_sec_not-a-key-of-anybody", "401"),
            (b'{"organization_id": "org_0000000", "order_id": "LS-1"}', sample.secret_key, "403"),
        )
    )
    names = {"host": visitor.traffic.address.host_header, "key": key, "length": str(len(body))}
    headers = sets.report("requests", "server", [], names)
    await visitor.post([EventType.conversion], "conversion", headers, body, [{}], expected=expected)


async def arrive(visitor: Visitor, link: SampleLink) -> Landing | None:
    """Tap a link on its platform, in the platform's app or in a browser."""
    rng = visitor.rng
    kinds = [Kind.in_app] if rng.random() < IN_APP_SHARE else [Kind.person]
    headers = visitor.traffic.header_sets.pick(rng, kinds, link.platform)
    if headers.apps and link.platform not in headers.apps:  # a newsletter has no app of its own
        headers = visitor.traffic.header_sets.pick(rng, [Kind.person], link.platform)
    target = oddly_typed(rng, link) if rng.random() < ODDLY_TYPED_SHARE else link.path
    return await visitor.visit(target + brought(rng, link), headers, REFERERS[link.platform])


def open_link(visitor: Visitor) -> SampleLink:
    """Return a link that redirects, popular ones more often."""
    links = [link for link in visitor.traffic.sample.links if not link.is_closed]
    return visitor.rng.choices(links, [link.weight for link in links])[0]


def oddly_typed(rng: Random, link: SampleLink) -> str:
    """Return an address of the link that people write and that answers all the same."""
    spellings = [
        link.path.replace(link.creator, link.creator.upper()),
        f"{link.path}.",
        f"{link.path})",
        f"{link.path}/",
    ]
    if link.creator in _FORMER:
        spellings.append(link.path.replace(link.creator, _FORMER[link.creator], 1))
    return rng.choice(spellings)


def brought(rng: Random, link: SampleLink) -> str:
    """Return the query a platform or a person appends to a link."""
    pairs = []
    if link.platform in _BROUGHT and rng.random() < 0.7:
        pairs.append(f"{_BROUGHT[link.platform]}=" + "".join(rng.choice(_LETTERS) for _ in range(40)))
    if rng.random() < 0.05:
        pairs.append("utm_source=somebody-else")  # the destination's own parameter wins
    if rng.random() < 0.03:
        pairs.append("note=gr%C3%BC%C3%9Fe")
    return "?" + "&".join(pairs) if pairs else ""


async def _fetch(server: Visitor, link: SampleLink) -> None:
    name = server.rng.choices(("mastodon", "misskey", "pleroma", "lemmy"), (7, 2, 1, 1))[0]
    try:
        await server.visit(link.path, server.traffic.header_sets.named(name))
    finally:
        await server.close()


Journey = Callable[[Visitor], Awaitable[None]]
MIX: dict[Journey, int] = {
    person: 640,
    preview: 90,
    script: 80,
    prefetcher: 45,
    mail_scanner: 25,
    buying.returning_shopper: 25,
    lost: 30,
    late: 25,
    checker: 20,
    mishap: 20,
}
