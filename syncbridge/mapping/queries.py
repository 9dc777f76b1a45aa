"""The SQL of a mapping: composing a batch of keys, paging through keys, describing what comes out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from syncbridge.errors import ConfigurationError
from syncbridge.mapping.key_sql import GIVEN, KEY, PLAIN_KEYS, cast, key_parts, key_text
from syncbridge.mapping.related import Joined
from syncbridge.mapping.sql import enclosed, escaped, fragment_fault, identifiers, literal, qualified, quoted
from syncbridge.schemas import Column


@dataclass(frozen=True, slots=True)
class KeyPages:
    """Queries over the keys of one table. A relation is joined only where a condition speaks of it."""

    source: str  # `"public"."people" as "people"`
    key_text: str
    columns: tuple[str, ...]
    casts: tuple[str, ...]
    filter: str | None
    joins: tuple[Joined, ...]

    def page(self, *, after: bool, where: str | None, filtered: bool) -> str:
        """Parameters: the column texts of the last key (if `after`), then the limit."""
        asked = list(self._conditions(where, filtered))
        conditions = [enclosed(condition) for condition in asked]
        if after:
            conditions.append(behind(self.columns, self.casts))
        filters = f" where {' and '.join(conditions)}" if conditions else ""
        order = escaped(", ".join(self.columns))
        return f"select {escaped(self.key_text)} from {self._source(asked)}{filters} order by {order} limit %s"  # noqa: S608 - quoted names and the SQL of the mapping's author

    def sample(self) -> str:
        """Entities chosen at random. The parameter is how many."""
        asked = list(self._conditions(None, filtered=True))
        filters = f" where {' and '.join(map(enclosed, asked))}" if asked else ""
        return f"select {escaped(self.key_text)} from {self._source(asked)}{filters} order by random() limit %s"  # noqa: S608 - as above

    def beside(self, column: str, *, after: bool) -> str:
        """Rows of (key, column) where it is not null, filtered. Parameters as of `page`."""
        asked = list(self._conditions(None, filtered=True))
        conditions = [*map(enclosed, asked), f"{escaped(column)} is not null"]
        if after:
            conditions.append(behind(self.columns, self.casts))
        order = escaped(", ".join(self.columns))
        return (
            f"select {escaped(self.key_text)}, {escaped(column)}::text from {self._source(asked)}"  # noqa: S608 - as above
            f" where {' and '.join(conditions)} order by {order} limit %s"
        )

    def count(self, *, where: str | None, filtered: bool) -> str:
        """Without parameters."""
        asked = list(self._conditions(where, filtered))
        filters = f" where {' and '.join(enclosed(condition) for condition in asked)}" if asked else ""
        return f"select count(*) from {self._source(asked)}{filters}"  # noqa: S608 - as above

    def _source(self, conditions: Sequence[str]) -> str:
        words = {word for condition in conditions for word in identifiers(condition)}
        needed = {name for joined in self.joins if joined.words & words for name in joined.path}
        return escaped(self.source + "".join(joined.sql for joined in self.joins if joined.name in needed))

    def _conditions(self, where: str | None, filtered: bool) -> Iterator[str]:
        if filtered and self.filter:
            yield self.filter
        if where:
            if fault := fragment_fault(where):
                raise ConfigurationError(f"where: this SQL {fault}")
            yield where


def key_pages(
    source: str, table: str, columns: Sequence[Column], joins: tuple[Joined, ...], where: str | None
) -> KeyPages:
    """The queries over the keys of the root table `source`, whose alias is `table`."""
    names = tuple(qualified(table, column.name) for column in columns)
    return KeyPages(source, key_text(table, columns), names, tuple(map(cast, columns)), where, joins)


def behind(columns: Sequence[str], casts: Sequence[str]) -> str:
    """The condition of a row behind a key; a row comparison over the key's columns is one range of its index."""
    texts = ", ".join(f"%s::{escaped(cast)}" for cast in casts)
    return f"({escaped(', '.join(columns))}) > ({texts})"


def entities_page(table: str, key: Sequence[Column], found: str, *, after: bool) -> str:
    """Keys of the rows of a table that `found` gives, distinct, a page of them in key order.

    `found` is escaped, and ends with a condition. Its parameters come first, then the column texts of the last key (if
    `after`) and the limit. All are found before they are sorted: in the key's order the planner might walk the whole
    table for a page of few.
    """
    columns = [qualified(table, column.name) for column in key]
    further = f" and {behind(columns, [cast(column) for column in key])}" if after else ""
    listed = escaped(", ".join(columns))
    return (
        f"with _syncbridge_found as materialized (select distinct {listed} from {found}{further})"  # noqa: S608 - quoted names
        f" select {escaped(key_text(table, key))} from _syncbridge_found as {escaped(quoted(table))}"
        f" order by {listed} limit %s"
    )


def compose_sql(
    source: str,
    table: str,
    columns: Sequence[Column],
    joins: Sequence[Joined],
    expressions: Sequence[str],
    where: str | None,
) -> str:
    """Rows of (key, value, ...) for the keys of its one parameter."""
    selected = "".join(f", {escaped(expression)}" for expression in expressions)
    matches = [f"{qualified(table, column.name)} = {part}" for column, part in key_parts(columns)]
    if any(column.base_type not in PLAIN_KEYS for column in columns):
        # 1.0 = 1.00, and 'AB' = 'ab' in citext: equal, but other keys; the old one must find nothing
        matches.append(f"{key_text(table, columns)} = {KEY}")
    filters = f" where {enclosed(where)}" if where else ""
    related = escaped("".join(joined.sql for joined in joins))
    return (
        f"select {KEY}{selected} from {GIVEN}"  # noqa: S608 - quoted names and the SQL of the mapping's author
        f" join {escaped(source)} on {escaped(' and '.join(matches))}{related}{filters}"
    )


def describe_sql(source: str, joins: Sequence[Joined], expressions: Sequence[str], where: str | None) -> str:
    """The same values without parameters. Not escaped for psycopg."""
    filters = f" where ({where}\n)" if where else ""
    related = "".join(joined.sql for joined in joins)
    return f"select {', '.join(expressions) or 'null'} from {source}{related}{filters}"  # noqa: S608 - as above


def broken_rules(rules: Mapping[str, str]) -> str:
    """SQL of the names of the rules that do not hold, null where all do; a null condition does not hold."""
    names = (f"case when ({rule}\n) then null else {literal(name)} end" for name, rule in rules.items())
    return f"nullif(pg_catalog.concat_ws(', ', {', '.join(names)}), '')"
