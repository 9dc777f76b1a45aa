"""What is wrong with an object's rules: fields, relationships and expressions that the org does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from syncbridge.sandbox.salesforce.org.expressions import problem_of
from syncbridge.sandbox.salesforce.org.model import ObjectType, Org
from syncbridge.sandbox.salesforce.org.rules import Automation

Problem = tuple[tuple[str, ...], str]


def rule_problems(org: Org, target: ObjectType) -> Iterator[Problem]:
    """Yield where in the object's entry a mistake stands, and what it is."""
    for rule in target.rules.validations:
        path = ("validation_rules", rule.name)
        yield from _expression(org, target, (*path, "error_if"), rule.error_if)
        if rule.field is not None:
            yield from _field(target, (*path, "field"), rule.field)
    for duplicate in target.rules.duplicates:
        for name in duplicate.fields:
            yield from _field(target, ("duplicate_rules", duplicate.name, "fields"), name)
    for automation in target.rules.automations:
        yield from _automation(org, target, automation)


def _automation(org: Org, target: ObjectType, automation: Automation) -> Iterator[Problem]:
    path = ("automations", automation.name)
    for name in automation.when:
        yield from _field(target, (*path, "when"), name)
    if automation.condition is not None:
        yield from _expression(org, target, (*path, "if"), automation.condition)
    for name, value in automation.set:
        yield from _settable(target, (*path, "set", name), name)
        yield from _expression(org, target, (*path, "set", name), value)
    for relationship, values in automation.set_parent:
        lookup = target.by_relationship.get(relationship.lower())
        parent = org.find(lookup.reference_to[-1]) if lookup else None
        if parent is None:
            known = [str(each.relationship) for each in target.by_relationship.values()]
            yield (
                (*path, "set_parent", relationship),
                f"{target.name} has no such relationship{_hint(relationship, known)}",
            )
            continue
        for name, value in values:
            yield from _settable(parent, (*path, "set_parent", relationship, name), name)
            yield from _expression(org, target, (*path, "set_parent", relationship, name), value)


def _expression(org: Org, target: ObjectType, path: tuple[str, ...], text: str) -> Iterator[Problem]:
    problem = problem_of(org, target, text)
    if problem is not None:
        yield path, problem


def _field(target: ObjectType, path: tuple[str, ...], name: str) -> Iterator[Problem]:
    if target.find(name) is None:
        yield path, f"{target.name} has no field {name!r}{_hint(name, [each.name for each in target.fields])}"


def _settable(target: ObjectType, path: tuple[str, ...], name: str) -> Iterator[Problem]:
    field = target.find(name)
    if field is None:
        yield from _field(target, path, name)
    elif field.formula is not None or field.type in ("id", "address"):
        yield path, f"{name} cannot be set: it is worked out from other fields"


def _hint(name: str, known: list[str]) -> str:
    lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"; did you mean {lower[close[0]]!r}?" if close else ""
