"""Fixtures of all tests come from plugins, each named for what it provides."""

pytest_plugins = ["tests.postgres", "tests.catalogs", "tests.redis_server", "tests.stores"]
