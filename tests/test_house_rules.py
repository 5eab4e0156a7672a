"""The rules of CONTRIBUTING.md that a machine can check. An exception stands here with its reason."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

import pytest

from stackfluence import vocabulary
from stackfluence.settings import Settings

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "stackfluence"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
SKIPPED_FOLDERS = {"node_modules", "built", "dist", "data", "__pycache__"}
CODE = {".py", ".sql", ".js", ".mjs", ".ts", ".tsx"}
TEXT = CODE | {
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".lock",
    ".txt",
    ".sh",
    ".html",
    ".css",
    ".example",
    ".mako",
    "",
}
MIGRATIONS = SOURCE / "migrations" / "versions"  # a list of tables is as long as it is, and never edited again

# put together from parts, so that this file doesn't break its own rules
REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com")
MACHINE_PATHS = re.compile(
    "(?<![\\w.~)-])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers")) + r")/\w"
)
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")

# STYLE, "Words not used". A creator's `handle` and a browser's `user_agent` are words of the glossary.
BANNED_WORDS = {
    "hit", "lead", "partner", "tenant", "user", "manager", "processor", "handler", "service", "services",
    "util", "utils", "helper", "helpers", "misc",
}  # fmt: skip
BANNED_VERBS = ("track_", "process_", "handle_")
# their meaning is asyncio's and llhttp's, and written there
CALLBACKS = set(dir(asyncio.Protocol)) | {
    "on_message_begin", "on_url", "on_status", "on_header", "on_headers_complete", "on_body", "on_message_complete",
}  # fmt: skip
BANNED_NAMES = {"data", "info", "track", "process"}


def tree(start: Path = ROOT) -> Iterator[Path]:
    """Give every file of the project, in order; what tools make and installations is left out."""
    for folder, folders, names in os.walk(start):
        folders[:] = sorted(
            name
            for name in folders
            if name not in SKIPPED_FOLDERS and not name.endswith(".egg-info") and (name == ".ci" or name[0] != ".")
        )
        yield from (Path(folder, name) for name in sorted(names))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_files() -> list[Path]:
    return [path for path in tree() if path.suffix in TEXT]


def python_files(folder: Path = SOURCE) -> list[Path]:
    return [path for path in tree(folder) if path.suffix == ".py"]


def long_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Give name and length of each function of a Python or JavaScript file that is too long."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                yield node.name, node.end_lineno - node.lineno + 1
    elif path.suffix in CODE - {".sql"}:
        lines = text.splitlines()
        for start, line in enumerate(lines):
            begins = re.match(r"(\s*)(?:export )?(?:default )?(?:async )?function\*? ?(\w*)", line)
            if begins and "}" in (indented := [other.removeprefix(begins[1]) for other in lines[start:]]):
                yield begins[2], indented.index("}") + 1


def words_of(name: str) -> list[str]:
    """Return the words of a snake_case or CamelCase name, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def banned(name: str) -> bool:
    """Whether a class or function has a name with a word that says nothing, or says it wrongly."""
    words = words_of(name.replace("user_agent", "").replace("UserAgent", ""))
    return (
        bool(BANNED_WORDS & set(words))
        or name.strip("_").startswith(BANNED_VERBS)
        or name.lower().strip("_") in BANNED_NAMES
    )


def definitions(path: Path) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def undocumented(path: Path) -> Iterator[str]:
    """Give each public module, class, function and method of a file that has no docstring."""
    module = ast.parse(path.read_text())
    if module.body and not ast.get_docstring(module):
        yield "the module"
    outer: list[ast.Module | ast.ClassDef] = [module]
    while outer:
        for node in outer.pop().body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name[0] == "_":
                continue
            if not ast.get_docstring(node) and node.name not in CALLBACKS:
                yield node.name
            if isinstance(node, ast.ClassDef):
                outer.append(node)


def sql_faults(text: str) -> list[str]:
    """Return what a numbered .sql lacks or must not have: a derivation is a function of its input."""
    header = [line for line in text.splitlines() if line.startswith("--")]
    faults = [f"no `-- {word}:`" for word in ("Grain", "Reads", "Writes", "Rule", "Lookback", "Lookahead") if not any(
        re.match(rf"-- {word}:\s+\S", line) for line in header
    )]  # fmt: skip
    code = re.sub(r"--.*", "", text)
    clocks = re.findall(
        r"\b(now(?:64)?|today|yesterday|rand\w*|generateUUID\w*)\s*\(|\b(current_date|current_timestamp)\b", code
    )
    faults += [f"{call or constant} gives another answer each time" for call, constant in clocks]
    unordered = re.findall(r"\b(any|anyLast|first_value|last_value|topK\w*|uniq|uniqHLL12|uniqCombined\w*)\s*\(", code)
    faults += [f"{call} depends on the order in which rows are read" for call in unordered]
    floats = re.findall(
        r"\b(toFloat\w*|avg\w*|quantile\w*|exp\w*|log\w*|sqrt)\s*\(|(?<=\s)(/)(?=\s)|\b(\d+\.\d+)\b", code
    )
    return faults + [f"{''.join(found)} is no integer" for found in floats]


def heading_anchors(text: str) -> set[str]:
    """Return the anchors that a renderer makes of a page's headings."""
    titles = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> Iterator[str]:
    """Give each relative link of a Markdown page that leads nowhere."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(<?([^)\s>]+)>?\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        destination = (page.parent / name).resolve() if name else page
        if not destination.exists() or (anchor and anchor not in heading_anchors(destination.read_text())):
            yield target


def vocabulary_enums() -> list[type[StrEnum]]:
    found = (value for value in vars(vocabulary).values() if isinstance(value, type))
    return [value for value in found if issubclass(value, StrEnum) and value is not StrEnum]


def glossary_words(name: str) -> dict[str, str]:
    """Return the words and sentences of one enum's table in the glossary."""
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    section = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", glossary, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|$", section[1], re.MULTILINE) if section else []
    return dict(rows)


