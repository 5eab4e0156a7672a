"""The command line. Exit codes: 0 done, 1 failed (the reason on stderr), 2 wrong usage, 3 a check found something."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import socket
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stackfluence import __version__
from stackfluence.commands import add_operations
from stackfluence.errors import StackfluenceError, WrongUsage
from stackfluence.settings import Settings, ensure_secrets, read_settings
from stackfluence.shopify_commands import add_shopify

cli = typer.Typer(
    name="stackfluence",
    help="Measures influencer traffic from click to conversion, and proves what it was worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
# What a start makes stays: with Python's 700, looking for garbage in it takes a tenth of the start.
OBJECTS_BEFORE_COLLECTION = 250_000
Lifeline = Annotated[int | None, typer.Option(hidden=True, help="A pipe whose end means that the supervisor is gone.")]


def main() -> None:
    """Run the command line; an error a person can act on is one line, not a traceback."""
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION, 20, 50)
    try:
        cli()
    except StackfluenceError as error:
        sys.stderr.write(f"stackfluence: {error}\n")
        sys.exit(2 if isinstance(error, WrongUsage) else 1)
    finally:
        gc.freeze()  # nor does the end look for any: that takes half a second more


@cli.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Configure logging: JSON lines on stderr, one event each."""
    if version:
        print(f"stackfluence {__version__}")
        raise typer.Exit
    logging.basicConfig(level=logging.INFO, handlers=[_log_to_stderr()])
    for chatty in ("alembic", "httpx", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@cli.command()
def init(
    org: Annotated[str, typer.Option(help="The organization's name.")],
    currency: Annotated[str, typer.Option(help="ISO 4217 code of its amounts.")] = "USD",
    time_zone: Annotated[str, typer.Option(help="Its accounting time zone, an IANA name.")] = "UTC",
    as_json: Json = False,
) -> None:
    """Create an organization and print its id and keys; the keys are shown only now."""
    from stackfluence.catalog import open_catalog
    from stackfluence.migrate import migrate as upgrade

    settings = _ready()

    async def create() -> dict[str, str]:
        await upgrade(settings.catalog_url)
        catalog = open_catalog(settings.catalog_url)
        try:
            async with catalog.writing("cli") as change:
                made = await change.add_organization(org, currency, time_zone)
        finally:
            await catalog.close()
        return {
            "organization_id": made.organization_id,
            "secret_key": made.secret_key,
            "publishable_key": made.publishable_key,
        }

    created = asyncio.run(create())
    if as_json:
        print(json.dumps(created))
        return
    for name, value in created.items():
        print(f"{name + ':':17} {value}")
    print("\nKeep the secret key: it is shown only now. Next: stackfluence serve --port 8000")


@cli.command()
def serve(
    port: Annotated[int, typer.Option(help="The port for links, events and API; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Run an edge and a core behind one port, each restarted when it ends."""
    settings = _ready()
    _check_lists(settings)
    listener = _listen(host, port)
    print(f"Stackfluence listens on {_address(listener)} (data in {settings.data_path})", flush=True)

    async def run() -> None:
        from stackfluence.supervisor import on_signals, supervise

        stopping = asyncio.Event()
        on_signals(stopping)
        await supervise(listener, settings.workers, _say_start, stopping)

    asyncio.run(run())


@cli.command()
def demo(
    port: Annotated[int, typer.Option(help="The port to serve on; 0 takes a free one.")] = 8000,
    rate: Annotated[float, typer.Option(help="Visits a second.")] = 5.0,
    seconds: Annotated[float, typer.Option(help="How long; 0 goes on until Ctrl-C.")] = 0.0,
    corpus: Annotated[Path | None, typer.Option(help="A file of labelled header sets to draw visitors from.")] = None,
) -> None:
    """Serve a sample organization with live traffic over real HTTP, and say whether all of it was stored.

    Exit code 3 when something that was answered isn't stored.
    """
    os.environ.setdefault("SF_TRUSTED_PROXIES", "127.0.0.1/32")  # the sample visitors come from many addresses
    settings = _ready()
    for attribution in _check_lists(settings):
        print(f"Countries and networks: {attribution}")
    listener = _listen("127.0.0.1", port)
    lacking = asyncio.run(_demonstrate(settings, listener, rate, seconds, corpus))
    if lacking:
        raise typer.Exit(3)


async def _demonstrate(
    settings: Settings, listener: socket.socket, rate: float, seconds: float, corpus: Path | None
) -> list[str]:
    from stackfluence import demo
    from stackfluence.supervisor import on_signals, supervise

    sample = await demo.prepare(settings)
    address = _address(listener)
    print(f"Serving a sample organization on {address}; data in {settings.data_path}")
    print(f"Its secret key, for the API: {sample.secret_key}")
    link = sample.links[0]
    path = f"/c/{link.creator}/{link.campaign}/{link.asset}"
    print(f"Try a link: {address}{path}   (Ctrl-C ends)", flush=True)
    stopping, leaving = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(supervise(listener, settings.workers, _say_start, stopping))
    on_signals(leaving)
    if seconds:
        asyncio.get_running_loop().call_later(seconds, leaving.set)
    try:
        return await demo.show(
            address, sample, rate, leaving, lambda line: print(line, flush=True), corpus=corpus, is_proxied=True
        )
    finally:
        stopping.set()
        await serving


def _listen(host: str, port: int) -> socket.socket:
    from stackfluence.supervisor import listen

    try:
        return listen(host, port)
    except OSError as error:
        raise StackfluenceError(f"Port {port} can't be used: {error.strerror}. Choose another with --port.") from None


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def _say_start(name: str, pid: int) -> None:
    print(f"{name} started, process {pid}", flush=True)


@cli.command()
def edge(
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    worker: Annotated[int, typer.Option(help="This process's number among the edges of one data directory.")] = 0,
    admin_port: Annotated[int | None, typer.Option(help="A loopback port for /metrics and /readyz.")] = None,
    fd: Annotated[int | None, typer.Option(hidden=True, help="A listening socket that was inherited.")] = None,
    lifeline: Lifeline = None,
) -> None:
    """Run one edge process: links, event intake, and what it hands to the core."""
    import uvloop

    from stackfluence import lists
    from stackfluence.edge_process import run_edge

    settings = _ready()
    if lifeline is None:
        lists.check()  # who restarts an edge has done so before
    listener = _listen(host, port) if fd is None else socket.socket(fileno=fd)
    listener.setblocking(False)
    if fd is None:
        print(f"Edge {worker} listens on http://{host}:{listener.getsockname()[1]}", flush=True)
    uvloop.run(run_edge(settings, listener, worker, lifeline, admin_port))


@cli.command()
def core(
    admin_port: Annotated[int | None, typer.Option(help="A loopback port for /metrics and /readyz.")] = None,
    ready: Annotated[int | None, typer.Option(hidden=True, help="A pipe to tell that edges can start.")] = None,
    lifeline: Lifeline = None,
) -> None:
    """Run the core process: API, loader, upkeep. Edges hand it requests through a socket in the data directory."""
    import uvloop

    settings = _ready()
    uvloop.run(_prepare(settings))
    if ready is not None:
        os.write(ready, b"\n")

    from stackfluence.core_process import run_core  # takes a second, in which edges start

    uvloop.run(run_core(settings, lifeline, admin_port))


@cli.command()
def migrate() -> None:
    """Bring the catalog's tables to this version; safe to run again."""
    from stackfluence.migrate import migrate as upgrade

    settings = _ready()
    asyncio.run(upgrade(settings.catalog_url))
    print("The catalog is current.")


@cli.command()
def doctor(as_json: Json = False) -> None:
    """Check configuration, stores, clock, disk and journal; says what to do. Exit code 3 when something is wrong."""
    from stackfluence.doctor import examine

    findings = examine(read_settings())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            print(f"{'ok ' if finding.is_well else 'BAD'} {finding.check:15} {finding.detail}")
            if finding.advice:
                print(f"{'':19} → {finding.advice}")
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(3)


add_operations(cli)
add_shopify(cli)


def _ready() -> Settings:
    """Return checked settings with their secrets, which are generated on a first embedded start.

    Beside a database of its own, an installation has several machines, and a secret made on one would be unknown to
    the others: there, a missing one refuses to start.
    """
    os.environ["TZ"] = "UTC"  # the embedded event store takes the process's zone for the server's
    settings = read_settings()
    if not settings.database_url:
        settings = ensure_secrets(settings)
    settings.check()
    return settings


def _check_lists(settings: Settings) -> list[str]:
    """Raise for lists and GeoIP files that can't be used: edges that are restarted later go on with what they have.

    Returns what the licences of the files in use want to be shown.
    """
    from stackfluence import lists
    from stackfluence.click.geo import Places

    lists.check()
    return Places(settings).attributions


async def _prepare(settings: Settings) -> None:
    """Bring the catalog up to date, with the salts an edge needs from its first click on."""
    from stackfluence.catalog import ensure_salts, open_catalog
    from stackfluence.migrate import migrate as upgrade
    from stackfluence.processes import refuse_unfinished

    refuse_unfinished(settings)
    await upgrade(settings.catalog_url)
    catalog = open_catalog(settings.catalog_url)
    try:
        await ensure_salts(catalog, datetime.now(UTC).date())
    finally:
        await catalog.close()


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, the event's constant name, and its fields."""

    _own = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in self._own}
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _log_to_stderr() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    return handler
