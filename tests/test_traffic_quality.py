"""The page on traffic quality tells each reason as the code weighs it."""

from __future__ import annotations

import re
from pathlib import Path

from stackfluence.reasons import CERTAIN, FLAGGED, REASONS

PAGE = Path(__file__).parents[1] / "docs" / "traffic-quality.md"
ROW = re.compile(r"^\| `(\w+)` \| (givt|sivt) \| (\d+) \| (at the click|after it) \| (.+) \|$", re.MULTILINE)


def test_the_table_of_reasons_is_that_of_the_code() -> None:
    section = PAGE.read_text().partition("\n## The reasons\n")[2].partition("\n## ")[0]
    assert [tuple(row) for row in ROW.findall(section)] == [
        (word, row.traffic_class, str(row.weight), "after it" if row.is_after_click else "at the click", row.sentence)
        for word, row in REASONS.items()
    ]
    told = re.search(r"^(.+) are \*\*provisional\*\*", section, re.MULTILINE)
    assert told
    assert re.findall(r"`(\w+)`", told[1]) == [word for word, row in REASONS.items() if row.is_provisional]


def test_the_page_names_both_thresholds() -> None:
    page = PAGE.read_text()
    assert f"From **{FLAGGED}** points a click is *flagged*" in page
    assert f"From **{CERTAIN}**" in page


def test_the_page_says_where_traffic_quality_ends() -> None:
    headings = re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)
    assert [
        heading
        for heading in headings
        if heading
        in (
            "How a score is made",
            "The reasons",
            "After the click",
            "How to read a verdict",
            "What is out of reach at the click",
        )
    ] == [
        "How a score is made",
        "The reasons",
        "After the click",
        "How to read a verdict",
        "What is out of reach at the click",
    ]
