"""Networks that carry people are never taken for data centres, and the large data centres are known."""

from __future__ import annotations

import csv
import gzip
from functools import cache
from ipaddress import ip_network
from pathlib import Path

import maxminddb
import pytest

from stackfluence import lists
from stackfluence.click.geo import Place, asn_of, organization_of
from stackfluence.click.networks import classify
from stackfluence.click.rules import network
from stackfluence.errors import ListsUnusable
from stackfluence.reasons import FLAGGED, score_of
from stackfluence.vocabulary import NetworkClass, TrafficReason

CORPUS = Path(__file__).parents[3] / "shared" / "data" / "bots" / "asn"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the reference lists of networks are not here")

# the systems through which most of the world's people come, as their operators publish them
CONSUMERS = (
    209, 701, 577, 812, 852, 1221, 1257, 1267, 1136, 2119, 2516, 2609, 2856, 3209, 3215, 3243, 3269, 3292, 3301, 3303,
    3320, 3352, 3462, 4134, 4713, 4766, 4771, 4788, 4804, 4837, 5089, 5384, 5410, 5432, 5466, 5483, 5607, 5617, 6057,
    6147, 6167, 6327, 6400, 6471, 6697, 6739, 6799, 6805, 6830, 6849, 6871, 7018, 7029, 7303, 7418, 7470, 7545, 7552,
    7679, 7713, 7738, 7922, 8048, 8151, 8167, 8280, 8359, 8374, 8402, 8412, 8447, 8452, 8517, 8551, 8708, 8717, 8866,
    8881, 9121, 9299, 9318, 9498, 9605, 9644, 9808, 9829, 10139, 10620, 10796, 11172, 11315, 11351, 11426, 11427, 12066,
    12271, 12322, 12389, 12430, 12479, 12576, 12690, 12874, 12912, 13030, 13285, 13489, 13999,
    14593, 15557, 15704, 15802, 15895, 15897, 16116, 16135, 16232, 16637, 17552, 17676, 17816, 18101, 18403, 18881,
    20001, 20057, 20115, 21502, 21928, 22085, 22394, 22773, 22927, 23693, 24203, 24560, 24608, 25019, 25135, 25513,
    26599, 26615, 27651, 27699, 27747, 28403, 28573, 29465, 29518, 30722, 30844, 31133, 31615, 33363, 33771, 33915,
    34984, 35819, 36873, 36935, 36992, 37457, 38266, 38285, 39603, 39891, 43766, 45143, 45271, 45609, 45758, 45899,
    47331, 51207, 52468, 55410, 55836, 56040, 56046, 131445, 133481, 132199, 138384,
)  # fmt: skip


@cache
def systems() -> dict[int, tuple[str, int]]:
    """Return organization and number of IPv4 addresses of every system of the installed file."""
    found: dict[int, tuple[str, int]] = {}
    with maxminddb.open_database(str(lists.path("asn"))) as reader:
        for net, record in reader:
            asn = asn_of(record)
            size = net.num_addresses if net.version == 4 else 0
            found[asn] = (organization_of(record), size + found.get(asn, ("", 0))[1])
    return found


def test_no_carrier_and_no_provider_is_a_data_centre() -> None:
    carriers = {NetworkClass.unknown, NetworkClass.residential, NetworkClass.mobile}
    names = {asn: systems().get(asn, ("", 0))[0] for asn in CONSUMERS}
    assert {asn: name for asn, name in names.items() if classify(asn, name) not in carriers} == {}


@pytest.mark.parametrize("asn", [16509, 14618, 396982, 8075, 31898, 24940, 16276, 14061, 63949, 20473, 51167, 45102])
def test_the_large_clouds_are_data_centres_without_any_name(asn: int) -> None:
    assert classify(asn, "") == NetworkClass.hosting


@pytest.mark.parametrize("asn", [36183, 20940, 13335, 54113, 22616, 36692])
def test_relays_of_browsers_and_gateways_of_offices_are_people(asn: int) -> None:
    assert classify(asn, "Example Cloud Hosting") == NetworkClass.relay


@pytest.mark.parametrize(
    ("organization", "expected"),
    [
        ("Example Hosting Ltd", NetworkClass.hosting),
        ("Example Webhost", NetworkClass.hosting),
        ("EXAMPLE DATA CENTER GMBH", NetworkClass.hosting),
        ("Example Datacentre", NetworkClass.hosting),
        ("Example VPS", NetworkClass.hosting),
        ("Example Dedicated Servers", NetworkClass.hosting),
        ("ExampleCloud Inc.", NetworkClass.hosting),
        ("Example Colocation", NetworkClass.hosting),
        ("Example VPN AB", NetworkClass.vpn),
        ("Example Mobile", NetworkClass.mobile),
        ("Example Cellular Cloud", NetworkClass.mobile),
        ("EJEMPLO MÓVIL", NetworkClass.mobile),
        ("Exemple Hébergement", NetworkClass.hosting),
        ("Example Telecom and Hosting", NetworkClass.residential),
        ("Example Broadband", NetworkClass.residential),
        ("Cloud Fiber Internet", NetworkClass.residential),
        ("Example Wireless ISP", NetworkClass.residential),
        ("University of Example, Cloud Services", NetworkClass.unknown),
        ("Example Youth Hostels", NetworkClass.unknown),
        ("Example Bank Data Center", NetworkClass.unknown),
        ("Example Bakery", NetworkClass.unknown),
        ("", NetworkClass.unknown),
    ],
)
def test_a_name_tells_what_a_network_is_and_people_win(organization: str, expected: NetworkClass) -> None:
    assert classify(64500, organization) == expected


