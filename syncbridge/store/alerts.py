"""What is raised, when it was looked last, and messages: made once, claimed by one worker, kept until taken."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

#: A message that was refused so often no longer holds up those behind it.
IN_ORDER = 10
#: Seconds after which a claim of a silent worker is free again; longer than sending may take.
LEASE = 300


@dataclass(frozen=True, slots=True)
class Remembered:
    """Something wrong. Nobody was told while `raised_at` is None; `clear_since` is set while it is well again."""

    kind: str
    about: str
    title: str
    words: str
    hint: str
    since: datetime
    raised_at: datetime | None = None
    clear_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one target, claimed; `attempts` counts this one."""

    id: int
    title: str
    body: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Unsent:
    """What a target has not taken."""

    target: str
    messages: int
    oldest: datetime
    attempts: int
    error: str | None


def begin_look(connection: Connection, every: float) -> datetime | None:
    """Take the turn to look, for the rest of the transaction; the time now. None when it is not due, or taken."""
    row = connection.execute(
        "update syncbridge.alert_look set at = now() where one in (select one from syncbridge.alert_look"
        " where at is null or at <= now() - %s * interval '1 second' for update skip locked) returning at",
        (every,),
    ).fetchone()
    return None if row is None else row[0]


def next_look(connection: Connection, every: float) -> float:
    """Seconds until it is due again."""
    row = connection.execute(
        "select extract(epoch from at + %s * interval '1 second' - now())::float8 from syncbridge.alert_look", (every,)
    ).fetchone()
    return max(0.0, row[0]) if row is not None and row[0] is not None else 0.0


def looked_at(connection: Connection) -> datetime | None:
    """When it was looked last; None when it never was."""
    row = connection.execute("select at from syncbridge.alert_look").fetchone()
    return None if row is None else row[0]


def read_all(connection: Connection) -> list[Remembered]:
    """Everything that is remembered, the oldest first."""
    rows = connection.execute(
        "select kind, about, title, words, hint, since, raised_at, clear_since from syncbridge.alert"
        " order by since, kind, about"
    )
    return [Remembered(*row) for row in rows]


def remember(connection: Connection, kept: Sequence[Remembered], gone: Iterable[Remembered]) -> None:
    """Write what has changed, and forget what is over."""
    over = [(each.kind, each.about) for each in gone]
    if over:
        connection.execute(
            "delete from syncbridge.alert a using unnest(%s::text[], %s::text[]) as over (kind, about)"
            " where a.kind = over.kind and a.about = over.about",
            ([kind for kind, _ in over], [about for _, about in over]),
        )
    if kept:
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into syncbridge.alert (kind, about, title, words, hint, since, raised_at, clear_since)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (kind, about) do update set"
                " title = excluded.title, words = excluded.words, hint = excluded.hint, since = excluded.since,"
                " raised_at = excluded.raised_at, clear_since = excluded.clear_since",
                [(e.kind, e.about, e.title, e.words, e.hint, e.since, e.raised_at, e.clear_since) for e in kept],
            )


def post(connection: Connection, targets: Collection[str], title: str, body: str) -> None:
    """Leave a message for each target."""
    connection.execute(
        "insert into syncbridge.alert_message (target, title, body) select target, %s, %s from unnest(%s::text[]) as"
        " given (target)",
        (title, body, list(targets)),
    )


# An earlier message of the target that waits, or is being sent, goes first: what is over is not told before it is
# raised. One that is refused for ever does not hold up the rest for ever.
_FIRST = """not exists (select from syncbridge.alert_message e
                             where e.target = m.target and e.id < m.id and e.attempts < %(in_order)s)"""

_CLAIM = f"""
update syncbridge.alert_message
   set lease_until = now() + %(lease)s * interval '1 second', attempts = attempts + 1
 where id = (select m.id from syncbridge.alert_message m
              where m.target = %(target)s and m.available_at <= now()
                and (m.lease_until is null or m.lease_until <= now())
                and {_FIRST}
              order by m.id limit 1 for update skip locked)
returning id, title, body, attempts
"""  # noqa: S608 - constants


def claim(connection: Connection, target: str) -> Message | None:
    """The next message for a target that is due; no other worker gets it until `LEASE` seconds are over."""
    row = connection.execute(_CLAIM, {"target": target, "lease": LEASE, "in_order": IN_ORDER}).fetchone()
    return None if row is None else Message(*row)


def taken(connection: Connection, target: str, message: Message) -> None:
    """A target has a message; what else waits for it is tried at once."""
    connection.execute(
        "delete from syncbridge.alert_message where id = %s and attempts = %s", (message.id, message.attempts)
    )
    connection.execute("update syncbridge.alert_message set available_at = now() where target = %s", (target,))


def refused(connection: Connection, message: Message, error: str, *, wait: float) -> None:
    """A target did not take it; try again after `wait` seconds. `error` holds no secret."""
    connection.execute(
        "update syncbridge.alert_message set lease_until = null, available_at = now() + %s * interval '1 second',"
        " error = %s where id = %s and attempts = %s",
        (wait, error, message.id, message.attempts),
    )


def next_due(connection: Connection, targets: Collection[str]) -> float | None:
    """Seconds until a message to one of these targets is due, none before those that go first; None when none waits."""
    row = connection.execute(
        "select extract(epoch from min(greatest(m.available_at, m.lease_until)) - now())::float8"  # noqa: S608 - constants
        f" from syncbridge.alert_message m where m.target = any(%(targets)s::text[]) and {_FIRST}",
        {"targets": list(targets), "in_order": IN_ORDER},
    ).fetchone()
    return None if row is None or row[0] is None else max(0.0, row[0])


def unsent(connection: Connection, targets: Collection[str]) -> list[Unsent]:
    """What waits for these targets, by target."""
    rows = connection.execute(
        "select target, count(*), min(made_at), max(attempts), (array_agg(error order by id) filter"
        " (where error is not null))[1] from syncbridge.alert_message where target = any(%s::text[])"
        " group by target order by target",
        (list(targets),),
    )
    return [Unsent(*row) for row in rows]


def drop_old(connection: Connection, days: int) -> list[tuple[str, int]]:
    """Give up messages that nobody took for so many days; how many, by target."""
    rows = connection.execute(
        "with old as (delete from syncbridge.alert_message where made_at < now() - %s * interval '1 day'"
        " returning target) select target, count(*) from old group by target order by target",
        (days,),
    )
    return [(target, count) for target, count in rows]
