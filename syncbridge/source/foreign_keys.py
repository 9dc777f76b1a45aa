"""Foreign keys from and to a table: how its rows belong to those of other tables."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from syncbridge.schemas import ForeignKey

# A partition's copy of its parent's constraint is left out.
_FOREIGN_KEYS = """
select n.nspname::text, c.relname::text,
       array(select a.attname::text from unnest(k.conkey) with ordinality as o(number, place)
             join pg_attribute a on a.attrelid = k.conrelid and a.attnum = o.number order by o.place),
       fn.nspname::text, f.relname::text,
       array(select a.attname::text from unnest(k.confkey) with ordinality as o(number, place)
             join pg_attribute a on a.attrelid = k.confrelid and a.attnum = o.number order by o.place)
from pg_constraint k
join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
join pg_class f on f.oid = k.confrelid join pg_namespace fn on fn.oid = f.relnamespace
where k.contype = 'f' and k.conparentid = 0 and (
    (n.nspname, c.relname) = (%(schema)s, %(name)s) or (fn.nspname, f.relname) = (%(schema)s, %(name)s))
order by 1, 2, k.conname
"""


def read_foreign_keys(connection: Connection[Any], schema: str, name: str) -> tuple[ForeignKey, ...]:
    """All foreign keys that go out from this table or lead to it, those of a table together."""
    rows = connection.execute(_FOREIGN_KEYS, {"schema": schema, "name": name})
    return tuple(
        ForeignKey((schema, table), tuple(columns), (to_schema, to_table), tuple(to_columns))
        for schema, table, columns, to_schema, to_table, to_columns in rows
    )
