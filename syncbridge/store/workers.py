"""What running workers say of themselves: who is there, which role, and facts for `status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

#: Seconds without a sign of life after which a worker counts as gone.
GONE_AFTER = 30


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process; `facts` holds capture position, readiness and API budgets as JSON."""

    id: int
    host: str
    pid: int
    roles: list[str]
    started_at: datetime
    seen_at: datetime
    facts: dict[str, Any]
    alive: bool


def register(connection: Connection, *, host: str, pid: int, roles: Sequence[str]) -> int:
    """Sign in; the number of this worker."""
    row = connection.execute(
        "insert into syncbridge.worker (host, pid, roles) values (%s, %s, %s) returning id", (host, pid, list(roles))
    ).fetchone()
    assert row is not None  # insert ... returning gives a row
    return int(row[0])


def claim_numbers(worker_id: int) -> Iterator[int]:
    """Claim numbers that only this worker uses; thread-safe."""
    return count(worker_id << 32)


def claim_range(worker_id: int) -> tuple[int, int]:
    """First and last claim number of a worker."""
    return worker_id << 32, ((worker_id + 1) << 32) - 1


def report(connection: Connection, worker_id: int, facts: Mapping[str, Any]) -> None:
    """A sign of life with the present facts."""
    connection.execute(
        "update syncbridge.worker set seen_at = now(), facts = %s where id = %s", (Jsonb(dict(facts)), worker_id)
    )


def leave(connection: Connection, worker_id: int) -> None:
    """Sign off; also forgets workers that vanished a day ago."""
    connection.execute(
        "delete from syncbridge.worker where id = %s or seen_at < now() - interval '1 day'", (worker_id,)
    )


_SELECT = (
    "select id, host, pid, roles, started_at, seen_at, facts, seen_at > now() - %s * interval '1 second'"
    " from syncbridge.worker"
)


def read_all(connection: Connection) -> list[Worker]:
    """Every worker that signed in, newest first."""
    rows = connection.execute(_SELECT + " order by started_at desc", (GONE_AFTER,))
    return [Worker(*row) for row in rows]


def silent(connection: Connection, *, host: str, since: timedelta) -> list[Worker]:
    """Workers of a host that have not given a sign of life for so long."""
    rows = connection.execute(_SELECT + " where host = %s and seen_at < now() - %s", (GONE_AFTER, host, since))
    return [Worker(*row) for row in rows]