def test_files_are_short_enough_to_read() -> None:
    found = [path for folder in (SOURCE, ROOT / "clients") for path in tree(folder) if path.suffix in CODE]
    lengths = {relative(path): len(path.read_text().splitlines()) for path in found if path.parent != MIGRATIONS}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_are_short_enough_to_read() -> None:
    found = [path for folder in (SOURCE, ROOT / "clients") for path in tree(folder) if path.parent != MIGRATIONS]
    lengths = {f"{relative(path)}:{name}": lines for path in found for name, lines in long_functions(path)}
    assert "clients/verify/click-id.mjs:verify" in lengths, "JavaScript functions are measured too"
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", python_files(), ids=relative)
def test_names_say_what_a_thing_is(path: Path) -> None:
    assert [node.name for node in definitions(path) if banned(node.name)] == []


@pytest.mark.parametrize("name", ["LinkManager", "handle_click", "process_batch", "track", "user", "Info", "http_util"])
def test_a_word_that_is_not_used_is_found(name: str) -> None:
    assert banned(name)


@pytest.mark.parametrize(
    "name", ["mint", "user_agent_family", "data_received", "HandleAlias", "_handle", "leading_zeros", "_read"]
)
def test_a_word_that_only_looks_like_one_is_left_alone(name: str) -> None:
    assert not banned(name)


@pytest.mark.parametrize("path", [path for path in python_files() if path.parent != MIGRATIONS], ids=relative)
def test_everything_public_is_explained(path: Path) -> None:
    assert list(undocumented(path)) == []


def test_no_file_names_a_package_registry_or_a_path_of_somebodys_machine() -> None:
    texts = {relative(path): path.read_text() for path in text_files()}
    assert "pyproject.toml" in texts
    assert [(name, host) for name, text in texts.items() for host in REGISTRIES if host in text] == []
    assert [(name, found[0]) for name, text in texts.items() if (found := MACHINE_PATHS.search(text))] == []


def test_nothing_is_left_for_later_in_a_comment() -> None:
    found = [path for path in text_files() if path.suffix != ".lock"]
    assert [relative(path) for path in found if UNFINISHED.search(path.read_text())] == []


def test_the_example_environment_is_what_the_settings_say() -> None:
    text = (ROOT / ".env.example").read_text()
    listed = re.findall(r"^# (.+)\nSF_([A-Z_]+)=(.*)$", text, re.MULTILINE)
    assert [(name.lower(), default, help) for help, name, default in listed] == [
        (setting.name, setting.default, setting.metadata["help"]) for setting in fields(Settings)
    ]
    assert text.count("SF_") == len(listed)


@pytest.mark.parametrize("enum", vocabulary_enums(), ids=lambda enum: enum.__name__)
def test_the_glossary_explains_every_word_of_the_vocabulary_and_no_other(enum: type[StrEnum]) -> None:
    assert list(glossary_words(enum.__name__)) == [word.value for word in enum]


def test_every_numbered_query_says_what_it_does_and_reads_no_clock() -> None:
    numbered = [path for path in tree(SOURCE) if re.match(r"\d+_.*\.sql$", path.name)]
    assert {relative(path): faults for path in numbered if (faults := sql_faults(path.read_text()))} == {}


def test_a_query_without_a_header_or_with_a_clock_is_found() -> None:
    header = (
        "-- sessions\n-- Grain: one row per visit.\n-- Reads: events\n-- Writes: sessions\n-- Rule: a visit.\n"
        "-- Lookback: none\n-- Lookahead: 1 day\n"
    )
    assert sql_faults(header + "select 1 -- not now()") == []
    assert sql_faults(header.replace("-- Reads", "-- Read")) == ["no `-- Reads:`"]
    assert sql_faults(header + "select now(), today(), current_date") == [
        "now gives another answer each time",
        "today gives another answer each time",
        "current_date gives another answer each time",
    ]
    assert sql_faults(header + "select any(a), avg(b), a / b, 0.5") == [
        "any depends on the order in which rows are read",
        "avg is no integer",
        "/ is no integer",
        "0.5 is no integer",
    ]


@pytest.mark.parametrize("page", [path for path in tree() if path.suffix == ".md"], ids=relative)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title, twice\n[a](page.md#a-title-twice) [b](gone.md) [c](#gone) [d](https://brand.example/)\n"
    )
    assert list(broken_links(page)) == ["gone.md", "#gone"]


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    names = sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")
    assert names
    assert [name[:5] for name in names] == [f"{number:04d}-" for number in range(1, len(names) + 1)]
    index = (folder / "README.md").read_text()
    assert [name for name in names if f"({name})" not in index] == []
    for name in names:
        text = (folder / name).read_text()
        assert [part for part in ("## Context", "## Decision", "## Consequence") if f"\n{part}\n" not in text] == [], (
            name
        )


def test_the_page_on_dependencies_has_every_one_with_its_pinned_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = sorted(re.split(r"[\[<>=~! ]", dependency)[0] for dependency in project["dependencies"])
    page = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text()
    listed = dict(re.findall(r"^\| ([a-z0-9-]+) (\d\S*) \|", page, re.MULTILINE))
    pinned = dict(
        re.findall(r"^([a-z0-9-]+)(?:\[\w+\])?==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    assert sorted(listed) == wanted
    assert listed == {name: pinned[name] for name in listed}
