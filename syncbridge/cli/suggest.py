"""`syncbridge suggest`: a mapping file for a table and an object, drafted from both live schemas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from syncbridge.cli.report import as_json, open_project, print_json
from syncbridge.errors import SettingsError
from syncbridge.mapping.checks.source import check_privileges
from syncbridge.mapping.document import shown
from syncbridge.mapping.files import find_mappings
from syncbridge.mapping.forms import mapping_name
from syncbridge.mapping.spec import MappingSpec
from syncbridge.mapping.sql import split_table
from syncbridge.mapping.suggesting.draft import Sources, draft
from syncbridge.mapping.suggesting.suggest import Pair, Suggestion
from syncbridge.mapping.suggesting.suggest import suggest as propose
from syncbridge.mapping.suggesting.text import lawful
from syncbridge.project import Project
from syncbridge.schemas import ForeignKey, Table
from syncbridge.source.catalog import read_catalog
from syncbridge.source.foreign_keys import read_foreign_keys

_JSON_SCHEMA = "mapping.schema.json"
_NO_CHANGES = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}


@click.command(short_help="Draft a mapping from both live schemas.")
@click.argument("table")
@click.option("--to", "target", required=True, metavar="DESTINATION:OBJECT", help="As in salesforce:Contact.")
@click.option("--name", help="The mapping's name (default: the table's).")
@click.option("--write", is_flag=True, help="Write mappings/NAME.yaml, if there is none, instead of showing it.")
@as_json
@click.pass_context
def suggest(context: click.Context, table: str, target: str, name: str | None, write: bool, json: bool) -> None:
    """Read TABLE and an object as they are, and draft the mapping file between them.

    Columns are paired with fields by name, type and length; every line says why and how sure that is, and what stays
    open is asked at the end. Nothing is changed on either side. --json has the pairs, what found no partner, and the
    draft as text.
    """
    destination, colon, object = target.partition(":")
    if not (destination and colon and object):
        raise click.BadParameter(
            f"write DESTINATION:OBJECT, as in salesforce:Contact, not {target!r}", param_hint="--to"
        )
    with open_project(context) as project:
        others = find_mappings(project.settings.mappings).specs
        chosen = _name(name, table, others, taken_matters=write)
        remote = project.destination(destination).describe(object)
        found, foreign_keys = _read(project, table)
        text = draft(
            Sources(found, remote, destination, chosen, foreign_keys, others, _json_schema(project.settings.mappings))
        )
    path = project.settings.mappings / f"{chosen}.yaml"
    if write:
        _write(path, text)
    if json:
        proposal = propose(found, remote, foreign_keys)
        print_json({"mapping": chosen, "written": shown(path) if write else None, **_plain(proposal), "draft": text})
    elif write:
        click.echo(f"wrote  {shown(path)}\nNext: read it, then run: syncbridge check {chosen}")
    else:
        click.echo(text, nl=False)


def _plain(proposal: Suggestion) -> dict[str, object]:
    """What a program may want to choose from."""
    return {
        "key": proposal.key,
        "external_ids": [field.name for field in proposal.external_ids],
        "pairs": [_pair(pair) for pair in proposal.pairs],
        "misfits": [_pair(pair) for pair in proposal.misfits],
        "columns_left": [column.name for column in proposal.columns_left],
        "required_left": [field.name for field in proposal.required_left],
    }


def _pair(pair: Pair) -> dict[str, object]:
    return {
        "column": pair.column.name,
        "field": pair.field.name,
        "sureness": pair.sureness.value,
        "score": round(pair.score, 2),
        "reason": pair.reason,
        "cast": pair.cast or None,
    }


def _name(given: str | None, table: str, others: Sequence[MappingSpec], *, taken_matters: bool) -> str:
    try:
        name = mapping_name(given) if given is not None else lawful(_split(table)[1], dashes=True)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--name") from None
    held = next((spec for spec in others if spec.mapping == name), None)
    if held is not None and taken_matters:
        raise SettingsError(
            f"{held.at('mapping')}: there is a mapping named {name!r} already", hint="Give --name another."
        )
    return name


def _split(table: str) -> tuple[str, str]:
    try:
        return split_table(table)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="TABLE") from None


def _read(project: Project, table: str) -> tuple[Table, tuple[ForeignKey, ...]]:
    schema, name = _split(table)
    with project.source_admin("suggest") as connection:
        catalog = read_catalog(connection, [(schema, name)])
        foreign_keys = read_foreign_keys(connection, schema, name)
    found = catalog.tables.get((schema, name))
    if found is None:
        near = catalog.near.get((schema, name), ())
        perhaps = f"Did you mean {' or '.join(near)}?" if near else ""
        raise SettingsError(f"there is no table {schema}.{name} that the login can see", hint=perhaps)
    if found.kind in _NO_CHANGES:
        raise SettingsError(
            f"{found.qualified} is {_NO_CHANGES[found.kind]}; it has no changes to read",
            hint="Draft a mapping of the table beneath it, and put what the view adds into `sql:`.",
        )
    if not found.readable:  # without this, no column would look like a field
        closed = next(iter(check_privileges(found.qualified, found, (), catalog)))
        raise SettingsError(closed.message, hint=closed.sql)
    return found, foreign_keys


def _json_schema(folder: Path) -> str:
    """Where `init` put the schema for editors, seen from the mapping files; empty when it is not there."""
    return f"../{_JSON_SCHEMA}" if (folder.parent / _JSON_SCHEMA).is_file() else ""


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(
            f"{shown(path)}: is there already, and is left as it is", hint="Give --name another."
        ) from None
    except OSError as error:
        raise SettingsError(f"{shown(path)}: cannot be written: {error.strerror}") from None
