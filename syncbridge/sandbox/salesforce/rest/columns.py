"""What a query's columns are: the answer to `columns=true`, by which `sf data query` lays out its table.

No guide has it; the keys are those that @salesforce/plugin-data reads and that recordings of orgs show.
"""

from __future__ import annotations

from typing import Any

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, TEXT_TYPES, Field, ObjectType, Org
from syncbridge.sandbox.salesforce.soql.tree import Call as Function
from syncbridge.sandbox.salesforce.soql.tree import FieldGroup, Path, Query

APEX_TYPES = {
    "id": "Id", "reference": "Id", "boolean": "Boolean", "int": "Integer", "date": "Date", "datetime": "Datetime",
    "time": "Time", "address": "Address",
}  # fmt: skip


def columns(call: Call, parsed: Query) -> Reply:
    """Return the reply to a valid query that is asked for its columns instead of its records."""
    target = call.sandbox.org.objects[parsed.object_name.lower()]
    found = _Columns(call.sandbox.org, target).of(parsed)
    return answer(
        {
            "columnMetadata": found,
            "entityName": target.name,
            "groupBy": parsed.grouping is not None,
            "idSelected": any(each["columnName"] == "Id" for each in found),
            "keyPrefix": target.prefix,
        }
    )


class _Columns:
    """Names the columns of one query, with the parents of several fields joined in one column."""

    def __init__(self, org: Org, target: ObjectType) -> None:
        self._org = org
        self._target = target
        self._unnamed = 0

    def of(self, query: Query) -> list[dict[str, Any]]:
        """Return the columns of the select list, in order."""
        found: list[dict[str, Any]] = []
        for each in query.fields:
            if isinstance(each, Path):
                self._add(found, self._target, each.parts, each.alias)
            elif isinstance(each, FieldGroup):
                found += [_column(one.name, one) for one in self._target.fields if _is_chosen(one, each)]
            elif isinstance(each, Function):
                found.append(self._function(each))
            elif isinstance(each, Query):
                found.append(self._child(each))
        return found

    def _add(self, found: list[dict[str, Any]], target: ObjectType, parts: tuple[str, ...], alias: str) -> None:
        if len(parts) == 1:
            known = target.find(parts[0])
            found.append(_column(alias or (known.name if known else parts[0]), known))
            return
        lookup = target.by_relationship.get(parts[0].lower())
        name = (lookup.relationship if lookup else None) or parts[0]
        column = next((each for each in found if each["columnName"] == name), None)
        if column is None:
            column = _column(name, lookup)
            found.append(column)
        parent = self._org.find(lookup.reference_to[0]) if lookup else None
        self._add(column["joinColumns"], parent or target, parts[1:], "")

    def _function(self, function: Function) -> dict[str, Any]:
        name = function.alias
        if not name:
            name = f"expr{self._unnamed}"
            self._unnamed += 1
        return _column(name, None) | {"aggregate": True, "displayName": function.alias or function.name}

    def _child(self, query: Query) -> dict[str, Any]:
        relationship = query.object_name.rpartition(".")[2]
        [(child, ref), *_] = self._org.children_named(self._target.name, relationship)
        joined = _Columns(self._org, child).of(query)
        return _column(str(ref.child_relationship), None) | {"aggregate": True, "joinColumns": joined}


def _is_chosen(field: Field, group: FieldGroup) -> bool:
    return group.name == "all" or field.custom == (group.name == "custom")


def _column(name: str, known: Field | None) -> dict[str, Any]:
    kind = known.type if known else "string"
    number = kind in NUMBER_TYPES or kind == "int"
    return {
        "aggregate": False,
        "apexType": APEX_TYPES.get(kind, "Double" if number else "String"),
        "booleanType": kind == "boolean",
        "columnName": name,
        "custom": known.custom if known else False,
        "displayName": name,
        "foreignKeyName": None,
        "insertable": known.createable if known else False,
        "joinColumns": [],
        "numberType": number,
        "textType": kind in TEXT_TYPES - {"id", "reference"},
        "updatable": known.updateable if known else False,
    }
