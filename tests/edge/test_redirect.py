"""A click as a visitor's browser sees it, and what is then on disk."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from stackfluence import snapshot
from stackfluence.click import visitor
from stackfluence.click.click_id import ClickIdKeys, Verdict
from stackfluence.click.destination import page_of
from stackfluence.click.edge import LookUp
from stackfluence.clock import now_ms
from stackfluence.events import journal as journal_module
from stackfluence.vocabulary import ClickIdStatus, RedirectOutcome
from tests.edge.edges import (
    LINK,
    ORGANIZATION,
    SECRETS,
    TTL_HOURS,
    Response,
    RunningEdge,
    a_link,
    a_snapshot,
    add_host,
    key_of,
    start_edge,
    until,
)

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Instagram 350.0"
DAY_MS = visitor.DAY_MS
MIDNIGHT_MS = 20_000 * DAY_MS


def verdict_of(answer: Response) -> Verdict:
    """Verify the click ID at the end of a Location."""
    text = answer["location"].rpartition("inf_click_id=")[2].partition("#")[0]
    return ClickIdKeys(SECRETS, TTL_HOURS).verify(text, ORGANIZATION, now_ms())


async def test_a_click_is_answered_with_the_destination_and_an_id_that_names_the_event_on_disk(
    running: RunningEdge,
) -> None:
    answer = await running.get("/c/emma/summer", User_Agent=PHONE)

    assert answer.status == 302
    assert answer["location"].startswith("https://shop.brand.example/dresses?inf_click_id=")
    assert answer["cache-control"] == "private, no-store"
    assert answer["x-robots-tag"] == "noindex"
    assert answer["content-length"] == "0"
    assert sorted(name for name, _ in answer.headers) == [
        "cache-control", "content-length", "date", "location", "x-robots-tag",
    ]  # fmt: skip
    [event] = running.events()
    status, click = verdict_of(answer)
    assert status == ClickIdStatus.valid
    assert click is not None
    assert (click.event_id, click.link_id, click.organization_id) == (event.leaf.event_id, LINK, ORGANIZATION)
    assert (event.organization_id, event.seq) == (ORGANIZATION, 1)
    assert running.edge.counts[RedirectOutcome.unrecorded] == 0


async def test_the_leaf_and_the_expiring_half_say_what_was_seen(running: RunningEdge) -> None:
    before = now_ms()
    query = "utm_source=instagram&utm_term=emma%40brand.example&fbclid=IwAR0&sku=4711"
    await running.get(f"/c/emma/summer?{query}", User_Agent=PHONE, Referer="https://L.Instagram.com/p/x?u=1")

    [event] = running.events()
    leaf, expiring = event.leaf, event.expiring
    link = a_link()
    assert leaf.event_type == "click"
    assert leaf.click_id == leaf.event_id
    assert (leaf.link_id, leaf.creator_id, leaf.campaign_id) == (link.id, link.creator_id, link.campaign_id)
    assert leaf.asset_slug == ""
    assert leaf.page_path == page_of(link.destination_url)
    assert leaf.occurred_at == leaf.received_at
    assert before <= journal_time(leaf.received_at) <= now_ms()
    assert int(leaf.event_id.replace("-", "")[:12], 16) == journal_time(leaf.received_at)
    assert leaf.referrer_host == "l.instagram.com"
    assert leaf.landing_params == {"utm_source": "instagram", "utm_term": "", "network:meta": "1"}
    assert leaf.trust_tier == "server"
    assert (leaf.consent, leaf.is_test) == ("unknown", False)
    assert len(leaf.visitor_hash) == 32
    assert event.kept is None
    assert expiring is not None
    assert expiring.user_agent == PHONE
    assert expiring.ip_prefix == "127.0.0.0/24"
    assert expiring.referrer == "https://L.Instagram.com/p/x?u=1"
    assert expiring.ad_click_ids == {"fbclid": "IwAR0"}
    assert len(bytes.fromhex(expiring.salt)) == 16


def journal_time(text: str) -> int:
    """Return a leaf's time in milliseconds."""
    from stackfluence.clock import parse_rfc3339

    assert len(text) == 24
    assert text.endswith("Z")
    return parse_rfc3339(text)


