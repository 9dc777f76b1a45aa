"""Proof of life, end to end: a logical message goes into the write-ahead log and must come back through the stream.

A stream that is connected but stuck looks healthy from everywhere else. Source: Postgres manual,
"pg_logical_emit_message"; the message needs no table and no right.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import psycopg
from psycopg import Connection

from syncbridge.source.pgoutput import LogicalMessage

PREFIX = "syncbridge.heartbeat"

#: Prefix of a message by which somebody who waits asks that the checkpoint move past it at once.
POSITION_WANTED = "syncbridge.wait"

#: Heartbeats in a row that may be missing before the stream counts as stuck.
_MISSED = 3


class Heartbeat:
    """Emitted every `interval` seconds; `age` says how old the newest one is that came back."""

    def __init__(self, connection: Connection, *, interval: float, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._interval = interval
        self._clock = clock
        self._sent: dict[bytes, float] = {}  # nonce -> when
        self._emitted_at = float("-inf")
        self._returned: float | None = None  # when the newest one that came back had been sent

    @property
    def due_in(self) -> float:
        """Seconds until the next one."""
        return max(0.0, self._emitted_at + self._interval - self._clock())

    @property
    def age(self) -> float | None:
        """Seconds since the newest one that came back was sent; None before the first."""
        return None if self._returned is None else self._clock() - self._returned

    @property
    def alive(self) -> bool:
        """True while heartbeats come back."""
        return self.age is not None and self.age <= _MISSED * self._interval

    def emit(self) -> bool:
        """Send one; False when the server does not take it, which the growing age will show."""
        self._emitted_at = self._clock()
        nonce = secrets.token_hex(8)
        self._sent[nonce.encode()] = self._emitted_at
        try:
            self._connection.execute("select pg_logical_emit_message(true, %s, %s::text)", (PREFIX, nonce))
        except psycopg.Error:
            return False
        return True

    def receive(self, message: LogicalMessage) -> None:
        """Take note of a message of the stream; those of other workers and programs are not ours."""
        sent = self._sent.pop(message.content, None) if message.prefix == PREFIX else None
        if sent is not None:
            self._returned = sent
            self._sent = {nonce: when for nonce, when in self._sent.items() if when > sent}
