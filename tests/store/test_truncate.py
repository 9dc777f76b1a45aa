"""TRUNCATE marks every entity that has a remote record, and those whose first delivery is on its way."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg

from syncbridge.arrays import register
from syncbridge.model import Lsn, Priority, Reason
from syncbridge.store import claims, links, outbox


def test_an_entity_in_its_first_delivery_is_marked_too(state: None, connection: psycopg.Connection) -> None:
    register(connection)
    connection.execute(
        "insert into syncbridge.mapping (name, destination, object, definition, digest)"
        " values ('m', 'd', 'o', '{}', '')"
    )
    links.upsert(connection, 1, {"linked": ("r1", {})})
    outbox.enqueue(
        connection,
        1,
        ["in flight"],
        reason=Reason.CHANGE,
        priority=Priority.LIVE,
        lsn=Lsn(1),
        moment=datetime(2026, 1, 1, tzinfo=UTC),
    )
    claim, claimed = claims.claim(connection, 1, limit=10, lease=60)
    assert [row.key for row in claimed] == ["in flight"]

    outbox.enqueue_linked(connection, 1, (2, 0))
    claims.finish(connection, 1, claim, {"in flight": claimed[0].version})

    _, again = claims.claim(connection, 1, limit=10, lease=60)
    assert sorted(row.key for row in again) == ["in flight", "linked"]