@pytest.mark.parametrize(
    "target",
    [
        "/c/emma/summer",
        "/c/EMMA/Summer",
        "/c/emma/summer/",
        "/c/emma/summer.",
        "/c/emma/summer),",
        "/c/%65mma/s%75mmer",
        "/c/emma/summer%E2%80%A6",  # an ellipsis, as phones complete three dots
        "/c/%EF%BC%A5mma/summer",  # a full-width E
    ],
)
async def test_a_link_is_found_however_it_was_copied(running: RunningEdge, target: str) -> None:
    assert (await running.get(target)).status == 302


async def test_an_asset_is_a_link_of_its_own(tmp_path: Path) -> None:
    links = [a_link(), a_link(id="lnk_0000000001", asset_slug="reel-1", destination_url="https://shop.brand.example/r")]
    async with start_edge(tmp_path, links) as running:
        assert (await running.get("/c/emma/summer/Reel-1"))["location"].startswith("https://shop.brand.example/r?")
        assert (await running.get("/c/emma/summer/reel-2")).status == 404
        assert running.events()[0].leaf.asset_slug == "reel-1"


async def test_names_in_any_script_are_found(tmp_path: Path) -> None:
    async with start_edge(tmp_path, [a_link(creator_handle="łucja", campaign_slug="夏")]) as running:
        assert (await running.get("/c/%C5%81ucja/%E5%A4%8F")).status == 302


@pytest.mark.parametrize(
    "target",
    [
        "/c/nobody/summer",
        "/c/emma/winter",
        "/c/emma",
        "/c/",
        "/c/emma/summer/x/y",
        "/c/emma/summer%2Freel",
        "/c/emma/summer%00",
        "/c/%00/%00/%00",
        "/c/emma%ff/summer",
        "/c/" + "e" * 5000 + "/summer",
        "/c//",
        "/c/../summer",
    ],
)
async def test_an_unknown_path_is_404_counted_and_nothing_is_stored(running: RunningEdge, target: str) -> None:
    answer = await running.get(target)

    assert answer.status == 404
    assert answer["content-type"] == "application/problem+json"
    assert answer.json["type"] == "/problems/unknown-link"
    assert running.edge.counts[RedirectOutcome.unknown_link] == 1
    assert running.events() == []


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("go.brand.example", True),
        ("GO.Brand.Example", True),
        ("go.brand.example:8443", True),
        ("go.brand.example.", True),
        ("go.brand.example:", True),
        ("links.example", False),
        ("[::1]:8000", False),
        ("[::1]", False),
        ("", False),
    ],
)
async def test_an_organizations_own_host_has_its_own_links(tmp_path: Path, host: str, is_own: bool) -> None:
    known = a_snapshot([a_link()])
    add_host(known, "go.brand.example")
    add_host(known, "links.example", is_default=True)
    own = a_link(id="lnk_0000000002", destination_url="https://own.brand.example/")
    known.links[key_of(own, "go.brand.example")] = snapshot.encode(own)
    async with start_edge(tmp_path, known=known) as running:
        client = await running.connect()
        client.ask("GET", "/c/emma/summer", host=host)
        location = (await client.response())["location"]
    assert location.startswith("https://own." if is_own else "https://shop.")


async def test_a_host_that_is_added_or_removed_counts_at_once(running: RunningEdge) -> None:
    own = a_link(id="lnk_0000000002", destination_url="https://own.brand.example/")
    running.snapshot.links[key_of(own, "go.brand.example")] = snapshot.encode(own)
    assert (await running.get("/c/emma/summer"))["location"].startswith("https://shop.")
    add_host(running.snapshot, "go.brand.example")
    assert (await running.get("/c/emma/summer"))["location"].startswith("https://own.")
    running.snapshot.apply_one(snapshot.EdgeRow(snapshot.HOST, b"go.brand.example", None))
    assert (await running.get("/c/emma/summer"))["location"].startswith("https://shop.")


async def test_the_absolute_form_names_the_host_itself(tmp_path: Path) -> None:
    known = a_snapshot()
    add_host(known, "go.brand.example")
    own = a_link()
    known.links[key_of(own, "go.brand.example")] = snapshot.encode(own)
    async with start_edge(tmp_path, known=known) as running:
        client = await running.connect()
        client.ask("GET", "http://go.brand.example/c/emma/summer?ref=a", host="elsewhere.example")
        answer = await client.response()
    assert answer.status == 302
    assert "?ref=a&" in answer["location"]


async def test_head_gets_the_redirect_without_an_id_or_an_event_and_is_counted(running: RunningEdge) -> None:
    answer = await running.request("HEAD", "/c/emma/summer?ref=a")

    assert answer.status == 302
    assert answer["location"] == "https://shop.brand.example/dresses?ref=a"
    assert running.events() == []
    assert running.edge.counts[RedirectOutcome.head] == 1


