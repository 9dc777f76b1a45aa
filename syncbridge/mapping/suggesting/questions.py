"""What a draft leaves to a person, as questions. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from syncbridge.mapping.checks.remote import longest_key
from syncbridge.mapping.key_sql import KEY_TYPES
from syncbridge.mapping.sql import lightly_quoted
from syncbridge.mapping.suggesting.suggest import Pair, Suggestion, Sureness
from syncbridge.mapping.suggesting.text import scalar
from syncbridge.mapping.types.fit import CHOICES, TEXT_KINDS, fit
from syncbridge.schemas import Column, RemoteField, RemoteObject, Table

#: The field that is proposed where no field can carry the key.
NEW_FIELD = "External_Key__c"

_WIDTH = 116
_CASED = ("text", "varchar", "bpchar", "enum")


def questions(table: Table, remote: RemoteObject, found: Suggestion) -> Iterator[str]:
    """All that the two schemas leave open, the gravest first."""
    yield from _about_keys(table, remote, found)
    yield from _about_required(remote, found)
    for pair in found.pairs:
        yield from _about_choices(pair)
    for pair in found.misfits:
        yield _about_misfit(pair)
    if found.columns_left:
        listed = ", ".join(f"{column.name} ({column.type})" for column in found.columns_left)
        yield f"No field looks like these columns. Are some needed there, in fields that are made for them? {listed}"


def numbered(asked: Sequence[str]) -> Iterator[str]:
    """The questions as lines of comment."""
    if asked:
        yield ""
        yield "# Open questions"
    for number, question in enumerate(asked, 1):
        # wrapping joins all white space, so that no name can end the comment
        yield from textwrap.wrap(
            question, _WIDTH, initial_indent=f"# {number}. ", subsequent_indent="#    ", break_on_hyphens=False
        )


def untranslated(pair: Pair) -> list[str]:
    """Labels of an enum that a restricted picklist would refuse."""
    if pair.field.kind not in CHOICES or not pair.field.restricted:
        return []
    known = {option.lower() for option in pair.field.options}
    return [option for option in pair.column.options if option.lower() not in known]


def _about_keys(table: Table, remote: RemoteObject, found: Suggestion) -> Iterator[str]:
    columns = [table.columns[name] for name in found.key]
    if not columns:
        yield f"{table.qualified} has no primary key, nor a unique key without nulls. Which columns identify a row?"
    for column in columns:
        if column.base_type not in KEY_TYPES:
            yield f"{column.name} is {column.type}, which cannot be a key. Is there another unique column?"
    if found.external_ids:
        return
    cased = len(columns) > 1 or any(column.base_type in _CASED for column in columns)
    wanted = f"Text({min(255, longest_key(columns) or 255)}), external id, unique{', case-sensitive' if cased else ''}"
    yield (
        f"No field of {remote.name} can carry the key: that takes an external id that is unique and can be written. In"
        f" Setup, create {NEW_FIELD} on {remote.name}: {wanted}. Give the login the right to read and edit it."
    )


def _about_required(remote: RemoteObject, found: Suggestion) -> Iterator[str]:
    for field in found.required_left:
        perhaps = [pair.column.name for pair in found.pairs if pair.field.name == field.name]
        fitting = [column.name for column in found.columns_left if _could_fill(column, field)]
        free = ", ".join(perhaps or fitting[:8])
        offers = f" It offers {_listed(field.options)}." if field.options else ""
        using = f" (perhaps with {free})" if free else ""
        yield f"{remote.name}.{field.name} is required. What fills it: a column, sql{using} or a constant?{offers}"


def _could_fill(column: Column, field: RemoteField) -> bool:
    """Almost all can be text, but only texts are names."""
    if field.kind in TEXT_KINDS | CHOICES:
        return column.base_type in (*_CASED, "citext")
    return not fit(column.base_type, field.kind).severity


def _about_choices(pair: Pair) -> Iterator[str]:
    name, field = pair.column.name, pair.field
    if field.kind not in CHOICES or not field.options:
        return
    offered = _listed(field.options)
    if unknown := untranslated(pair):
        yield f"What do {_listed(unknown)} of {name} become in {field.name}? It offers {offered}. Fill in values:."
    elif not pair.column.options and pair.sureness is not Sureness.PERHAPS:
        yield f"Does {name} hold what {field.name} offers ({offered})? If not, translate it with values:."


def _about_misfit(pair: Pair) -> str:
    column, field = pair.column, pair.field
    cast = f"{field.name}: {{sql: {scalar(pair.cast.format(lightly_quoted(column.name)))}}}"
    told = f"{column.name} has the name of {field.name}, but {column.type} does not fit a field of type {field.kind}."
    return f"{told} Can every value be cast? Then write {cast}"


def _listed(options: Sequence[str], most: int = 10) -> str:
    return ", ".join(options[:most]) + (f" and {len(options) - most} more" if len(options) > most else "")
