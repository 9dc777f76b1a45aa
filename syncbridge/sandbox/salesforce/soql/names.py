"""Names in a query: fields and parent paths to columns of joined tables; what the org does not know is refused."""

from __future__ import annotations

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.soql.polymorphic import NAME, Joined
from syncbridge.sandbox.salesforce.soql.tree import Path, Query

DEEPEST_PATH = 5
MOST_PARENTS = 55
REFERENCE = "Please reference your WSDL or the describe call for the appropriate names."
NO_OBJECT = (
    "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' "
    f"after the entity name. {REFERENCE}"
)
NO_COLUMN = (
    "No such column '{}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' "
    f"after the custom field name. {REFERENCE}"
)
NO_RELATIONSHIP = (
    "Didn't understand relationship '{}' in field path. If you are attempting to use a custom relationship, be sure to "
    f"append the '__r' after the custom relationship name. {REFERENCE}"
)


class Names:
    """The tables of one query; a parent is joined when a path first leads to it. Aliases begin with `prefix`."""

    def __init__(self, org: Org, query: Query, target: ObjectType, prefix: str = "t") -> None:
        self.org = org
        self.target = target
        self.root = Joined(target, f"{prefix}0")
        self._query = query
        self._prefix = prefix
        self._tables = 1
        self._joins = [f'"{target.name}" {self.root.alias}']
        self._joined: dict[tuple[str, ...], Joined] = {(): self.root}
        self._related = {alias.lower(): path for alias, path in query.related}

    @property
    def tables(self) -> str:
        """The FROM clause for everything that was used."""
        return " ".join(self._joins)

    def refuse(self, at: int, message: str, code: str = "INVALID_FIELD") -> Refusal:
        """Return a refusal that points into the query."""
        return self._query.source.refusal(code, at, message)

    def malformed(self, at: int, message: str) -> Refusal:
        """Return a MALFORMED_QUERY that points into the query."""
        return self.refuse(at, message, "MALFORMED_QUERY")

    def field(self, target: ObjectType, name: str, at: int) -> Field:
        """Return a field of an object, or refuse."""
        known = target.find(name)
        if known is None:
            raise self.refuse(at, NO_COLUMN.format(name, target.name))
        return known

    def column(self, path: Path) -> tuple[str, Field]:
        """Return the SQL of a path's column, and its field."""
        steps = self.steps(path)
        joined = self.join(tuple(steps[:-1]), path.at)
        known = self.field(joined.target, steps[-1], path.at)
        return joined.column(known), known

    def steps(self, path: Path) -> list[str]:
        """Return the steps of a path without the object's own name or alias in front."""
        parts = list(path.parts)
        own = {self.target.name.lower(), self._query.alias.lower(), self._query.object_name.lower()}
        first = parts[0].lower()
        if len(parts) > 1 and first in self._related:
            return [*self.steps(self._related[first]), *parts[1:]]
        if len(parts) > 1 and first in own and first not in self.target.by_relationship:
            parts = parts[1:]
        if len(parts) - 1 > DEEPEST_PATH:
            raise self.malformed(path.at, "SOQL relationships may not go more than 5 levels up")
        return parts

    def join(self, steps: tuple[str, ...], at: int) -> Joined:
        """Return a parent, joining it on first use."""
        key = tuple(each.lower() for each in steps)
        if key not in self._joined:
            child = self.join(steps[:-1], at)
            self._joined[key] = self._parent(child, steps[-1], at)
            if len(self._joined) - 1 > MOST_PARENTS:
                raise self.malformed(at, f"SOQL relationships may lead to {MOST_PARENTS} parents at most")
        return self._joined[key]

    def _parent(self, child: Joined, name: str, at: int) -> Joined:
        ref = child.target.by_relationship.get(name.lower())
        parents = [each for each in map(self.org.find, ref.reference_to) if each is not None] if ref else []
        if ref is None or not parents:
            raise self.refuse(at, NO_RELATIONSHIP.format(name))
        column = child.column(ref)
        members = tuple((self._table(each, column), each) for each in parents)
        if len(ref.reference_to) == 1:
            return Joined(parents[0], members[0][0])
        return Joined(NAME, members[0][0], members)

    def _table(self, target: ObjectType, column: str) -> str:
        alias = f"{self._prefix}{self._tables}"
        self._tables += 1
        self._joins.append(f'left join "{target.name}" {alias} on {alias}."Id" = {column}')
        return alias