@pytest.mark.parametrize(
    ("destination", "location"),
    [
        ("https://shop.brand.example/", "https://shop.brand.example/"),
        ("https://shop.brand.example/?q=why?", "https://shop.brand.example/?q=why?"),
        ("https://shop.brand.example/?a=1&", "https://shop.brand.example/?a=1&"),
        ("https://shop.brand.example/?a=1#top", "https://shop.brand.example/?a=1#top"),
    ],
)
async def test_head_leaves_the_destination_as_it_is(tmp_path: Path, destination: str, location: str) -> None:
    async with start_edge(tmp_path, [a_link(destination_url=destination)]) as running:
        assert (await running.request("HEAD", "/c/emma/summer"))["location"] == location


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_told_what_a_link_answers(running: RunningEdge, method: str) -> None:
    for target in ("/c/emma/summer", "/c/no/link"):
        answer = await running.request(method, target, b"x")
        assert answer.status == 405
        assert answer["allow"] == "GET, HEAD"
    assert running.events() == []


HOUR = 3_600_000


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "paused"},
        {"status": "archived"},
        {"expires_at_ms": now_ms() - HOUR},
        {"starts_at_ms": now_ms() + HOUR},
        {"ends_at_ms": now_ms() - HOUR},
    ],
)
async def test_a_link_out_of_use_leads_to_its_fallback_or_is_gone(tmp_path: Path, fields: dict[str, object]) -> None:
    fallback = a_link(campaign_slug="fall", fallback_url="https://shop.brand.example/söld-out", **fields)
    async with start_edge(tmp_path, [a_link(**fields), fallback]) as running:
        gone = await running.get("/c/emma/summer")
        assert gone.status == 410
        assert gone.json["type"] == "/problems/inactive-link"
        elsewhere = await running.get("/c/emma/fall?x=1")
        assert (elsewhere.status, elsewhere["location"]) == (302, "https://shop.brand.example/s%C3%B6ld-out")
        assert running.edge.counts == {RedirectOutcome.inactive_link: 1, RedirectOutcome.fallback: 1}
        assert running.events() == []


async def test_a_link_inside_its_dates_redirects(tmp_path: Path) -> None:
    now = now_ms()
    link = a_link(starts_at_ms=now - HOUR, expires_at_ms=now + HOUR, ends_at_ms=now + HOUR)
    async with start_edge(tmp_path, [link]) as running:
        assert (await running.get("/c/emma/summer")).status == 302


async def test_a_link_that_is_changed_is_followed_in_its_new_form(running: RunningEdge) -> None:
    assert (await running.get("/c/emma/summer")).status == 302
    for link, status in ((a_link(status="paused"), 410), (a_link(destination_url="http://b.example/"), 302)):
        running.snapshot.apply_one(snapshot.EdgeRow(snapshot.LINK, key_of(link), snapshot.encode(link)))
        answer = await running.get("/c/emma/summer")
        assert answer.status == status
    assert answer["location"].startswith("http://b.example/?")
    running.snapshot.apply_one(snapshot.EdgeRow(snapshot.LINK, key_of(link), None))
    assert (await running.get("/c/emma/summer")).status == 404


async def test_a_test_link_marks_event_and_id(tmp_path: Path) -> None:
    async with start_edge(tmp_path, [a_link(is_test=True)]) as running:
        _, click = verdict_of(await running.get("/c/emma/summer"))
        assert click is not None
        assert click.is_test
        assert running.events()[0].leaf.is_test


async def test_a_link_newer_than_the_snapshot_is_asked_of_the_catalog_once_for_all_who_wait(tmp_path: Path) -> None:
    link = a_link(campaign_slug="new")
    asked: list[bytes] = []

    async def find(key: bytes) -> bytes | None:
        asked.append(key)
        await asyncio.sleep(0.1)
        return snapshot.encode(link)

    async with start_edge(tmp_path, find_link=find) as running:
        answers = await asyncio.gather(*(running.get(f"/c/emma/NEW?ref={n}") for n in range(100)))
        assert [a.status for a in answers] == [302] * 100
        assert {a["location"].partition("&")[0].rpartition("=")[2] for a in answers} == {str(n) for n in range(100)}
        assert asked == [key_of(link)]
        assert len(running.events()) == 100
        assert (await running.get("/c/emma/new")).status == 302
        assert len(asked) == 1


