"""What running workers say of themselves: who is there, which role, and facts for `status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

#: Seconds without a sign of life after which a worker counts as gone.
GONE_AFTER = 30


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process; `facts` holds capture position, readiness and API budgets as JSON."""

    id: str
    host: str
    pid: int
    roles: list[str]
    started_at: datetime
    seen_at: datetime
    facts: dict[str, Any]
    alive: bool


def report(
    connection: Connection, worker_id: str, *, host: str, pid: int, roles: Sequence[str], facts: Mapping[str, Any]
) -> None:
    """A sign of life with the present facts."""
    connection.execute(
        "insert into syncbridge.worker as w (id, host, pid, roles, facts) values (%s, %s, %s, %s, %s)"
        " on conflict (id) do update set seen_at = now(), facts = excluded.facts",
        (worker_id, host, pid, list(roles), Jsonb(dict(facts))),
    )


def leave(connection: Connection, worker_id: str) -> None:
    """Sign off; also forgets workers that vanished a day ago."""
    connection.execute(
        "delete from syncbridge.worker where id = %s or seen_at < now() - interval '1 day'", (worker_id,)
    )


def read_all(connection: Connection) -> list[Worker]:
    """Every worker that signed in, newest first."""
    rows = connection.execute(
        "select id, host, pid, roles, started_at, seen_at, facts, seen_at > now() - %s * interval '1 second'"
        " from syncbridge.worker order by started_at desc",
        (GONE_AFTER,),
    )
    return [Worker(*row) for row in rows]
