"""Postgres to destinations: capture fills the outbox; deliver claims, composes, converts, compares, sends, settles."""
