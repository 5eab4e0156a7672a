"""What tests of operations do with an installation: traffic, and a look into its store when nothing runs."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from typer.testing import CliRunner

from stackfluence.cli import cli
from stackfluence.click import click_id
from stackfluence.errors import StackfluenceError
from stackfluence.events.statements import Statement
from stackfluence.events.store import Store
from tests.processes.serving import HTTP, Serving, run, wait_for


def new_link(running: Serving) -> str:
    """Create a link and return its address."""
    body = {"creator_handle": "emma", "campaign_slug": "spring", "destination_url": "https://brand.example/shop"}
    answer = HTTP.post(f"{running.address}/v1/links", json=body, headers=running.secret, timeout=20)
    assert answer.status_code == 201, answer.text
    return f"{running.address}/c/emma/spring"


def signed_click_id(answer: httpx.Response) -> str:
    """Return the click ID of a redirect."""
    assert answer.status_code == 302, answer.text
    return parse_qs(urlsplit(answer.headers["location"]).query)["inf_click_id"][0]


@dataclass
class Visitors:
    """Click a link again and again from a thread; `clicks` are the recorded ones' event ids, as they were answered.

    `answered` are all: a click that missed the disk's deadline is answered as unrecorded and may be stored late.
    """

    link: str
    clicks: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def _visit(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self._stop.is_set():
                raw = click_id.decode(signed_click_id(client.get(self.link)))
                assert raw is not None
                click = click_id.read(raw)
                self.answered.append(click.event_id)
                if not click.is_unrecorded:
                    self.clicks.append(click.event_id)

    @contextlib.contextmanager
    def visiting(self) -> Iterator[None]:
        """Visit until the block ends."""
        thread = threading.Thread(target=self._visit)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(30)


def result(directory: Path, *arguments: str, is_own_process: bool = False) -> dict[str, Any]:
    """Run a command with --json, by default inside of this process, which is quicker, and return its result."""
    if is_own_process:
        done = run(directory, *arguments, "--json")
        assert done.returncode == 0, done.stderr[-2000:]
        written = done.stdout
    else:
        invoked = CliRunner().invoke(cli, [*arguments, "--json"], env={"SF_DATA_DIR": str(directory)})
        assert invoked.exit_code == 0, invoked.exception
        written = invoked.stdout
    found: dict[str, Any] = json.loads(written.splitlines()[-1])
    return found


def refusal(directory: Path, *arguments: str) -> str:
    """Run a command that can't be carried out, and return why."""
    invoked = CliRunner().invoke(cli, arguments, env={"SF_DATA_DIR": str(directory)})
    assert isinstance(invoked.exception, StackfluenceError), invoked.output
    return str(invoked.exception)


@contextlib.contextmanager
def stored(directory: Path) -> Iterator[Store]:
    """Open the store of an installation that doesn't run."""
    store = Store(f"chdb://{directory / 'events'}")
    try:
        yield store
    finally:
        store.close()


def rows(store: Store, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the rows of a query of the test's own."""
    with store.session() as session:
        return session.rows(Statement("test", "", sql), **parameters)


def column(store: Store, sql: str, **parameters: Any) -> list[Any]:
    """Return the one column of a query of the test's own."""
    return [next(iter(row.values())) for row in rows(store, sql, **parameters)]


def loaded(running: Serving) -> None:
    """Wait until nothing is left to be loaded."""
    journal = running.directory / "journal"

    def is_loaded() -> bool:
        waiting = [path for path in journal.glob("*/n_*/*") if path.suffix in (".segment", ".open")]
        return not any(path.stat().st_size for path in waiting if path.exists())

    wait_for(is_loaded, running.log)
