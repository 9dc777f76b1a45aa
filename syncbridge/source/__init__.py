"""Postgres as a source: its write-ahead log, its catalog, and its rows as they are now."""
