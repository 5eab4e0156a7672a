"""Other detectors of robots, asked in the same run: what each says of user agents, and how long it takes."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import stackfluence

ISBOT = Path(stackfluence.__file__).parent / "lists" / "node_modules" / "isbot"
# one process, all user agents on its standard input; the second round is timed, when the patterns are compiled
_NODE = """
const { isbot } = require(process.argv[1]);
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
texts.slice(0, 500).forEach((text) => isbot(text));
const start = process.hrtime.bigint();
const bots = texts.filter((text) => isbot(text));
const nanoseconds = Number(process.hrtime.bigint() - start);
process.stdout.write(JSON.stringify({ bots, nanoseconds }));
"""


class Detector:
    """A detector by name and version. `at_most` is how many of a corpus it is asked about, spread evenly; None: all."""

    def __init__(self, name: str, version: str, is_bot: Callable[[str], bool], at_most: int | None = None) -> None:
        self.name = name
        self.version = version
        self.at_most = at_most
        self._is_bot = is_bot
        self._known: dict[str, bool] = {}
        self._seconds = 0.0

    def find(self, texts: Sequence[str]) -> tuple[int, int]:
        """Return how many user agents it was asked about, and how many of them it takes for robots."""
        asked = sample(texts, self.at_most)
        for text in asked:
            if text not in self._known:
                start = time.perf_counter()
                self._known[text] = self._is_bot(text)
                self._seconds += time.perf_counter() - start
        return len(asked), sum(self._known[text] for text in asked)

    @property
    def microseconds(self) -> float:
        """Mean microseconds a user agent of those it was asked about, each once."""
        return round(self._seconds / max(1, len(self._known)) * 1e6, 1)


class Isbot(Detector):
    """isbot, in Node: it has said everything before it is asked."""

    def __init__(self, texts: Sequence[str]) -> None:
        node = shutil.which("node")
        assert node is not None, "Node is among what set-up needs"
        version = json.loads((ISBOT / "package.json").read_text())["version"]
        done = subprocess.run(
            [node, "-e", _NODE, str(ISBOT)], input=json.dumps(list(texts)), capture_output=True, text=True, check=True
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        bots = frozenset(answer["bots"])
        super().__init__("isbot", version, bots.__contains__)
        self._mean: float = round(answer["nanoseconds"] / max(1, len(texts)) / 1000, 1)

    @property
    def microseconds(self) -> float:
        """Mean microseconds a user agent inside Node."""
        return self._mean


def sample(texts: Sequence[str], at_most: int | None) -> Sequence[str]:
    """Return all texts, or `at_most` of them spread evenly over the list: the same ones every time."""
    if at_most is None or len(texts) <= at_most:
        return texts
    return [texts[number * len(texts) // at_most] for number in range(at_most)]


def detectors(texts: Iterable[str]) -> list[Detector]:
    """Return the detectors that are installed; `texts` is every user agent that isbot will be asked about."""
    found: list[Detector] = []
    if ISBOT.is_dir() and shutil.which("node"):
        found.append(Isbot(sorted(set(texts))))
    found.append(_crawler_user_agents())
    found.append(_crawlerdetect())
    found.append(_device_detector())
    found.append(_ua_parser())
    return found


def _crawler_user_agents() -> Detector:
    import crawleruseragents

    version = importlib.metadata.version("crawler-user-agents")
    return Detector("crawler-user-agents", version, lambda text: bool(crawleruseragents.is_crawler(text)), 10_000)


def _crawlerdetect() -> Detector:
    from crawlerdetect import CrawlerDetect

    detect = CrawlerDetect()
    version = importlib.metadata.version("crawlerdetect")
    return Detector("crawlerdetect", version, lambda text: bool(detect.isCrawler(text)), 5_000)


def _device_detector() -> Detector:
    from device_detector import DeviceDetector

    def is_bot(text: str) -> bool:
        device = DeviceDetector(text).parse()
        return bool(device.is_bot()) or device.client_type() == "library"

    is_bot("curl/8.5.0")  # it reads its lists when it is first asked
    return Detector("device-detector", importlib.metadata.version("device-detector"), is_bot, 300)


def _ua_parser() -> Detector:
    from ua_parser import parse_device

    def is_bot(text: str) -> bool:
        device = parse_device(text)
        return device is not None and device.family == "Spider"

    is_bot("curl/8.5.0")
    return Detector("ua-parser Spider", importlib.metadata.version("ua-parser"), is_bot)
