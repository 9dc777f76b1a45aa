"""Every row of docs/types.md: from a real column over HTTP into the sandbox, read again, and into a column again.

What is stated is what happens, and what came back is sent again as the same value, so that nothing goes to and fro.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg import Connection

from syncbridge.destinations.base import Delivered
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.errors import RecordRejected
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.types.rule import SAME, Back, Refused, There, TypeRule
from syncbridge.mapping.types.table import RULES
from syncbridge.mapping.types.writing import Writer, field_writer, input_sql
from syncbridge.model import Fields, Normal
from syncbridge.outbound.compose import Composer, Entities
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.schemas import Table
from syncbridge.source.catalog import read_catalog
from tests.type_cases import TYPES, Case, back_cases, entry, ids, names, there_cases, with_id


@dataclass
class Bench:
    """A database, an org and what lies between them."""

    connection: Connection
    server: SandboxServer
    destination: SalesforceDestination
    account: str
    _described: dict[str, Table] = field(default_factory=dict)

    def build(self, table: str, cases: list[Case]) -> None:
        """A table with a column, and a Contact with a field, for every pair; `at` numbers them."""
        pairs = names(cases)
        columns = "".join(f", c{at} {column}" for (column, _), at in pairs.items())
        self.connection.execute(f"create table {table} (id integer primary key{columns})")
        for (_, remote), at in pairs.items():
            self.server.control.put_field("Contact", f"F{at}__c", entry(remote))
        self.destination.describe("Contact", refresh=True)

    def table(self, name: str) -> Table:
        return self._described.setdefault(
            name, read_catalog(self.connection, [("public", name)]).tables["public", name]
        )

    def mapping(self, name: str, count: int) -> CompiledMapping:
        fields = "".join(f"  F{at}__c: c{at}\n" for at in range(count))
        head = f"mapping: m\ndestination: crm\nobject: Contact\nentity: {{table: {name}, key: id}}\n"
        text = f"{head}external_id: External_Key__c\nfields:\n  LastName: {{constant: Example}}\n{fields}"
        return compile_mapping(parse_mapping(text), self.table(name))

    def compose(self, name: str, count: int, keys: list[str]) -> Entities:
        with psycopg.connect(self.connection.info.dsn, autocommit=True) as source:
            return Composer(self.mapping(name, count), self.destination, source).compose(keys)

    def send_and_read(self, records: dict[str, Fields], count: int) -> dict[str, Fields]:
        """What Salesforce gives for records that were sent, by their key."""
        sent = [{**record, "External_Key__c": key} for key, record in records.items()]
        results = self.destination.upsert("Contact", "External_Key__c", sent)
        delivered = [result for result in results if isinstance(result, Delivered)]
        assert [result for result in results if not isinstance(result, Delivered)] == []
        fields = [f"F{at}__c" for at in range(count)]
        read = self.destination.read("Contact", [result.remote_id for result in delivered], fields)
        return {key: record.fields for key, record in zip(records, read, strict=True) if record is not None}

    def writer(self, table: str, count: int, at: int) -> Writer:
        remote = self.destination.describe("Contact").fields[f"F{at}__c"]
        mapped = next(each for each in self.mapping(table, count).fields if each.remote == f"F{at}__c")
        return field_writer(mapped, self.table(table).columns[f"c{at}"], remote, self.destination.normaliser(remote))

    def store(self, table: str, at: int, key: int, text: str | None) -> None:
        placeholder = input_sql(self.table(table).columns[f"c{at}"])
        self.connection.execute(f"insert into {table} (id, c{at}) values (%s, {placeholder})", (key, text))


@pytest.fixture
def bench(connection: Connection, server: SandboxServer, destination: SalesforceDestination) -> Bench:
    connection.execute(TYPES)
    (account,) = destination.upsert("Account", "External_Key__c", [{"External_Key__c": "a", "Name": "Acme"}])
    assert isinstance(account, Delivered)
    return Bench(connection, server, destination, account.remote_id)


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns"])
@pytest.mark.parametrize("rule", RULES, ids=ids(RULES))
def test_every_example_goes_there_and_back(bench: Bench, rule: TypeRule, zone: str) -> None:
    bench.connection.execute(f"alter database \"{bench.connection.info.dbname}\" set timezone = '{zone}'")
    cases = there_cases(rule)
    pairs = names(cases)
    bench.build("source", cases)
    bench.connection.execute("create table target (like source including all)")
    for key, case in enumerate(cases):
        assert isinstance(case.example, There)
        at = pairs[case.column, case.field]
        through = "::numeric" if case.column == "money" else ""  # whatever the server's lc_monetary
        bench.connection.execute(
            f"insert into source (id, c{at}) values (%s, %s::text{through}::{case.column})",
            (key, with_id(case.example.value, bench.account)),
        )
    composed = bench.compose("source", len(pairs), [str(key) for key in range(len(cases))])
    read = bench.send_and_read(composed.records, len(pairs))
    for key, case in enumerate(cases):
        _check_there(bench, case, pairs, key, composed, read)
    again = bench.compose("target", len(pairs), list(read))
    assert again.refused == {}
    assert again.records == composed.records


def _check_there(
    bench: Bench, case: Case, pairs: dict[tuple[str, str], int], key: int, composed: Entities, read: dict[str, Fields]
) -> None:
    example, at = case.example, pairs[case.column, case.field]
    assert isinstance(example, There)
    if isinstance(example.remote, Refused):
        assert composed.refused[str(key)].code == example.remote.code, case
        return
    assert str(key) not in composed.refused, (case, composed.refused)
    value = read[str(key)][f"F{at}__c"]
    assert value == with_id(example.remote, bench.account), case
    assert isinstance(value, bool) == isinstance(example.remote, bool), case
    assert composed.records[str(key)][f"F{at}__c"] == value
    bench.store("target", at, key, bench.writer("target", len(pairs), at)(value))
    _assert_stored(bench, case, at, key, example.back)


def _assert_stored(bench: Bench, case: Case, at: int, key: int, stated: str | None) -> None:
    """The column holds what is stated: the source's own value, or this text."""
    if stated == SAME:
        statement, values = f"select s.c{at} from source s where s.id = %(key)s", {"key": key}
    else:
        through = "::numeric" if case.column == "money" else ""
        statement = f"select %(stated)s::text{through}::{case.column.removesuffix(' not null')}"
        values = {"key": key, "stated": with_id(stated, bench.account)}  # type: ignore[dict-item]
    row = bench.connection.execute(
        f"select t.c{at}::text, ({statement})::text, t.c{at} is not distinct from ({statement})"
        " from target t where t.id = %(key)s",
        values,
    ).fetchone()
    assert row is not None
    assert row[2], f"{case}: {row[0]!r} is not {row[1]!r}"


