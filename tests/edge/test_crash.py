"""kill -9 of an edge under load: what it answered is in its journal, once, although no core was there to load it."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from bench.crowd import Answers, Crowd

from stackfluence.catalog import open_catalog
from stackfluence.catalog.tables import Link
from stackfluence.events.journal import adopt
from tests.edge.edges import assert_gap_free, journal_events

ROUNDS = int(os.environ.get("SF_TEST_CRASH_ROUNDS", "5"))
CAMPAIGNS = 5


async def fill(url: str) -> str:
    """Give the catalog some links; returns a secret key."""
    catalog = open_catalog(url)
    try:
        async with catalog.writing("cli") as change:
            made = await change.add_organization("Brand", "EUR", "Europe/Berlin")
            creator = await change.add_creator(made.organization_id, "emma")
            for number in range(CAMPAIGNS):
                campaign = await change.add_campaign(made.organization_id, f"c{number}")
                await change.add(
                    Link(
                        organization_id=made.organization_id,
                        creator_id=creator.id,
                        campaign_id=campaign.id,
                        asset_slug="",
                        destination_url="https://shop.brand.example/",
                    )
                )
        return made.secret_key
    finally:
        await catalog.close()


class EdgeProcess:
    """`stackfluence edge` on one data directory, with settings, and, from the first start on, one port."""

    def __init__(self, data: Path, **settings: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SF_")}
        self._environment = {**kept, "SF_DATA_DIR": str(data), **settings}
        self._log = data / "edge.log"
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        command = [sys.executable, "-m", "stackfluence", "edge", "--port", str(self.port)]
        with self._log.open("w") as output:
            self.process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)
        end = time.monotonic() + 30
        while "edge_ready" not in self._log.read_text():
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.02)
        found = re.search(r"listens on http://127\.0\.0\.1:(\d+)", self._log.read_text())
        assert found
        self.port = int(found[1])

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """SIGTERM: it drains and ends by itself."""
        self.process.terminate()
        assert self.process.wait(15) == 0, self._log.read_text()


async def crash(edge: EdgeProcess, secret: str, chance: random.Random) -> Answers:
    """Let a crowd click and buy; kill the edge once a round, at a random moment."""
    crowd = Crowd("127.0.0.1", edge.port, [f"/c/emma/c{n}" for n in range(CAMPAIGNS)], secret, clients=64)
    stop = asyncio.Event()
    crowding = asyncio.create_task(crowd.run(stop))
    for _ in range(ROUNDS):
        seen = len(crowd.answers.promised)
        while len(crowd.answers.promised) < seen + 50:
            await asyncio.sleep(0.02)
        await asyncio.sleep(chance.uniform(0, 0.6))
        edge.kill()
        await asyncio.to_thread(edge.start)
    await asyncio.sleep(0.3)
    stop.set()
    await crowding
    return crowd.answers


@pytest.mark.crash
@pytest.mark.timeout(60 + 15 * ROUNDS)
def test_every_answered_event_is_in_the_journal_exactly_once(tmp_path: Path, migrated_sqlite: Path) -> None:
    shutil.copyfile(migrated_sqlite, tmp_path / "catalog.sqlite")
    secret = asyncio.run(fill(f"sqlite+aiosqlite:///{tmp_path / 'catalog.sqlite'}"))
    seed = time.time_ns()
    edge = EdgeProcess(tmp_path)
    try:
        answers = asyncio.run(crash(edge, secret, random.Random(seed)))
        edge.end()
    finally:
        edge.process.kill()
        edge.process.wait()
    journal = tmp_path / "journal" / "w0"
    adopt(journal)
    assert not list(journal.glob("n_*/*.open"))
    events = journal_events(journal)
    assert_gap_free(events)
    found = Counter(event.leaf.event_id for event in events)
    assert len(answers.clicks) > 50 * ROUNDS / 2
    assert answers.events
    assert answers.broken >= ROUNDS
    assert [identifier for identifier in answers.promised if found[identifier] != 1] == [], f"seed {seed}"
    clicks = [event for event in events if event.leaf.event_type == "click"]
    assert max(Counter(event.leaf.event_id for event in clicks).values()) == 1
    assert len({event.node for event in events}) >= ROUNDS
