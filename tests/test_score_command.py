"""`stackfluence score`: one answer a line, in order, whatever the lines are, and as soon as they come."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stackfluence.click.head import Head
from stackfluence.click.rules.arrival import parameter_reasons
from stackfluence.operations.score import MAX_LINE, answer, score_lines
from stackfluence.reasons import REASONS
from stackfluence.vocabulary import TrafficReason
from tests.click.header_sets import LINUX

COMMAND = [sys.executable, "-m", "stackfluence", "score"]
LIBRARY = "curl/8.5.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)
SAFARI = [
    ["Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
    ["Sec-Fetch-Site", "none"],
    ["Accept-Encoding", "gzip, deflate, br"],
    ["Sec-Fetch-Mode", "navigate"],
    ["User-Agent", PHONE],
    ["Accept-Language", "de-DE,de;q=0.9"],
    ["Sec-Fetch-Dest", "document"],
    ["Priority", "u=0, i"],
]


class Pieces:
    """A source that gives what a list of pieces holds, one piece at a time."""

    def __init__(self, pieces: Any) -> None:
        self._pieces = iter(pieces)

    def read1(self, _size: int, /) -> bytes:
        return next(self._pieces, b"")


def line(**members: Any) -> bytes:
    return json.dumps(members).encode()


def scored(content: bytes, *, is_explained: bool = False) -> tuple[list[dict[str, Any]], int]:
    sink = io.BytesIO()
    refused = score_lines(io.BufferedReader(io.BytesIO(content)), sink, is_explained=is_explained)
    return [json.loads(each) for each in sink.getvalue().splitlines()], refused


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], input=given, capture_output=True, timeout=60, check=False)


def test_people_and_robots_are_told_apart_by_user_agent_or_by_headers() -> None:
    people = [line(user_agent=PHONE), line(headers=SAFARI), line(headers=SAFARI, transport="https", method="GET")]
    robots = [line(user_agent=LIBRARY), line(headers=[["User-Agent", LIBRARY]]), line(headers=SAFARI, method="HEAD")]
    answers, refused = scored(b"\n".join([*people, *robots]) + b"\n")
    assert refused == 0
    assert [each["traffic_class"] for each in answers] == ["valid"] * 3 + ["givt"] * 3
    assert all(each["score"] < 50 for each in answers[:3])
    assert all(each["score"] >= 90 for each in answers[3:])
    assert "head_request" in answers[5]["reasons"]
    for each in answers:
        assert list(each) == ["score", "reasons", "traffic_class"]
        assert each["score"] == min(100, sum(REASONS[TrafficReason(reason)].weight for reason in each["reasons"]))


def test_of_a_user_agent_alone_only_the_rules_that_need_no_more_are_asked() -> None:
    (alone, bare), _ = scored(line(user_agent=PHONE) + b"\n" + line(headers=[["User-Agent", PHONE]]))
    assert (alone["score"], alone["reasons"]) == (0, [])
    assert bare["score"] >= 50, "no browser sends nothing but its name"


CHROMIUM = [
    ["Host", "go.brand.example"],
    ["User-Agent", LINUX],
    ["Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"],
    ["sec-ch-ua", '"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"'],
    ["Sec-Fetch-Site", "same-origin"],
    ["Sec-Fetch-Mode", "navigate"],
    ["Sec-Fetch-Dest", "document"],
    ["Accept-Encoding", "gzip, deflate, br, zstd"],
    ["Accept-Language", "de-DE,de;q=0.9"],
]
SHUFFLED = [CHROMIUM[-1], *CHROMIUM[:-1]]
FORWARDED = ["X-Forwarded-For", "198.51.100.7"]
OWN_LINK = ["Referer", "https://GO.brand.example/c/creator/campaign"]


@pytest.mark.parametrize(
    ("members", "reasons"),
    [
        ({"headers": CHROMIUM}, []),
        ({"headers": SHUFFLED}, ["unlike_header_order"]),
        ({"headers": [*SHUFFLED, FORWARDED]}, []),
        ({"headers": [*CHROMIUM, OWN_LINK]}, ["self_referred"]),
        ({"headers": [*CHROMIUM, ["Referer", "https://go.brand.example/about"]]}, []),
        ({"headers": [*CHROMIUM[1:], OWN_LINK]}, []),
        ({"headers": CHROMIUM, "url": "/c/creator/campaign?inf_click_id=x&q=%3Cscript"},
         ["replayed_click_id", "malformed_parameters"]),
        ({"headers": CHROMIUM, "url": "https://go.brand.example/c/creator/campaign?a=%0#?b"}, ["malformed_parameters"]),
        ({"headers": CHROMIUM, "url": "/c/creator/campaign"}, []),
        ({"user_agent": PHONE, "url": "/c/creator/campaign?inf_click_id=x"}, ["replayed_click_id"]),
    ],
)  # fmt: skip
def test_a_request_is_judged_as_the_edge_would(members: dict[str, Any], reasons: list[str]) -> None:
    (answered,), _ = scored(line(**members))
    assert answered["reasons"] == reasons
    if "headers" in members:
        assert reasons == said_by_the_edge(members["headers"], members.get("url", "/c/creator/campaign"))


def said_by_the_edge(headers: list[list[str]], url: str) -> list[str]:
    """Return what an edge finds in the same request, from its own head and parameters."""
    sent = [(name.encode(), value.encode()) for name, value in headers]
    fields = {name.lower(): value for name, value in sent}
    asked = {"headers": sent, "fields": fields, "is_https": True, "forwarded": b""}
    head = Head(SimpleNamespace(**asked, connection=SimpleNamespace(is_proxied=False)))  # type: ignore[arg-type]
    query = url.partition("#")[0].partition("?")[2].encode()
    return [reason.value for reason in (*head.evidence.reading.reasons, *parameter_reasons(query))]


def test_the_sentences_explain_each_reason() -> None:
    (explained,), _ = scored(line(user_agent=LIBRARY), is_explained=True)
    assert explained["sentences"] == [REASONS[TrafficReason(reason)].sentence for reason in explained["reasons"]]
    assert explained["sentences"]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"   ",
        b"\r",
        b"{",
        b"[]",
        b"null",
        b"17",
        b"{}",
        b'{"user_agent": NaN}',
        b'{"user_agent": 17}',
        b'{"user_agent": null}',
        b'{"user_agent": "\xff\xfe"}',
        b'{"user_agent": "\\ud800"}',
        b'{"user_agent": "x", "score": Infinity}',
        b'{"headers": {"User-Agent": "x"}}',
        b'{"headers": [["User-Agent"]]}',
        b'{"headers": [["User-Agent", 1]]}',
        b'{"headers": [], "transport": "carrier pigeon"}',
        b'{"headers": [], "method": 1}',
        b'{"user_agent": "x"} {"user_agent": "y"}',
        b"\x00\x01\x02",
        b'{"x": ' + b"[" * 200_000,
    ],
    ids=lambda bad: repr(bad[:40]),
)
def test_a_line_that_cant_be_read_keeps_its_place(bad: bytes) -> None:
    good = line(user_agent=LIBRARY)
    answers, refused = scored(b"\n".join([good, bad, good]))
    assert refused == 1
    assert [list(each) for each in answers] == [
        ["score", "reasons", "traffic_class"],
        ["error"],
        ["score", "reasons", "traffic_class"],
    ]
    assert answers[1]["error"].startswith("line 2: ")
    assert answers[0] == answers[2]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_last_line_counts_with_and_without_its_end(end: bytes) -> None:
    assert len(scored(line(user_agent=PHONE) + end)[0]) == 1
    assert scored(b"") == ([], 0)


def test_a_byte_order_mark_at_the_start_is_none_of_the_first_line() -> None:
    mark = b"\xef\xbb\xbf"
    whole = line(user_agent=LIBRARY) + b"\n" + line(user_agent=PHONE)
    assert scored(mark + whole) == scored(whole)
    answers, refused = scored(whole + b"\n" + mark + whole)
    assert (refused, list(answers[2])) == (1, ["error"])


@pytest.mark.parametrize("size", [1, 7, 64])
def test_lines_are_the_same_however_they_are_cut(size: int) -> None:
    content = b"\n".join([line(user_agent=LIBRARY), b"", line(headers=SAFARI), b"{", line(user_agent=PHONE)])
    whole, sink = scored(content)[0], io.BytesIO()
    refused = score_lines(Pieces(content[at : at + size] for at in range(0, len(content), size)), sink)
    assert [json.loads(each) for each in sink.getvalue().splitlines()] == whole
    assert (refused, len(whole)) == (2, 5)


def test_a_line_of_a_hundred_megabytes_is_passed_over_in_little_memory() -> None:
    piece = b"x" * (1 << 16)
    good = line(user_agent=LIBRARY) + b"\n"
    pieces = (
        part for parts in ([good + b'{"user_agent": "'], (piece for _ in range(1600)), [b"\n" + good]) for part in parts
    )
    sink = io.BytesIO()
    answer(line(user_agent=LIBRARY))  # what is loaded once doesn't count
    tracemalloc.start()
    try:
        assert score_lines(Pieces(pieces), sink) == 1
        assert tracemalloc.get_traced_memory()[1] < 8 * MAX_LINE
    finally:
        tracemalloc.stop()
    first, middle, last = (json.loads(each) for each in sink.getvalue().splitlines())
    assert first == last
    assert middle == {"error": f"line 2: longer than {MAX_LINE:,} bytes"}


def test_the_longest_line_is_still_read() -> None:
    fits = line(user_agent=LIBRARY, note="")
    fits = fits[:-2] + b"x" * (MAX_LINE - len(fits)) + fits[-2:]
    (fitting, too_long), refused = scored(fits + b"\n" + fits + b" ")
    assert (len(fits), refused, list(too_long)) == (MAX_LINE, 1, ["error"])
    assert fitting["score"] >= 90


def test_the_command_answers_a_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(line(user_agent=LIBRARY) + b"\n" + line(user_agent=PHONE) + b"\n")
    done = run(str(path))
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(each)["traffic_class"] for each in done.stdout.splitlines()] == ["givt", "valid"]
    assert run("--explain", "-", given=path.read_bytes()).stdout.count(b'"sentences"') == 2


def test_the_command_says_by_its_exit_code_that_a_line_could_not_be_read(tmp_path: Path) -> None:
    done = run("-", given=line(user_agent=LIBRARY) + b"\nnothing\n")
    assert done.returncode == 3
    assert [next(iter(json.loads(each))) for each in done.stdout.splitlines()] == ["score", "error"]
    assert run(str(tmp_path / "none.jsonl")).returncode == 2


def test_an_answer_comes_before_the_next_question() -> None:
    with subprocess.Popen([*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asking:
        assert asking.stdin
        assert asking.stdout
        for user_agent, expected in ((LIBRARY, "givt"), (PHONE, "valid")):
            asking.stdin.write(line(user_agent=user_agent) + b"\n")
            asking.stdin.flush()
            assert json.loads(asking.stdout.readline())["traffic_class"] == expected
        asking.stdin.close()
    assert asking.returncode == 0
