"""Alembic's entry: runs the versions on the connection, and in the transaction, that `migrate.py` opened."""

from alembic import context

from stackfluence.catalog.books import CatalogRevision

context.configure(connection=context.config.attributes["connection"], target_metadata=CatalogRevision.metadata)
context.run_migrations()
