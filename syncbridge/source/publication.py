"""The publication: which tables and columns Postgres streams to us, kept equal to what the mappings watch.

Column lists (Postgres 15+) hold the key columns and the replica identity, which Postgres demands for updates and
deletes; so decoding and the network carry little else. Sources: Postgres manual, "CREATE PUBLICATION", "Column Lists".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection, sql

from syncbridge.errors import RetryLater, SourceUnusable
from syncbridge.schemas import Table, Watch
from syncbridge.source.refusals import by_remedy, first_line

#: Prefix of the logical message that says: mappings changed, look again what to watch.
WATCHES_CHANGED = "syncbridge.watches"

_COLUMN_LISTS = 150000
_GENERATED_IN_LISTS = 180000

_OPTIONS = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"


@dataclass(frozen=True, slots=True, order=True)
class PublishedTable:
    """One table of a publication; `columns` is None when all are published."""

    schema: str
    name: str
    columns: tuple[str, ...] | None = None
    filtered: bool = field(default=False, compare=True)

    def __str__(self) -> str:
        table = sql.Identifier(self.schema, self.name).as_string(None)
        if self.columns is None:
            return table
        return f"{table} ({', '.join(sql.Identifier(column).as_string(None) for column in self.columns)})"


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as the catalog describes it."""

    name: str
    tables: tuple[PublishedTable, ...] = ()
    all_tables: bool = False
    schemas: tuple[str, ...] = ()
    complete: bool = True  # publishes inserts, updates, deletes and truncates, partitions as their root
    effective: Mapping[tuple[str, str], PublishedTable] = field(default_factory=dict)  # what it comes to


def wanted_tables(
    watches: Iterable[Watch], tables: Mapping[tuple[str, str], Table], *, server_version: int
) -> tuple[PublishedTable, ...]:
    """What has to be published for these watches.

    Raises SourceUnusable for a table that cannot be published, or whose updates and deletes would then fail for every
    other program because it has no replica identity.
    """
    watched: dict[tuple[str, str], set[str]] = {}
    for watch in watches:
        watched.setdefault((watch.schema, watch.table), set()).update(watch.columns)
    return tuple(
        _published(tables.get(name), name, columns, server_version) for name, columns in sorted(watched.items())
    )


def _published(table: Table | None, name: tuple[str, str], watched: set[str], server_version: int) -> PublishedTable:
    shown = ".".join(name)
    if table is None:
        raise SourceUnusable(f"there is no table {shown}", hint="Mend the mapping's `entity`, or create the table.")
    if table.kind not in ("r", "p") or table.persistence != "p":
        raise SourceUnusable(f"{shown} cannot be published: only permanent tables write changes to the log")
    identity = table.identity_columns or (table.primary_key if table.replica_identity == "d" else ())
    quoted = sql.Identifier(*name).as_string(None)
    if table.replica_identity == "n" or not (identity or table.replica_identity == "f"):
        raise SourceUnusable(
            f"{shown} has no replica identity: once published, every UPDATE and DELETE of it would fail",
            hint=f"ALTER TABLE {quoted} ADD PRIMARY KEY (...); or ALTER TABLE {quoted} REPLICA IDENTITY FULL;",
        )
    listed = table.replica_identity != "f" and server_version >= _COLUMN_LISTS
    columns = tuple(column for column in table.columns if column in watched or column in identity)
    generated = [column for column in columns if column in watched and table.columns[column].generated]
    if generated and not (listed and server_version >= _GENERATED_IN_LISTS):
        raise SourceUnusable(
            f"{shown}.{generated[0]} is a generated column, which this server does not publish",
            hint="Key the mapping by the columns that it is made of.",
        )
    return PublishedTable(*name, columns if listed else None)


def inspect(connection: Connection, name: str) -> Publication | None:
    """The publication of this name in the connection's database; None when there is none."""
    lists = connection.info.server_version >= _COLUMN_LISTS
    try:
        row = connection.execute(
            "select oid, puballtables, pubinsert and pubupdate and pubdelete and pubtruncate and pubviaroot"
            " from pg_publication where pubname = %s",
            (name,),
        ).fetchone()
        if row is None:
            return None
        oid, all_tables, complete = row
        schemas = connection.execute(_SCHEMAS, (oid,)).fetchall() if lists else []
        tables = connection.execute(_TABLES if lists else _TABLES_14, (oid,)).fetchall()
        effective = connection.execute(_EFFECTIVE if lists else _EFFECTIVE_14, (name,)).fetchall()
    except psycopg.Error as error:
        raise by_remedy(error, user=connection.info.user) from error
    return Publication(
        name,
        tables=tuple(sorted((_table(*table) for table in tables), key=_by_name)),
        all_tables=all_tables,
        schemas=tuple(schema for (schema,) in schemas),
        complete=complete,
        effective={(table[0], table[1]): _table(*table) for table in effective},
    )


