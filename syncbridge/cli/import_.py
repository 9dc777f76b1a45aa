"""`syncbridge import`: mapping files of another product's configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from syncbridge.cli.report import as_json, console, open_project, print_json, table
from syncbridge.errors import RetryLater, SchemaDrift, SettingsError, SyncbridgeError
from syncbridge.importing.heroku_connect import Converted, Import, Known, Wishes, convert, table_of
from syncbridge.importing.heroku_export import Export, read_export
from syncbridge.mapping.document import read_document, shown
from syncbridge.mapping.forms import duration
from syncbridge.mapping.sql import split_table
from syncbridge.project import Project
from syncbridge.schemas import RemoteObject
from syncbridge.source.catalog import read_catalog
from syncbridge.source.foreign_keys import read_foreign_keys

_JSON_SCHEMA = "mapping.schema.json"


@dataclass(frozen=True, slots=True)
class Sides:
    """What both sides said, and where they could not be asked, why."""

    known: dict[str, Known]
    notes: tuple[str, ...]


@click.group(name="import", short_help="Make mapping files of another product's configuration.")
def import_() -> None:
    """Make mapping files of another product's configuration. No file is ever written over."""


@import_.command(name="heroku-connect", short_help="Of a Heroku Connect export.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("mappings"), show_default=True)
@click.option("--schema", default="salesforce", show_default=True, help="Of the tables that Heroku made.")
@click.option("--destination", default="salesforce", show_default=True, help="A name from the settings.")
@click.option(
    "--tables",
    multiple=True,
    metavar="OBJECT=TABLE|FILE",
    help="A table of your own, as Contact=public.people; may be given again. Or a YAML file of such pairs.",
)
@click.option(
    "--direction",
    type=click.Choice(["as-held", "to_destination"]),
    default="as-held",
    show_default=True,
    help="to_destination: one-way files; Salesforce's changes stay there.",
)
@click.option("--external-id", metavar="FIELD", help="Carries the key of objects without a unique identifier.")
@click.option("--offline", is_flag=True, help="Ask neither Postgres nor Salesforce.")
@click.option("--dry-run", is_flag=True, help="Show the report; write nothing.")
@as_json
@click.pass_context
def heroku_connect(
    context: click.Context,
    file: Path,
    out: Path,
    schema: str,
    destination: str,
    tables: tuple[str, ...],
    direction: str,
    external_id: str | None,
    offline: bool,
    dry_run: bool,
    json: bool,
) -> int:
    """Make a mapping file for every object of FILE, which `heroku connect:export` wrote, and tell what has none.

    Both sides are looked at where they can be reached, and nothing is changed on either. Exit code 1 when an object or
    a file was left out.
    """
    export = read_export(_text(file), shown(file))
    wishes = Wishes(
        schema=schema,
        destination=destination,
        tables=dict(_tables(tables)),
        one_way=direction == "to_destination",
        external_id=external_id,
        json_schema=f"../{_JSON_SCHEMA}" if (out.parent / _JSON_SCHEMA).is_file() else "",
    )
    sides = Sides({}, ("--offline: neither side was looked at",)) if offline else _look(context, export, wishes)
    made = convert(export, wishes, sides.known)
    paths = {each.mapping: out / f"{each.mapping}.yaml" for each in made.converted}
    there = [path for path in paths.values() if path.exists()]
    if not dry_run:
        _write(made.converted, paths)
    if json:
        print_json(_plain(made, sides, paths, there, dry_run=dry_run))
    else:
        _show(made, sides, paths, there, dry_run=dry_run)
    return 1 if there or made.left_out else 0


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{shown(file)}: is not UTF-8 text") from None
    except OSError as error:
        raise SettingsError(f"{shown(file)}: cannot be read: {error.strerror}") from None


def _tables(given: Sequence[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Object in small letters -> table, of `Object=schema.table` and of YAML files."""
    for each in given:
        object, equals, name = each.partition("=")
        if equals:
            yield object.strip().lower(), _table(name.strip(), "--tables")
            continue
        document = read_document(Path(each))
        for finding in document.findings:
            raise SettingsError(f"--tables: {finding.where}: {finding.message}", hint=_TABLES)
        if not isinstance(document.data, dict):
            raise SettingsError(f"--tables: {document.at()}: is no list of `Object: schema.table`", hint=_TABLES)
        for key, value in document.data.items():
            if not isinstance(value, str):
                raise SettingsError(f"--tables: {document.at(key)}: {key} needs a table", hint=_TABLES)
            yield str(key).lower(), _table(value, f"--tables: {document.at(key)}")


_TABLES = "Write `Contact: public.people`, one a line; or give --tables Contact=public.people."


def _table(text: str, place: str) -> tuple[str, str]:
    try:
        return split_table(text)
    except ValueError as error:
        raise SettingsError(f"{place}: {error}", hint=_TABLES) from None


# -- both sides -------------------------------------------------------------------------------------------------------


def _look(context: click.Context, export: Export, wishes: Wishes) -> Sides:
    """Ask both sides; what cannot be reached is a note, never a failure."""
    objects = [each.object_name for each in export.mappings]
    known = {object.lower(): Known() for object in objects}
    notes: list[str] = []
    try:
        with open_project(context) as project:
            remotes = _describe(project, wishes.destination, objects, notes)
            try:
                found = _read(project, objects, wishes)
            except SyncbridgeError as error:
                found = {}
                notes.append(f"Postgres was not looked at: {_first(error)}")
            for object in known:
                at = found.get(object, Known())
                known[object] = Known(remotes.get(object), at.table, at.foreign_keys, at.table_missing)
    except SyncbridgeError as error:
        notes.append(f"neither side was looked at: {_first(error)}")
    return Sides(known, tuple(notes))


def _describe(project: Project, destination: str, objects: Sequence[str], notes: list[str]) -> dict[str, RemoteObject]:
    remotes: dict[str, RemoteObject] = {}
    for object in objects:
        try:
            remotes[object.lower()] = project.destination(destination).describe(object)
        except SchemaDrift as error:
            notes.append(f"{object}: {_first(error)}")
        except SyncbridgeError as error:  # the others would say the same
            notes.append(f"{destination} was not looked at: {_first(error)}")
            return remotes
    return remotes


def _read(project: Project, objects: Sequence[str], wishes: Wishes) -> dict[str, Known]:
    names = {object.lower(): table_of(object, wishes) for object in objects}
    with project.source_admin("import") as connection:
        tables = read_catalog(connection, list(names.values())).tables
        return {
            object: Known(
                table=tables.get(name),
                foreign_keys=read_foreign_keys(connection, *name) if object in wishes.tables and name in tables else (),
                table_missing=name not in tables,
            )
            for object, name in names.items()
        }


def _first(error: SyncbridgeError) -> str:
    return error.message.split("\n", 1)[0] + (" (try again later)" if isinstance(error, RetryLater) else "")


# -- files and the report ---------------------------------------------------------------------------------------------


def _write(converted: Sequence[Converted], paths: dict[str, Path]) -> None:
    for each in converted:
        path = paths[each.mapping]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(each.text)
        except FileExistsError:
            continue  # it is told
        except OSError as error:
            raise SettingsError(f"{shown(path)}: cannot be written: {error.strerror}") from None


def _plain(
    made: Import, sides: Sides, paths: dict[str, Path], there: Sequence[Path], *, dry_run: bool
) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "mappings": [
            {
                "object": each.object,
                "mapping": each.mapping,
                "file": shown(paths[each.mapping]),
                "written": not dry_run and paths[each.mapping] not in there,
                "table": each.table,
                "direction": each.direction,
                "key": list(each.key),
                "external_id": each.external_id,
                "poll_seconds": each.poll,
                "fields": list(each.fields),
                "no_equivalent": list(each.lost),
                "questions": list(each.questions),
                "sql": list(each.sql),
            }
            for each in made.converted
        ],
        "left_out": dict(made.left_out),
        "connection": list(made.notes),
        "not_looked_at": list(sides.notes),
    }


def _show(made: Import, sides: Sides, paths: dict[str, Path], there: Sequence[Path], *, dry_run: bool) -> None:
    terminal = console()
    rows = [
        (
            each.object,
            each.table,
            each.direction,
            f"{', '.join(each.key)} -> {each.external_id}",
            len(each.fields),
            duration(each.poll) if each.poll is not None else None,
            len(each.questions),
            shown(paths[each.mapping]),
        )
        for each in made.converted
    ]
    headings = ["object", "table", "direction", "key -> external id", "fields", "poll", "questions", "file"]
    terminal.print(table("", headings, rows))
    for line in _details(made, sides, there):
        terminal.print(line, soft_wrap=True, markup=False)
    if dry_run:
        terminal.print("\nNothing was written.")
    elif made.converted:
        terminal.print("\nNext: read the files, answer their questions, then run: syncbridge check", markup=False)


def _details(made: Import, sides: Sides, there: Sequence[Path]) -> Iterator[str]:
    for each in made.converted:
        told = [("no equivalent", each.lost), ("question", each.questions), ("sql", each.sql)]
        if any(texts for _, texts in told):
            yield f"\n{each.object}"
        for kind, texts in told:
            yield from (f"  {kind}: {text}" for text in texts)
    if made.left_out:
        yield "\nLeft out"
        yield from (f"  {object}: {why}" for object, why in made.left_out.items())
    if made.notes or sides.notes:
        yield "\nThe connection"
        yield from (f"  {note}" for note in (*made.notes, *sides.notes))
    for path in there:
        yield f"\n{shown(path)} is there already, and is left as it is"
