"""Mappings that look each other up and go both ways: lanes that deliver, and a poller of each."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncbridge.inbound.poll import Poller
from syncbridge.mapping.kinship import kinship
from syncbridge.model import Fields
from syncbridge.store import held_changes, links
from syncbridge.store.held_changes import HeldChange
from syncbridge.store.sync_log import Logged
from tests.fix_family import Family, StartFamily
from tests.fix_store import MOMENT

BOTH = "direction: both\ndeletes: {to_postgres: ignore}\n"

COMPANIES = """
mapping: companies
destination: crm
object: Account
entity: {table: public.companies, key: id}
external_id: Key__c
fields: {Name: name, ParentId: {lookup: companies, key: parent_id}}
guard: {deletes: off}
"""
PEOPLE = """
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: Key__c
fields:
  Name: name
  AccountId: {lookup: companies, key: company_id}
  ReportsToId: {lookup: people, key: manager_id}
guard: {deletes: off}
"""
SHOPS = """
mapping: shops
destination: crm
object: Shop
entity: {table: public.shops, key: [country, no]}
external_id: Key__c
fields: {Name: name}
guard: {deletes: off}
"""
TILLS = """
mapping: tills
destination: crm
object: Till
entity: {table: public.tills, key: id}
external_id: Key__c
fields: {Name: name, ShopId: {lookup: shops, key: [country, shop_no]}}
guard: {deletes: off}
"""


@dataclass
class FamilyBoth:
    """Both directions of several mappings in a test's hands; `now` is the destination's clock."""

    family: Family
    pollers: dict[str, Poller]
    now: datetime

    def poll(self, *names: str) -> None:
        """Poll the mappings, or all, to the end of what changed."""
        for name in names or self.pollers:
            for _ in range(50):
                if self.pollers[name].step() > 0:
                    break
            else:
                raise AssertionError("polling does not come to an end")

    def settle(self) -> None:
        """Everything is polled, captured and delivered until neither side has anything to do."""
        for _ in range(4):
            self.age_links()
            self.poll()
            for name, (_, mapping) in self.family.mappings.items():
                key = (
                    mapping.key[0]
                    if len(mapping.key) == 1
                    else f"jsonb_build_array({', '.join(f'{k}::text' for k in mapping.key)})"
                )
                self.family.touch(name, *(k for (k,) in self.family.sql(f"select ({key})::text from {mapping.table}")))
            self.family.deliver()

    def edit(self, name: str, key: object, **fields: Any) -> None:
        """Somebody changes the remote record of an entity, two minutes after what was committed here."""
        remote_id = self.id(name, key)
        self.now = max(self.now + timedelta(seconds=1), MOMENT + timedelta(minutes=2))
        (result,) = self.family.crm.update(self._object(name), [(remote_id, fields)])
        assert not hasattr(result, "code"), result

    def make(self, object: str, **fields: Any) -> str:
        """Somebody creates a record that has no row; its remote id."""
        return self.family.crm.put(object, fields)

    def id(self, name: str, key: object) -> str:
        found = self.family.remote_id(name, key)
        assert found is not None, f"{name} {key} has no record"
        return found

    def link(self, name: str, key: object, remote_id: str, **base: Any) -> None:
        """As if the mapping's own poll had made this row of the record."""
        links.upsert(self.family.store, self.family.id(name), {str(key): (remote_id, dict(base))})

    def base(self, name: str, key: object) -> Fields:
        link = links.read(self.family.store, self.family.id(name), str(key))
        assert link is not None
        return link.base

    def record(self, name: str, key: object) -> Fields:
        return self.family.remote(self._object(name))[str(key)]

    def row(self, name: str, key: object, columns: str) -> tuple[Any, ...]:
        (row,) = self.family.sql(f"select {columns} from {name} where id = %s", key)
        return tuple(row)

    def log(self, name: str, key: object) -> list[Logged]:
        """What the way back did to an entity."""
        return [entry for entry in self.family.log(name, key) if entry.direction == "in"]

    def held(self, name: str, key: object) -> HeldChange | None:
        return held_changes.read(self.family.store, self.family.id(name), [str(key)]).get(str(key))

    def calls(self, action: Callable[[], object]) -> list[tuple[str, str]]:
        """(operation, object) of the calls that this makes."""
        before = len(self.family.crm.calls)
        action()
        return [(operation, object) for operation, object, _ in self.family.crm.calls[before:]]

    def age_links(self) -> None:
        """As if what was linked so far had been linked some time ago."""
        self.family.store.execute("update syncbridge.link set delivered_at = delivered_at - interval '1 hour'")

    def age_waits(self) -> None:
        """As if what waits for parents had waited for an hour."""
        self.family.store.execute("update syncbridge.parent_wait set since = since - interval '1 hour'")

    def _object(self, name: str) -> str:
        return self.family.mappings[name][1].object


StartFamilyBoth = Callable[..., FamilyBoth]


@pytest.fixture
def start_family_both(start_family: StartFamily) -> StartFamilyBoth:
    """Starts mappings from their texts in both directions, each polled once."""

    def make(*texts: str, tables: str = "") -> FamilyBoth:
        family = start_family(*(text + ("" if "direction:" in text else BOTH) for text in texts), more=tables)
        kin = kinship({name: id for name, (id, _) in family.mappings.items()}, dict(family.mappings.values()))
        pollers = {}
        for name, (id, mapping) in family.mappings.items():
            store = family.connect()
            if mapping.two_way is not None:
                pollers[name] = Poller(
                    id,
                    mapping,
                    mapping.two_way,
                    family.crm,
                    store,
                    store,
                    rng=random.Random(1),
                    clock=lambda: 0.0,  # however slow the machine is, nothing rests
                    kin=kin[id],
                )
        both = FamilyBoth(family, pollers, datetime.now(UTC))
        family.crm.feed.clock = lambda: both.now
        both.poll()
        return both

    return make


@pytest.fixture
def both_sides(start_family_both: StartFamilyBoth) -> FamilyBoth:
    """Three companies, and two people of the first, on both sides and in both directions."""
    both = start_family_both(COMPANIES, PEOPLE)
    both.family.sql("insert into companies (id, name) values (1, 'one'), (2, 'two'), (3, 'three')")
    both.family.sql("insert into people (id, name, company_id) values (1, 'Ada', 1), (2, 'Bob', 1)")
    both.family.touch("companies", 1, 2, 3)
    both.family.touch("people", 1, 2)
    both.family.deliver()
    both.poll()
    both.age_links()
    return both
