"""Points that add up: what a person may gather without being a robot must never condemn a click."""

from __future__ import annotations

from itertools import permutations

from stackfluence.reasons import FLAGGED, REASONS, heaviest, score_of, traffic_class_of
from stackfluence.vocabulary import TrafficClass, TrafficReason

_R = TrafficReason
# an office behind a proxy in a data centre that sorts and drops headers, on the day of a viral post
OFFICE = (_R.hosting_network, _R.unlike_header_order, _R.missing_headers)
CROWD = (_R.prefix_velocity, _R.link_velocity, _R.organization_velocity, _R.possible_duplicate)
TRAVELLER = (_R.unlikely_language, _R.vpn_network)


def test_every_reason_has_its_row_and_points_from_0_to_100() -> None:
    assert set(REASONS) == set(TrafficReason)
    assert all(0 <= row.weight <= 100 for row in REASONS.values())


def test_what_an_office_a_crowd_or_a_traveller_gathers_never_flags_a_click() -> None:
    assert score_of((*OFFICE, *CROWD)) < FLAGGED
    assert score_of((*TRAVELLER, *CROWD, _R.unlike_header_order, _R.missing_headers)) < FLAGGED


def test_one_networks_doing_and_one_thing_more_never_flag_a_click() -> None:
    around = (*OFFICE, *CROWD, _R.unlikely_language)
    for after in (_R.no_interaction, _R.shared_prefix, _R.hourly_outlier, _R.conversion_too_late):
        assert score_of((*around, after)) < FLAGGED, after
    for brought in (_R.replayed_click_id, _R.malformed_parameters):
        assert score_of((*around, brought)) < FLAGGED, brought
    assert score_of((*OFFICE, _R.hourly_outlier, _R.conversion_too_late, _R.shared_prefix)) < FLAGGED


def test_a_score_depends_on_no_order_counts_a_reason_once_and_ends_at_100() -> None:
    found = (_R.declared_bot, _R.hosting_network, _R.no_accept_language)
    assert {score_of(order) for order in permutations(found)} == {100}
    assert score_of((_R.hosting_network, _R.hosting_network)) == REASONS[_R.hosting_network].weight
    assert score_of(()) == 0


def test_the_heaviest_reason_decides_general_before_sophisticated() -> None:
    assert heaviest((_R.no_fetch_metadata, _R.no_accept_language)) is _R.no_accept_language
    assert heaviest(()) is None
    assert traffic_class_of((_R.unlike_brands, _R.hosting_network)) is TrafficClass.sivt
    assert traffic_class_of((_R.hosting_network,)) is TrafficClass.valid


def test_who_says_that_it_is_automation_is_general_invalid_traffic() -> None:
    says_so = (_R.declared_bot, _R.ai_agent, _R.headless_browser, _R.http_library, _R.automation_header)
    assert {REASONS[reason].traffic_class for reason in says_so} == {TrafficClass.givt}
