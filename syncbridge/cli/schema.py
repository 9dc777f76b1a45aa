"""`syncbridge schema`: the mapping language as JSON Schema, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

from syncbridge.errors import SettingsError
from syncbridge.mapping.json_schema import mapping_schema


@click.command(short_help="Print the JSON Schema of mapping files.")
@click.option("--write", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file instead.")
def schema(path: Path | None) -> None:
    """Print the JSON Schema of mapping files, by which editors complete and explain keys.

    `syncbridge init` writes it as mapping.schema.json. After an upgrade write it anew:
    `syncbridge schema --write mapping.schema.json`.
    """
    text = schema_text()
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(f"wrote  {path}")


def schema_text() -> str:
    """The schema as it is written to files."""
    return json.dumps(mapping_schema(), indent=2) + "\n"
