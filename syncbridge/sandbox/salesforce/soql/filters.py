"""Which rows a query is about: what is not deleted, its scope, its WHERE clause with semi-joins and their rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.soql.conditions import Conditions, Inner
from syncbridge.sandbox.salesforce.soql.names import NO_OBJECT, Names
from syncbridge.sandbox.salesforce.soql.tree import Condition, Junction, Negation, Path, Query, SemiJoin
from syncbridge.sandbox.salesforce.store.storage import USER_ID

MOST_SEMI_JOINS = 2
DEEPEST_CHILDREN = 4
WITH_OR = "Semi join sub-selects are not allowed with the 'OR' operator"
NESTED = (
    "Semi join sub-selects are only allowed at the top level WHERE expressions and not in nested WHERE expressions."
)
TOO_MANY = f"Maximum {MOST_SEMI_JOINS} semi join sub-selects are allowed"
INSIDE = "Nesting of semi join sub-selects is not supported"
SAME_OBJECT = "The inner and outer selects should not be on the same object type"
DEEP_PATH = "inner select field cannot have more than one level of relationships"
NOT_AN_ID = "The left operand field in the where expression for outer query should be an id field, cannot use: '{}'"
INNER_NOT_AN_ID = "The inner select field '{}' should be an id field or a reference to one"
OTHER_OBJECT = (
    "The selected field '{}' in the subquery and the left operand field in the where expression in the outer query "
    "'{}' should point to the same object type"
)


@dataclass(slots=True)
class Setting:
    """What all queries of one statement share: the org, the time, whether deleted records are seen."""

    org: Org
    now: datetime
    with_deleted: bool = False
    child_levels: int = DEEPEST_CHILDREN
    _prefixes: count[int] = field(default_factory=lambda: count(1))

    def target(self, query: Query) -> ObjectType:
        """Return the object that a query names, or refuse with INVALID_TYPE."""
        found = self.org.find(query.object_name)
        if found is None:
            raise query.source.refusal("INVALID_TYPE", query.object_at, NO_OBJECT.format(query.object_name))
        return found

    def prefix(self) -> str:
        """Return a new prefix for the aliases of a query inside another."""
        return f"s{next(self._prefixes)}_"


def rows_of(setting: Setting, names: Names, query: Query) -> tuple[str, list[Any]]:
    """Return the SQL condition on a query's rows, and its values; `1` where all rows are meant."""
    root = names.root.alias
    parts = [] if setting.with_deleted else [f'{root}."IsDeleted" = 0']
    values: list[Any] = []
    if query.scope == "mine":
        known = names.field(names.target, "OwnerId", query.object_at)
        parts.append(f"{names.root.column(known)} = '{USER_ID}'")
    if query.where is not None:
        conditions = Conditions(names, setting.now, inner=semi_joins(setting, names, query))
        parts.append(f"({conditions.sql(query.where)})")
        values = conditions.values
    return " and ".join(parts) or "1", values


def semi_joins(setting: Setting, names: Names, query: Query) -> Inner:
    """Return what compiles the semi-joins of a query's WHERE clause, once their places are found right."""
    found = _places(query.where, 0)
    for each, reason in found:
        if reason is not None:
            raise names.malformed(each.operand.at, reason)
    if len(found) > MOST_SEMI_JOINS:
        raise names.malformed(found[MOST_SEMI_JOINS][0].operand.at, TOO_MANY)

    def inner(condition: SemiJoin) -> tuple[str, list[Any]]:
        return _inner(setting, names, condition)

    return inner


def _places(condition: Condition | None, depth: int, joined_by: str = "and") -> list[tuple[SemiJoin, str | None]]:
    """Return every semi-join, with what is wrong about its place or None."""
    match condition:
        case SemiJoin():
            reason = NESTED if depth > 1 else WITH_OR if joined_by == "or" else None
            return [(condition, reason)]
        case Negation(part):
            return _places(part, depth + 2, joined_by)
        case Junction(operator, parts):
            return [each for part in parts for each in _places(part, depth + 1, operator)]
    return []


def _inner(setting: Setting, outer: Names, condition: SemiJoin) -> tuple[str, list[Any]]:
    query, left = condition.query, condition.operand
    known = outer.column(left)[1] if isinstance(left, Path) and len(outer.steps(left)) == 1 else None
    if known is None or known.type not in ("id", "reference"):
        shown = ".".join(left.parts) if isinstance(left, Path) else left.name.upper()
        raise outer.malformed(left.at, NOT_AN_ID.format(shown))
    target = setting.target(query)
    names = Names(setting.org, query, target, setting.prefix())
    _check_inner(names, query, outer)
    [selected] = query.fields
    assert isinstance(selected, Path)
    column, chosen = names.column(selected)
    if chosen.type not in ("id", "reference"):
        raise names.malformed(selected.at, INNER_NOT_AN_ID.format(chosen.name))
    holder = names.join(tuple(names.steps(selected)[:-1]), selected.at).target
    if not _objects(holder, chosen) & _objects(outer.target, known):
        raise names.malformed(selected.at, OTHER_OBJECT.format(chosen.name, known.name))
    rows, values = rows_of(setting, names, query)
    return f"select {column} from {names.tables} where {column} is not null and {rows}", values  # noqa: S608


def _check_inner(names: Names, query: Query, outer: Names) -> None:
    place = query.object_at
    if _places(query.where, 0):
        raise names.malformed(place, INSIDE)
    if names.target is outer.target:
        raise names.malformed(place, SAME_OBJECT)
    selected = query.fields[0]
    if len(query.fields) != 1 or not isinstance(selected, Path):
        raise names.malformed(place, "A semi join sub-select must select exactly one field")
    if len(names.steps(selected)) > 2:
        raise names.malformed(selected.at, DEEP_PATH)
    if query.order or query.limit is not None or query.offset or query.grouping:
        message = "ORDER BY, LIMIT, OFFSET and GROUP BY are not allowed in semi join sub-selects"
        raise names.malformed(place, message)


def _objects(target: ObjectType, known: Field) -> set[str]:
    """Return the objects whose ids a field holds."""
    return {target.name} if known.type == "id" else set(known.reference_to)
