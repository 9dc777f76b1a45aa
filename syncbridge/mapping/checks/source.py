"""Is Postgres as a mapping needs it: the server, the table, its key and what old keys carry, the SQL. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from syncbridge.errors import Finding
from syncbridge.mapping.key_sql import KEY_TYPES
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.related import Related, related_queries
from syncbridge.mapping.spec import MappingSpec
from syncbridge.mapping.sql import literal, outside_quotes, qualified, quoted
from syncbridge.schemas import Catalog, Column, QueryFault, Table

OLDEST_SERVER = 140000
GENERATED_PUBLISHED = 180000

_KINDS = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}
#: What to do about something that the file of `check --save` does not know.
SAVE_ANEW = "If it is new, save anew where both sides can be reached: `syncbridge check --save`."
_GROUPING = "42803"
#: What Postgres does not do by itself.
NEW_PARTITIONS = "A partition that is made later needs it too."
_RESTART = "It takes effect when the server restarts."


def check_server(catalog: Catalog, *, slot: str, state_here: bool) -> Iterator[Finding]:
    """What the server and the login must have. `state_here`: the schema `syncbridge` lives in this database."""
    where = f"database {catalog.database}"
    user = quoted(catalog.user) if catalog.user else "the_login"
    if 0 < catalog.server_version < OLDEST_SERVER:
        yield Finding(
            "error", where, f"Postgres {catalog.server_version // 10000} is too old", "Use Postgres 14 or newer."
        )
    if catalog.wal_level != "logical":
        message = f"wal_level is {catalog.wal_level}, so changes cannot be read from the write-ahead log"
        yield Finding("error", where, message, _RESTART, "ALTER SYSTEM SET wal_level = 'logical';")
    if slot not in catalog.slots and catalog.free_replication_slots < 1:
        yield _more(where, "replication slot", "max_replication_slots", catalog.max_replication_slots)
    if slot not in catalog.slots and catalog.free_wal_senders < 1:
        yield _more(where, "WAL sender", "max_wal_senders", catalog.max_wal_senders)
    if not catalog.can_replicate:
        remedy = "On Amazon RDS: GRANT rds_replication instead."
        sql = f"ALTER ROLE {user} REPLICATION;"
        yield Finding("error", where, f"the login {catalog.user} may not replicate", remedy, sql)
    if state_here and not catalog.can_create:
        sql = f"GRANT CREATE ON DATABASE {quoted(catalog.database)} TO {user};"
        message = f"the login {catalog.user} may not create the schema that holds the state"
        yield Finding("error", where, message, "Or keep the state elsewhere: [store] dsn.", sql)


def _more(where: str, thing: str, setting: str, now: int) -> Finding:
    sql = f"ALTER SYSTEM SET {setting} = {now + 2};"
    return Finding("error", where, f"no {thing} is free ({setting} is {now})", _RESTART, sql)


def check_table(spec: MappingSpec, catalog: Catalog) -> Iterator[Finding]:
    """The mapping's table, its key, and the right to read it."""
    name = spec.entity.table_name
    where = spec.at("entity", "table")
    table = catalog.tables.get(name)
    if table is None:
        yield missing_table(where, name, catalog)
        return
    yield from check_state(where, table, _columns_used(spec), catalog)
    if table.kind not in _KINDS:
        yield from _check_key(spec, table, catalog.server_version)


def check_state(where: str, table: Table, columns: Sequence[str], catalog: Catalog) -> Iterator[Finding]:
    """Whether a table writes changes to the log, and whether the login may read these columns."""
    if table.kind in _KINDS:
        remedy = "Map the table beneath it, and put what the view adds into `sql:`."
        yield Finding("error", where, f"{table.qualified} is {_KINDS[table.kind]}; it has no changes to read", remedy)
        return
    if table.persistence == "u":
        sql = f"ALTER TABLE {sql_name(table)} SET LOGGED;"
        yield Finding("error", where, f"{table.qualified} is unlogged; its changes are not in the log", "", sql)
    elif table.persistence == "t":
        yield Finding("error", where, f"{table.qualified} is temporary; its changes are not in the log")
    yield from check_privileges(where, table, columns, catalog)


