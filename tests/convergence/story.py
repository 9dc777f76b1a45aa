"""A story: what people, clocks, troubles and syncbridge do, line by line, as it is told when it ends badly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from syncbridge.model import MappingStatus
from syncbridge.store import mappings, way_back
from tests.convergence.far_side import KEYS, Amid, Call, Died, Trouble
from tests.convergence.ledger import Ledger
from tests.convergence.mappings import COLUMNS, NAMES, OBJECT
from tests.convergence.project import Project


def _die(*_: Any, **__: Any) -> Any:
    raise Died


@dataclass
class Story:
    """Steps over a project; each tells what it did, and what syncbridge did because of it."""

    project: Project
    ledger: Ledger = field(default_factory=Ledger)
    lines: list[str] = field(default_factory=list)
    _observed: int = 0
    _logged: int = 0
    _late: int = 0

    def __post_init__(self) -> None:
        self.project.far.calls.tell = self.tell
        self._observed = self.project.captured

    def begin(self) -> None:
        """What was inserted so far is on both sides, and nothing of it is worth telling."""
        self.observe()
        self.ledger.shaken.clear()
        self.ledger.renewed.clear()
        self.lines[:] = [str(self.project.variant), f"v1 to v{len(self.ledger.edits)} are on both sides"]

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def observe(self) -> None:
        """Tell what syncbridge wrote into rows and into its log since the last look."""
        for number, source, key, before, after in self.project.sql(
            "select number, source, key, before, after from written where number > %s and who like 'syncbridge%%'"
            " order by number",
            self._observed,
        ):
            self._observed = number
            self.tell(f"    row of {source} {key}: {_changes(before, after)}")
        for id, name, key, operation, outcome, code, message, decision in self.project.sql(
            "select l.id, m.name, key, operation, outcome, code, message, decision from syncbridge.sync_log l"
            " join syncbridge.mapping m on m.id = l.mapping_id where l.id > %s and"
            " (direction = 'in' or outcome <> 'delivered') order by l.id",
            self._logged,
        ):
            self._logged = id
            told = " ".join(str(each) for each in (operation, outcome, code, message, decision) if each)
            self.tell(f"    log of {name} {key}: {told}")

        for name, error in self.project.sql(
            "select name, last_error from syncbridge.mapping where last_error is not null order by name"
        ):
            self.tell(f"    {name} says: {error}")
        self.project.sql("update syncbridge.mapping set last_error = null where last_error is not null")

    # -- people here --------------------------------------------------------------------------------------------------

    def insert(self, name: str, key: int) -> None:
        if str(key) in self.project.rows(name):
            return
        self.ledger.shaken.add((name, str(key)))
        self.ledger.renewed.add((name, str(key)))
        values = {column: self._new("here", name, str(key), remote, 0) for remote, column in COLUMNS[name].items()}
        columns = ", ".join(["id", *values])
        self.tell(f"insert {name} {key}: {values}")
        given = ", ".join(["%s"] * (len(values) + 1))
        self.project.sql(f"insert into {name} ({columns}) values ({given})", key, *values.values())

    def edit_here(self, name: str, key: int, fields: Sequence[str], shape: int) -> None:
        row = self.project.rows(name).get(str(key))
        if row is None:
            return
        columns = COLUMNS[name]
        values = {columns[each]: self._new("here", name, str(key), each, shape, row[columns[each]]) for each in fields}
        self.tell(f"edit {name} {key} here: {values}")
        assignments = ", ".join(f"{column} = %s" for column in values)
        self.project.sql(f"update {name} set {assignments} where id = %s", *values.values(), key)

    def delete_here(self, name: str, key: int) -> None:
        row = self.project.rows(name).get(str(key))
        if row is None:
            return
        self.ledger.shaken.add((name, str(key)))
        self.ledger.see(row[column] for column in COLUMNS[name].values())
        self.tell(f"delete {name} {key} here")
        self.project.sql(f"delete from {name} where id = %s", key)

    def move_here(self, key: int, company: int | None) -> None:
        if company is not None and str(company) not in self.project.rows("companies"):
            return
        self.tell(f"move people {key} here to company {company}")
        self.project.sql("update people set company_id = %s where id = %s", company, key)

    def _new(self, side: Any, name: str, key: str, remote: str, shape: int, before: Any = None) -> Any:
        return self.ledger.write(side, (name, key, remote), shape, before)

    # -- people there -------------------------------------------------------------------------------------------------

    def _record(self, name: str, key: int) -> tuple[str, dict[str, Any]] | None:
        object = OBJECT[name]
        for remote_id, record in self.project.far.records(object).items():
            if record[KEYS[object]] == str(key):
                return remote_id, record
        return None

    def edit_there(self, name: str, key: int, fields: Sequence[str], shape: int) -> None:
        found = self._record(name, key)
        if found is None:
            return
        remote_id, record = found
        values = {each: self._new("there", name, str(key), each, shape, record[each]) for each in fields}
        self.tell(f"edit {name} {key} there: {values}")
        self.project.far.edit(OBJECT[name], remote_id, values)

    def edit_alike(self, name: str, key: int, remote: str) -> None:
        """Both sides write the same value."""
        row, found = self.project.rows(name).get(str(key)), self._record(name, key)
        if row is None or found is None:
            return
        self.edit_here(name, key, [remote], 0)
        value = self.ledger.last[(name, str(key), remote), "here"].value
        self.ledger.write_alike((name, str(key), remote), value, found[1][remote])
        self.tell(f"edit {name} {key} there alike: {value}")
        self.project.far.edit(OBJECT[name], found[0], {remote: value})

    def delete_there(self, name: str, key: int) -> None:
        """A company takes its people along, where the destination has it so."""
        found = self._record(name, key)
        if found is None:
            return
        before = {each: self.project.far.records(OBJECT[each]) for each in NAMES}
        self.tell(f"delete {name} {key} there")
        self.project.far.delete(OBJECT[name], found[0])
        for each in NAMES:
            object = OBJECT[each]
            for remote_id in before[each].keys() - self.project.far.records(object).keys():
                record = before[each][remote_id]
                self.ledger.shaken.add((each, str(record[KEYS[object]])))
                self.ledger.see(record[remote] for remote in COLUMNS[each])

    def undelete(self, name: str, which: int) -> None:
        binned = self.project.far.binned(OBJECT[name])
        if not binned:
            return
        remote_id = binned[which % len(binned)]
        before = {each: self.project.far.records(OBJECT[each]) for each in NAMES}
        if not self.project.far.undelete(OBJECT[name], remote_id):
            return
        for each in NAMES:
            object, now = OBJECT[each], self.project.far.records(OBJECT[each])
            for came in now.keys() - before[each].keys():
                self.tell(f"undelete {each} {now[came][KEYS[object]]} there ({came})")
                self.ledger.shaken.add((each, str(now[came][KEYS[object]])))
                self.ledger.renewed.add((each, str(now[came][KEYS[object]])))

    def move_there(self, key: int, company: int | None) -> None:
        found = self._record("people", key)
        parent = None if company is None else self._record("companies", company)
        if found is None or (company is not None and parent is None):
            return
        self.tell(f"move people {key} there to company {company}")
        self.project.far.edit("Contact", found[0], {"AccountId": parent[0] if parent else None})

    # -- syncbridge ---------------------------------------------------------------------------------------------------

    def capture(self, most: int = 1000) -> None:
        if done := self.project.capture(most):
            self.tell(f"capture {done}")

    def deliver(self, name: str, lane: int) -> None:
        self.tell(f"deliver {name} (lane {lane})")
        self._alive(lambda: self.project.deliver(name, lane))

    def poll(self, name: str, *, page: bool = False) -> None:
        self.tell(f"poll {'a page of ' if page else ''}{name}")
        self._alive(lambda: self.project.poll_page(name) if page else self.project.poll(name))

    def resync(self, name: str) -> None:
        self.tell(f"resync {name}")
        self.project.resync(name)

    def die(self, module: Any, function: str, name: str, *, polling: bool) -> None:
        """A worker is killed when it comes to this function, which does nothing of its work."""
        self.tell(f"the worker dies before {module.__name__.rpartition('.')[2]}.{function}")
        with mock.patch.object(module, function, _die):
            if polling:
                self.poll(name)
            else:
                self.deliver(name, 0)

    def plan(self, call: Call, after: bool, act: Any) -> None:
        """Something happens amid the next call of a kind."""

        def happen() -> None:
            self.tell(f"  amid {call}, {'after it was answered' if after else 'before it is sent'}:")
            act()

        self.project.far.calls.amid.append(Amid(call, after, happen))

    def trouble(self, trouble: Trouble) -> None:
        self.tell(f"the next call meets: {trouble}")
        self.project.far.calls.troubles.append(trouble)

    def pause(self, name: str, *, resume: bool) -> None:
        self.tell(f"{'resume' if resume else 'pause'} {name}")
        store, mapping_id = self.project.store, self.project.mappings[name][0]
        if resume:
            mappings.resume(store, mapping_id)
            way_back.resume(store, mapping_id)
        else:
            mappings.set_status(store, mapping_id, MappingStatus.PAUSED, reason="a person")
            way_back.set_status(store, mapping_id, MappingStatus.PAUSED, reason="a person")

    def pass_time(self, seconds: int) -> None:
        self.tell(f"{seconds} s pass")
        self.project.pass_time(seconds)

    def be_late(self, seconds: int) -> None:
        if seconds != self._late:
            self.tell(f"queries show what is written {seconds} s late")
        self._late = seconds
        self.project.far.be_late(seconds)

    def _alive(self, work: Any) -> None:
        if self.project.restart(work):
            self.tell("    (died)")


def _changes(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    if before is None or after is None:
        return f"deleted, was {before}" if before else f"inserted {after}"
    return str({name: (before[name], value) for name, value in after.items() if before[name] != value})
