"""What is said of a click: header block, network and pace put together, encoded once for all clicks that are alike."""

from __future__ import annotations

import msgspec

from stackfluence.click import bot_score
from stackfluence.click.geo import Place, Places
from stackfluence.click.head import Evidence
from stackfluence.click.rules import network
from stackfluence.click.velocity import Velocity
from stackfluence.vocabulary import TrafficReason

REMEMBERED = 20_000  # verdicts, of all header sets with all networks and other reasons; about 12 MB

Reasons = tuple[TrafficReason, ...]
_encode = msgspec.json.Encoder().encode


class _Judged(msgspec.Struct, omit_defaults=True):
    bot_score: int = 0
    bot_reasons: Reasons = ()
    list_versions: msgspec.Raw = msgspec.Raw()
    ua_family: str = ""
    os_family: str = ""
    device_class: str = ""
    in_app_browser: str = ""
    country: str = ""
    asn: int = 0


class Verdicts(dict[tuple[Place, Reasons], str]):
    """Verdicts on clicks of one header set, as members of the leaf's JSON object, while the tables stay the same."""

    __slots__ = ("versions",)

    versions: msgspec.Raw


class Judge:
    """The verdict on each click of one edge, touched by its event loop alone."""

    def __init__(self, places: Places, velocity: Velocity) -> None:
        self.places = places
        self.velocity = velocity
        self._remembered: list[Verdicts] = []
        self._many = 0
        bot_score.prepare()
        self.forget()

    def forget(self) -> None:
        """Judge anew from here on: a table of networks was replaced, or as many verdicts are kept as may be."""
        for verdicts in self._remembered:
            verdicts.clear()
        self._remembered, self._many = [], 0
        versions = {**bot_score.list_versions(), **network.versions(), **self.places.versions()}
        self.versions = msgspec.Raw(_encode(versions))  # once for all verdicts

    def members(self, evidence: Evidence, place: Place, found: Reasons) -> str:
        """Return the verdict as members of the leaf's JSON object, a comma at the end.

        `found` are the reasons that this request gave beside its headers and its network: parameters and pace.
        """
        verdicts = evidence.verdicts
        if verdicts is None or verdicts.versions is not self.versions:
            verdicts = evidence.verdicts = Verdicts()
            verdicts.versions = self.versions
            self._remembered.append(verdicts)
        members = verdicts.get((place, found))
        if members is None:
            members = verdicts[place, found] = self._judge(evidence, place, found)
            self._many += 1
            if self._many >= REMEMBERED:
                self.forget()
        return members

    def _judge(self, evidence: Evidence, place: Place, found: Reasons) -> str:
        reading = evidence.reading
        verdict = bot_score.combine(reading.reasons, network.reasons(place, evidence.accept_language), found)
        judged = _Judged(
            verdict.score,
            verdict.reasons,
            self.versions,
            reading.ua_family,
            reading.os_family,
            reading.device_class,
            reading.in_app_browser,
            place.country,
            place.asn,
        )
        return _encode(judged).decode()[1:-1] + ","