def check_published(tables: Iterable[Table], catalog: Catalog, *, publication: str) -> Iterator[Finding]:
    """Whether the login may publish the tables of all mappings: one finding, as one statement is what it takes."""
    published = catalog.publications.get(publication, frozenset())
    wanting = {
        table.qualified
        for table in tables
        if table.kind not in _KINDS and not table.owned and (table.schema, table.name) not in published
    }
    if wanting:
        them = "it" if len(wanting) == 1 else "them"
        message = f"the login {catalog.user} does not own {', '.join(sorted(wanting))}, so it cannot publish {them}"
        remedy = "Let the owner run what `syncbridge plan` shows, or grant the owning role to the login."
        yield Finding("error", f"database {catalog.database}", message, remedy)


def missing_table(where: str, name: tuple[str, str], catalog: Catalog) -> Finding:
    """A table that the catalog does not have, with the names that were perhaps meant."""
    perhaps = _perhaps(catalog.near.get(name, ()))
    if catalog.saved_in:
        return Finding("error", where, f"{catalog.saved_in} holds no table {'.'.join(name)}{perhaps}", SAVE_ANEW)
    return Finding("error", where, f"there is no table {'.'.join(name)}{perhaps}")


def _perhaps(names: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(names)}?" if names else ""


def sql_name(table: Table) -> str:
    """The table as SQL names it."""
    return qualified(table.schema, table.name)


def check_privileges(where: str, table: Table, columns: Sequence[str], catalog: Catalog) -> Iterator[Finding]:
    """Whether the login may read these columns, and all rows."""
    user = quoted(catalog.user) if catalog.user else "the_login"
    closed = [name for name in columns if name in table.columns and not table.columns[name].readable]
    if not table.readable:
        sql = f"GRANT USAGE ON SCHEMA {quoted(table.schema)} TO {user};\nGRANT SELECT ON {sql_name(table)} TO {user};"
        yield Finding("error", where, f"the login {catalog.user} may not read {table.qualified}", "", sql)
    elif closed:
        listed = ", ".join(closed)
        sql = f"GRANT SELECT ({', '.join(quoted(name) for name in closed)}) ON {sql_name(table)} TO {user};"
        yield Finding("error", where, f"the login {catalog.user} may not read {listed} of {table.qualified}", "", sql)
    if table.row_security:
        message = (
            f"row security of {table.qualified} hides rows from the login {catalog.user}; they would count as gone"
        )
        yield Finding("error", where, message, "", f"ALTER ROLE {user} BYPASSRLS;")


def _columns_used(spec: MappingSpec) -> list[str]:
    columns = [field.column for field in spec.fields.values() if field.column is not None]
    return list(dict.fromkeys([*spec.entity.key, *columns]))


def _check_key(spec: MappingSpec, table: Table, server_version: int) -> Iterator[Finding]:
    where = spec.at("entity", "key")
    key = spec.entity.key
    missing = [name for name in key if name not in table.columns]
    for name in missing:
        yield Finding("error", where, f"{table.qualified} has no column {name!r}{did_you_mean(name, table.columns)}")
    if missing:
        return
    for name in key:
        column = table.columns[name]
        if column.base_type not in KEY_TYPES:
            message = f"{name} is {column.type}, which cannot be a key: its text depends on settings"
            yield Finding("error", where, message, "Use a key of integers, text, uuid, numeric or date.")
        elif column.base_type == "numeric" and column.scale is None:
            message = f"{name} is numeric without a scale: 1.0 and 1.00 are two keys of what may be one entity"
            yield Finding("warning", where, message, "Use an integer, or give the column a scale.")
        if column.generated and server_version < GENERATED_PUBLISHED:
            message = f"{name} is a generated column, which Postgres does not publish before version 18"
            yield Finding("error", where, message, "Use a key of stored columns.")
    if not any(set(unique) == set(key) for unique in table.unique_keys):
        yield _not_unique(where, table, key)
        return
    nullable = [name for name in key if not table.columns[name].not_null]
    if nullable:
        changes = ", ".join(f"ALTER COLUMN {quoted(name)} SET NOT NULL" for name in nullable)
        message = f"{', '.join(nullable)} may be null, and a null is no key"
        yield Finding("error", where, message, "", f"ALTER TABLE {sql_name(table)} {changes};")
        return
    if spec.direction != "to_postgres":  # which captures nothing
        yield from _check_identity(where, table, key)