def _table(schema: str, name: str, columns: list[str] | None, filtered: bool) -> PublishedTable:
    return PublishedTable(schema, name, None if columns is None else tuple(columns), filtered)


def _by_name(table: PublishedTable) -> tuple[str, str]:
    return table.schema, table.name


_SCHEMAS = """
select n.nspname from pg_publication_namespace p join pg_namespace n on n.oid = p.pnnspid where p.pnpubid = %s
"""
_TABLES = """
select n.nspname, c.relname,
       case when p.prattrs is not null then array(
           select a.attname::text from pg_attribute a
            where a.attrelid = p.prrelid and a.attnum = any(p.prattrs) order by a.attnum) end,
       p.prqual is not null
  from pg_publication_rel p join pg_class c on c.oid = p.prrelid join pg_namespace n on n.oid = c.relnamespace
 where p.prpubid = %s
"""
_TABLES_14 = """
select n.nspname, c.relname, null::text[], false
  from pg_publication_rel p join pg_class c on c.oid = p.prrelid join pg_namespace n on n.oid = c.relnamespace
 where p.prpubid = %s
"""
_EFFECTIVE = """
select schemaname, tablename, attnames::text[], rowfilter is not null from pg_publication_tables where pubname = %s
"""
_EFFECTIVE_14 = "select schemaname, tablename, null::text[], false from pg_publication_tables where pubname = %s"


def uncovered(publication: Publication, watches: Iterable[Watch]) -> list[str]:
    """What is watched but not published, for people; empty when every change of every watch is streamed."""
    missing = [] if publication.complete else ["some kinds of change"]
    for watch in watches:
        table = f"{watch.schema}.{watch.table}"
        published = publication.effective.get((watch.schema, watch.table))
        if published is None:
            missing.append(table)
        elif published.filtered:
            missing.append(f"some rows of {table}")
        elif published.columns is not None:
            missing += [f"{table}.{column}" for column in watch.columns if column not in published.columns]
    return list(dict.fromkeys(missing))


def plan(name: str, wanted: Sequence[PublishedTable], current: Publication | None) -> list[str]:
    """The statements that make the publication equal to `wanted`; none when it is. A person can read and run them.

    A publication FOR ALL TABLES covers everything and keeps its tables.
    """
    quoted = sql.Identifier(name).as_string(None)
    listed = ", ".join(str(table) for table in wanted)
    if current is None:
        return [f"CREATE PUBLICATION {quoted}{f' FOR TABLE {listed}' if listed else ''} WITH ({_OPTIONS});"]
    statements = [] if current.complete else [f"ALTER PUBLICATION {quoted} SET ({_OPTIONS});"]
    if current.all_tables or (current.tables == tuple(sorted(wanted, key=_by_name)) and not current.schemas):
        return statements
    if listed:  # one statement: at no moment is a table that stays left out
        return [*statements, f"ALTER PUBLICATION {quoted} SET TABLE {listed};"]
    gone = [f"TABLE {PublishedTable(table.schema, table.name)}" for table in current.tables]
    gone += [f"TABLES IN SCHEMA {sql.Identifier(schema).as_string(None)}" for schema in current.schemas]
    return [*statements, *(f"ALTER PUBLICATION {quoted} DROP {what};" for what in gone)]


def apply(connection: Connection, statements: Sequence[str]) -> None:
    """Run a plan in one transaction.

    Raises SourceUnusable, with the statements for a database owner to run, when the login may not.
    """
    try:
        with connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceUnusable(
            f"the publication cannot be changed: {first_line(error)}",
            code="42501",
            hint="As the owner of the tables run: " + " ".join(statements),
        ) from error
    except psycopg.errors.LockNotAvailable as error:
        raise RetryLater(f"the publication cannot be changed now: {first_line(error)}", code="55P03") from error
    except psycopg.Error as error:
        raise by_remedy(error, user=connection.info.user) from error


def announce(connection: Connection) -> None:
    """Tell whoever captures that mappings changed, in the stream itself; after they are recorded and published.

    Every capture then watches the new tables from exactly this position on, whichever worker it runs in. A first sync
    that begins after this call therefore misses nothing: a change is either in the rows that it reads, or behind the
    announcement. Source: Postgres manual, "pg_logical_emit_message".
    """
    try:
        connection.execute("select pg_logical_emit_message(true, %s, '')", (WATCHES_CHANGED,))
    except psycopg.Error as error:
        raise by_remedy(error, user=connection.info.user) from error
