"""What is known of a mapping's records is forgotten: when it goes, or when its entities become other records."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection

from syncbridge.arrays import text_array

#: Tables of what is known of records, by mapping.
_RECORDS = (
    "fan_out",
    "outbox",
    "link",
    "awaited",
    "conflict",
    "bulk_job",
    "bulk_reserve",
    "held_change",
    "bounce",
    "held_record",
    "departure",
    "kept_row",
    "recheck",
    "parent_wait",
    "formula_round",
    "watermark",
    "remote_count",
)  # in the order in which others lock


def records(connection: Connection, mapping_id: int) -> None:
    """Links, what waits, what is held, and the runs that are not over. In a transaction, with the row locked."""
    connection.execute("select 1 from syncbridge.mapping where id = %s for update", (mapping_id,))
    for table in _RECORDS:
        connection.execute(f"delete from syncbridge.{table} where mapping_id = %s", (mapping_id,))  # noqa: S608 - constants
    connection.execute(
        "delete from syncbridge.scanned where run_id in (select id from syncbridge.run where mapping_id = %s)",
        (mapping_id,),
    )
    connection.execute(
        "update syncbridge.run set status = 'cancelled', finished_at = now()"
        " where mapping_id = %s and status in ('asked', 'pending')",
        (mapping_id,),
    )


def waiting(connection: Connection, mapping_id: int) -> None:
    """What waits to be delivered, with its bulk jobs and runs, and what a person let pass. In a transaction.

    Links stay. Positions of another server's log would mean nothing, or something else, in the new one.
    """
    for table in ("fan_out", "outbox", "awaited", "bulk_job", "bulk_reserve"):
        connection.execute(f"delete from syncbridge.{table} where mapping_id = %s", (mapping_id,))  # noqa: S608 - constants
    connection.execute("update syncbridge.mapping set approved_lsn = null where id = %s", (mapping_id,))
    connection.execute(
        "update syncbridge.run set barrier = null, status = case direction when 'out' then 'cancelled' else status end,"
        " finished_at = case direction when 'out' then now() end"
        " where mapping_id = %s and status in ('asked', 'pending')",
        (mapping_id,),
    )


def outgoing(connection: Connection, mapping_id: int) -> None:
    """What waits to be sent, and runs that would enqueue more: nothing of the mapping goes out any more."""
    for table in ("fan_out", "outbox", "awaited", "conflict"):
        connection.execute(f"delete from syncbridge.{table} where mapping_id = %s", (mapping_id,))  # noqa: S608 - constants
    connection.execute(
        "update syncbridge.run set status = 'cancelled', finished_at = now()"
        " where mapping_id = %s and direction = 'out' and status in ('asked', 'pending')",
        (mapping_id,),
    )


def incoming(connection: Connection, mapping_id: int) -> None:
    """What is held or waits on the way back: nothing of the mapping comes in any more. In a transaction."""
    for table in ("held_change", "bounce", "held_record", "recheck", "parent_wait", "formula_round"):
        connection.execute(f"delete from syncbridge.{table} where mapping_id = %s", (mapping_id,))  # noqa: S608 - constants


def mapping(connection: Connection, mapping_id: int) -> None:
    """A mapping with all that is known of it but its log. In a transaction."""
    records(connection, mapping_id)
    for table in ("awaited", "parent_wait"):
        connection.execute(f"delete from syncbridge.{table} where parent_id = %s", (mapping_id,))  # noqa: S608 - constants
    for table in ("guard_count", "run", "reconciliation"):
        connection.execute(f"delete from syncbridge.{table} where mapping_id = %s", (mapping_id,))  # noqa: S608 - constants
    connection.execute("delete from syncbridge.mapping where id = %s", (mapping_id,))


def strays(connection: Connection) -> None:
    """What capture enqueued for mappings that went, before it heard of it."""
    for table in ("fan_out", "outbox"):
        connection.execute(
            f"delete from syncbridge.{table} where mapping_id <> all(array(select id from syncbridge.mapping))"  # noqa: S608 - constants
        )


_FIELDS = """
with page as (
    select key, base from syncbridge.link where mapping_id = %(mapping)s {behind} order by key limit %(limit)s
), kept as (
    select key, (select coalesce(json_object_agg(name, value), '{}') from json_each(base) as each (name, value)
                  where lower(name) <> all(%(names)s)) as base
      from page
     where exists (select from json_object_keys(base) as name where lower(name) = any(%(names)s))
), pruned as (
    update syncbridge.link l set base = kept.base from kept where l.mapping_id = %(mapping)s and l.key = kept.key
)
select max(key), count(*) from page
"""


def fields(connection: Connection, mapping_id: int, names: Sequence[str], *, page: int = 10_000) -> None:
    """Let no base say anything of these remote fields, so that they are sent for every record. Page by page.

    A field that was once mapped stands in the bases as it was then; what it is now over there is not known.
    """
    small = text_array(sorted({name.lower() for name in names}))
    after, statement = None, _FIELDS.replace("{behind}", "")
    while True:
        values = {"mapping": mapping_id, "names": small, "after": after, "limit": page}
        row = connection.execute(statement, values).fetchone()
        if row is None or row[0] is None or row[1] < page:
            return
        after, statement = row[0], _FIELDS.replace("{behind}", "and key > %(after)s")
