"""The database role that docs/operations.md gives to edges is enough for them, and no more."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from stackfluence.catalog import changes_since, ensure_salts, find_link, open_catalog
from tests.catalog.samples import a_brand, add_link

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
STATEMENTS = re.search(r"```sql\n(create role .*?)```", PAGE.read_text(), re.DOTALL)


async def test_an_edge_reads_what_it_needs_with_the_documented_role_and_can_write_nothing(postgres_url: str) -> None:
    assert STATEMENTS is not None
    owner = open_catalog(postgres_url)
    brand = await a_brand(owner)
    await add_link(owner, brand.link())
    await ensure_salts(owner, datetime.now(UTC).date())
    role = "edge_of_" + str(make_url(postgres_url).database)  # roles belong to the server, which tests share
    statements = STATEMENTS[1].replace("stackfluence_edge", role).replace("for role stackfluence ", "")
    async with owner.outside_transactions() as connection:
        for statement in statements.split(";")[:-1]:
            await connection.execute(text(statement))
    await owner.close()

    edge = open_catalog(make_url(postgres_url).set(username=role).render_as_string(hide_password=False))
    spaces = {row.space async for chunk in changes_since(edge, 0) for row in chunk.rows}
    assert {"link", "key", "organization", "salt"} <= spaces
    assert await find_link(edge, "", "emma", "summer") is not None
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with edge.writing("edge"):
            pass
    await edge.close()
