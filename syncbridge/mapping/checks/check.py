"""Verify mappings against both sides, as these were described: every finding says where, what, and what mends it. Pure.

The caller reads: the catalog and the described fragments (`fragments`) from Postgres, the object and the normal forms
from the destination. What could not be read is None, and is then left unchecked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncbridge.errors import Finding
from syncbridge.mapping.checks.creates import check_creates, check_write_rights
from syncbridge.mapping.checks.fields import (
    NormaliserOf,
    check_choices,
    check_type,
    check_writable,
)
from syncbridge.mapping.checks.lookups import check_lookups, check_owner, check_reference
from syncbridge.mapping.checks.related import Identities, check_related, old_columns
from syncbridge.mapping.checks.remote import (
    RemoteFields,
    check_deletes,
    check_external_id,
    check_match_on,
    check_object,
    check_required,
)
from syncbridge.mapping.checks.source import (
    check_columns,
    check_published,
    check_server,
    check_sql,
    check_table,
    queries,
)
from syncbridge.mapping.checks.way_back import check_read_only, check_shared_columns, check_takes
from syncbridge.mapping.names import near
from syncbridge.mapping.related import Related, faults, relate
from syncbridge.mapping.spec import MappingSpec
from syncbridge.schemas import Catalog, Column, QueryFault, RemoteObject, Table

__all__ = ["Subject", "check_mappings", "check_server", "fragments"]

Described = Mapping[tuple[str, ...], Column | QueryFault | None]


@dataclass(frozen=True, slots=True)
class Subject:
    """One mapping, and what is known of the things it names."""

    spec: MappingSpec
    described: Described = field(default_factory=dict)  # of each query of `fragments`: its column, or the fault
    remote: RemoteObject | None = None
    normaliser: NormaliserOf | None = None


def fragments(spec: MappingSpec, catalog: Catalog) -> dict[tuple[str, ...], str]:
    """The queries to describe on the server, by the place of the fragment in the mapping file."""
    related = _related(spec, catalog)
    if related is None or len(related.relations) < len(spec.entity.related) or any(faults(spec, related)):
        return {}  # what is missing is told by itself
    return queries(spec, related)


def check_mappings(
    subjects: Sequence[Subject],
    catalog: Catalog,
    *,
    publication: str,
    known: Sequence[MappingSpec] = (),
    all_known: bool = True,
) -> list[Finding]:
    """Everything that is wrong or doubtful, in the order of the files. `known` are further mappings of the project.

    Without `all_known` the project has files that could not be read: a lookup may go to one of these.
    """
    named = {name for subject in subjects for name in subject.spec.tables}
    tables = [catalog.tables[name] for name in named if name in catalog.tables]
    findings = list(check_published(tables, catalog, publication=publication))
    identities = old_columns([subject.spec for subject in subjects])
    by_name = {spec.mapping: spec for spec in (*known, *(subject.spec for subject in subjects))}
    for subject in subjects:
        found = check_one(subject, catalog, by_name, identities=identities, all_known=all_known)
        findings += _ordered(found)
    return [*_in_turn(findings), *_shared_records([subject.spec for subject in subjects])]


def _in_turn(findings: Sequence[Finding]) -> Iterator[Finding]:
    """With statements that can be run one after another: of a publication or an index none is made twice."""
    told: set[str] = set()
    indexes: set[str] = set()
    for finding in findings:
        sql = finding.sql
        if sql.startswith("CREATE PUBLICATION ") and told:
            sql = sql.replace("CREATE PUBLICATION", "ALTER PUBLICATION", 1).replace(" FOR TABLE ", " ADD TABLE ", 1)
        if "PUBLICATION" in sql.split(" ", 2)[:2]:
            table = sql.split(" TABLE ", 1)[1]
            sql = "" if table in told else sql
            told.add(table)
        if sql.startswith("CREATE INDEX "):
            if sql in indexes:
                yield replace(finding, sql="", remedy="The index that another finding asks for is enough.")
                continue
            indexes.add(sql)
        yield finding if sql == finding.sql else replace(finding, sql=sql)


def check_one(
    subject: Subject,
    catalog: Catalog,
    known: Mapping[str, MappingSpec],
    *,
    identities: Identities,
    all_known: bool = True,
) -> Iterator[Finding]:
    """One mapping, among all that are `known`. `identities`: what old rows of each table have to tell."""
    spec = subject.spec
    related = _related(spec, catalog)
    table = related.root if related is not None else None
    yield from check_table(spec, catalog)
    if related is not None:
        yield from check_related(spec, related, catalog, identities=identities)
        yield from check_columns(spec, related)
        yield from check_sql(spec, subject.described)
        if spec.direction == "both":
            yield from check_shared_columns(spec, related.root)
        yield from check_creates(spec, related.root)
        yield from check_write_rights(spec, related.root, catalog)
    yield from check_lookups(spec, known, catalog, related, all_known=all_known)
    if subject.remote is not None:
        yield from check_external_id(spec, subject.remote, table)
        yield from check_match_on(spec, subject.remote)
        yield from _check_fields(subject, subject.remote, related, known)
    if subject.remote is not None and spec.direction != "to_postgres":  # which writes nothing there
        yield from check_object(spec, subject.remote)
        yield from check_required(spec, subject.remote, related)
        yield from check_deletes(spec, subject.remote, subject.normaliser)


def _related(spec: MappingSpec, catalog: Catalog) -> Related | None:
    table = catalog.tables.get(spec.entity.table_name)
    if table is None:
        return None
    found = {name: catalog.tables.get(one.table_name) for name, one in spec.entity.related.items()}
    return relate(spec, table, {name: one for name, one in found.items() if one is not None})


def _check_fields(
    subject: Subject, remote: RemoteObject, related: Related | None, known: Mapping[str, MappingSpec]
) -> Iterator[Finding]:
    spec = subject.spec
    fields = RemoteFields(remote)
    for name, source in spec.fields.items():
        where, label = spec.at("fields", name), f"fields.{name}"
        target = fields.get(name)
        if target is None:
            meant = near(name, fields.names)
            perhaps = f"; did you mean {meant!r}?" if meant else ""
            yield Finding("error", where, f"{label}: {remote.name} has no field {name!r}{perhaps}")
            continue
        if spec.direction == "to_postgres":
            yield from check_takes(spec, name, source, related.root if related is not None else None, target)
            continue
        if target.read_only and spec.direction == "both":
            yield from check_read_only(spec, name, source, related.root if related is not None else None, target)
            continue
        yield from check_writable(where, label, target)
        yield from check_owner(spec, name, source, target)
        if source.lookup is not None:
            yield from check_reference(spec, name, source, known.get(source.lookup), target)
            continue
        column, table = _column(subject, name, related)
        if column is not None and source.column is not None and table is None:  # a roll-up is an expression
            source = source.model_copy(update={"column": None, "sql": source.column})
        # what `values` sends is in the mapping file, and is checked below instead
        if column is not None and source.values is None:
            yield from check_type(spec, name, source, column, target, table)
        yield from check_choices(spec, name, source, target, subject.normaliser)


def _column(subject: Subject, name: str, related: Related | None) -> tuple[Column | None, Table | None]:
    """What fills a field, and the table that its SQL can be tried on alone."""
    source = subject.spec.fields[name]
    if source.column is None:
        described = subject.described.get(("fields", name))
        alone = related.root if related is not None and not related.relations else None
        return (described if isinstance(described, Column) else None), alone
    reference = related.refer(source.column) if related is not None else None
    if reference is None:
        return None, None
    if reference.column is None:
        relation, _, output = source.column.partition(".")
        described = subject.described.get(("entity", "related", relation, "rollup", output))
        return (described if isinstance(described, Column) else None), None
    return reference.column, reference.table


def _shared_records(specs: Sequence[MappingSpec]) -> Iterator[Finding]:
    """Two mappings that write the same records undo each other's changes, and delete each other's records."""
    first: dict[tuple[str, str, str], MappingSpec] = {}
    for spec in specs:
        target = (spec.destination, spec.object.lower(), spec.external_id.lower())
        held = first.setdefault(target, spec)
        if held is not spec:
            message = f"mapping {held.mapping} writes {spec.object} by {spec.external_id} too"
            remedy = "Make sure that their keys never meet, or use another external id field."
            yield Finding("warning", spec.at("external_id"), message, remedy)


def _ordered(findings: Iterator[Finding]) -> list[Finding]:
    return sorted(findings, key=_line)


def _line(finding: Finding) -> int:
    line = finding.where.rpartition(":")[2]
    return int(line) if line.isdigit() else 0
