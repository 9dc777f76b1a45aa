"""`syncbridge check`: verify settings and mapping files against both sides, and say what mends each finding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import click
from psycopg import Connection
from rich.text import Text

from syncbridge.cli.report import as_json, console, open_project, print_json
from syncbridge.destinations.base import Destination
from syncbridge.errors import Finding, SchemaDrift, SyncbridgeError
from syncbridge.mapping.check import Subject, check_mappings, check_server, fragments
from syncbridge.mapping.files import MappingFiles, find_mappings
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.spec import MappingSpec
from syncbridge.project import Project
from syncbridge.schemas import Catalog, Column, QueryFault, RemoteObject
from syncbridge.source.catalog import describe_query

_STYLES = {"error": "bold red", "warning": "yellow"}


@click.command(short_help="Verify settings and mappings against both sides.")
@click.argument("names", metavar="[MAPPING]...", nargs=-1)
@as_json
@click.pass_context
def check(context: click.Context, names: tuple[str, ...], json: bool) -> int:
    """Verify the mapping files against Postgres and against each destination. Nothing is changed.

    Every finding says where, what, and what mends it. Exit code 1 when one of them is an error.
    """
    with open_project(context) as project:
        files = find_mappings(project.settings.mappings)
        specs = _chosen(files, names)
        findings = [*files.findings, *find(project, specs)]
    if json:
        print_json(_plain(specs, findings))
    else:
        _show(specs, findings)
    return 1 if _count(findings, "error") else 0


def find(project: Project, specs: Sequence[MappingSpec]) -> list[Finding]:
    """Every finding of these mappings, of the source, and of the destinations they name."""
    findings: list[Finding] = []
    remotes = _Remotes(project, findings)
    subjects = {spec.mapping: remotes.subject(spec) for spec in specs}
    try:
        with project.source_admin("check") as connection:
            catalog = project.catalog(specs, connection)
            for spec in specs:
                subjects[spec.mapping] = _with_fragments(subjects[spec.mapping], catalog, connection)
    except SyncbridgeError as error:
        # the other side can be verified all the same, next time
        return [*findings, Finding("error", "source", error.message, error.hint)]
    settings = project.settings
    findings += check_server(catalog, slot=settings.source.slot, state_here=settings.store.dsn is None)
    return findings + check_mappings(list(subjects.values()), catalog, publication=settings.source.publication)


def _chosen(files: MappingFiles, names: Sequence[str]) -> list[MappingSpec]:
    known = [spec.mapping for spec in files.specs]
    for name in names:
        if name not in known and not files.findings:
            raise click.BadParameter(f"there is no mapping {name!r}{did_you_mean(name, known)}", param_hint="MAPPING")
    return [spec for spec in files.specs if not names or spec.mapping in names]


def _with_fragments(subject: Subject, catalog: Catalog, connection: Connection) -> Subject:
    described: dict[tuple[str, ...], Column | QueryFault | None] = {}
    for route, sql in fragments(subject.spec, catalog).items():
        outcome = describe_query(connection, sql)
        described[route] = outcome if isinstance(outcome, QueryFault) else next(iter(outcome), None)
    return Subject(subject.spec, described, subject.remote, subject.normaliser)


class _Remotes:
    """Destinations that are verified once, and their objects; what is wrong with them goes to `findings`."""

    def __init__(self, project: Project, findings: list[Finding]) -> None:
        self._project = project
        self._findings = findings
        self._verified: dict[str, Destination | None] = {}

    def subject(self, spec: MappingSpec) -> Subject:
        """The mapping with its remote object, where that can be read."""
        if spec.destination not in self._project.settings.destinations:
            names = did_you_mean(spec.destination, self._project.settings.destinations)
            remedy = f"Write [destinations.{spec.destination}] in syncbridge.toml."
            message = f"the settings have no destination {spec.destination!r}{names}"
            self._findings.append(Finding("error", spec.at("destination"), message, remedy))
            return Subject(spec)
        destination = self._destination(spec.destination)
        remote = self._describe(spec, destination) if destination is not None else None
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
                if not _count(found, "error"):
                    self._verified[name] = destination
            self._findings += found
        return self._verified[name]

    def _describe(self, spec: MappingSpec, destination: Destination) -> RemoteObject | None:
        try:
            return destination.describe(spec.object)
        except SyncbridgeError as error:
            where = spec.at("object") if isinstance(error, SchemaDrift) else f"destination {spec.destination}"
            self._findings.append(Finding("error", where, error.message, error.hint))
            return None


def _count(findings: Iterable[Finding], severity: str) -> int:
    return sum(finding.severity == severity for finding in findings)


def _place(finding: Finding) -> tuple[str, str]:
    """File and line; of a finding about something else its name, and no line."""
    file, _, line = finding.where.rpartition(":")
    return (file, line) if line.isdigit() else (finding.where, "")


def _order(finding: Finding) -> tuple[str, int]:
    file, line = _place(finding)
    return (file, int(line or 0))


def _plain(specs: Sequence[MappingSpec], findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "mappings": [spec.mapping for spec in specs],
        "errors": _count(findings, "error"),
        "warnings": _count(findings, "warning"),
        "findings": findings,
    }


def _show(specs: Sequence[MappingSpec], findings: Sequence[Finding]) -> None:
    terminal = console()
    ordered = sorted(findings, key=_order)
    for file, group in groupby(ordered, key=lambda finding: _place(finding)[0]):
        terminal.print(Text(file, style="bold"))
        for finding in group:
            for text in _lines(finding):
                terminal.print(text, soft_wrap=True)
        terminal.print()
    errors, warnings = _count(findings, "error"), _count(findings, "warning")
    if not findings:
        listed = ", ".join(spec.mapping for spec in specs)
        terminal.print(Text(f"All is well: {listed}.", style="green"), soft_wrap=True)
        return
    terminal.print(Text(f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}.", style="bold"))


def _lines(finding: Finding) -> Iterator[Text]:
    line = _place(finding)[1]
    severity = Text(f"{finding.severity:<9}", style=_STYLES.get(finding.severity, ""))
    yield Text.assemble(f"{line:>5}  ", severity, finding.message)
    if finding.remedy:
        yield Text(f"{'':16}{finding.remedy}", style="dim")
    for statement in finding.sql.splitlines():
        yield Text(f"{'':16}{statement}", style="cyan")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
