"""What the catalog says of the mapped tables and of the server, and what a query would give. Postgres 14 and newer.

A few queries for all tables together; nothing is changed, nothing of the tables is read.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.rows import dict_row

from syncbridge.schemas import Catalog, Column, QueryFault, Table

TableName = tuple[str, str]

_TABLES = """
select c.oid::int8, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relreplident::text,
       greatest(c.reltuples, 0)::int8,
       has_schema_privilege(n.oid, 'usage') and has_any_column_privilege(c.oid, 'select'),
       has_table_privilege(c.oid, 'delete'), pg_has_role(c.relowner, 'usage'), row_security_active(c.oid),
       array(select array[p.relid::regclass::text, l.relreplident::text]
             from pg_partition_tree(c.oid) p join pg_class l on l.oid = p.relid
             where p.isleaf and c.relkind = 'p' and l.relreplident not in (c.relreplident, 'f')
             order by p.relid::regclass::text)
from unnest(%s::text[], %s::text[]) as asked(schema, name)
join pg_namespace n on n.nspname = asked.schema
join pg_class c on c.relnamespace = n.oid and c.relname = asked.name and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""

_COLUMNS = """
select a.attrelid::int8, a.attname, a.atttypid::int8, a.atttypmod, a.attnotnull,
       a.atthasdef or a.attidentity <> '', a.attgenerated <> '', has_column_privilege(a.attrelid, a.attnum, 'select'),
       has_column_privilege(a.attrelid, a.attnum, 'insert'), has_column_privilege(a.attrelid, a.attnum, 'update'),
       coalesce(quote_ident(n.nspname) || '.' || quote_ident(s.relname), ''),
       coalesce(has_sequence_privilege(s.oid, 'usage') and has_sequence_privilege(s.oid, 'update'), true),
       coalesce(l.collisdeterministic, true)
from pg_attribute a
left join pg_collation l on l.oid = a.attcollation
left join pg_depend d on d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
     and d.refobjid = a.attrelid and d.refobjsubid = a.attnum and d.deptype in ('a', 'i')
     and exists (select from pg_class owned where owned.oid = d.objid and owned.relkind = 'S')
left join pg_class s on s.oid = d.objid
left join pg_namespace n on n.oid = s.relnamespace
where a.attrelid = any(%s::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""

# Only indexes that a key, a replica identity or a look could rest on: valid, not partial, over plain columns.
_INDEXES = """
select i.indrelid::int8, quote_ident(c.relname), i.indisunique, i.indisprimary, i.indisreplident, i.indimmediate,
       array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality as k(number, place)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
             where k.place <= i.indnkeyatts order by k.place)
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_am m on m.oid = c.relam
where i.indrelid = any(%s::oid[]) and i.indisvalid and i.indpred is null and i.indexprs is null
  and m.amname in ('btree', 'hash')
order by i.indisprimary desc, i.indexrelid
"""

# Domains are followed to their base, whose modifier counts.
_TYPES = """
with recursive asked as (
    select place, type, modifier from unnest(%s::oid[], %s::int4[]) with ordinality as a(type, modifier, place)
), step as (
    select place, type, modifier, 0 as depth from asked
    union all
    select s.place, t.typbasetype, t.typtypmod, s.depth + 1
    from step s join pg_type t on t.oid = s.type where t.typtype = 'd'
), base as (
    select distinct on (place) place, type, modifier from step order by place, depth desc
)
select format_type(asked.type, asked.modifier),
       case when t.typtype = 'e' then 'enum'
            when t.typcategory = 'A' and e.typtype = 'e' then 'enum[]'
            when t.typcategory = 'A' and e.oid is not null then e.typname || '[]'
            else t.typname::text end,
       base.modifier,
       array(select l.enumlabel::text from pg_enum l where l.enumtypid in (t.oid, e.oid) order by l.enumsortorder)
from asked join base using (place) join pg_type t on t.oid = base.type left join pg_type e on e.oid = t.typelem
order by place
"""

_SERVER = """
select current_setting('server_version_num')::int as server_version, current_setting('wal_level') as wal_level,
       current_setting('max_replication_slots')::int as max_replication_slots,
       greatest(0, current_setting('max_replication_slots')::int - (select count(*) from pg_replication_slots))
           as free_replication_slots,
       current_setting('max_wal_senders')::int as max_wal_senders,
       greatest(0, current_setting('max_wal_senders')::int - (select count(*) from pg_stat_replication))
           as free_wal_senders,
       r.rolreplication or r.rolsuper or exists (
           -- where the provider keeps the attribute to itself, membership stands for it
           select from pg_roles p where p.rolname = 'rds_replication' and pg_has_role(p.oid, 'member')
       ) as can_replicate,
       has_database_privilege(current_database(), 'create') as can_create,
       current_user::text as user, current_database()::text as database,
       array(select slot_name::text from pg_replication_slots
             where database = current_database() and plugin = 'pgoutput') as slots
