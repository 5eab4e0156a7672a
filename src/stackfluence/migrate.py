"""Brings the catalog's and ledger's tables to the present version; safe to run at every start, by several at once.

The Alembic scripts are in `migrations/` beside this file, so that an installed wheel has them too. Each version runs
in one transaction on both databases. Alembic itself is imported when there is something to do: that takes longer than
to see that there is nothing.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, make_url, text

from stackfluence.catalog.connect import create_engine

SCRIPTS = Path(__file__).parent / "migrations"
RESTORED_SINCE = "v0002"  # a version that changes a table, and not only adds some, becomes this one
_LOCK = 0x5F_CA_7A_10_60  # any number no other program takes as its advisory lock


async def migrate(url: str, version: str = "head") -> None:
    """Create or upgrade the tables of the database at `settings.catalog_url`; does nothing when they are current.

    `version` is another than the newest only where an older installation is made, to be upgraded. An SQLite file and
    its directory are made (mode 0700) when they are missing.
    """
    file = make_url(url).database if url.startswith("sqlite") else None
    if file:
        Path(file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(url).execution_options(sqlite_begin="IMMEDIATE")
    try:
        if version == "head":
            async with engine.connect() as connection:
                if await connection.run_sync(_version) == newest_version():
                    return
        async with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade, version)
    finally:
        await engine.dispose()


async def is_current(url: str) -> bool:
    """Whether the database has the tables of this version; one that can't be reached raises the driver's error."""
    engine = create_engine(url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_version) == newest_version()
    finally:
        await engine.dispose()


def newest_version() -> str:
    """Return the version of the tables that this program's migrations lead to."""
    return _versions()[-1]


def restorable_versions() -> list[str]:
    """Return the versions of the tables whose backups this program restores: between them, tables were only added."""
    return [version for version in reversed(_versions()) if version >= RESTORED_SINCE]


def _versions() -> list[str]:
    return sorted(script.name.partition("_")[0] for script in (SCRIPTS / "versions").glob("v*.py"))


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def _upgrade(connection: Connection, version: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
