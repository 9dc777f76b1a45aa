"""`syncbridge check`: verify settings and mapping files against both sides, and say what mends each finding."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
from rich.text import Text

from syncbridge import config, saved_schemas
from syncbridge.cli.check_live import Sides, look, look_wider
from syncbridge.cli.check_offline import look_offline, to_save
from syncbridge.cli.report import as_json, console, open_project, print_json
from syncbridge.config import Settings
from syncbridge.errors import Finding
from syncbridge.mapping.checks.check import check_mappings, check_server
from syncbridge.mapping.document import shown
from syncbridge.mapping.files import MappingFiles, find_mappings
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.spec import MappingSpec
from syncbridge.project import Project
from syncbridge.saved_schemas import FILE_NAME

_STYLES = {"error": "bold red", "warning": "yellow"}


@click.command(short_help="Verify settings and mappings against both sides.")
@click.argument("names", metavar="[MAPPING]...", nargs=-1)
@click.option("--save", is_flag=True, help="Save what was read of both sides, for --offline.")
@click.option("--offline", is_flag=True, help="Verify against what was saved, without any connection: for CI.")
@click.option(
    "--schemas",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of --save and --offline (default: schemas.json beside the folder of mappings).",
)
@click.option("--object", "objects", multiple=True, metavar="DESTINATION:OBJECT", help="Save this object too.")
@as_json
@click.pass_context
def check(
    context: click.Context,
    names: tuple[str, ...],
    save: bool,
    offline: bool,
    schemas: Path | None,
    objects: tuple[str, ...],
    json: bool,
) -> int:
    """Verify the mapping files against Postgres and against each destination. Nothing is changed.

    Every finding says where, what, and what mends it. Exit code 1 when one of them is an error.

    With --save the tables, objects and SQL that were read go into a file, to be committed with the mappings. With
    --offline that file alone is asked: no connection, no login and no secret is needed.
    """
    _refuse_contradictions(names, save=save, offline=offline, schemas=schemas, objects=objects)
    if offline:
        checked = _check_offline(context, names, schemas)
    else:
        with open_project(context) as project:
            project.read_only()
            files = find_mappings(project.settings.mappings)
            specs = _chosen(files, names)
            found = [] if save else find(project, specs, files.specs, all_known=not files.unread)
            checked = _save(project, files, schemas, objects) if save else _Checked(specs, found)
            checked.findings[:0] = files.findings
    if json:
        print_json(_plain(checked))
    else:
        _show(checked)
    return 1 if _count(checked.findings, "error") else 0


@dataclass(slots=True)
class _Checked:
    """What was checked and found; the file that was asked or written, and why it was not written."""

    specs: Sequence[MappingSpec]
    findings: list[Finding]
    against: str | None = None
    saved: str | None = None
    told: str = ""  # of the file, for people


def find(
    project: Project, specs: Sequence[MappingSpec], known: Sequence[MappingSpec] = (), *, all_known: bool = True
) -> list[Finding]:
    """Every finding of these mappings, of the source, and of the destinations they name.

    `known` are further mappings, which these may look up; without `all_known` there are files that cannot be read.
    """
    return _judged(look(project, specs), project.settings, known, all_known=all_known)


def _judged(sides: Sides, settings: Settings, known: Sequence[MappingSpec], *, all_known: bool) -> list[Finding]:
    if sides.catalog is None:
        return sides.findings
    source = settings.source
    found = check_server(sides.catalog, slot=source.slot, state_here=settings.store.dsn is None)
    return [
        *sides.findings,
        *found,
        *check_mappings(
            sides.subjects, sides.catalog, publication=source.publication, known=known, all_known=all_known
        ),
    ]


def _check_offline(context: click.Context, names: Sequence[str], schemas: Path | None) -> _Checked:
    settings = config.load(Path(context.obj) if context.obj else None, os.environ, offline=True)
    file = schemas or settings.mappings.parent / FILE_NAME
    saved = saved_schemas.read(file, shown(file))
    files = find_mappings(settings.mappings)
    specs = _chosen(files, names)
    sides = look_offline(saved, specs)
    found = [*files.findings, *sides.findings, *check_server(saved.catalog, slot="", state_here=True)]
    found += check_mappings(
        sides.subjects,
        sides.catalog or saved.catalog,
        publication=saved.publication,
        known=files.specs,
        all_known=not files.unread,
    )
    return _Checked(specs, found, against=shown(file), told=f"Against {shown(file)} alone; nothing was connected to.")


def _save(project: Project, files: MappingFiles, schemas: Path | None, objects: Sequence[str]) -> _Checked:
    settings = project.settings
    sides = look_wider(project, files.specs, _by_destination(objects, settings))
    checked = _Checked(files.specs, _judged(sides, settings, files.specs, all_known=not files.unread))
    if files.findings:
        checked.told = "Not saved: mend the mapping files first."
    elif sides.catalog is None or sides.unread:
        checked.told = f"Not saved: not read: {', '.join(dict.fromkeys(sides.unread))}."
    else:
        file = schemas or settings.mappings.parent / FILE_NAME
        found = to_save(settings, sides, sides.catalog)
        changed = saved_schemas.write(file, found)
        checked.saved = shown(file)
        count = sum(len(destination.objects) for destination in found.destinations.values())
        held = f"{_counted(len(sides.catalog.tables), 'table')}, {_counted(count, 'object')}"
        checked.told = f"{'Saved' if changed else 'Nothing new'} in {shown(file)}: {held}."
    return checked


def _by_destination(objects: Sequence[str], settings: Settings) -> dict[str, list[str]]:
    asked: dict[str, list[str]] = {}
    for text in objects:
        name, colon, object = text.partition(":")
        if not (name and colon and object):
            raise click.BadParameter(f"write DESTINATION:OBJECT, not {text!r}", param_hint="--object")
        if name not in settings.destinations:
            perhaps = did_you_mean(name, settings.destinations)
            raise click.BadParameter(f"the settings have no destination {name!r}{perhaps}", param_hint="--object")
        asked.setdefault(name, []).append(object)
    return asked


def _refuse_contradictions(
    names: Sequence[str], *, save: bool, offline: bool, schemas: Path | None, objects: Sequence[str]
) -> None:
    if save and offline:
        raise click.UsageError("--save reads both sides, --offline neither: give one of them")
    if save and names:
        raise click.UsageError("--save takes all mappings: name none")
    if schemas is not None and not (save or offline):
        raise click.UsageError("--schemas goes with --save or --offline")
    if objects and not save:
        raise click.UsageError("--object goes with --save")


def _chosen(files: MappingFiles, names: Sequence[str]) -> list[MappingSpec]:
    known = [spec.mapping for spec in files.specs]
    for name in names:
        if name not in known and not files.findings:
            raise click.BadParameter(f"there is no mapping {name!r}{did_you_mean(name, known)}", param_hint="MAPPING")
    return [spec for spec in files.specs if not names or spec.mapping in names]


def _count(findings: Iterable[Finding], severity: str) -> int:
    return sum(finding.severity == severity for finding in findings)


def _place(finding: Finding) -> tuple[str, str]:
    """File and line; of a finding about something else its name, and no line."""
    file, _, line = finding.where.rpartition(":")
    return (file, line) if line.isdigit() else (finding.where, "")


def _order(finding: Finding) -> tuple[str, int]:
    file, line = _place(finding)
    return (file, int(line or 0))


def _plain(checked: _Checked) -> dict[str, object]:
    return {
        "mappings": [spec.mapping for spec in checked.specs],
        "errors": _count(checked.findings, "error"),
        "warnings": _count(checked.findings, "warning"),
        "findings": checked.findings,
        "against": checked.against,
        "saved": checked.saved,
    }


def _show(checked: _Checked) -> None:
    terminal = console()
    findings = checked.findings
    show_findings(findings)
    errors, warnings = _count(findings, "error"), _count(findings, "warning")
    if not findings:
        listed = ", ".join(spec.mapping for spec in checked.specs)
        terminal.print(Text(f"All is well: {listed}.", style="green"), soft_wrap=True)
    else:
        terminal.print(Text(f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}.", style="bold"))
    if checked.told:
        terminal.print(Text(checked.told, style="dim"), soft_wrap=True)


def show_findings(findings: Sequence[Finding], *, stderr: bool = False) -> None:
    """By file and line."""
    terminal = console(stderr=stderr)
    for file, group in groupby(sorted(findings, key=_order), key=lambda finding: _place(finding)[0]):
        terminal.print(Text(file, style="bold"))
        for finding in group:
            for text in _lines(finding):
                terminal.print(text, soft_wrap=True)
        terminal.print()


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
