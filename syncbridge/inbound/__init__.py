"""Destinations -> Postgres: poll, resolve, write."""