async def test_a_path_that_the_catalog_does_not_know_is_not_asked_again_until_something_changes(
    tmp_path: Path,
) -> None:
    asked = 0

    async def find(key: bytes) -> bytes | None:
        nonlocal asked
        asked += 1
        return None

    async with start_edge(tmp_path, find_link=find) as running:
        for _ in range(3):
            assert (await running.get("/c/emma/winter")).status == 404
        assert asked == 1
        running.edge.forget_absent()
        await running.get("/c/emma/winter")
        assert asked == 2


@pytest.mark.parametrize("target", ["/c/emma/" + "x" * 101, "/c/emma/a%00b", "/c/a%20b/summer", "/c/%00/x/y"])
async def test_what_no_link_can_be_called_is_not_asked_of_the_catalog(tmp_path: Path, target: str) -> None:
    async def find(key: bytes) -> bytes | None:
        raise AssertionError(key)

    async with start_edge(tmp_path, find_link=find) as running:
        assert (await running.get(target)).status == 404


async def _raise(key: bytes) -> bytes | None:
    raise ConnectionError("the catalog is away")


async def _hang(key: bytes) -> bytes | None:
    await asyncio.sleep(60)
    return None


async def _hang_on(key: bytes) -> bytes | None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(1.0)  # a driver that tidies up first
        raise
    return None


@pytest.mark.parametrize("find", [_raise, _hang, _hang_on])
async def test_a_catalog_that_is_away_or_slow_costs_an_unknown_link_at_most_the_deadline(
    tmp_path: Path, find: LookUp
) -> None:
    async with start_edge(tmp_path, find_link=find) as running:
        began = time.monotonic()
        answer = await running.get("/c/emma/new")
        assert time.monotonic() - began < 0.4
        assert answer.status == 503
        assert answer["retry-after"] == "1"
        assert running.edge.counts[RedirectOutcome.undecided_link] == 1
        assert (await running.get("/c/emma/summer")).status == 302


async def test_a_scan_asks_the_catalog_for_64_paths_at_once_and_no_more(tmp_path: Path) -> None:
    asking = most = 0

    async def find(key: bytes) -> bytes | None:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        try:
            await asyncio.sleep(0.15)
        finally:
            asking -= 1
        return None

    async with start_edge(tmp_path, find_link=find) as running:
        answers = await asyncio.gather(*(running.get(f"/c/emma/scan{n}") for n in range(200)))
        assert most == 64
        assert sorted({a.status for a in answers}) == [404, 503]
        known = await running.get("/c/emma/summer")
        assert known.status == 302


async def test_a_look_up_never_undoes_a_change_that_came_meanwhile(tmp_path: Path) -> None:
    """The catalog's answer may be older than what its feed said while it was under way."""
    link = a_link(campaign_slug="new")
    asked, answer_now = asyncio.Event(), asyncio.Event()

    async def find(key: bytes) -> bytes | None:
        asked.set()
        await answer_now.wait()
        return snapshot.encode(link)

    async with start_edge(tmp_path, find_link=find) as running:
        waiting = asyncio.create_task(running.get("/c/emma/new"))
        await asked.wait()
        paused = a_link(campaign_slug="new", status="paused")
        running.snapshot.begin()
        running.snapshot.apply(
            snapshot.EdgeChunk(5, False, [snapshot.EdgeRow(snapshot.LINK, key_of(paused), snapshot.encode(paused))])
        )
        running.snapshot.finish(5, "lineage")
        answer_now.set()
        await waiting
        assert (await running.get("/c/emma/new")).status == 410


async def test_a_look_up_never_brings_back_what_was_deleted_meanwhile(tmp_path: Path) -> None:
    link = a_link(campaign_slug="new")
    asked, answer_now = asyncio.Event(), asyncio.Event()
    answers = [snapshot.encode(link), None]

    async def find(key: bytes) -> bytes | None:
        asked.set()
        await answer_now.wait()
        return answers.pop(0)

    async with start_edge(tmp_path, find_link=find) as running:
        waiting = asyncio.create_task(running.get("/c/emma/new"))
        await asked.wait()
        running.snapshot.begin()
        running.snapshot.apply(snapshot.EdgeChunk(5, False, [snapshot.EdgeRow(snapshot.LINK, key_of(link), None)]))
        running.snapshot.finish(5, "lineage")
        running.edge.forget_absent()
        answer_now.set()
        await waiting
        assert (await running.get("/c/emma/new")).status == 404


