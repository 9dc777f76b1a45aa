"""Composes the topic fixtures; nothing else lives here."""

pytest_plugins = ["tests.fix_postgres"]