RETURNING = tuple(rule for rule in RULES if rule.returns)


@pytest.mark.parametrize("rule", RETURNING, ids=ids(RETURNING))
def test_what_is_changed_in_the_destination_comes_back_or_is_refused(bench: Bench, rule: TypeRule) -> None:
    cases = back_cases(rule)
    pairs = names(cases)
    for at, case in enumerate(cases):
        assert isinstance(case.example, Back)
        bench.build(f"target{at}", [case])
        bench.connection.execute("drop table if exists target")
        bench.connection.execute(f"alter table target{at} rename to target")
        bench._described.clear()
        value: Normal = with_id(case.example.remote, bench.account)  # type: ignore[assignment]
        (record,) = bench.send_and_read({str(at): {"LastName": "Example", "F0__c": value}}, 1).values()
        assert record["F0__c"] == value
        back = bench.writer("target", 1, 0)
        if isinstance(case.example.value, Refused):
            with pytest.raises(RecordRejected) as caught:
                back(value)
            assert caught.value.code == case.example.value.code, case
            assert caught.value.fields == ("F0__c",)
            assert str(value) not in caught.value.message or value is None
            continue
        bench.store("target", 0, at, back(value))
        _assert_stored(bench, case, 0, at, case.example.value)
    assert len(pairs) <= len(cases)


def test_digits_beyond_the_scale_which_only_the_api_can_store_are_read_as_the_pages_show_them(bench: Bench) -> None:
    bench.server.control.put_field("Contact", "F0__c", "double(18,2)")
    bench.destination.describe("Contact", refresh=True)
    records = bench.send_and_read({"1": {"LastName": "Example", "F0__c": 237.635}}, 1)
    assert records["1"]["F0__c"] == 237.64
    assert [record["F0__c"] for record in bench.server.control.records("Contact")] == [237.635]
