"""Which headers each kind of client sends, in order and case: `headers.json`, and a labelled corpus if there is one.

`captured` sets were recorded on a raw TLS socket (ALPN: http/1.1 only) from the client that `source` names, doing what
it says. `composed` ones are such a set with another client's published user agent and the headers that client is known
to add; `source` says which. A name in braces is filled in when the request is sent.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random

import msgspec

from stackfluence.demo.wire import Headers
from stackfluence.errors import SettingsError

_FILE = Path(__file__).with_name("headers.json")
_SAME = "="  # in a report's headers: what the same visitor sent when it came, or nothing
CORPUS_FILE = "headers.jsonl.gz"
CORPUS_SHARE = 0.5  # of the people and scripts, when there is a corpus


class Kind(StrEnum):
    """What sort of client sends a header set."""

    person = "person"
    in_app = "in_app"
    preview = "preview"
    prefetch = "prefetch"
    mail_scanner = "mail_scanner"
    script = "script"
    checker = "checker"


@dataclass(frozen=True, slots=True)
class HeaderSet:
    """One client's headers for a visit, `{names}` still to be filled in.

    `apps` are the platforms it comes from, none meaning any; `engine` whose report headers it sends later; `choices`
    what some names may be filled with, one value a visitor; `weight` how common it is among its kind.
    """

    name: str
    kind: Kind
    status: str
    headers: tuple[tuple[str, str], ...]
    engine: str = ""
    method: str = "GET"
    apps: tuple[str, ...] = ()
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weight: int = 10

    def chosen(self, rng: Random) -> Headers:
        """Return the headers with a choice made of each name that has several."""
        return fill(self.headers, {name: rng.choice(list(values)) for name, values in self.choices.items()})


class HeaderSets:
    """All header sets; `corpus` is a `headers.jsonl.gz` or its directory, whose sets then share in the traffic."""

    def __init__(self, corpus: Path | None = None) -> None:
        document = json.loads(_FILE.read_bytes())
        self.visits = {name: _header_set(name, entry) for name, entry in document["visits"].items()}
        self._reports: dict[str, dict[str, list[list[str]]]] = document["reports"]
        self._corpus = read_corpus(corpus) if corpus else {}

    def named(self, name: str) -> HeaderSet:
        """Return a set by its name."""
        return self.visits[name]

    def pick(self, rng: Random, kinds: Sequence[Kind], app: str = "") -> HeaderSet:
        """Return a set of one of the kinds, where `app` is given one that comes from there, or from anywhere."""
        corpus = [entry for kind in kinds for entry in self._corpus.get(kind, ())]
        if corpus and rng.random() < CORPUS_SHARE:
            return rng.choice(corpus)
        fitting = [known for known in self.visits.values() if known.kind in kinds]
        if app:
            fitting = [known for known in fitting if not known.apps or app in known.apps] or fitting
        return rng.choices(fitting, [known.weight for known in fitting])[0]

    def report(self, engine: str, form: str, seen: Headers, names: Mapping[str, str]) -> Headers:
        """Return the headers of a `form` (preflight, fetch, beacon, server) as an engine sends them.

        `seen` are the visitor's headers of before, from which `=` is taken.
        """
        before = {name.lower(): value for name, value in seen}
        headers: Headers = []
        for name, value in self._reports[engine][form]:
            if value != _SAME:
                headers.append((name, value))
            elif name.lower() in before:
                headers.append((name, before[name.lower()]))
        return fill(headers, names)


def fill(headers: Sequence[tuple[str, str]], names: Mapping[str, str]) -> Headers:
    """Return headers with `{names}` replaced; a header whose name has an empty value is left out."""
    filled: Headers = []
    for name, value in headers:
        if value.startswith("{") and value.endswith("}") and names.get(value[1:-1]) == "":
            continue
        if "{" in value:
            for known, text in names.items():
                value = value.replace(f"{{{known}}}", text)
        filled.append((name, value))
    return filled


class _CorpusRow(msgspec.Struct):
    label: str
    kind: str
    http: str
    headers: list[tuple[str, str]]
    partial: bool = False


def read_corpus(path: Path) -> dict[Kind, list[HeaderSet]]:
    """Return a corpus' complete header sets by kind: those labelled human are people, those labelled bot scripts.

    Each line of `headers.jsonl.gz` is {"label", "kind", "http", "headers": [[name, value], …]}, without Host, which is
    put in front. Raises SettingsError when there is no such file or a line is none.
    """
    found: dict[Kind, list[HeaderSet]] = {Kind.person: [], Kind.script: []}
    decode = msgspec.json.Decoder(_CorpusRow).decode
    try:
        with gzip.open(path / CORPUS_FILE if path.is_dir() else path, "rb") as lines:
            rows = [decode(line) for line in lines]
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(f"The corpus {path} can't be read: {error}.") from None
    for number, row in enumerate(rows, 1):
        if row.partial or row.http == "1.0" or not all(_is_sendable(*pair) for pair in row.headers):
            continue
        kind = Kind.person if row.label == "human" else Kind.script
        headers = (("Host", "{host}"), *row.headers)
        named = next((value for name, value in row.headers if name.lower() == "user-agent"), "")
        found[kind].append(HeaderSet(f"corpus-{number}", kind, "corpus", headers, _engine_of(named)))
    return found


def _is_sendable(name: str, value: str) -> bool:
    """Whether a header can be sent as it is: the corpora's braces and line ends would become something else."""
    text = name + value
    return bool(name) and text.isprintable() and text.isascii() and "{" not in text and name.lower() not in _UNSENT


_UNSENT = frozenset(("host", "content-length", "transfer-encoding", "expect", "upgrade"))


def _engine_of(user_agent: str) -> str:
    if "Gecko/" in user_agent:
        return "firefox"
    return "chromium" if "Chrome/" in user_agent else "safari"


def _header_set(name: str, entry: Mapping[str, object]) -> HeaderSet:
    return msgspec.convert({**entry, "name": name, "headers": entry["headers"]}, HeaderSet, strict=True)
