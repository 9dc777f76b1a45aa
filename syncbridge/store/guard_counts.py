"""How many deliveries of which kind a mapping made, by minute: what its guard adds up. All lanes share the counts."""

from __future__ import annotations

from psycopg import Connection

#: Kinds that `guard.refused` compares.
_ATTEMPTED, _REFUSED = "attempted", "refused"


def reserve(connection: Connection, mapping_id: int, kind: str, count: int, *, limit: int, seconds: int) -> int | None:
    """Count `count` deliveries of a kind towards the guard, if they fit: then None, else how many are counted already.

    The row of the mapping is locked, so two lanes cannot pass the limit together. What does not go out after all is
    given back by `release`.
    """
    with connection.transaction():
        connection.execute("select 1 from syncbridge.mapping where id = %s for update", (mapping_id,))
        used = _used(connection, mapping_id, kind, seconds)
        if used + count > limit:
            return used
        connection.execute(
            "insert into syncbridge.guard_count as g values (%s, %s, date_trunc('minute', now()), %s)"
            " on conflict (mapping_id, kind, minute) do update set count = g.count + excluded.count",
            (mapping_id, kind, count),
        )
        return None


def release(connection: Connection, mapping_id: int, kind: str, count: int) -> None:
    """Take back what was reserved and did not go out, from the newest minute that holds so many."""
    connection.execute(
        "update syncbridge.guard_count g set count = g.count - %(count)s"
        " from (select minute from syncbridge.guard_count where mapping_id = %(id)s and kind = %(kind)s"
        "       and count >= %(count)s order by minute desc limit 1 for update) as newest"
        " where g.mapping_id = %(id)s and g.kind = %(kind)s and g.minute = newest.minute",
        {"id": mapping_id, "kind": kind, "count": count},
    )


def _used(connection: Connection, mapping_id: int, kind: str, seconds: int) -> int:
    row = connection.execute(
        "select coalesce(sum(count), 0) from syncbridge.guard_count"
        " where mapping_id = %s and kind = %s and minute > now() - %s * interval '1 second'",
        (mapping_id, kind, seconds),
    ).fetchone()
    return int(row[0]) if row else 0


def prune(connection: Connection) -> None:
    """Forget counts that no window reaches (two days)."""
    connection.execute("delete from syncbridge.guard_count where minute < now() - interval '2 days'")


def add_refused(
    connection: Connection, mapping_id: int, *, attempted: int, refused: int, seconds: int
) -> tuple[int, int]:
    """Count records that were delivered or refused; of the last `seconds` how many were attempted, and refused."""
    with connection.transaction():
        connection.execute(
            "insert into syncbridge.guard_count as g"
            " select %(id)s, kind, date_trunc('minute', now()), count"
            "   from (values (%(attempted)s, %(tried)s), (%(refused)s, %(failed)s)) as new (kind, count)"
            "  where count > 0"
            " on conflict (mapping_id, kind, minute) do update set count = g.count + excluded.count",
            {
                "id": mapping_id,
                "attempted": _ATTEMPTED,
                "tried": attempted,
                "refused": _REFUSED,
                "failed": refused,
            },
        )
        return _used(connection, mapping_id, _ATTEMPTED, seconds), _used(connection, mapping_id, _REFUSED, seconds)


def forget_refused(connection: Connection, mapping_id: int) -> None:
    """Count refusals anew: a person looked at them."""
    connection.execute(
        "delete from syncbridge.guard_count where mapping_id = %s and kind = any(%s)",
        (mapping_id, [_ATTEMPTED, _REFUSED]),
    )
