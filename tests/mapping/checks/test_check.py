"""Check: a mapping that fits, and what can be wrong with its SQL, beside other mappings, or with several lines."""

from __future__ import annotations

from dataclasses import replace

from syncbridge.mapping.checks.check import Subject, check_mappings, fragments
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.spec import MappingSpec
from syncbridge.schemas import QueryFault
from tests.mapping.checks.fix_people import (
    CATALOG,
    HEAD,
    Fragments,
    column,
    findings,
    only,
)


def test_a_mapping_that_fits_has_no_findings() -> None:
    text = HEAD.replace("key: id}", "key: id, where: vip}") + (
        "  FirstName: {column: nickname}\n  Active__c: vip\n  Birthdate: born\n  Seen__c: seen\n  Tags__c: tags\n"
        "  Mood__c: mood\n  Source: {constant: web}\n  Amount__c: {sql: id * 2}\n  Count__c: id\n"
        "deletes: {to_destination: {set: {Active__c: false}}}\n"
    )
    described: Fragments = {("fields", "Amount__c"): column("f", "int8"), ("entity", "where"): None}
    assert findings(text, described=described) == []


def test_sql_is_told_in_the_words_of_postgres() -> None:
    fault = QueryFault('column "nam" does not exist', 8, 'Perhaps you meant "name".')
    text = HEAD.replace("key: id}", "key: id, where: nam}") + "  FirstName: {sql: nam}\n"
    found = findings(text, described={("entity", "where"): fault, ("fields", "FirstName"): fault})
    assert [(f.where, f.message, f.remedy) for f in found] == [
        ("m.yaml:4", 'entity.where: column "nam" does not exist', 'Perhaps you meant "name".'),
        ("m.yaml:8", 'fields.FirstName: column "nam" does not exist', 'Perhaps you meant "name".'),
    ]


def test_the_type_of_sql_is_checked_like_a_columns() -> None:
    found = only(
        findings(
            HEAD + "  Active__c: {sql: data ->> 'vip'}\n", described={("fields", "Active__c"): column("f", "text")}
        )
    )
    assert found.remedy == "Write `sql: (data ->> 'vip')::boolean`."


def test_sql_over_other_rows_is_doubtful_because_their_changes_are_not_seen() -> None:
    text = HEAD + "  Count__c: {sql: (select count(*) from orders o where o.person_id = people.id)}\n"
    found = only(findings(text, described={("fields", "Count__c"): column("f", "int8")}))
    assert found.severity == "warning"
    assert "reads other rows; when only those change, nothing is sent until this row changes" in found.message


def test_every_fragment_is_described_where_it_may_not_change_the_number_of_rows() -> None:
    text = HEAD.replace("key: id}", "key: id, where: vip}") + "  FirstName: {sql: upper(nickname)}\n"
    assert fragments(parse_mapping(text), CATALOG) == {
        ("entity", "where"): 'select from "public"."people" as "people" where (vip\n)',
        ("fields", "FirstName"): (
            'select (upper(nickname)\n) from "public"."people" as "people" where (upper(nickname)\n) is null'
        ),
    }
    assert fragments(parse_mapping(text), replace(CATALOG, tables={})) == {}


def test_rules_are_described_and_told_in_the_words_of_postgres() -> None:
    text = HEAD + "require: {known: nam is not null}\n"
    assert fragments(parse_mapping(text), CATALOG) == {
        ("require", "known"): 'select from "public"."people" as "people" where (nam is not null\n)'
    }
    found = only(findings(text, described={("require", "known"): QueryFault('column "nam" does not exist')}))
    assert (found.where, found.message) == ("m.yaml:8", 'require.known: column "nam" does not exist')


def test_two_mappings_of_the_same_records_are_doubtful() -> None:
    def subject(text: str, name: str) -> Subject:
        spec: MappingSpec = parse_mapping(text.replace(": people\n", f": {name}\n"), f"{name}.yaml")
        return Subject(spec)

    pair = [subject(HEAD, "one"), subject(HEAD.replace("Contact", "contact"), "two"), subject(HEAD, "three")]
    found = check_mappings(pair, CATALOG, publication="syncbridge")
    assert [(f.where, f.message) for f in found] == [
        ("two.yaml:5", "mapping one writes contact by Key__c too"),
        ("three.yaml:5", "mapping one writes Contact by Key__c too"),
    ]
    other = [subject(HEAD, "one"), subject(HEAD.replace("Key__c", "Loose__c"), "two")]
    assert check_mappings(other, CATALOG, publication="syncbridge") == []


def test_findings_come_in_the_order_of_the_lines() -> None:
    found = findings(HEAD.replace("key: id", "key: idd") + "  Nope: x\n  FirstNam: nickname\n")
    lines = [int(f.where.rpartition(":")[2]) for f in found]
    assert lines == sorted(lines)
    assert len(found) == 4