async def test_global_privacy_control_is_recorded_and_obeyed(running: RunningEdge) -> None:
    answer = await running.get("/c/emma/summer?fbclid=X&utm_source=a", Sec_GPC="1", Referer="https://m.example/emma")

    assert answer.status == 302
    [event] = running.events()
    assert event.leaf.consent == "opted_out"
    assert event.leaf.visitor_hash == event.leaf.visitor_hash_before == ""
    assert event.leaf.landing_params == {"utm_source": "a", "network:meta": "1"}
    assert event.expiring is not None
    assert event.expiring.ip_prefix == event.expiring.referrer == ""
    assert event.expiring.ad_click_ids == {}


async def test_forwarded_addresses_are_believed_from_trusted_proxies_alone(tmp_path: Path) -> None:
    proxies = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))
    for trusted, forwarded, prefix in [
        ((), "198.51.100.7", "127.0.0.0/24"),
        ((ip_network("192.0.2.0/24"),), "198.51.100.7", "127.0.0.0/24"),
        (proxies, "198.51.100.7", "198.51.100.0/24"),
        (proxies, "203.0.113.9, 198.51.100.7", "198.51.100.0/24"),
        (proxies, "203.0.113.9, 198.51.100.7, 10.1.2.3", "198.51.100.0/24"),
        (proxies, "2001:db8:1:2::3", "2001:db8:1::/48"),
        (proxies, "[2001:db8:1:2::3]:443", "2001:db8:1::/48"),
        (proxies, "198.51.100.7:5123", "198.51.100.0/24"),
        (proxies, "::ffff:198.51.100.7", "198.51.100.0/24"),
        (proxies, "nonsense", "127.0.0.0/24"),
        (proxies, "", "127.0.0.0/24"),
    ]:
        async with start_edge(tmp_path / str(time.monotonic_ns()), proxies=trusted) as running:
            await running.get("/c/emma/summer", X_Forwarded_For=forwarded)
            [event] = running.events()
            assert event.expiring is not None
            assert event.expiring.ip_prefix == prefix, (trusted, forwarded)


async def test_forwarding_headers_on_several_lines_are_one_list(tmp_path: Path) -> None:
    """A visitor's own line comes first; the proxy's, below it, must be the one that counts."""
    async with start_edge(tmp_path, proxies=(ip_network("127.0.0.0/8"),)) as running:
        client = await running.connect()
        client.send(
            b"GET /c/emma/summer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n"
            b"X-Forwarded-For: 198.51.100.7, 127.0.0.5\r\n\r\n"
        )
        await client.response()
        client.send(
            b"GET /c/emma/summer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9, 198.51.100.7\r\n"
            b"X-Forwarded-For: 127.0.0.5\r\n\r\n"
        )
        await client.response()
        assert [e.expiring.ip_prefix for e in running.events() if e.expiring] == ["198.51.100.0/24"] * 2


async def test_neither_cookies_nor_credentials_nor_addresses_are_kept(running: RunningEdge) -> None:
    secret = {
        "Cookie": "session=topsecret", "Authorization": "Bearer topsecret", "Proxy_Authorization": "topsecret",
        "X_Forwarded_For": "topsecret", "Forwarded": "for=topsecret", "X_Real_IP": "topsecret",
        "CF_Connecting_IP": "topsecret", "True_Client_IP": "topsecret", "X_Client_IP": "topsecret",
        "X_Cluster_Client_IP": "topsecret", "Fastly_Client_IP": "topsecret", "Fly_Client_IP": "topsecret",
        "CF_Connecting_IPv6": "topsecret", "X_Original_Forwarded_For": "topsecret",
        "X_Envoy_External_Address": "topsecret",
        "X_Azure_ClientIP": "topsecret", "X_Azure_SocketIP": "topsecret", "X_AppEngine_User_IP": "topsecret",
        "CloudFront_Viewer_Address": "topsecret", "Client_IP": "topsecret", "X_Forwarded": "topsecret",
    }  # fmt: skip
    await running.get("/c/emma/summer", Accept_Language="pl", **secret)

    [event] = running.events()
    assert b"topsecret" not in event.line
    assert event.expiring is not None
    assert '["Accept-Language","pl"]' in event.expiring.signals


async def visitor_hash_of(running: RunningEdge, **headers: str) -> tuple[str, str]:
    await running.get("/c/emma/summer", **headers)
    leaf = running.events()[-1].leaf
    return leaf.visitor_hash, leaf.visitor_hash_before


