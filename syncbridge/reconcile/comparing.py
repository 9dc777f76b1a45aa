"""The first comparison: groups of one key, a page at a time. What does not agree at once is a suspect, no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from syncbridge.outbound.compose import Entities
from syncbridge.reconcile.drift import Suspect
from syncbridge.reconcile.lines import Group
from syncbridge.reconcile.sides import Sides

#: Groups that are composed and compared at once.
PAGE = 5000


@dataclass(slots=True)
class Compared:
    """What was counted so far."""

    groups: int = 0
    entities: int = 0
    agreeing: int = 0
    by_rule: int = 0  # records whose entity is gone, which the mapping leaves where they are


@dataclass(slots=True)
class Comparer:
    """Compares groups with the entities of now."""

    sides: Sides
    compared: Compared = field(default_factory=Compared)

    def suspects(self, groups: Iterable[Group]) -> Iterator[list[Suspect]]:
        """A list for each page, also an empty one."""
        left = iter(groups)
        while page := list(islice(left, PAGE)):
            keys = [key for group in page for key in group.keys]
            entities = self.sides.entities(keys) if keys else Entities()
            self.compared.groups += len(page)
            self.compared.entities += len(entities.records.keys() | entities.refused.keys() | entities.missing.keys())
            yield [suspect for group in page for suspect in self._compare(group, entities)]

    def _compare(self, group: Group, entities: Entities) -> Sequence[Suspect]:
        if len(group.keys) == 1 and len(group.records) == 1 and len(group.links) == 1:
            key, record = group.keys[0], group.records[0]
            fields = entities.records.get(key)
            if fields is not None and group.links[0] == (key, record.remote_id):
                if self.sides.digest(fields) == record.digest:
                    self.compared.agreeing += 1
                    return ()
                return (Suspect(key, (record.remote_id,)),)
        if not any(_is_there(key, entities) for key in group.keys):
            return self._without_entity(group)
        return _all(group)

    def _without_entity(self, group: Group) -> Sequence[Suspect]:
        if not group.links and not group.records:
            return ()  # a row that is no entity
        left = self.sides.rules.deletes == "ignore" or all(record.marked for record in group.records)
        if left and group.records:
            self.compared.by_rule += len(group.records)
            return ()
        return _all(group)


def _is_there(key: str, entities: Entities) -> bool:
    return key in entities.records or key in entities.refused or key in entities.missing


def _all(group: Group) -> Sequence[Suspect]:
    """Every key of a group, with all of its records."""
    ids = tuple(record.remote_id for record in group.records)
    keys = dict.fromkeys((*group.keys, *(key for key, _ in group.links)))
    if keys:
        return [Suspect(key, ids) for key in keys]
    return [Suspect(group.records[0].key, ids)] if group.records else ()
