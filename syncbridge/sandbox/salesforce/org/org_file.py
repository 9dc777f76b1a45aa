"""Org files: YAML that adds objects and fields to the standard org, which is itself written in the same format."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from syncbridge.sandbox.salesforce.org.build import FieldEntry, ObjectEntry, build_field, build_object
from syncbridge.sandbox.salesforce.org.expressions import formula_problem
from syncbridge.sandbox.salesforce.org.model import Field, ObjectType, Org
from syncbridge.sandbox.salesforce.org.rule_checks import rule_problems
from syncbridge.sandbox.salesforce.org.rules import (
    RULE_KEYS,
    AutomationEntry,
    DuplicateEntry,
    RulesEntry,
    ValidationEntry,
    build_rules,
)
from syncbridge.sandbox.salesforce.org.yaml_lines import LinedYaml, OrgFileError

__all__ = ["OrgFileError", "load_org", "parse_field", "parse_object", "parse_rules"]

STANDARD_FILE = Path(__file__).with_name("standard.yaml")
CUSTOM_PREFIXES = [f"a{tens}{ones}" for tens in "0123456789" for ones in "0123456789"]


class OrgFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    objects: dict[str, ObjectEntry] = {}


def load_org(file: Path | None = None) -> Org:
    """Return the standard org, with what the file adds. A mistake in the file is an OrgFileError."""
    objects = dict(_standard_objects())
    if file is not None:
        lined = LinedYaml(file)
        for name, entry in _read(lined).objects.items():
            _add(objects, name, entry, lined)
        _check_references(objects, lined)
        org = Org(list(objects.values()))
        _check_formulas(org, lined)
        _check_rules(org, lined)
    return Org(list(objects.values()))


def parse_field(name: str, definition: Any) -> Field:
    """Return one field from its definition in the org file format, for changes to a running org."""
    return build_field(name, FieldEntry.model_validate(definition))


def parse_object(org: Org, name: str, definition: Any) -> ObjectType:
    """Return one object from its definition in the org file format, for changes to a running org."""
    entry = ObjectEntry.model_validate(definition)
    return build_object(name, entry, entry.prefix or _free_prefix(org.objects.values()))


def parse_rules(org: Org, name: str, definition: Any) -> ObjectType:
    """Return an object with these rules instead of its own, given as in an org file. ValueError for wrong ones."""
    changed = replace(org.objects[name.lower()], rules=build_rules(RulesEntry.model_validate(definition)))
    for path, text in rule_problems(org, changed):
        raise ValueError(f"{'.'.join(path)}: {text}")
    return changed


@lru_cache(maxsize=1)
def _standard_objects() -> dict[str, ObjectType]:
    entries = OrgFile.model_validate(LinedYaml(STANDARD_FILE).values).objects
    return {name: build_object(name, entry, entry.prefix or "") for name, entry in entries.items()}


def _read(lined: LinedYaml) -> OrgFile:
    if lined.values is None:
        return OrgFile()
    try:
        return OrgFile.model_validate(lined.values)
    except ValidationError as error:
        problems = error.errors()
        unknown = [each for each in problems if each["type"] == "extra_forbidden"]
        raise _explain(lined, [*unknown, *problems][0]) from None


def _explain(lined: LinedYaml, problem: Any) -> OrgFileError:
    path = tuple(problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _known_keys(path)
        return lined.error(path, f"unknown key; {_nearest(str(path[-1]), known)}")
    if problem["type"] == "literal_error":
        allowed = [each.strip(" '") for each in problem["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return lined.error(path, f"{problem['input']!r} is not known; {_nearest(str(problem['input']), allowed)}")
    text = problem["msg"].removeprefix("Value error, ")
    return lined.error(path, text[0].lower() + text[1:])


def _known_keys(path: tuple[str | int, ...]) -> Iterable[str]:
    if len(path) < 5:
        return (OrgFile if len(path) == 1 else ObjectEntry).model_fields
    entries: dict[Any, type[BaseModel]] = {
        "validation_rules": ValidationEntry,
        "duplicate_rules": DuplicateEntry,
        "automations": AutomationEntry,
    }
    model = entries.get(path[2], FieldEntry)
    return [each.alias or name for name, each in model.model_fields.items()]


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name.lower(), [each.lower() for each in names], n=1)
    if close:
        return f"did you mean {next(each for each in names if each.lower() == close[0])!r}?"
    return f"known are: {', '.join(names)}"


def _add(objects: dict[str, ObjectType], name: str, entry: ObjectEntry, lined: LinedYaml) -> None:
    path = ("objects", name)
    _check_names(name, entry, objects, lined)
    if name in objects:
        extra = entry.model_fields_set - {"fields"} - RULE_KEYS
        if extra:
            key = min(extra)
            raise lined.error((*path, key), f"{name} is a standard object; only fields and rules can be added to it")
        org = Org([objects[name]])
        for each, field in entry.fields.items():
            org.put_field(name, build_field(each, field))
        objects[name] = replace(org.objects[name.lower()], rules=build_rules(entry))
        return
    taken = {each.prefix for each in objects.values()}
    if entry.prefix in taken:
        raise lined.error((*path, "prefix"), f"{entry.prefix!r} is another object's prefix")
    objects[name] = build_object(name, entry, entry.prefix or _free_prefix(objects.values()))


def _free_prefix(objects: Iterable[ObjectType]) -> str:
    taken = {each.prefix for each in objects}
    return next(each for each in CUSTOM_PREFIXES if each not in taken)


def _check_names(name: str, entry: ObjectEntry, objects: dict[str, ObjectType], lined: LinedYaml) -> None:
    path = ("objects", name)
    if name not in objects and not name.endswith("__c"):
        raise lined.error(path, f"a custom object's name ends in __c; {_nearest(name, objects)}")
    if not name.isidentifier():
        raise lined.error(path, "a name has letters, digits and underscores only")
    known = objects[name].by_name if name in objects else {}
    seen: set[str] = set()
    for field in entry.fields:
        where = (*path, "fields", field)
        if not field.isidentifier():
            raise lined.error(where, "a name has letters, digits and underscores only")
        if field.lower() in seen:
            raise lined.error(where, "given twice; names are the same in any case")
        if not field.endswith("__c") and field.lower() not in known and field != "Name":
            raise lined.error(where, "a custom field's name ends in __c")
        seen.add(field.lower())


def _check_formulas(org: Org, lined: LinedYaml) -> None:
    """Let SQLite read each formula of the file, so that a mistake is shown where it stands."""
    for name, entry in (lined.values or {}).get("objects", {}).items():
        target = org.objects[name.lower()]
        for field in (entry or {}).get("fields", {}):
            known = target.by_name[field.lower()]
            problem = None if known.formula is None else formula_problem(org, target, known)
            if problem is not None:
                raise lined.error(("objects", name, "fields", field, "formula"), problem)


def _check_rules(org: Org, lined: LinedYaml) -> None:
    for name in (lined.values or {}).get("objects", {}):
        for path, text in rule_problems(org, org.objects[name.lower()]):
            raise lined.error(("objects", name, *path), text)


def _check_references(objects: dict[str, ObjectType], lined: LinedYaml) -> None:
    for name, entry in (lined.values or {}).get("objects", {}).items():
        for field in (entry or {}).get("fields", {}):
            for target in objects[name].by_name[field.lower()].reference_to:
                if target not in objects:
                    path = ("objects", name, "fields", field, "to")
                    raise lined.error(path, f"there is no object {target!r}; {_nearest(target, objects)}")