from pg_roles r where r.rolname = current_user
"""

_PUBLICATIONS = """
select p.pubname::text, t.schemaname::text, t.tablename::text
from pg_publication p left join pg_publication_tables t using (pubname)
"""

_SETTINGS = "select name, setting from pg_settings where name = any(%s)"
_WORTH_KNOWING = ["wal_sender_timeout", "max_slot_wal_keep_size", "idle_replication_slot_timeout"]

_NAMES = """
select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
"""

_TABLES_OF = """
select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(%s) and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
                                              and d.objsubid = 0 and d.deptype = 'e')
order by 1, 2 limit %s
"""


def read_catalog(connection: Connection[Any], tables: Iterable[TableName]) -> Catalog:
    """Describe these tables and the server. A table that does not exist is left out; `near` then names similar ones."""
    asked = list(dict.fromkeys(tables))
    found = _tables(connection, asked)
    with connection.cursor(row_factory=dict_row) as cursor:
        server = cursor.execute(_SERVER).fetchone()
    assert server is not None  # the login has a role
    slots = server.pop("slots")
    return Catalog(
        tables=found,
        **server,
        settings=dict(connection.execute(_SETTINGS, [_WORTH_KNOWING]).fetchall()),
        slots=frozenset(slots),
        publications=_publications(connection),
        near=near_tables(connection, [name for name in asked if name not in found]),
    )


def tables_of(connection: Connection[Any], schemas: Sequence[str], *, limit: int) -> list[TableName]:
    """Tables and views of these schemas, at most `limit`; without partitions, and without what an extension brought."""
    return [(schema, name) for schema, name in connection.execute(_TABLES_OF, [list(schemas), limit])]


def near_tables(connection: Connection[Any], missing: Sequence[TableName]) -> dict[TableName, tuple[str, ...]]:
    """For each missing table the similar names that exist, as `schema.table`, best first."""
    if not missing:
        return {}
    return similar(missing, connection.execute(_NAMES).fetchall())


def similar(missing: Iterable[TableName], known: Iterable[TableName]) -> dict[TableName, tuple[str, ...]]:
    """As near_tables, of names that were read before."""
    names: dict[str, list[str]] = {}  # of a table -> with each schema that has it
    for schema, name in known:
        names.setdefault(name, []).append(f"{schema}.{name}")
    near: dict[TableName, tuple[str, ...]] = {}
    for schema, name in missing:
        # the same name in another schema comes first: it is the likeliest mistake
        close = difflib.get_close_matches(name, names, 3)
        near[schema, name] = tuple(full for one in close for full in names[one])[:3]
    return near


def describe_query(connection: Connection[Any], sql: str) -> list[Column] | QueryFault:
    """The columns a query would give, without running it. A surrounding transaction stays usable after a fault.

    `sql` has no parameters, so its `%` are single.
    """
    with connection.transaction(force_rollback=True):
        outcome = _prepare(connection, sql)
    if isinstance(outcome, QueryFault):
        return outcome
    types = _types(connection, [(oid, modifier) for _, oid, modifier in outcome])
    return [_column(name, oid, described) for (name, oid, _), described in zip(outcome, types, strict=True)]


def _prepare(connection: Connection[Any], sql: str) -> list[tuple[str, int, int]] | QueryFault:
    """Name, type and modifier of each column; parsing tells them, nothing is planned or run."""
    encoding = connection.info.encoding
    server = connection.pgconn
    result = server.prepare(b"", sql.encode(encoding))
    if result.status == ExecStatus.COMMAND_OK:
        result = server.describe_prepared(b"")
    if result.status != ExecStatus.COMMAND_OK:
        told = {
            part: (result.error_field(part) or b"").decode(encoding, "replace")
            for part in (
                DiagnosticField.MESSAGE_PRIMARY,
                DiagnosticField.STATEMENT_POSITION,
                DiagnosticField.MESSAGE_HINT,
                DiagnosticField.SQLSTATE,
            )
        }
        return QueryFault(
            message=told[DiagnosticField.MESSAGE_PRIMARY] or server.get_error_message(),
            position=int(told[DiagnosticField.STATEMENT_POSITION] or 0),
            hint=told[DiagnosticField.MESSAGE_HINT],
            code=told[DiagnosticField.SQLSTATE],
        )
    return [
        ((result.fname(i) or b"").decode(encoding, "replace"), result.ftype(i), result.fmod(i))
        for i in range(result.nfields)
    ]


def _tables(connection: Connection[Any], asked: Sequence[TableName]) -> dict[TableName, Table]:
    if not asked:
        return {}
    rows = connection.execute(_TABLES, [[schema for schema, _ in asked], [name for _, name in asked]]).fetchall()
    oids = [row[0] for row in rows]
    columns = _columns(connection, oids)
    indexes: dict[int, list[_Index]] = {oid: [] for oid in oids}
    for oid, *index in connection.execute(_INDEXES, [oids]):
        indexes[oid].append(_Index(*index))
    return {(row[1], row[2]): _table(row, columns[row[0]], indexes[row[0]]) for row in rows}


class _Index(NamedTuple):
    name: str
    unique: bool
    primary: bool
    identity: bool
    immediate: bool
    columns: list[str]


def _table(row: tuple[Any, ...], columns: Mapping[str, Column], indexes: Sequence[_Index]) -> Table:
    oid, schema, name, kind, persistence, identity, estimate, readable, deletable, owned, row_security, unlike = row
    unique = [index for index in indexes if index.unique]
    primary = next((tuple(index.columns) for index in unique if index.primary), ())
    # a deferrable primary key is no replica identity
    by_default = next((tuple(index.columns) for index in unique if index.primary and index.immediate), ())
    by_index = next((tuple(index.columns) for index in unique if index.identity), ())
    return Table(
        schema=schema,
        name=name,
        columns=columns,
        oid=oid,
        primary_key=primary,
        unique_keys=tuple(tuple(index.columns) for index in unique),
        replica_identity=identity,
        identity_columns={"d": by_default, "i": by_index, "f": tuple(columns)}.get(identity, ()),
        kind=kind,
        persistence=persistence,
        rows=estimate,
        readable=readable,
        deletable=deletable,
        owned=owned,
        row_security=row_security,
        unlike_partitions=tuple((partition, told) for partition, told in unlike),
        index_names={tuple(index.columns): index.name for index in reversed(unique)},
        indexed=tuple(sorted({tuple(index.columns) for index in indexes})),
    )


def _columns(connection: Connection[Any], oids: Sequence[int]) -> dict[int, dict[str, Column]]:
    rows = connection.execute(_COLUMNS, [list(oids)]).fetchall()
    types = _types(connection, [(row[2], row[3]) for row in rows])
    columns: dict[int, dict[str, Column]] = {oid: {} for oid in oids}
    for row, described in zip(rows, types, strict=True):
        relation, name, type_oid, _, not_null, has_default, generated, *rights, deterministic = row
        readable, insertable, updatable, sequence, drawable = rights
        columns[relation][name] = _column(
            name,
            type_oid,
            described,
            not_null=not_null,
            has_default=has_default and not generated,
            generated=generated,
            readable=readable,
            insertable=insertable,
            updatable=updatable,
            sequence=sequence,
            drawable=drawable,
            deterministic=deterministic,
        )
    return columns


def _types(connection: Connection[Any], types: Sequence[tuple[int, int]]) -> list[tuple[Any, ...]]:
    """For each (type, modifier): how it is shown, its base type, the base's modifier, labels of an enum."""
    if not types:
        return []
    return connection.execute(_TYPES, [[oid for oid, _ in types], [modifier for _, modifier in types]]).fetchall()


def _column(name: str, oid: int, described: tuple[Any, ...], **facts: Any) -> Column:
    shown, base_type, modifier, labels = described
    length = precision = scale = None
    if base_type.removesuffix("[]") in ("varchar", "bpchar") and modifier >= 4:
        length = modifier - 4
    elif base_type in ("time", "timestamp", "timestamptz") and modifier >= 0:
        scale = modifier
    elif base_type == "numeric" and modifier >= 4:
        precision = ((modifier - 4) >> 16) & 0xFFFF
        scale = (((modifier - 4) & 0x7FF) ^ 1024) - 1024  # 11 bits with sign since Postgres 15
    return Column(
        name=name,
        type=shown,
        type_oid=oid,
        base_type=base_type,
        length=length,
        precision=precision,
        scale=scale,
        options=tuple(labels),
        **facts,
    )


def _publications(connection: Connection[Any]) -> dict[str, frozenset[TableName]]:
    published: dict[str, set[TableName]] = {}
    for publication, schema, table in connection.execute(_PUBLICATIONS):
        published.setdefault(publication, set())
        if table is not None:
            published[publication].add((schema, table))
    return {publication: frozenset(tables) for publication, tables in published.items()}
