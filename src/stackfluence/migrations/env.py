"""Alembic's entry: runs the versions on the connection, and in the transaction, that `migrate.py` opened."""

from alembic import context

from stackfluence.catalog import books

context.configure(connection=context.config.attributes["connection"], target_metadata=books.Base.metadata)
context.run_migrations()
