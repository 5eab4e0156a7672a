"""What is remembered of verdicts, and for how long."""

from __future__ import annotations

import msgspec
import pytest

from stackfluence.click import judge as judge_module
from stackfluence.click.geo import Place
from stackfluence.click.head import Evidence, evidence
from stackfluence.click.judge import Judge
from stackfluence.click.velocity import Velocity
from stackfluence.vocabulary import NetworkClass, TrafficReason
from tests.edge.edges import places


def headers(number: int) -> Evidence:
    return evidence(b"GET", ((b"User-Agent", b"curl/8.%d" % number),), False, True, False)


def place(asn: int) -> Place:
    return Place("DE", asn, NetworkClass.residential)


def test_a_verdict_is_remembered_until_the_tables_change() -> None:
    judge = Judge(places(), Velocity())
    first = judge.members(headers(1), place(1), ())
    assert judge.members(headers(1), place(1), ()) is first
    judge.forget()
    again = judge.members(headers(1), place(1), ())
    assert again == first
    assert again is not first


def test_reasons_of_the_request_are_in_its_verdict_alone() -> None:
    judge = Judge(places(), Velocity())
    with_reason = judge.members(headers(2), place(1), (TrafficReason.possible_duplicate,))
    without = judge.members(headers(2), place(1), ())
    said = msgspec.json.decode(f"{{{with_reason[:-1]}}}")
    assert "possible_duplicate" in said["bot_reasons"]
    assert "possible_duplicate" not in without


def test_only_so_many_verdicts_are_remembered_of_all_header_sets_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "REMEMBERED", 50)
    judge = Judge(places(), Velocity())
    sets = [headers(number) for number in range(10, 20)]
    for asn in range(1, 100):
        for seen in sets:
            judge.members(seen, place(asn), ())
            assert sum(len(each.verdicts or ()) for each in sets) <= 50
