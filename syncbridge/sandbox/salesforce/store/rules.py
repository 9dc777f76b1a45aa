"""Letting an org's rules act on records that have just been written, before their transaction is committed.

Automations first, then validation rules, then duplicate rules. Each sees the records as they would be stored, formulas
and defaults included; a record that is refused leads to the transaction being done again without it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import orjson

from syncbridge.sandbox.salesforce.errors import DuplicatesFound, Refusal
from syncbridge.sandbox.salesforce.org.expressions import ROW, Expressions
from syncbridge.sandbox.salesforce.org.model import TEXT_TYPES, Field, ObjectType, Org
from syncbridge.sandbox.salesforce.org.rules import Automation, DuplicateRule
from syncbridge.sandbox.salesforce.store.changes import Change
from syncbridge.sandbox.salesforce.store.storage import Storage
from syncbridge.sandbox.salesforce.store.values import Stored, normaliser

CPU_LIMIT = "System.LimitException: Apex CPU time limit exceeded"
#: So many records of a transaction are given to triggers and flows at once.
TRIGGER_CHUNK = 200
Before = dict[str, dict[str, Stored]]


class OrgRules:
    """The rules of one org at work."""

    def __init__(self, org: Org, storage: Storage) -> None:
        self._org = org
        self._storage = storage

    def before(self, changes: Sequence[Change]) -> Before:
        """Return what the fields that automations watch hold now, by record; to be asked before anything is written."""
        found: Before = {}
        for target, group in _by_target(changes):
            watched = sorted({name for each in target.rules.automations for name in each.when})
            ids = [each.id for each in group if not each.created]
            if not watched or not ids:
                continue
            names = [target.by_name[name.lower()].name for name in watched]
            for row in self._storage.rows_with(target, ("Id", *names), "Id", ids):
                found[row[0]] = dict(zip(names, row[1:], strict=True))
        return found

    def run(self, changes: Sequence[Change], before: Before, *, allow_duplicates: bool) -> bool:
        """Let all rules act on what was written, and give refused changes their refusal; True when none was."""
        for target, group in _by_target(changes):
            for automation in target.rules.automations:
                self._automate(target, automation, group, before)
            self._validate(target, group)
            for rule in target.rules.duplicates:
                if rule.action == "block" or not allow_duplicates:
                    self._compare(target, rule, group)
        return not any(each.refusal for each in changes)

    def _automate(self, target: ObjectType, automation: Automation, group: list[Change], before: Before) -> None:
        wanted = [each for each in group if each.refusal is None and _concerns(automation, each, before)]
        chosen = {str(row[0]) for row in self._matching(target, automation.condition or "1", wanted)}
        run_for = [each for each in wanted if each.id in chosen]
        if not run_for:
            return
        if automation.error is not None:
            for change in run_for:
                change.refusal = _apex_error(automation, change, automation.error)
            return
        if automation.cpu_limit is not None:
            _spend_time(automation, automation.cpu_limit, group, chosen)
            run_for = [each for each in run_for if each.refusal is None]
        ids = [str(each.id) for each in run_for]
        try:
            if automation.set:
                self._set(target, automation.set, target, "Id", ids)
            for relationship, values in automation.set_parent:
                lookup = target.by_relationship[relationship.lower()]
                self._set(target, values, self._org.objects[lookup.reference_to[-1].lower()], lookup.name, ids)
        except Refusal as refusal:  # a value that the field cannot hold
            for change in run_for:
                text = f"{automation.name}: {refusal.message}"
                change.refusal = Refusal("CANNOT_EXECUTE_FLOW_TRIGGER", text, fields=[])

    def _set(
        self, target: ObjectType, values: tuple[tuple[str, str], ...], owner: ObjectType, key: str, ids: list[str]
    ) -> None:
        """Set fields of the record, or of the parent that `key` leads to, to expressions over the record.

        Of several records with one parent the last one counts. Refusal for a value that a field cannot hold.
        """
        expressions = Expressions(self._org)
        fields = [owner.by_name[name.lower()] for name, _ in values]
        columns = ", ".join(f"({expressions.sql(target, text)})" for _, text in values)
        sql = (
            f'select {ROW}."{key}", {columns} from "{target.name}" {ROW} '  # noqa: S608 - names and expressions of the org
            f'where {ROW}."{key}" is not null and {ROW}."Id" in (select value from json_each(?)) order by {ROW}."seq"'
        )
        rows: list[tuple[Stored, ...]] = []
        for owner_id, *found in self._storage.select(sql, (orjson.dumps(ids).decode(),)):
            stored = [_stored(field, value) for field, value in zip(fields, found, strict=True)]
            rows.append((*stored, owner_id))
        self._storage.touch(owner, tuple(each.name for each in fields), rows)

    def _validate(self, target: ObjectType, group: list[Change]) -> None:
        for rule in target.rules.validations:
            broken = {row[0] for row in self._matching(target, rule.error_if, group)}
            for change in group:
                if change.id in broken and change.refusal is None:
                    fields = [] if rule.field is None else [target.by_name[rule.field.lower()].name]
                    change.refusal = Refusal("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, fields=fields)

    def _compare(self, target: ObjectType, rule: DuplicateRule, group: list[Change]) -> None:
        """Refuse records that agree with one that is there already; those of one request are not compared."""
        names = [target.by_name[each.lower()].name for each in rule.fields]
        ids = [each.id for each in group if each.created or not each.values.keys().isdisjoint(names)]
        agree = " and ".join(f'other."{each}" = {ROW}."{each}"' for each in names)
        sql = (
            f'select {ROW}."Id", other."Id" from "{target.name}" {ROW} join "{target.name}" other on {agree} '  # noqa: S608
            f'where {ROW}."Id" in (select value from json_each(?1)) and other."IsDeleted" = 0 '
            'and other."Id" not in (select value from json_each(?2)) order by other."seq"'
        )
        matches: dict[str, list[str]] = defaultdict(list)
        every = [each.id for each in group]
        for record_id, other in self._storage.select(sql, (orjson.dumps(ids).decode(), orjson.dumps(every).decode())):
            matches[record_id].append(other)
        for change in group:
            if change.refusal is None and change.id in matches:
                change.refusal = DuplicatesFound(
                    target.name, rule.name, rule.message, matches[change.id], allow_save=rule.action == "alert"
                )

    def _matching(self, target: ObjectType, condition: str, changes: Iterable[Change]) -> list[tuple[str]]:
        """Return the ids of the changed records for which a condition is true."""
        ids = [each.id for each in changes]
        sql = (
            f'select {ROW}."Id" from "{target.name}" {ROW} where {ROW}."Id" in (select value from json_each(?)) '  # noqa: S608
            f"and ({Expressions(self._org).sql(target, condition)})"
        )
        return self._storage.select(sql, (orjson.dumps(ids).decode(),)) if ids else []


def have_rules(changes: Iterable[Change]) -> bool:
    """Say whether any of the changes is to be seen by a rule."""
    return any(each.target.rules.any for each in changes)


def _by_target(changes: Iterable[Change]) -> list[tuple[ObjectType, list[Change]]]:
    groups: dict[str, tuple[ObjectType, list[Change]]] = {}
    for change in changes:
        if change.target.rules.any:
            groups.setdefault(change.target.name, (change.target, []))[1].append(change)
    return list(groups.values())


def _concerns(automation: Automation, change: Change, before: Before) -> bool:
    """Say whether an automation runs for this create or update."""
    if change.created:
        return "create" in automation.on
    if "update" not in automation.on:
        return False
    if not automation.when:
        return True
    old = before.get(str(change.id), {})
    names = [change.target.by_name[each.lower()].name for each in automation.when]
    return any(each in change.values and change.values[each] != old.get(each) for each in names)


def _stored(field: Field, value: Stored) -> Stored:
    """Return what SQLite worked out as the field stores it, in its normal form."""
    if field.type == "boolean":
        return int(bool(value))
    if value is not None and field.type in TEXT_TYPES:
        value = str(value)
    return normaliser(field)(value)


def _spend_time(automation: Automation, limit: int, group: list[Change], chosen: set[str]) -> None:
    """Refuse the records for which an automation runs, in each chunk in which it runs for more than the limit."""
    for start in range(0, len(group), TRIGGER_CHUNK):
        run_for = [each for each in group[start : start + TRIGGER_CHUNK] if each.id in chosen]
        if len(run_for) > limit:
            for change in run_for:
                change.refusal = _apex_error(automation, change, CPU_LIMIT)


def _apex_error(automation: Automation, change: Change, problem: str) -> Refusal:
    """Word an error as that of a trigger: limits are shown without the event during which they were met."""
    moment = "AfterInsert" if change.created else "AfterUpdate"
    text = f"{automation.name}: {problem}"
    if problem != CPU_LIMIT:
        text = f"{automation.name}: execution of {moment}\n\ncaused by: {problem}"
    return Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text, fields=[])
