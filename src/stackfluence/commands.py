"""The command line's operations: what is done to a whole installation, through its running core or without one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from stackfluence.errors import OperationRefused
from stackfluence.settings import Settings, read_settings

FOLLOW_SECONDS = 1.0

Tell = Callable[[dict[str, Any]], None]

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines: progress first, the result last.")]


def add_operations(cli: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (load, derive, back_test, erase, backup, restore, export, replay, score):
        cli.command()(command)
    geoip = typer.Typer(help="The files that say where an address is.", no_args_is_help=True)
    geoip.callback()(lambda: None)  # or Typer would take the only command for the group
    geoip.command("update")(update_geoip)
    cli.add_typer(geoip, name="geoip")


def load(
    follow: Annotated[bool, typer.Option("--follow", help="Go on until interrupted.")] = False, as_json: Json = False
) -> None:
    """Load what waits in the journal into the event store; a running core does so by itself and tells how far it is."""
    from stackfluence.operations.ask import ask_core

    def tell(message: dict[str, Any]) -> None:
        if as_json:
            _print_json(message)
        elif turn := message.get("turn"):
            known = f", {turn['known']:,} known" if turn["known"] else ""
            typer.echo(
                f"load {turn['load_number']}: {turn['lines']:,} lines, {turn['quarantined']:,} quarantined{known}; "
                f"{turn['waiting_segments']} segments wait"
            )

    async def run(settings: Settings) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        while True:
            result = await ask_core(settings, "load", {"follow": follow}, tell)
            if not follow or result["loaded_by"] != "core":
                return result
            if result != shown:  # the core does it: watch
                _show_load(result, as_json)
            shown = result
            await asyncio.sleep(FOLLOW_SECONDS)

    try:
        result = asyncio.run(run(_settings()))
    except KeyboardInterrupt:
        raise typer.Exit from None
    _show_load(result, as_json)
    if result["held"]:
        raise typer.Exit(3)


def _show_load(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        _print_json(result)
        return
    who = "The running core loads by itself; since it started" if result["loaded_by"] == "core" else "Loaded"
    number = f", last load number {result['load_number']}" if result.get("load_number") else ""
    typer.echo(
        f"{who}: {result['lines']:,} lines in {result['turns']:,} turns, {result['quarantined']:,} quarantined, "
        f"{result['known']:,} known before{number}; {result['waiting_segments']} segments wait."
    )
    for directory, reason in result["held"].items():
        typer.echo(f"{directory} is held: {reason}", err=True)


def derive(
    from_: Annotated[str, typer.Option("--from", help="The first day, UTC, as 2026-11-01.")],
    to: Annotated[str, typer.Option(help="The day after the last one.")],
    organization: Annotated[str | None, typer.Option(help="Only this one, org_….")] = None,
    score_again: Annotated[
        bool, typer.Option("--score-again", help="First ask today's rules and lists about headers that are still kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Derive clicks and orders of past days anew; earlier verdicts are kept. A running core does recent days."""
    from stackfluence.operations.ask import ask

    arguments = {"from": from_, "to": to, "organization_id": organization, "score_again": score_again}
    with _progress(as_json) as tell:
        done = ask(_settings(), "derive", arguments, tell)
    if as_json:
        _print_json(done)
        return
    for run in done["runs"]:
        typer.echo(
            f"{run['organization_id']}: run {run['run_id']}, {len(run['days'])} days, {run['clicks']:,} clicks, "
            f"{run['valid']:,} valid; facts {run['facts_hash']}; {run['orders']['conversions']:,} conversions; "
            f"facts {run['orders']['facts_hash']}"
        )
    again = f", {done['scored_again']:,} of them scored again" if score_again else ""
    typer.echo(
        f"Derived: {done['clicks']:,} clicks{again}, {done['valid']:,} valid; {done['conversions']:,} conversions."
    )


