"""Check: each thing that can be wrong between a column and a remote field, with the words that tell it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncbridge.schemas import RemoteField
from tests.mapping.checks.fix_people import (
    CONTACT,
    HEAD,
    PEOPLE,
    F,
    column,
    findings,
    only,
)


@pytest.mark.parametrize(
    ("external_id", "key", "severity", "message"),
    [
        ("Kye__c", "id", "error", "Contact has no field 'Kye__c'; did you mean 'Key__c'?"),
        ("FirstName", "id", "error", "Contact.FirstName is not an external id"),
        ("Id", "id", "error", "Contact.Id is not an external id"),
        ("Loose__c", "id", "warning", "Contact.Loose__c is not unique: two records may hold one key"),
        ("Number__c", "code", "error", "Number__c is a number, which the key code is not"),
        ("Number__c", "[id, code]", "error", "Number__c is a number, which the key id, code is not"),
    ],
)
def test_the_external_id_must_be_able_to_carry_the_key(external_id: str, key: str, severity: str, message: str) -> None:
    text = HEAD.replace("Key__c", external_id).replace("key: id", f"key: {key}")
    table = replace(PEOPLE, identity_columns=("id", "code"), unique_keys=(*PEOPLE.unique_keys, ("id", "code")))
    found = only(findings(text, table=table))
    assert (found.severity, found.where) == (severity, "m.yaml:5")
    assert message in found.message


def test_an_external_id_that_is_blind_to_case_is_doubtful_for_text_keys_only() -> None:
    fields = {**CONTACT.fields, "Key__c": replace(CONTACT.fields["Key__c"], case_sensitive=False)}
    blind = replace(CONTACT, fields=fields)
    assert findings(remote=blind) == []
    by_code = replace(PEOPLE, identity_columns=("code",))
    found = only(findings(HEAD.replace("key: id", "key: code"), remote=blind, table=by_code))
    assert found.message == "Key__c does not tell case apart: keys like 'AB' and 'ab' would be one record"


def test_an_external_id_that_is_too_short_is_doubtful() -> None:
    columns = {**PEOPLE.columns, "code": column("code", "varchar", length=30, not_null=True)}
    table = replace(PEOPLE, columns=columns, identity_columns=("code",))
    found = only(findings(HEAD.replace("key: id", "key: code"), table=table))
    assert found.message == "a key can have 30 characters, Key__c holds 20"


@pytest.mark.parametrize(
    ("line", "severity", "message", "remedy"),
    [
        # columns
        ("FirstName: nicknam", "error", "public.people has no column 'nicknam'; did you mean 'nickname'?", ""),
        # fields
        ("FirstNam: nickname", "error", "Contact has no field 'FirstNam'; did you mean 'FirstName'?", ""),
        ("Formula__c: nickname", "error", "the destination calculates this field itself", "Leave it out."),
        ("Hidden__c: nickname", "error", "this field cannot be written", "Leave it out, or give the login"),
        ("Once__c: nickname", "warning", "set on create only; a later change of it is refused", ""),
        ("Later__c: nickname", "warning", "cannot be given on create, only changed afterwards", ""),
        # types
        ("Active__c: nickname", "error", "text does not fit a field of type boolean", "`sql: nickname::boolean`"),
        ("Count__c: nickname", "error", "text does not fit a field of type integer", "`sql: nickname::bigint`"),
        ("Amount__c: vip", "error", "bool does not fit a field of type number", "`sql: vip::int`"),
        ("Birthdate: nickname", "error", "text does not fit a field of type date", "`sql: nickname::date`"),
        ("Birthdate: seen", "warning", "the day is taken in UTC", "`sql: (seen at time zone 'Europe/Berlin')::date`"),
        ("Seen__c: born", "warning", "a date becomes midnight in UTC", "`sql: born::timestamp at time zone"),
        ("FirstName: tags", "error", "an array is no text", "`sql: array_to_string(tags, ', ')`"),
        ("FirstName: data", "error", "the type jsonb cannot be delivered as it is", "`sql: data::text`"),
        ("AccountId: id", "error", "int8 does not fit a field of type reference", ""),
        # sizes
        ("FirstName: short", "warning", "varchar may not fit into 40 characters; a longer value is refused", "left("),
        # choices
        ("Mood__c: {constant: Happy}", "error", "Mood__c refuses 'Happy'; it offers Glad, Sad", ""),
        ("Mood__c: {constant: Gladd}", "error", "Mood__c refuses 'Gladd'; did you mean 'Glad'?", ""),
        ("Source: {constant: Wbe}", "warning", "'Wbe' is not among the options of Source; did you mean 'Web'?", ""),
        ("Mood__c: {column: nickname, default: x}", "error", "fields.Mood__c.default: Mood__c refuses 'x'", ""),
        ("Mood__c: {column: nickname, values: {s: S}}", "error", "fields.Mood__c.values.s: Mood__c refuses 'S'", ""),
        ("Tags__c: {constant: a;c}", "error", "Tags__c refuses 'c'; it offers a, b", ""),
        ("Source: mood", "warning", "'sad' is not among the options of Source; it offers Web, Phone", ""),
        # fixed values
        ("Active__c: {constant: maybe}", "error", "Active__c does not take 'maybe': a str is not a boolean", ""),
        ("FirstName: {column: nickname, default: %s}" % ("x" * 41), "error", "data value too large", ""),
        # values
        ("FirstName: {column: mood, values: {sad: S, glda: G, glad: G}}", "warning", "mood is never 'glda'; did", ""),
        ("FirstName: {column: vip, values: {yes: Y}}", "warning", "vip is never 'yes'", ""),
        ("FirstName: {column: mood, values: {sad: S}}", "warning", "does not list glad: a row with it is refused", ""),
    ],
)
def test_a_field_that_does_not_fit_is_told(line: str, severity: str, message: str, remedy: str) -> None:
    found = findings(HEAD + f"  {line}\n")
    fitting = [f for f in found if message in f.message]
    assert fitting, found
    assert fitting[0].severity == severity
    assert remedy in fitting[0].remedy
    assert fitting[0].where == "m.yaml:8"


def test_compound_fields_and_record_ids_cannot_be_mapped() -> None:
    messages = " ".join(f.message for f in findings(HEAD + "  Address: nickname\n  Id: nickname\n"))
    assert "of a type that cannot be written (compound or binary)" in messages
    assert "the record's own id, which only the destination gives" in messages


def test_digits_that_do_not_fit_are_doubtful_with_the_sql_that_counts_the_rows() -> None:
    found = findings(HEAD + "  Amount__c: price\n")
    assert [f.message for f in found] == [
        "fields.Amount__c: numeric is rounded to 2 digits after the point",
        "fields.Amount__c: more than 15 digits of numeric are not kept exactly",
    ]
    wide = replace(
        CONTACT, fields={**CONTACT.fields, "Amount__c": RemoteField("Amount__c", F.NUMBER, precision=9, scale=4)}
    )
    last = findings(HEAD + "  Amount__c: price\n", remote=wide)[-1]
    assert (
        last.message == "fields.Amount__c: numeric may not fit into 5 digits before the point; a greater one is refused"
    )
    assert last.sql == 'SELECT count(*) FROM "public"."people" WHERE abs("price") >= 1e5::numeric;'


def test_lengths_that_do_not_fit_come_with_the_sql_that_counts_the_rows() -> None:
    found = only(findings(HEAD + "  FirstName: short\n"))
    assert found.sql == 'SELECT count(*) FROM "public"."people" WHERE char_length("short") > 40;'


def test_a_label_that_values_does_not_list_comes_with_the_sql_that_counts_its_rows() -> None:
    found = only(findings(HEAD + "  FirstName: {column: mood, values: {sad: S}}\n"))
    assert found.sql == """SELECT count(*) FROM "public"."people" WHERE "mood" IN ('glad');"""


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("  About__c: nickname", "match_on: Contact records cannot be found by About__c, which is long text"),
        ("  Tags__c: tags", "match_on: Contact records cannot be found by Tags__c, which is a list of values"),
        ("  Source: {constant: Web}", "match_on: Source is a constant: it agrees with every record of ours"),
        ("  FirstName: {column: nickname, default: x}", "match_on: FirstName has a default: all rows without a value"),
    ],
)
def test_what_records_are_matched_by_must_tell_them_apart(field: str, message: str) -> None:
    name = field.split(":")[0].strip()
    finding = only(findings(f"{HEAD}{field}\nmatch_on: {name}\n"))
    assert (finding.severity, finding.where) == ("error", "m.yaml:9")
    assert finding.message.startswith(message)
    assert finding.remedy


def test_records_can_be_matched_by_fields_that_have_a_value_of_the_row() -> None:
    assert findings(f"{HEAD}  FirstName: {{column: nickname, default: x}}\nmatch_on: [lastname, FirstName]\n") == []


def test_required_fields_must_be_filled_with_something_that_is_never_null() -> None:
    nothing = only(findings(HEAD.replace("LastName: last_name", "FirstName: nickname")))
    assert nothing.severity == "error"
    assert nothing.message == "Contact.LastName is required, and no field of this mapping fills it"
    nullable = only(findings(HEAD.replace("last_name", "nickname")))
    assert nullable.severity == "warning"
    assert nullable.message == "fields.LastName: nickname may be null, but LastName is required"
    assert findings(HEAD.replace("last_name", "{column: nickname, default: Unknown}")) == []


def test_names_of_fields_are_compared_without_case() -> None:
    assert findings(HEAD.replace("LastName", "lastname").replace("Key__c", "KEY__C")) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            "Activ__c: false",
            "to_destination.set.Activ__c: Contact has no such field; did you mean 'Active__c'?",
        ),
        ("Once__c: x", "deletes.to_destination.set.Once__c: the field cannot be written"),
        ("Active__c: maybe", "deletes.to_destination.set.Active__c: Active__c does not take 'maybe'"),
        ("LastName: null", "deletes.to_destination.set.LastName: LastName is required and cannot be cleared"),
    ],
)
def test_what_is_set_on_delete_must_fit_too(fields: str, message: str) -> None:
    found = only(findings(HEAD + f"deletes: {{to_destination: {{set: {{{fields}}}}}}}\n"))
    assert message in found.message