def _not_unique(where: str, table: Table, key: Sequence[str]) -> Finding:
    columns = ", ".join(quoted(name) for name in key)
    message = f"{', '.join(key)} is neither the primary key of {table.qualified} nor a unique key of it"
    if table.primary_key:
        sql = f"CREATE UNIQUE INDEX CONCURRENTLY ON {sql_name(table)} ({columns});"
        return Finding("error", where, message, f"The primary key is {', '.join(table.primary_key)}.", sql)
    return Finding("error", where, message, "", f"ALTER TABLE {sql_name(table)} ADD PRIMARY KEY ({columns});")


def check_partitions(where: str, table: Table, needed: Sequence[str]) -> Iterator[Finding]:
    """Postgres goes by the replica identity of the partition that a row stands in, not by that of the whole table."""
    in_primary_key = set(needed) <= set(table.primary_key)
    unlike = [name for name, identity in table.unlike_partitions if not (identity == "d" and in_primary_key)]
    if not unlike:
        return
    are = "1 partition has" if len(unlike) == 1 else f"{len(unlike):,} partitions have"
    message = f"{are} another replica identity than {table.qualified}, such as {unlike[0]}: old keys are not told there"
    if table.replica_identity == "i":
        remedy = "Give each the index that belongs to the one of the whole table: REPLICA IDENTITY USING INDEX."
        yield Finding("error", where, message, remedy)
        return
    identity = "FULL" if table.replica_identity == "f" else "DEFAULT"
    yield Finding("error", where, message, NEW_PARTITIONS, set_identity(table, identity))


def set_identity(table: Table, identity: str) -> str:
    """SQL that gives a table, and each of its partitions, the replica identity `FULL` or `DEFAULT`."""
    if table.kind != "p":
        return f"ALTER TABLE {sql_name(table)} REPLICA IDENTITY {identity};"
    tree = f"pg_partition_tree({literal(sql_name(table))})"
    change = f"EXECUTE format('ALTER TABLE %s REPLICA IDENTITY {identity}', part);"
    loop = ("FOR part IN SELECT relid FROM", tree, "LOOP", change, "END LOOP;")
    return " ".join(("DO $$ DECLARE part regclass; BEGIN", *loop, "END $$;"))


def _check_identity(where: str, table: Table, key: Sequence[str]) -> Iterator[Finding]:
    """Deletes and changed keys tell the old key only where the replica identity holds it."""
    if set(key) <= set(table.identity_columns):
        yield from check_partitions(where, table, key)
        return
    name = sql_name(table)
    if set(table.primary_key) == set(key) and table.replica_identity != "d":
        sql = set_identity(table, "DEFAULT")
    elif (index := _index_of(table, key)) and set(table.primary_key) != set(key):
        sql = f"ALTER TABLE {name} REPLICA IDENTITY USING INDEX {index};"
    else:
        sql = set_identity(table, "FULL")
    message = (
        f"deletes and key changes in {table.qualified} do not tell the old {', '.join(key)}:"
        " its replica identity does not hold the key"
    )
    yield Finding("error", where, message, "The statement locks the table for a moment.", sql)


def _index_of(table: Table, key: Sequence[str]) -> str:
    return next((index for columns, index in table.index_names.items() if set(columns) == set(key)), "")


