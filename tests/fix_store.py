"""The state schema in a test's own database, and short ways to fill it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from psycopg import Connection

from syncbridge.model import Lsn, Priority, Reason
from syncbridge.store import database, mappings, outbox

#: When the changes of tests were committed.
MOMENT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

Open = Callable[[], Connection]


@pytest.fixture
def open_store(dsn: str) -> Iterator[Open]:
    """Opens further connections to the state; they are closed at the end."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(database.connect(dsn, purpose="test"))


@pytest.fixture
def store(state: None, open_store: Open) -> Connection:
    """A connection to a state schema that was just set up."""
    return open_store()


@pytest.fixture
def mapping_id(store: Connection) -> int:
    """A mapping named `people`, in force."""
    return apply_mapping(store, "people")


def apply_mapping(store: Connection, name: str, *, digest: str = "1", destination: str = "crm") -> int:
    """Put a mapping in force; its id."""
    applied, _ = mappings.apply(
        store, name=name, destination=destination, object="Contact", definition={"mapping": name}, digest=digest
    )
    return applied


def enqueue(
    store: Connection,
    mapping_id: int,
    *keys: str,
    lsn: int = 100,
    moment: datetime = MOMENT,
    reason: Reason = Reason.CHANGE,
    priority: Priority = Priority.LIVE,
    resend: bool = False,
) -> None:
    """Mark keys as touched."""
    outbox.enqueue(
        store, mapping_id, keys, reason=reason, priority=priority, lsn=Lsn(lsn), moment=moment, resend=resend
    )


def make_due(store: Connection) -> None:
    """Let every wait of the outbox be over, but no lease."""
    store.execute("update syncbridge.outbox set available_at = now() where claim is null")


def end_leases(store: Connection) -> None:
    """Let every lease be over, as after a worker was killed."""
    store.execute("update syncbridge.outbox set lease_until = now() where claim is not null")


def end_waits(store: Connection) -> None:
    """Let the time come at which mappings that wait go on."""
    store.execute("update syncbridge.mapping set until = now() where status = 'waiting'")


def advisory_locks(connection: Connection, *, waiting: bool) -> int:
    """How many advisory locks of this database are held, or waited for."""
    row = connection.execute(
        "select count(*) from pg_locks where locktype = 'advisory' and granted <> %s"
        " and database = (select oid from pg_database where datname = current_database())",
        (waiting,),
    ).fetchone()
    return int(row[0]) if row is not None else 0
