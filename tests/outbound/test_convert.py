"""Rows of Postgres text become records in the destination's normal form."""

from __future__ import annotations

import pytest

from syncbridge.errors import RecordRejected, SchemaDrift
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import parse_mapping
from syncbridge.outbound.convert import Converter
from syncbridge.schemas import Column, Table
from tests.fix_delivery import CONTACT, RecordingDestination

TEXT = """
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: person_key__C
fields:
  FIRSTNAME: first_name
  Email: {column: email, default: none@example.org}
  LastName: {constant: Fixed}
  Score__c: {sql: score * 2}
  Active__c: {column: status, values: {active: true, churned: false}, default: false}
"""
TYPES = ["text", "text", "text", "numeric", "text"]


def _mapping(text: str = TEXT) -> CompiledMapping:
    columns = {name: Column(name, "text", base_type="text") for name in ("id", "first_name", "email", "status")}
    return compile_mapping(parse_mapping(text), Table("public", "people", columns, primary_key=("id",)))


@pytest.fixture
def convert() -> Converter:
    return Converter(_mapping(), CONTACT, RecordingDestination(), TYPES)


def test_fields_have_the_destination_s_spelling_and_every_one_is_there(convert: Converter) -> None:
    record = convert(["k", "Ada", "ada@example.org", "1.5", "active"])
    assert record == {
        "FirstName": "Ada",
        "Email": "ada@example.org",
        "LastName": "Fixed",
        "Score__c": 1.5,
        "Active__c": True,
    }
    assert convert.external_field == "Person_Key__c"


def test_null_becomes_the_default_or_stays_null(convert: Converter) -> None:
    record = convert(["k", None, None, None, None])
    assert (record["FirstName"], record["Email"], record["Score__c"], record["Active__c"]) == (
        None,
        "none@example.org",
        None,
        False,
    )


def test_rows_do_not_share_their_records(convert: Converter) -> None:
    first = convert(["a", "Ada", None, None, None])
    second = convert(["b", "Bob", None, None, None])
    assert (first["FirstName"], second["FirstName"]) == ("Ada", "Bob")


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        (["k", "x" * 41, None, None, None], "STRING_TOO_LONG", "FirstName"),
        (["k", None, None, "NaN", None], "NOT_A_NUMBER", "Score__c"),
        (["k", None, None, None, "unheard of"], "VALUE_NOT_MAPPED", "Active__c"),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused_with_its_field_and_without_the_value(
    convert: Converter, row: list[str | None], code: str, field: str
) -> None:
    with pytest.raises(RecordRejected) as refused:
        convert(row)
    assert refused.value.code == code
    assert refused.value.fields == (field,)
    assert "unheard" not in str(refused.value)


def test_a_field_that_the_object_lacks_is_told_by_name() -> None:
    with pytest.raises(SchemaDrift, match="Contact has no field Nickname") as drift:
        Converter(_mapping(TEXT.replace("FIRSTNAME", "Nickname")), CONTACT, RecordingDestination(), TYPES)
    assert "syncbridge check" in drift.value.hint


def test_an_external_id_that_the_object_lacks_is_told_by_name() -> None:
    with pytest.raises(SchemaDrift, match="Key__c"):
        Converter(_mapping(TEXT.replace("person_key__C", "Key__c")), CONTACT, RecordingDestination(), TYPES)


def test_the_key_is_normalised_as_the_external_id_stores_it(convert: Converter) -> None:
    assert convert.external_value("k1") == "k1"
    with pytest.raises(RecordRejected, match="Person_Key__c"):
        convert.external_value("x" * 41)


def test_what_is_set_of_the_gone_is_normalised_and_spelled_as_the_object_has_it(convert: Converter) -> None:
    assert convert.gone is None
    mapping = _mapping(TEXT + "deletes: {to_destination: {set: {ACTIVE__C: false}}}\n")
    assert Converter(mapping, CONTACT, RecordingDestination(), TYPES).gone == {"Active__c": False}
