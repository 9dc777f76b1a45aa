"""Every row of docs/types.md through the poller: what somebody enters in Salesforce comes into a real column as the
page says, or is held with the page's code. Nothing of it goes out again but a text that its column respells."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from psycopg import Connection

from syncbridge.destinations.base import Delivered, Traced
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.inbound.poll import Poller
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.types.rule import SAME, Back, Refused, There
from syncbridge.mapping.types.table import RULES
from syncbridge.model import Lsn, Normal, Priority, Reason
from syncbridge.outbound.deliver import Deliverer
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.source import rows
from syncbridge.source.catalog import read_catalog
from syncbridge.store import database, held_changes, links, mappings, outbox
from tests.fix_store import MOMENT
from tests.type_cases import TYPES, Case, back_cases, entry, names, there_cases, with_id

#: What a column holds at first that may not be null.
FIRST = {"integer not null": "7", "text not null": "'first'", "text[] not null": "'{first}'"}
#: Columns with a spelling of their own for what a text field holds.
RESPELLED = ("integer", "numeric(12,3)", "boolean", "uuid")
THERE = [case for rule in RULES for case in there_cases(rule) if not isinstance(case.example.remote, Refused)]
CASES = [*THERE, *(case for rule in RULES for case in back_cases(rule))]
PAIRS = names(CASES)


@dataclass
class Both:
    """A row and a Contact for every case, whose number is their key; a column and a field for every pair of types."""

    store: Connection
    salesforce: SalesforceDestination
    account: str
    mapping_id: int
    lane: Deliverer
    poller: Poller

    def enter(self, values: dict[int, Normal]) -> None:
        """Somebody enters a value in the field of each of these cases, and the changes are polled."""
        ids = links.remote_ids(self.store, self.mapping_id, map(str, values))
        given = [(ids[str(key)], {f"F{place(CASES[key])}__c": value}) for key, value in values.items()]
        results = self.salesforce.update("Contact", given)
        assert [result for result in results if not isinstance(result, Delivered)] == []
        while self.poller.step() == 0:
            pass

    def touch_and_deliver(self) -> dict[int, object]:
        """Every row is looked at, as if capture had seen a change of each; what was sent of each case."""
        (position,) = self.store.execute("select pg_current_wal_insert_lsn()::text").fetchone() or ("",)
        every = (str(key) for key in range(len(CASES)))
        how = {"reason": Reason.CHANGE, "priority": Priority.LIVE, "lsn": Lsn.parse(position), "moment": MOMENT}
        outbox.enqueue(self.store, self.mapping_id, every, **how)  # type: ignore[arg-type]
        sent: dict[int, object] = {}
        self.salesforce.trace = lambda traced: sent.update(_fields(traced))
        while self.lane.step():
            pass
        self.salesforce.trace = None
        return sent

    def assert_stored(self, key: int, stated: str | None) -> None:
        """The column holds this text's value."""
        column, at = CASES[key].column.removesuffix(" not null"), place(CASES[key])
        through = "::numeric" if column == "money" else ""
        row = self.store.execute(
            f"select c{at}::text, c{at} is not distinct from %s::text{through}::{column} from everything where id = %s",
            (with_id(stated, self.account), key),
        ).fetchone()
        assert row is not None
        assert row[1], f"{CASES[key]}: {row[0]!r}"


def place(case: Case) -> int:
    return PAIRS[case.column, case.field]


def _fields(traced: Traced) -> dict[int, object]:
    """The value that an upsert gave for each case."""
    if traced.method != "PATCH":
        return {}
    by_key = {int(record["External_Key__c"]): record for record in traced.request["records"]}
    return {key: record.get(f"F{place(CASES[key])}__c") for key, record in by_key.items()}


def is_respelled(case: Case) -> bool:
    """Whether somebody entered a text that its column spells in another way."""
    example = case.example
    return isinstance(example, Back) and isinstance(example.value, str) and isinstance(example.remote, str)


def is_empty(value: object) -> bool:
    return value is None or value is False


