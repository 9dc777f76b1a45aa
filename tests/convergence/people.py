"""What people do on both sides: every value that they write is in the ledger.

A key below zero means a record that somebody made there, the newest being -1, and its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.convergence.far_side import KEYS
from tests.convergence.mappings import COLUMNS, NAMES, OBJECT
from tests.convergence.telling import Telling

Records = Mapping[str, Mapping[str, Any]]


class People(Telling):
    """Their steps."""

    # -- here ---------------------------------------------------------------------------------------------------------

    def insert(self, name: str, key: int) -> None:
        if key < 0 or str(key) in self.project.rows(name):
            return
        self.ledger.shake(name, str(key), renew=True)
        values = {column: self._new("here", name, str(key), remote, 0) for remote, column in COLUMNS[name].items()}
        columns = ", ".join(["id", *values])
        self.tell(f"insert {name} {key}: {values}")
        given = ", ".join(["%s"] * (len(values) + 1))
        self.project.sql(f"insert into {name} ({columns}) values ({given})", key, *values.values())

    def edit_here(self, name: str, key: int, fields: Sequence[str], shape: int) -> None:
        found = self._row(name, key)
        if found is None:
            return
        own, row = found
        columns = COLUMNS[name]
        values = {columns[each]: self._new("here", name, own, each, shape, row[columns[each]]) for each in fields}
        self.tell(f"edit {name} {own} here: {values}")
        assignments = ", ".join(f"{column} = %s" for column in values)
        self.project.sql(f"update {name} set {assignments} where id = %s", *values.values(), own)

    def delete_here(self, name: str, key: int) -> None:
        found = self._row(name, key)
        if found is None:
            return
        own, row = found
        self.ledger.shake(name, own)
        self.ledger.see(row[column] for column in COLUMNS[name].values())
        self.tell(f"delete {name} {own} here")
        self.project.sql(f"delete from {name} where id = %s", own)

    def move_here(self, key: int, company: int | None) -> None:
        person = self._row("people", key)
        parent = None if company is None else self._row("companies", company)
        if person is None or (company is not None and parent is None):
            return
        self.tell(f"move people {person[0]} here to company {parent and parent[0]}")
        self.project.sql(
            "update people set company_id = %s where id = %s", int(parent[0]) if parent else None, person[0]
        )

    def _row(self, name: str, key: int) -> tuple[str, Mapping[str, Any]] | None:
        """A row and its key."""
        own = str(key)
        if key < 0:
            made = self.created[name][key] if len(self.created[name]) >= -key else None
            own = next((each for each, id in self.project.remote_ids(name).items() if id == made), "")
        row = self.project.rows(name).get(own)
        return None if row is None else (own, row)

    def _new(self, side: Any, name: str, key: str, remote: str, shape: int, before: Any = None) -> Any:
        return self.ledger.write(side, (name, key, remote), shape, before)

    # -- there --------------------------------------------------------------------------------------------------------

    def create_there(self, name: str, shape: int, company: int | None, key: int | None) -> None:
        """A new record, with the key of a row or without one."""
        object = OBJECT[name]
        if key is not None and (key < 0 or self._record(name, key) is not None):
            return
        entity = f"new {len(self.created[name])}" if key is None else str(key)
        values = {each: self._new("there", name, entity, each, shape) for each in COLUMNS[name]}
        given: dict[str, Any] = {**values}
        parent = self._record("companies", company) if name == "people" and company is not None else None
        if name == "people":
            given["AccountId"] = parent[0] if parent else None
        if key is not None:
            given[KEYS[object]] = str(key)
            self.ledger.shake(name, entity, renew=True)
        remote_id = self.project.far.create(object, given)
        self.tell(f"create {name} there: {remote_id} {given}")
        self.ledger.join(name, entity, remote_id)
        self.created[name].append(remote_id)

    def _record(self, name: str, key: int) -> tuple[str, Mapping[str, Any]] | None:
        records: Records = self.project.far.records(OBJECT[name])
        if key < 0:
            made = self.created[name][key] if len(self.created[name]) >= -key else ""
            return (made, records[made]) if made in records else None
        return next(((id, each) for id, each in records.items() if each[KEYS[OBJECT[name]]] == str(key)), None)

    def edit_there(self, name: str, key: int, fields: Sequence[str], shape: int) -> None:
        found = self._record(name, key)
        if found is None:
            return
        remote_id, record = found
        entity = entity_of(name, remote_id, record)
        values = {each: self._new("there", name, entity, each, shape, record[each]) for each in fields}
        self.tell(f"edit {name} {entity} there: {values}")
        self.project.far.edit(OBJECT[name], remote_id, values)

    def edit_alike(self, name: str, key: int, remote: str) -> None:
        """Both sides write the same value."""
        row, found = self._row(name, key), self._record(name, key)
        if row is None or found is None:
            return
        self.edit_here(name, key, [remote], 0)
        value = self.ledger.last[self.ledger.place((name, row[0], remote)), "here"].value
        self.ledger.write_alike((name, row[0], remote), value, found[1][remote])
        self.tell(f"edit {name} {row[0]} there alike: {value}")
        self.project.far.edit(OBJECT[name], found[0], {remote: value})

    def delete_there(self, name: str, key: int) -> None:
        """A company takes its people along, where the destination has it so."""
        found = self._record(name, key)
        if found is None:
            return
        before = self._all()
        self.tell(f"delete {name} {entity_of(name, *found)} there")
        self.project.far.delete(OBJECT[name], found[0])
        now = self._all()
        for each in NAMES:
            for remote_id in before[each].keys() - now[each].keys():
                record = before[each][remote_id]
                self.ledger.shake(each, entity_of(each, remote_id, record))
                self.ledger.see(record[remote] for remote in COLUMNS[each])

    def undelete(self, name: str, which: int) -> None:
        binned = self.project.far.binned(OBJECT[name])
        if not binned:
            return
        remote_id = binned[which % len(binned)]
        before = self._all()
        if not self.project.far.undelete(OBJECT[name], remote_id):
            return
        now = self._all()
        for each in NAMES:
            for came in now[each].keys() - before[each].keys():
                entity = entity_of(each, came, now[each][came])
                self.tell(f"undelete {each} {entity} there ({came})")
                self.ledger.shake(each, entity, renew=True)

    def merge_there(self, name: str, key: int, loser: int) -> None:
        """What the survivor does not hold of the loser is given up by whoever merges."""
        found, lost = self._record(name, key), self._record(name, loser)
        if found is None or lost is None or found[0] == lost[0]:
            return
        survivor, other = entity_of(name, *found), entity_of(name, *lost)
        self.tell(f"merge {name} {other} there into {survivor} ({lost[0]} into {found[0]})")
        self.ledger.see(lost[1][remote] for remote in COLUMNS[name])
        self.ledger.join(name, other, survivor)
        self.ledger.shake(name, survivor, renew=True)
        self.project.far.merge(OBJECT[name], found[0], lost[0])

    def move_there(self, key: int, company: int | None) -> None:
        found = self._record("people", key)
        parent = None if company is None else self._record("companies", company)
        if found is None or (company is not None and parent is None):
            return
        self.tell(f"move people {entity_of('people', *found)} there to {parent and entity_of('companies', *parent)}")
        self.project.far.edit("Contact", found[0], {"AccountId": parent[0] if parent else None})

    def _all(self) -> dict[str, Records]:
        return {name: self.project.far.records(OBJECT[name]) for name in NAMES}


def entity_of(name: str, remote_id: str, record: Mapping[str, Any]) -> str:
    """What the ledger calls the entity of a record: by its key, or by its id while it has none."""
    key = record[KEYS[OBJECT[name]]]
    return str(key) if key else remote_id
