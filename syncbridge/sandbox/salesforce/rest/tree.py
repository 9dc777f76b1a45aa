"""Tree calls: records with their children nested in them, created together or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal, unsupported_type
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.store.changes import Record

MOST_RECORDS, MOST_TYPES, MOST_LEVELS = 200, 5, 5


@dataclass(slots=True)
class Node:
    """One record of a tree, without its children; `lookup` is its field for the parent's id."""

    target: ObjectType
    reference: str
    record: Record
    parent: Node | None = None
    lookup: Field | None = None
    id: str | None = None


class TreeRefusal(Exception):
    """Nothing was created; these reference ids have these errors."""

    def __init__(self, errors: list[tuple[str, Refusal]]) -> None:
        super().__init__("; ".join(f"{reference}: {refusal}" for reference, refusal in errors))
        self.errors = errors


def create(call: Call) -> Reply:
    """POST /composite/tree/{object}"""
    target, body = call.target(), call.record()
    try:
        levels = _levels(call.sandbox.org, target, body)
        with call.sandbox.storage.transaction():
            for level in levels:
                _create_level(call, level)
    except TreeRefusal as refusal:
        results = [{"referenceId": name, "errors": [error.as_row()]} for name, error in refusal.errors]
        return answer({"hasErrors": True, "results": results}, 400)
    created = [{"referenceId": node.reference, "id": node.id} for level in levels for node in level]
    return answer({"hasErrors": False, "results": created}, 201)


def _levels(org: Org, target: ObjectType, body: Record) -> list[list[Node]]:
    """Return the records by depth, the roots first."""
    level = [_node(org, each, None, None) for each in _records(body)]
    levels, total = [], 0
    while level:
        levels.append([node for node, _ in level])
        total += len(level)
        if total > MOST_RECORDS or len(levels) > MOST_LEVELS:
            text = f"A tree request can have at most {MOST_RECORDS} records, in {MOST_LEVELS} levels"
            raise Refusal("LIMIT_EXCEEDED", text)
        level = [child for node, children in level for child in _children(org, node, children)]
    _check(target, levels)
    return levels


def _records(value: Any) -> list[Record]:
    records = value.get("records") if isinstance(value, dict) else None
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise Refusal("JSON_PARSER_ERROR", "A tree needs a list of records under 'records'")
    return records


def _node(org: Org, given: Record, parent: Node | None, lookup: Field | None) -> tuple[Node, Record]:
    """Return a record without its children, and the children by relationship name."""
    attributes = given.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    target = org.find(str(attributes.get("type", "")))
    if target is None:
        raise unsupported_type(attributes.get("type"))
    children = {name: value for name, value in given.items() if _is_list(value)}
    record = {name: value for name, value in given.items() if name not in children and name != "attributes"}
    return Node(target, str(attributes.get("referenceId") or ""), record, parent, lookup), children


def _is_list(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("records"), list)


def _children(org: Org, node: Node, children: Record) -> list[tuple[Node, Record]]:
    found = []
    for name, value in children.items():
        lookups = {child.name: ref for child, ref in org.children_named(node.target.name, name)}
        for record in _records(value):
            attributes = record.get("attributes")
            kind = org.find(str(attributes.get("type", ""))) if isinstance(attributes, dict) else None
            lookup = lookups.get(kind.name) if kind else None
            if lookup is None:
                raise Refusal("INVALID_FIELD", f"No such relationship '{name}' on sobject of type {node.target.name}")
            found.append(_node(org, record, node, lookup))
    return found


def _check(target: ObjectType, levels: list[list[Node]]) -> None:
    nodes = [node for level in levels for node in level]
    if len({node.target.name for node in nodes}) > MOST_TYPES:
        raise Refusal("LIMIT_EXCEEDED", f"A tree request can have records of at most {MOST_TYPES} types")
    for root in levels[0] if levels else ():
        if root.target is not target:
            raise Refusal("INVALID_TYPE", f"The roots of these trees must be of type {target.name}")
    names = [node.reference for node in nodes]
    wrong = [(each, _reference_problem(names, each)) for each in names]
    errors = [(name, problem) for name, problem in wrong if problem is not None]
    if errors:
        raise TreeRefusal(errors)


def _reference_problem(names: list[str], name: str) -> Refusal | None:
    if not name:
        return Refusal("INVALID_INPUT", "Include a reference ID for each record in the request.")
    if names.count(name) > 1:
        return Refusal("INVALID_INPUT", "Duplicate ReferenceId provided in the request.")
    return None


def _create_level(call: Call, level: list[Node]) -> None:
    records: list[tuple[ObjectType | Refusal, Record]] = []
    for node in level:
        parent = {node.lookup.name: node.parent.id} if node.lookup and node.parent else {}
        records.append((node.target, node.record | parent))
    outcomes = call.sandbox.writes.create(records, fault=call.row_fault)
    errors = [(node.reference, each.refusal) for node, each in zip(level, outcomes, strict=True) if each.refusal]
    if errors:
        raise TreeRefusal(errors)
    for node, outcome in zip(level, outcomes, strict=True):
        node.id = outcome.id