@pytest.fixture
def both(
    state: None, connection: Connection, dsn: str, server: SandboxServer, destination: SalesforceDestination
) -> Iterator[Both]:
    for (_, field), at in PAIRS.items():
        server.control.put_field("Contact", f"F{at}__c", entry(field))
    destination.describe("Contact", refresh=True)
    (account,) = destination.upsert("Account", "External_Key__c", [{"External_Key__c": "a", "Name": "Acme"}])
    assert isinstance(account, Delivered)
    mapping = _mapping(connection)
    with database.connect(dsn, purpose="state") as store, database.connect(dsn, purpose="rows") as source:
        yield _started(mapping, store, source, destination, account.remote_id)


def _started(
    mapping: CompiledMapping, store: Connection, source: Connection, destination: SalesforceDestination, account: str
) -> Both:
    """In force, delivered and polled once."""
    rows.prepare(source)
    mapping_id, _ = mappings.apply(
        store,
        name="everything",
        destination="crm",
        object="Contact",
        definition=dict(mapping.definition),
        digest=mapping.digest,
    )
    assert mapping.two_way is not None
    lane = Deliverer(mapping_id, mapping, destination, store, source, rng=random.Random(1))
    poller = Poller(mapping_id, mapping, mapping.two_way, destination, store, store, rng=random.Random(1))
    both = Both(store, destination, account, mapping_id, lane, poller)
    both.touch_and_deliver()
    assert poller.step() > 0
    return both


def _mapping(connection: Connection) -> CompiledMapping:
    """A table with a row for every case, empty but for its key, and the mapping of all its columns."""
    connection.execute(TYPES)
    columns = "".join(
        f", c{at} {column}" + (f" default {FIRST[column]}" if column in FIRST else "")
        for (column, _), at in PAIRS.items()
    )
    connection.execute(f"create table everything (id integer primary key{columns})")
    connection.execute("insert into everything select generate_series(0, %s)", (len(CASES) - 1,))
    fields = "".join(f"  F{at}__c: c{at}\n" for at in PAIRS.values())
    head = "mapping: everything\ndestination: crm\nobject: Contact\nentity: {table: everything, key: id}\n"
    rest = "direction: both\nexternal_id: External_Key__c\nfields:\n  LastName: {constant: Example}\n"
    table = read_catalog(connection, [("public", "everything")]).tables["public", "everything"]
    return compile_mapping(parse_mapping(head + rest + fields), table)


def test_what_is_entered_in_salesforce_comes_into_its_column_and_does_not_go_out_again(
    both: Both, server: SandboxServer
) -> None:
    some: dict[int, Normal] = {}
    for case in CASES:
        if not is_empty(case.example.remote) and not isinstance(case.example.value, Refused):
            some[place(case)] = with_id(case.example.remote, both.account)  # type: ignore[assignment]
    entered: dict[int, Normal] = {
        key: with_id(case.example.remote, both.account)  # type: ignore[misc]
        for key, case in enumerate(CASES)
    }
    first = {key: some.get(place(CASES[key])) for key, value in entered.items() if is_empty(value)}
    both.enter(first)  # what is empty at last holds something before
    both.enter(entered)
    held = held_changes.read(both.store, both.mapping_id, [str(key) for key in entered])
    for key, case in enumerate(CASES):
        example = case.example
        if isinstance(example, There):
            assert str(key) not in held, (case, held[str(key)])
            both.assert_stored(key, example.value if example.back == SAME else example.back)
        elif isinstance(example.value, Refused):
            assert (held[str(key)].kind, held[str(key)].code) == ("refused", example.value.code), case
            assert str(entered[key]) not in (held[str(key)].message or "") or entered[key] is None
        else:
            assert str(key) not in held, (case, held[str(key)])
            both.assert_stored(key, example.value)
    assert both.touch_and_deliver() == {
        key: case.example.value for key, case in enumerate(CASES) if case.column in RESPELLED and is_respelled(case)
    }
    while both.poller.step() == 0:
        pass
    server.control.reset_stats()
    assert both.touch_and_deliver() == {}
    assert server.control.calls("collections_upsert") == 0
    assert both.store.execute("select key, status from syncbridge.outbox").fetchall() == []
    assert len(held) == sum(
        isinstance(case.example, Back) and isinstance(case.example.value, Refused) for case in CASES
    )
