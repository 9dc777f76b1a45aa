"""Names in a query: fields and parent paths to columns of joined tables; what the org does not know is refused."""

from __future__ import annotations

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.soql.parser import Path, Query

DEEPEST_PATH = 5
ROOT = "t0"
NO_COLUMN = (
    "No such column '{}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' "
    "after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
)
NO_RELATIONSHIP = (
    "Didn't understand relationship '{}' in field path. If you are attempting to use a custom relationship, be sure to "
    "append the '__r' after the custom relationship name. Please reference your WSDL or the describe call for the "
    "appropriate names."
)


class Names:
    """The tables of one query; a parent is joined when a path first leads to it."""

    def __init__(self, org: Org, query: Query, target: ObjectType) -> None:
        self.target = target
        self._org = org
        self._query = query
        self._joins = [f'"{target.name}" {ROOT}']
        self._aliases: dict[tuple[str, ...], tuple[str, ObjectType]] = {(): (ROOT, target)}

    @property
    def tables(self) -> str:
        """The FROM clause for everything that was used."""
        return " ".join(self._joins)

    def refuse(self, at: int, message: str, code: str = "INVALID_FIELD") -> Refusal:
        """Return a refusal that points into the query."""
        return self._query.source.refusal(code, at, message)

    def field(self, target: ObjectType, name: str, at: int) -> Field:
        """Return a field of an object, or refuse."""
        known = target.find(name)
        if known is None:
            raise self.refuse(at, NO_COLUMN.format(name, target.name))
        return known

    def column(self, path: Path) -> tuple[str, Field]:
        """Return the SQL of a path's column, and its field."""
        steps = self.steps(path)
        alias, target = self.join(tuple(steps[:-1]), path.at)
        known = self.field(target, steps[-1], path.at)
        return f'{alias}."{known.name}"', known

    def steps(self, path: Path) -> list[str]:
        """Return the steps of a path without the object's own name or alias in front."""
        parts = list(path.parts)
        own = {self.target.name.lower(), (self._query.alias or "").lower()}
        if len(parts) > 1 and parts[0].lower() in own and parts[0].lower() not in self.target.by_relationship:
            parts = parts[1:]
        if len(parts) - 1 > DEEPEST_PATH:
            raise self.refuse(path.at, "SOQL relationships may not go more than 5 levels up", "MALFORMED_QUERY")
        return parts

    def join(self, steps: tuple[str, ...], at: int) -> tuple[str, ObjectType]:
        """Return alias and object of a parent, joining it on first use."""
        key = tuple(each.lower() for each in steps)
        if key not in self._aliases:
            child_alias, child = self._aliases[key[:-1]] if len(key) == 1 else self.join(steps[:-1], at)
            ref = child.by_relationship.get(key[-1])
            parents = [self._org.find(each) for each in reversed(ref.reference_to)] if ref else []
            parent = next((each for each in parents if each is not None), None)
            if ref is None or parent is None:
                raise self.refuse(at, NO_RELATIONSHIP.format(steps[-1]))
            alias = f"t{len(self._aliases)}"
            self._joins.append(f'left join "{parent.name}" {alias} on {alias}."Id" = {child_alias}."{ref.name}"')
            self._aliases[key] = (alias, parent)
        return self._aliases[key]