def back_test(
    days: Annotated[int, typer.Option(help="How many days back, today included.")],
    organization: Annotated[str | None, typer.Option(help="Only this one, org_….")] = None,
    flagged_from: Annotated[
        int | None, typer.Option(help="From how many points on a click would be invalid, 1 to 100.")
    ] = None,
    weight: Annotated[list[str] | None, typer.Option(help="Other points for a reason, reason=points.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="A reason that would not be looked for.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="Another threshold for what follows a click, name=number.")
    ] = None,
    score_again: Annotated[
        bool, typer.Option("--score-again", help="With today's rules and lists, where headers are still kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell what other rules would have changed, per creator; nothing is written."""
    from stackfluence.operations.ask import ask

    arguments = {
        "days": days,
        "organization_id": organization,
        "flagged_from": flagged_from,
        "weights": weight or [],
        "without": without or [],
        "thresholds": threshold or [],
        "score_again": score_again,
    }
    with _progress(as_json) as tell:
        done = ask(_settings(), "back-test", arguments, tell)
    if as_json:
        _print_json(done)
        return
    for found in done["organizations"]:
        creators = [(change["creator_handle"] or creator, change) for creator, change in found["creators"].items()]
        for name, change in [*creators, (f"{found['organization_id']}, all", found["total"])]:
            typer.echo(
                f"{name}: {change['clicks']:,} clicks, {change['valid_before']:,} valid now, {change['valid_after']:,} "
                f"then: {change['became_valid']:,} would become valid, {change['became_invalid']:,} invalid"
            )
        if found["missing_days"]:
            typer.echo(f"Days with clicks and no verdicts: {', '.join(found['missing_days'])}; derive them.", err=True)


def erase(
    organization: Annotated[str, typer.Option(help="The organization's id, org_….")],
    customer_id: Annotated[str | None, typer.Option(help="The advertiser's own id of the customer.")] = None,
    shop: Annotated[str | None, typer.Option(help="The shop that gave this id, where its events name one.")] = None,
    email: Annotated[str | None, typer.Option(help="The customer's e-mail address; it is hashed, not stored.")] = None,
    click_id: Annotated[str | None, typer.Option(help="A click ID as sent, or the click's UUID.")] = None,
    session_id: Annotated[str | None, typer.Option(help="A session of the advertiser's site.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a person's data for ever; the events stay, as counts, amounts and hashes, and every proof stays valid."""
    from stackfluence.operations.ask import ask

    given = {"customer_id": customer_id, "email": email, "click_id": click_id, "session_id": session_id}
    chosen = {name: value for name, value in given.items() if value}
    if len(chosen) != 1:
        raise typer.BadParameter("give one of --customer-id, --email, --click-id and --session-id")
    settings, arguments = _settings(), {"organization_id": organization, **chosen, **({"shop": shop} if shop else {})}
    with _progress(as_json) as tell:
        found = ask(settings, "find-person", arguments, tell)
    if not as_json:
        typer.echo(
            f"{found['events']:,} events belong to this person; {found['rows']:,} of them have personal data in the "
            f"store, {found['on_disk']:,} lines are in journal and archives."
        )
    if not yes:
        typer.confirm("Erase it for ever?", abort=True, err=True)
    with _progress(as_json) as tell:
        done = ask(settings, "erase", arguments, tell)
    if as_json:
        _print_json(done)
        return
    typer.echo(f"Erased: {done['rows']:,} personal rows, {done['lines']:,} lines in journal and archives.")
    typer.echo("Copies that left this installation, exports and older backups, are not reached by this.")


def backup(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory, best on another disk.")],
    as_json: Json = False,
) -> None:
    """Write a backup while everything runs: event store, journal, catalog, secrets. Keep it as you keep the secrets."""
    from stackfluence.operations.ask import ask

    with _progress(as_json) as tell:
        done = ask(_settings(), "backup", {"directory": str(directory.absolute())}, tell)
    if as_json:
        _print_json(done)
        return
    typer.echo(
        f"{done['directory']}: {done['events']:,} events, {done['quarantined']:,} quarantined, "
        f"{done['journal_files']} journal files, {done['bytes'] / 1e6:,.1f} MB."
    )
    if not done["has_secrets"]:
        typer.echo("The secrets are not in it: they come from the environment. Keep SF_CLICK_ID_SECRET and the others.")


def restore(
    directory: Annotated[Path, typer.Argument(help="A directory that `backup` wrote.")],
    erasures: Annotated[
        Path | None, typer.Option(help="A later erasures.jsonl: what was erased since the backup is erased again.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty data directory (SF_DATA_DIR); what it has unloaded is loaded once a core runs."""
    from stackfluence.operations.restore import restore as put_back

    os.environ["TZ"] = "UTC"
    with _progress(as_json) as tell:
        done = put_back(directory.absolute(), erasures, tell)
    if as_json:
        _print_json(done)
        return
    typer.echo(
        f"Restored {done['events']:,} events and {done['quarantined_events']:,} quarantined; "
        f"{done['waiting_segments']} segments are loaded when a core starts: stackfluence serve"
    )


def export(
    feed: Annotated[str, typer.Argument(help="events, or seals, which prove that no event was changed.")],
    organization: Annotated[str, typer.Option(help="The organization's id, org_….")],
    from_: Annotated[str | None, typer.Option("--from", help="Begin of the time span, RFC 3339.")] = None,
    to: Annotated[str | None, typer.Option(help="Its end, exclusive.")] = None,
    form: Annotated[str, typer.Option("--format", help="ndjson, csv or parquet.")] = "ndjson",
    output: Annotated[Path | None, typer.Option(help="A new file; without it, standard output.")] = None,
    with_personal: Annotated[bool, typer.Option(help="With what is kept of people, as `replay` needs it.")] = False,
    as_json: Json = False,
) -> None:
    """Export an organization's raw events, every row as it was received and sealed."""
    from stackfluence.operations.ask import ask

    query: dict[str, Any] = {"format": form, "with_personal": with_personal}
    query |= {name: value for name, value in (("from", from_), ("to", to)) if value}
    settings = _settings()
    with tempfile.TemporaryDirectory(dir=settings.data_path, prefix=".export-") as folder:
        path = Path(folder) / feed if output is None else output.absolute()
        arguments = {"organization_id": organization, "feed": feed, "query": query, "output": str(path)}
        with _progress(as_json and output is not None) as tell:
            done = ask(settings, "export", arguments, tell)
        if output is None:
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
        elif as_json:
            _print_json(done)
        else:
            typer.echo(f"{output}: {done['rows']:,} rows up to load {done['to_load']}, SHA-256 {done['sha256']}")


def replay(
    files: Annotated[list[Path], typer.Argument(help="NDJSON files of `export events` and `export seals`.")],
    as_json: Json = False,
) -> None:
    """Rebuild an event store in an empty data directory (SF_DATA_DIR) from exports, checking every event's seal."""
    from stackfluence.operations.replay import replay as rebuild

    os.environ["TZ"] = "UTC"
    with _progress(as_json) as tell:
        done = rebuild([path.absolute() for path in files], tell)
    if as_json:
        _print_json(done)
        return
    typer.echo(
        f"{done['events']:,} events and {done['quarantined']:,} quarantined, {done['repeated']:,} lines repeated. "
        f"{done['proven']:,} seals agree with them, {done['partial']:,} cover more than was given; "
        f"{done['unsealed']:,} lines have no seal here."
    )


def score(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="JSON lines; - is standard input.")],
    explain: Annotated[bool, typer.Option("--explain", help="With a sentence for each reason.")] = False,
) -> None:
    """Score JSON lines with `headers` (a list of pairs, name and value) or `user_agent`, each with one line, in order.

    With `transport` (https), `method` (GET) and `url`, of which the parameters are read. Network and pace aren't asked.
    Exit code 3 when a line could not be read; an object with `error` stands in its place.
    """
    from stackfluence import lists

    lists.check()
    from stackfluence.operations.score import score_lines

    if score_lines(file, sys.stdout.buffer, is_explained=explain):
        raise typer.Exit(3)


def update_geoip(as_json: Json = False) -> None:
    """Download MaxMind's GeoLite2 country and ASN files when they changed; edges take them over within seconds."""
    from stackfluence.operations.geoip import update

    settings = _settings()
    with _progress(as_json) as tell:
        done = update(settings, tell)
    if as_json:
        _print_json(done)
        return
    for file in done["databases"]:
        typer.echo(f"{file['version']}: {'downloaded' if file['is_changed'] else 'unchanged'}, {file['path']}")
        if not file["is_used"]:
            typer.echo(f"It is not used: {file['setting']} names another file.")


def _settings() -> Settings:
    """Return the settings of an installation that is there already."""
    os.environ["TZ"] = "UTC"  # the embedded event store takes the process's zone for the server's
    settings = read_settings()
    if not settings.data_path.is_dir():
        raise OperationRefused(f"{settings.data_path} is no data directory; set SF_DATA_DIR.")
    return settings


def _print_json(message: dict[str, Any]) -> None:
    typer.echo(json.dumps(message))


@contextmanager
def _progress(as_json: bool) -> Iterator[Tell]:
    """Give what shows progress: a bar on a terminal, JSON lines with --json, else nothing."""
    if as_json:
        yield _print_json
        return
    if not sys.stderr.isatty():
        yield lambda _message: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(message: dict[str, Any]) -> None:
            if "step" in message:
                bar.update(task, description=message["step"], completed=message["done"], total=message["total"] or None)

        yield tell