def queries(spec: MappingSpec, related: Related) -> dict[tuple[str, ...], str]:
    """For each SQL fragment of the mapping a query to be described on the server, by the fragment's place.

    The fragment also stands in WHERE, where Postgres allows neither aggregates nor functions that return many rows:
    both would change how many rows a batch composes to.
    """
    root = f"{sql_name(related.root)} as {quoted(related.root.name)}"
    source = root + "".join(joined.sql for joined in related.joins())
    asked = dict(related_queries(root, related))
    if spec.entity.where is not None:
        asked["entity", "where"] = f"select from {source} where ({spec.entity.where}\n)"
    for name, rule in spec.require.items():
        asked["require", name] = f"select from {source} where ({rule}\n)"
    for remote, field in spec.fields.items():
        if field.sql is not None:
            asked["fields", remote] = f"select ({field.sql}\n) from {source} where ({field.sql}\n) is null"  # noqa: S608 - as above
    return asked


def check_sql(spec: MappingSpec, described: Mapping[tuple[str, ...], Column | QueryFault | None]) -> Iterator[Finding]:
    """What Postgres said against the fragments, and what they read that is not watched."""
    told: set[str] = set()  # what is wrong with a relation comes again with everything that it is joined to
    for route, outcome in described.items():
        fragment = _fragment(spec, route)
        where = spec.at(*route)
        label = ".".join(route)
        if isinstance(outcome, QueryFault):
            if outcome.message not in told:
                yield Finding("error", where, f"{label}: {outcome.message}", outcome.hint or _remedy(route, outcome))
            if route[1] == "related":
                told.add(outcome.message)
        elif fragment and re.search(r"\bselect\b", outside_quotes(fragment), re.IGNORECASE):
            message = f"{label} reads other rows; when only those change, nothing is sent until this row changes"
            remedy = f"Name their table under entity.related, or run `syncbridge resync {spec.mapping}` now and then."
            yield Finding("warning", where, message, remedy)


def _remedy(route: tuple[str, ...], fault: QueryFault) -> str:
    if fault.code == _GROUPING and "rollup" in route:
        return "A roll-up makes one value of many rows: write an aggregate, such as sum(...), max(...) or count(*)."
    return ""


def _fragment(spec: MappingSpec, route: tuple[str, ...]) -> str | None:
    if route[0] == "fields":
        return spec.fields[route[1]].sql
    if route[1] == "related":
        relation = spec.entity.related[route[2]]
        return relation.rollup[route[4]] if route[3] == "rollup" else relation.where
    return spec.require[route[1]] if route[0] == "require" else spec.entity.where


def check_columns(spec: MappingSpec, related: Related) -> Iterator[Finding]:
    """Columns that fields name, and keys of `values` that an enum does not have."""
    for remote, field in spec.fields.items():
        if field.column is None:
            continue
        where = spec.at("fields", remote)
        reference = related.refer(field.column)
        if reference is None:
            yield Finding("error", where, f"fields.{remote}: {related.unknown(field.column)}")
        elif field.values is not None and reference.column is not None:
            yield from _check_values(spec, remote, reference.column, reference.table, list(field.values))


def _check_values(
    spec: MappingSpec, remote: str, column: Column, table: Table, keys: Sequence[str]
) -> Iterator[Finding]:
    where = spec.at("fields", remote, "values")
    options = column.options if column.base_type == "enum" else ()
    if column.base_type == "bool":
        options = ("true", "false", "t", "f")
    for key in keys:
        if options and key not in options:
            near = did_you_mean(key, options)
            message = f"fields.{remote}.values: {column.name} is never {key!r}{near}"
            yield Finding("warning", spec.at("fields", remote, "values", key), message)
    absent = [option for option in options if option not in keys] if column.base_type == "enum" else []
    if absent:
        listed = ", ".join(absent)
        message = f"fields.{remote}.values does not list {listed}: a row with it is refused"
        filters = ", ".join(literal(option) for option in absent)
        sql = f"SELECT count(*) FROM {sql_name(table)} WHERE {quoted(column.name)} IN ({filters});"  # noqa: S608 - shown, not run
        yield Finding("warning", where, message, "", sql)
