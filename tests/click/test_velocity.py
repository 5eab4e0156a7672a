"""How often is too often: windows that slide, limits that no crowd of people reaches, nothing between organizations."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackfluence.click import velocity
from stackfluence.click.velocity import (
    HALF_HOUR_MS,
    LINK_A_MINUTE,
    MINUTE_MS,
    ORGANIZATION_A_MINUTE,
    PAIR_A_HALF_HOUR,
    PREFIX_A_MINUTE,
    SLACK_MS,
    VISITOR_A_MINUTE,
    Velocity,
)
from stackfluence.reasons import FLAGGED, score_of
from stackfluence.vocabulary import TrafficReason

R = TrafficReason
START = 1_795_000_000_000 // HALF_HOUR_MS * HALF_HOUR_MS
BRAND, OTHER = b"org_brand", b"org_other"
Click = tuple[bytes, bytes, str, str]  # organization, link, visitor, prefix


def many_visitors(number: int) -> Click:
    return BRAND, b"lnk_reel", f"visitor {number}", f"198.51.{number % 256}.0/24"


def one_visitor(number: int) -> Click:
    return BRAND, b"lnk_%d" % (number % 50), "emma", f"198.51.{number % 256}.0/24"


def one_visitor_on_one_link(number: int) -> Click:
    return BRAND, b"lnk_reel", "emma", f"198.51.{number % 256}.0/24"


def one_prefix(number: int) -> Click:
    return BRAND, b"lnk_%d" % (number % 50), f"visitor {number}", "203.0.113.0/24"


def many_links(number: int) -> Click:
    return BRAND, b"lnk_%d" % (number % 50), f"visitor {number}", f"198.51.{number % 256}.0/24"


LIMITS = [
    (R.visitor_velocity, VISITOR_A_MINUTE, MINUTE_MS, one_visitor),
    (R.visitor_velocity, PAIR_A_HALF_HOUR, HALF_HOUR_MS, one_visitor_on_one_link),
    (R.prefix_velocity, PREFIX_A_MINUTE, MINUTE_MS, one_prefix),
    (R.link_velocity, LINK_A_MINUTE, MINUTE_MS, many_visitors),
    (R.organization_velocity, ORGANIZATION_A_MINUTE, MINUTE_MS, many_links),
]
limits = pytest.mark.parametrize(("reason", "limit", "length_ms", "who"), LIMITS)


def test_a_click_like_most_has_no_reason() -> None:
    counted = Velocity()
    assert [counted.count(*many_visitors(number), START) for number in range(3)] == [(), (), ()]
    assert counted.keys == 3 + 3 + 3 + 1 + 1


@limits
def test_a_limit_may_be_reached_and_not_passed(
    reason: TrafficReason, limit: int, length_ms: int, who: Callable[[int], Click]
) -> None:
    counted = Velocity()
    found = [counted.count(*who(number), START + number * length_ms // (limit + 1)) for number in range(limit + 1)]
    assert [number for number, reasons in enumerate(found) if reason in reasons] == [limit]


@pytest.mark.parametrize(("reason", "limit", "length_ms", "who"), [one for one in LIMITS if one[2] == MINUTE_MS])
def test_what_was_counted_before_the_border_of_a_bucket_slides_out_after_it(
    reason: TrafficReason, limit: int, length_ms: int, who: Callable[[int], Click]
) -> None:
    counted = Velocity()
    for number in range(limit):
        counted.count(*who(number), START + length_ms - 1)
    same = [who(number) for number in range(50)]  # the same links, visitors and prefixes again
    assert reason in counted.count(*same[0], START + length_ms)
    half = [counted.count(*same[number], START + length_ms * 3 // 2) for number in range(50)]
    assert not any(reason in reasons for reasons in half)
    for number in range(limit // 2 - 51):
        assert reason not in counted.count(*who(number), START + length_ms * 3 // 2)
    assert reason in counted.count(*who(0), START + length_ms * 3 // 2)


def test_a_visitor_who_clicks_one_link_all_the_time_is_found_over_the_border_of_a_half_hour() -> None:
    counted = Velocity()
    for number in range(PAIR_A_HALF_HOUR):
        found = counted.count(*one_visitor_on_one_link(0), START + HALF_HOUR_MS - (PAIR_A_HALF_HOUR - number) * 600)
        assert R.visitor_velocity not in found
    assert R.visitor_velocity in counted.count(*one_visitor_on_one_link(0), START + HALF_HOUR_MS + 1)
    assert R.visitor_velocity not in counted.count(*one_visitor_on_one_link(0), START + HALF_HOUR_MS * 3 // 2)


def test_the_second_click_on_a_link_may_be_a_duplicate_and_is_counted_all_the_same() -> None:
    counted = Velocity()
    counted.count(*one_visitor_on_one_link(0), START)
    again = counted.count(*one_visitor_on_one_link(1), START + 1)
    assert again == (R.possible_duplicate,)
    assert score_of(again) == 0
    assert counted.count(BRAND, b"lnk_story", "emma", "", START + 2) == ()
    assert counted.count(BRAND, b"lnk_reel", "liam", "", START + 2) == ()


@pytest.mark.parametrize("first_ms", [0, HALF_HOUR_MS // 2, HALF_HOUR_MS - 1])
def test_a_duplicate_is_known_for_half_an_hour_and_never_for_more_than_a_whole_one(first_ms: int) -> None:
    for later_ms, is_known in ((HALF_HOUR_MS, True), (2 * HALF_HOUR_MS, False)):
        counted = Velocity()
        counted.count(*one_visitor_on_one_link(0), START + first_ms)
        again = counted.count(*one_visitor_on_one_link(0), START + first_ms + later_ms)
        assert again == ((R.possible_duplicate,) if is_known else ())


def test_who_opted_out_is_not_counted_as_a_visitor() -> None:
    counted = Velocity()
    found = {counted.count(BRAND, b"lnk_reel", "", "", START) for _ in range(LINK_A_MINUTE)}
    assert found == {()}
    assert counted.keys == 2  # link and organization


def test_a_viral_link_behind_forty_carrier_prefixes_is_nobodys_fault() -> None:
    counted = Velocity()
    people = [(f"visitor {number}", f"100.64.{number % 40}.0/24") for number in range(5_000)]
    random.Random(1).shuffle(people)
    for number, (visitor, prefix) in enumerate(people):
        found = counted.count(BRAND, b"lnk_reel", visitor, prefix, START + number * MINUTE_MS // 5_000)
        assert score_of(found) < FLAGGED
        assert R.prefix_velocity not in found


def test_a_stadium_behind_one_address_with_one_phone_model_is_not_one_visitor_too_busy() -> None:
    counted = Velocity()
    for number in range(600):  # 60 % of the customers behind one address; a third of them in a minute
        found = counted.count(BRAND, b"lnk_qr", "the same hash", "203.0.113.0/24", START + number * MINUTE_MS // 200)
        assert score_of(found) < FLAGGED


def test_organizations_never_add_a_reason_to_each_others_clicks() -> None:
    shared, alone = Velocity(), Velocity()
    for number in range(PREFIX_A_MINUTE + 1):
        shared.count(OTHER, b"lnk_reel", "emma", "203.0.113.0/24", START + number)
        at_ms = START + number
        if number % 10 == 0:
            ours = (BRAND, b"lnk_reel", f"visitor {number}", "203.0.113.0/24", at_ms)
            assert shared.count(*ours) == alone.count(*ours) == ()
    assert shared.count(BRAND, b"lnk_reel", "emma", "203.0.113.0/24", START + MINUTE_MS - 1) == ()


def test_a_full_bucket_takes_no_new_key_and_goes_on_with_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(velocity, "MOST", 100)
    counted = Velocity()
    for number in range(150):
        assert counted.count(BRAND, b"lnk_reel", f"visitor {number}", "203.0.113.0/24", START) == ()
    assert counted.overflow == 2 * 50  # visitors, and visitors on the link
    assert counted.keys == 100 + 100 + 1 + 1 + 1
    assert counted.count(BRAND, b"lnk_reel", "visitor 7", "", START) == (R.possible_duplicate,)
    assert counted.count(BRAND, b"lnk_reel", "visitor 140", "", START) == ()
    assert counted.count(OTHER, b"lnk_reel", "visitor 0", "", START) == ()
    assert counted.count(OTHER, b"lnk_reel", "visitor 0", "", START) == (R.possible_duplicate,)


def test_when_all_organizations_have_too_much_each_keeps_an_assured_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(velocity, "MOST_IN_ALL", 100)
    monkeypatch.setattr(velocity, "ASSURED", 10)
    counted = Velocity()
    for number in range(200):
        counted.count(OTHER, b"lnk_reel", f"visitor {number}", "", START)
    counted.count(OTHER, b"lnk_reel", "emma", "", START + MINUTE_MS)
    for number in range(20):
        counted.count(BRAND, b"lnk_reel", f"visitor {number}", "", START + MINUTE_MS)
    assert counted.overflow == 2 * 10 + 1  # and emma on the link, whose half hour is full
    assert counted.count(BRAND, b"lnk_reel", "visitor 9", "", START + MINUTE_MS) == (R.possible_duplicate,)


def test_memory_is_given_back_after_two_buckets_also_of_organizations_without_clicks() -> None:
    counted = Velocity()
    for number in range(1_000):
        counted.count(b"org_%d" % (number % 40), b"lnk_reel", f"visitor {number}", "203.0.113.0/24", START)
    assert len(counted.organizations) == 40
    for minute in range(1, 130):
        counted.count(BRAND, b"lnk_reel", "emma", "", START + minute * MINUTE_MS)
    assert set(counted.organizations) == {BRAND}
    for _ in range(200):
        counted.count(BRAND, b"lnk_reel", "emma", "", START + 130 * MINUTE_MS)
    assert counted.keys <= 10
    assert not counted.litter


def test_a_clock_that_is_set_back_a_little_goes_on_in_its_bucket() -> None:
    counted = Velocity()
    for _ in range(VISITOR_A_MINUTE):
        counted.count(*one_visitor(0), START + MINUTE_MS)
    assert R.visitor_velocity in counted.count(*one_visitor(0), START + MINUTE_MS - SLACK_MS)


def test_a_clock_that_is_set_back_far_begins_anew_rather_than_count_a_long_minute() -> None:
    counted = Velocity()
    for _ in range(VISITOR_A_MINUTE):
        counted.count(*one_visitor(0), START + 60 * MINUTE_MS)
    assert counted.count(*one_visitor(0), START) == ()
    assert counted.count(*one_visitor(0), START + 60 * MINUTE_MS) == ()


TIMES = st.integers(0, 40).map(lambda step: START + step * 20_000)
CLICKS = st.tuples(
    st.sampled_from([BRAND, OTHER]),
    st.sampled_from([b"lnk_reel", b"lnk_story"]),
    st.sampled_from(["", "emma", "liam", "noah"]),
    st.sampled_from(["", "203.0.113.0/24"]),
    TIMES,
)


@given(clicks=st.lists(CLICKS, max_size=60), stray=st.integers(-(10**15), 10**15))
def test_whatever_the_clock_says_nothing_raises_and_nothing_is_counted_twice(
    clicks: list[tuple[bytes, bytes, str, str, int]], stray: int
) -> None:
    counted = Velocity()
    for at, one in enumerate(clicks):
        counted.count(*one[:4], one[4] + (stray if at % 7 == 3 else 0))
    for organization in (BRAND, OTHER):
        if organization in counted.organizations:
            made = sum(one[0] == organization for one in clicks)
            assert sum(counted.organizations[organization].everything.own(organization)) <= made


@given(clicks=st.lists(CLICKS, max_size=80))
def test_counts_of_two_buckets_are_what_was_clicked_in_them(clicks: list[tuple[bytes, bytes, str, str, int]]) -> None:
    counted = Velocity()
    ordered = sorted(clicks, key=lambda one: one[4])
    for at, (organization, link, visitor, prefix, at_ms) in enumerate(ordered):
        found = counted.count(organization, link, visitor, prefix, at_ms)
        earlier = ordered[: at + 1]
        window = counted.organizations[organization].visitors
        minute = at_ms // MINUTE_MS
        if visitor:
            same = [one[4] // MINUTE_MS for one in earlier if one[0] == organization and one[2] == visitor]
            assert window.own(visitor) == (same.count(minute), same.count(minute - 1))
        half_hours = [one[4] // HALF_HOUR_MS for one in earlier if one[:3] == (organization, link, visitor)]
        near = [half_hour for half_hour in half_hours if half_hour >= at_ms // HALF_HOUR_MS - 1]
        assert (R.possible_duplicate in found) == (bool(visitor) and len(near) > 1)
