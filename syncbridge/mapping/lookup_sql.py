"""Lookups in SQL: the key that a row looks up, and the rows that look up given keys. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from syncbridge.errors import SchemaDrift
from syncbridge.mapping.key_sql import GIVEN, key_parts, text_of
from syncbridge.mapping.queries import entities_page
from syncbridge.mapping.related import Related
from syncbridge.mapping.spec import FieldSpec, MappingSpec
from syncbridge.mapping.sql import escaped, identifiers, qualified, quoted
from syncbridge.schemas import Column


def lookup_relation(field: str) -> str:
    """The relation of what a field looks up; none of `related` can have such a name."""
    return f"lookup {field}"


@dataclass(frozen=True, slots=True)
class LookupKey:
    """What holds the key of a parent: SQL expressions with their columns, and the field that looks it up."""

    field: str
    parts: tuple[tuple[str, Column], ...]

    @property
    def relation(self) -> str:
        """The name by which entities are found that look up a key."""
        return lookup_relation(self.field)

    @property
    def sql(self) -> str:
        """The key's text, null where a part of it is. Not escaped for psycopg."""
        present = " and ".join(f"{expression} is not null" for expression, _ in self.parts)
        return f"case when {present} then {text_of([expression for expression, _ in self.parts])} end"


@dataclass(frozen=True, slots=True)
class LookupPages:
    """The look for entities by the keys that they look up; as those of a relation, of which it is none."""

    relation: str
    first: str  # parameters: keys, limit
    further: str  # parameters: keys, column texts of the last entity key, limit


def lookup_key(spec: MappingSpec, remote: str, field: FieldSpec, related: Related) -> LookupKey:
    """Raises SchemaDrift when there is no such column, or it is a roll-up."""
    parts: list[tuple[str, Column]] = []
    for name in field.key or ():
        reference = related.refer(name)
        if reference is None or reference.column is None:
            why = f"{name} is a roll-up, which is no key" if reference else related.unknown(name)
            hint = f"Mend the mapping or the table, then run `syncbridge check {spec.mapping}`."
            raise SchemaDrift(f"{spec.at('fields', remote, 'key')}: {why}", hint=hint)
        parts.append((reference.sql, reference.column))
    return LookupKey(remote, tuple(parts))


def lookup_pages(related: Related, lookup: LookupKey, key: Sequence[Column]) -> LookupPages:
    """Keys of the entities that look up one of the given keys, distinct, a page of them in key order."""
    first, further = (_page(related, lookup, key, after=after) for after in (False, True))
    return LookupPages(lookup.relation, first, further)


def _page(related: Related, lookup: LookupKey, key: Sequence[Column], *, after: bool) -> str:
    root = related.root
    given = key_parts([replace(column, name=expression) for expression, column in lookup.parts])
    matches = " and ".join(f"{column.name} = {part}" for column, part in given)
    words = {word for expression, _ in lookup.parts for word in identifiers(expression)}
    joins = related.joins()
    needed = {name for joined in joins if joined.name in words for name in joined.path}
    source = f"{qualified(root.schema, root.name)} as {quoted(root.name)}"
    source += "".join(joined.sql for joined in joins if joined.name in needed)
    return entities_page(root.name, key, f"{GIVEN}, {escaped(source)} where {escaped(matches)}", after=after)