def test_no_number_is_no_network() -> None:
    assert classify(0, "Example Hosting") == NetworkClass.unknown


def place(network_class: NetworkClass, country: str = "DE") -> Place:
    return Place(country, 64500, network_class)


@pytest.mark.parametrize(
    ("network_class", "expected"),
    [
        (NetworkClass.hosting, (TrafficReason.hosting_network,)),
        (NetworkClass.vpn, (TrafficReason.vpn_network,)),
        (NetworkClass.relay, ()),
        (NetworkClass.mobile, ()),
        (NetworkClass.residential, ()),
        (NetworkClass.unknown, ()),
    ],
)
def test_what_a_network_says(network_class: NetworkClass, expected: tuple[TrafficReason, ...]) -> None:
    assert network.reasons(place(network_class), "de-DE,de;q=0.9") == expected


@pytest.mark.parametrize("network_class", NetworkClass)
@pytest.mark.parametrize("accept_language", ["", "de", "ja", "th-TH,th;q=0.9"])
def test_a_network_never_condemns_a_click_alone(network_class: NetworkClass, accept_language: str) -> None:
    assert score_of(network.reasons(place(network_class), accept_language)) * 2 < FLAGGED


@pytest.mark.parametrize(
    ("country", "accept_language"),
    [
        ("DE", "de-DE,de;q=0.9"),
        ("DE", "tr"),
        ("DE", "ja-JP,ja;q=0.9,en;q=0.8"),
        ("JP", "en-US"),
        ("US", "es-US"),
        ("US", "zh-Hant-TW"),
        ("ES", "ca"),
        ("NO", "no-NO"),
        ("PH", "tl-PH"),
        ("IL", "iw-IL"),
        ("ID", "in-ID"),
        ("BA", "bs"),
        ("AE", "hi-IN"),
        ("PL", "uk-UA"),
        ("SE", "ar"),
        ("GB", "*"),
        ("", "ja"),
        ("XX", "ja"),
    ],
)
def test_languages_of_a_country_its_minorities_and_english_are_usual(country: str, accept_language: str) -> None:
    assert network.reasons(place(NetworkClass.residential, country), accept_language) == ()


@pytest.mark.parametrize(
    ("country", "accept_language"), [("BR", "th-TH,th;q=0.9"), ("DE", "ja"), ("KE", "cs, fi;q=0.5")]
)
def test_a_language_that_nobody_speaks_there_is_unlikely(country: str, accept_language: str) -> None:
    found = network.reasons(place(NetworkClass.mobile, country), accept_language)
    assert found == (TrafficReason.unlikely_language,)


@pytest.mark.parametrize("network_class", [NetworkClass.relay, NetworkClass.vpn, NetworkClass.hosting])
def test_the_country_of_a_relay_is_not_the_visitors(network_class: NetworkClass) -> None:
    assert TrafficReason.unlikely_language not in network.reasons(place(network_class, "BR"), "th-TH")


def test_a_header_of_any_length_is_read() -> None:
    assert network.is_rare("DE", ",".join(["ja"] * 5_000))
    assert not network.is_rare("DE", ";;q=,,,-")


def test_without_its_list_the_rule_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> dict[str, object]:
        raise ListsUnusable(f"{name} is missing.")

    monkeypatch.setattr(lists, "load", missing)
    network._languages.cache_clear()
    try:
        assert network.reasons(place(NetworkClass.mobile, "BR"), "th") == ()
    finally:
        network._languages.cache_clear()


@needs_corpus
def test_no_egress_of_icloud_private_relay_is_a_data_centre() -> None:
    ranges = [line for line in (CORPUS / "apple_private_relay.txt").read_text().split() if "/" in line]
    assert len(ranges) > 3_000
    with maxminddb.open_database(str(lists.path("asn"))) as reader:
        for text in ranges:
            record = reader.get(ip_network(text)[0])
            found = classify(asn_of(record), organization_of(record))
            assert found in {NetworkClass.relay, NetworkClass.unknown}, text


@needs_corpus
def test_nine_tenths_of_the_addresses_in_listed_data_centres_are_known() -> None:
    """Counted by IPv4 addresses, of the systems that two public lists name; what is left is small, or a relay."""
    with gzip.open(CORPUS / "datacenter_asns.csv.gz", "rt") as file:
        listed = {int(row["asn"]) for row in csv.DictReader(file)}
    announced = {asn: systems()[asn] for asn in listed if asn in systems()}
    known = sum(size for asn, (name, size) in announced.items() if classify(asn, name) == NetworkClass.hosting)
    assert known / sum(size for _, size in announced.values()) > 0.9
