"""Heartbeats by themselves; with a stream they are tested in tests/outbound/test_capture.py."""

from __future__ import annotations

import psycopg

from syncbridge.source.heartbeat import PREFIX, Heartbeat
from syncbridge.source.pgoutput import LogicalMessage


def heartbeat(connection: psycopg.Connection, times: list[float]) -> Heartbeat:
    return Heartbeat(connection, interval=10.0, clock=lambda: times[0])


def sent_nonces(beat: Heartbeat) -> list[bytes]:
    return list(beat._sent)


def test_age_counts_from_when_it_was_sent(connection: psycopg.Connection) -> None:
    times = [100.0]
    beat = heartbeat(connection, times)
    assert (beat.age, beat.alive, beat.due_in) == (None, False, 0.0)
    assert beat.emit()
    assert beat.due_in == 10.0
    times[0] = 105.0
    beat.receive(LogicalMessage(PREFIX, sent_nonces(beat)[0], True))
    assert (beat.age, beat.alive) == (5.0, True)
    times[0] = 131.0
    assert not beat.alive


def test_messages_of_others_are_not_ours(connection: psycopg.Connection) -> None:
    beat = heartbeat(connection, [100.0])
    beat.emit()
    beat.receive(LogicalMessage(PREFIX, b"another worker's", True))
    beat.receive(LogicalMessage("another prefix", sent_nonces(beat)[0], True))
    assert beat.age is None


def test_an_older_one_that_never_came_is_forgotten(connection: psycopg.Connection) -> None:
    times = [100.0]
    beat = heartbeat(connection, times)
    beat.emit()
    times[0] = 110.0
    beat.emit()
    beat.receive(LogicalMessage(PREFIX, sent_nonces(beat)[1], True))
    assert sent_nonces(beat) == []


def test_one_that_cannot_be_sent_says_so(connection: psycopg.Connection) -> None:
    beat = heartbeat(connection, [100.0])
    connection.close()
    assert not beat.emit()