async def test_a_visitor_hash_tells_visitors_apart_within_one_day_and_one_organization(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = MIDNIGHT_MS + 12 * HOUR
    monkeypatch.setattr(journal_module, "now_ms", lambda: now)
    known = a_snapshot([a_link(), a_link(organization_id="org_0000001", campaign_slug="other")])
    known.salts = {20_000: b"a" * 32, 20_001: b"b" * 32}
    async with start_edge(tmp_path, known=known) as running:
        same, before = await visitor_hash_of(running, User_Agent="A")
        assert (await visitor_hash_of(running, User_Agent="A", Accept_Language="pl"))[0] == same
        assert (await visitor_hash_of(running, User_Agent="B"))[0] != same
        assert before == ""
        await running.get("/c/emma/other", User_Agent="A")
        assert running.events()[-1].leaf.visitor_hash not in ("", same)
        now += DAY_MS
        assert (await visitor_hash_of(running, User_Agent="A"))[0] not in ("", same)
        now += DAY_MS
        assert await visitor_hash_of(running, User_Agent="A") == ("", "")  # no salt: the catalog has been away


async def test_after_midnight_both_days_hashes_are_kept_for_half_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = MIDNIGHT_MS - 1
    monkeypatch.setattr(journal_module, "now_ms", lambda: now)
    known = a_snapshot([a_link()])
    known.salts = {19_999: b"a" * 32, 20_000: b"b" * 32}
    async with start_edge(tmp_path, known=known) as running:
        evening, _ = await visitor_hash_of(running, User_Agent="A")
        now = MIDNIGHT_MS
        today, before = await visitor_hash_of(running, User_Agent="A")
        assert before == evening
        assert today not in ("", evening)
        now = MIDNIGHT_MS + 30 * 60_000 - 1
        assert await visitor_hash_of(running, User_Agent="A") == (today, evening)
        now = MIDNIGHT_MS + 30 * 60_000
        assert await visitor_hash_of(running, User_Agent="A") == (today, "")


async def test_the_order_and_case_of_headers_are_kept_as_evidence(running: RunningEdge) -> None:
    client = await running.connect()
    client.send(b"GET /c/emma/summer HTTP/1.1\r\nhost: a\r\nDNT: 1\r\naccept: \xe9\x22\r\nAccept: */*\r\n\r\n")
    assert (await client.response()).status == 302
    [event] = running.events()
    assert event.expiring is not None
    assert '"headers":[["host",""],["DNT","1"],["accept","é\\""],["Accept","*/*"]]' in event.expiring.signals


async def test_of_headers_that_no_rule_reads_only_the_names_are_kept(running: RunningEdge) -> None:
    answer = await running.get(
        "/c/emma/summer", X_MSISDN="4915112345678", CF_IPLatitude="52.5", X_Forwarded_Email="emma@brand.example"
    )
    assert answer.status == 302
    [event] = running.events()
    assert event.expiring is not None
    signals = event.expiring.signals
    assert '["X-MSISDN",""]' in signals
    assert not any(value in signals for value in ("4915112345678", "52.5", "emma@"))


async def test_a_huge_but_allowed_head_is_redirected_and_kept_within_bounds(running: RunningEdge) -> None:
    answer = await running.get(
        "/c/emma/summer?a=" + "%C3%A9" * 800, User_Agent="U" * 9_000, Referer="https://r.example/" + "r" * 1000
    )
    assert answer.status == 302
    [event] = running.events()
    assert event.expiring is not None
    assert len(event.expiring.user_agent) == 1_000
    assert event.expiring.signals == ""


async def test_a_destination_that_cannot_be_redirected_to_is_no_link(tmp_path: Path) -> None:
    for number, url in enumerate(
        ("javascript:alert(1)", "ftp://shop.brand.example/", "https://[::1/", "https://\ud800/")
    ):
        link = a_link(destination_url=url) if number < 3 else a_link(id="lnk_1")
        async with start_edge(tmp_path / str(number), [link]) as running:
            assert (await running.get("/c/emma/summer")).status == 404
            assert running.snapshot.unusable > 0


async def test_a_click_whose_visitor_left_before_the_answer_is_still_recorded(running: RunningEdge) -> None:
    for _ in range(20):
        client = await running.connect()
        client.ask("GET", "/c/emma/summer")
        await client.writer.drain()
        client.writer.transport.abort()
    await until(lambda: len(running.events()) == 20)
    assert await running.is_well()
