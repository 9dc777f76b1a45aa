"""What `check` reads: both sides themselves, with whatever is wrong with reaching them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg import Connection

from syncbridge.destinations.base import Destination
from syncbridge.errors import Finding, SchemaDrift, SyncbridgeError
from syncbridge.mapping.checks.check import Subject, fragments
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.spec import MappingSpec
from syncbridge.project import Project
from syncbridge.schemas import Catalog, Column, QueryFault, RemoteObject
from syncbridge.source.catalog import describe_query, read_catalog, tables_of

#: What one file can hold and a person still review; partitions are not counted.
MOST_TABLES = 2000


@dataclass(slots=True)
class Sides:
    """Mappings with what is known of the things they name. `catalog` is None where it could not be read."""

    subjects: list[Subject]
    catalog: Catalog | None
    findings: list[Finding] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)  # sides that could not be read
    extra: dict[str, list[RemoteObject]] = field(default_factory=dict)  # by destination: asked for by name


def look(project: Project, specs: Sequence[MappingSpec]) -> Sides:
    """Read what these mappings name."""
    return _look(project, specs, {}, wider=False)


def look_wider(project: Project, specs: Sequence[MappingSpec], objects: Mapping[str, Sequence[str]]) -> Sides:
    """As `look`, and also all tables of the schemas in use, and these objects of each destination."""
    return _look(project, specs, objects, wider=True)


def _look(
    project: Project, specs: Sequence[MappingSpec], objects: Mapping[str, Sequence[str]], *, wider: bool
) -> Sides:
    sides = Sides([], None)
    remotes = Remotes(project, sides.findings)
    sides.subjects = [remotes.subject(spec) for spec in {spec.mapping: spec for spec in specs}.values()]
    for name, asked in objects.items():
        found = [remotes.named(name, object) for object in asked]
        sides.extra[name] = [object for object in found if object is not None]
    sides.unread += remotes.unread
    try:
        with project.source_admin("check") as connection:
            catalog = project.catalog(specs, connection)
            sides.subjects = [_with_fragments(subject, catalog, connection) for subject in sides.subjects]
            sides.catalog = _widened(catalog, connection, sides.findings) if wider else catalog
    except SyncbridgeError as error:
        # the other side can be verified all the same, next time
        sides.findings.append(Finding("error", "source", error.message, error.hint))
        sides.unread.append("source")
    return sides


def _widened(catalog: Catalog, connection: Connection, findings: list[Finding]) -> Catalog:
    schemas = sorted({schema for schema, _ in catalog.tables})
    names = tables_of(connection, schemas, limit=MOST_TABLES + 1)
    if len(names) > MOST_TABLES:
        message = f"more than {MOST_TABLES} tables in {', '.join(schemas)}: only those that are mapped are saved"
        findings.append(Finding("warning", f"database {catalog.database}", message))
        return catalog
    others = read_catalog(connection, [name for name in names if name not in catalog.tables])
    return replace(catalog, tables={**others.tables, **catalog.tables})


def _with_fragments(subject: Subject, catalog: Catalog, connection: Connection) -> Subject:
    described: dict[tuple[str, ...], Column | QueryFault | None] = {}
    for route, sql in fragments(subject.spec, catalog).items():
        outcome = describe_query(connection, sql)
        described[route] = outcome if isinstance(outcome, QueryFault) else next(iter(outcome), None)
    return Subject(subject.spec, described, subject.remote, subject.normaliser)


class Remotes:
    """Destinations that are verified once, and their objects; what is wrong with them goes to `findings`."""

    def __init__(self, project: Project, findings: list[Finding]) -> None:
        self._project = project
        self._findings = findings
        self._verified: dict[str, Destination | None] = {}
        self.unread: list[str] = []

    def subject(self, spec: MappingSpec) -> Subject:
        """The mapping with its remote object, where that can be read."""
        if spec.destination not in self._project.settings.destinations:
            names = did_you_mean(spec.destination, self._project.settings.destinations)
            remedy = f"Write [destinations.{spec.destination}] in syncbridge.toml."
            message = f"the settings have no destination {spec.destination!r}{names}"
            self._findings.append(Finding("error", spec.at("destination"), message, remedy))
            self.unread.append(f"destination {spec.destination}")
            return Subject(spec)
        destination = self._destination(spec.destination)
        where = spec.at("object")
        remote = self._describe(spec.destination, destination, spec.object, where) if destination else None
        return Subject(spec, remote=remote, normaliser=destination.normaliser if destination else None)

    def _destination(self, name: str) -> Destination | None:
        if name not in self._verified:
            self._verified[name] = None
            try:
                destination = self._project.destination(name)
                found = [Finding(f.severity, f"destination {name}", f.message, f.remedy) for f in destination.verify()]
            except SyncbridgeError as error:
                found = [
                    Finding("error", f"destination {name}", line, error.hint) for line in error.message.split("\n")
                ]
            else:
                if not any(finding.severity == "error" for finding in found):
                    self._verified[name] = destination
            self._findings += found
            if self._verified[name] is None:
                self.unread.append(f"destination {name}")
        return self._verified[name]

    def named(self, name: str, object: str) -> RemoteObject | None:
        """An object that no mapping needs, where it can be read."""
        destination = self._destination(name)
        found = self._describe(name, destination, object, f"--object {name}:{object}") if destination else None
        if found is None:
            self.unread.append(f"object {name}:{object}")
        return found

    def _describe(self, name: str, destination: Destination, object: str, where: str) -> RemoteObject | None:
        try:
            return destination.describe(object)
        except SyncbridgeError as error:
            drift = isinstance(error, SchemaDrift)
            self._findings.append(
                Finding("error", where if drift else f"destination {name}", error.message, error.hint)
            )
            if not drift:
                self.unread.append(f"destination {name}")
            return None
