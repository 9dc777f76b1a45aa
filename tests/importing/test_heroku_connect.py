"""Conversion of a Heroku Connect export: every rule of docs/from-heroku-connect.md, and that every file can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge.importing.heroku_connect import Converted, Import, Known, Wishes, convert
from syncbridge.importing.heroku_export import read_export
from syncbridge.importing.heroku_subject import spoken_column
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.spec import MappingSpec
from syncbridge.schemas import Column, FieldKind, ForeignKey, RemoteField, RemoteObject, Table
from tests.importing.fix_heroku import export, text

ONE_WAY = Wishes(one_way=True)
CONTACT = RemoteObject(
    "Contact",
    {
        each.name: each
        for each in (
            RemoteField("Id", FieldKind.IDENTIFIER, createable=False, updateable=False),
            RemoteField("FirstName", FieldKind.STRING, length=40),
            RemoteField("LastName", FieldKind.STRING, length=80, required=True),
            RemoteField("Name", FieldKind.STRING, calculated=True),
            RemoteField("Email", FieldKind.EMAIL, length=80),
            RemoteField("AccountId", FieldKind.REFERENCE, refers_to=("Account",)),
            RemoteField("External_Key__c", FieldKind.STRING, length=40, unique=True, external_id=True),
            RemoteField("MailingAddress", FieldKind.OTHER),
            RemoteField("Points__c", FieldKind.NUMBER, createable=False, updateable=False),
            RemoteField("Status__c", FieldKind.STRING, required=True),
            RemoteField("CreatedDate", FieldKind.DATETIME, createable=False, updateable=False),
        )
    },
)


def run(
    change: Callable[[dict[str, Any]], Any] = lambda data: None, *, wishes: Wishes | None = None, **known: Known
) -> Import:
    data = export()
    change(data)
    return convert(read_export(text(data), "x"), wishes or Wishes(), known)


def one(made: Import, object: str) -> tuple[Converted, MappingSpec]:
    found = next(each for each in made.converted if each.object == object)
    return found, parse_mapping(found.text)


def config(data: dict[str, Any], object: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each["config"] for each in data["mappings"] if each["object_name"] == object)
    return found


def people(*unique: str, columns: Mapping[str, str] | None = None) -> Table:
    named = columns or {
        "person_no": "int8",
        "forename": "text",
        "surname": "text",
        "email_address": "text",
        "company_id": "int8",
        "external_key": "text",
    }
    made = {name: Column(name, kind, base_type=kind) for name, kind in named.items()}
    keys = tuple((each,) for each in unique)
    return Table("public", "people", made, primary_key=(next(iter(made)),), unique_keys=keys)


OWN = Wishes(tables={"contact": ("public", "people")})
COMPANY = ForeignKey(("public", "people"), ("company_id",), ("public", "companies"), ("id",))


def test_access_becomes_direction() -> None:
    made = run()
    directions = {each.object: parse_mapping(each.text).direction for each in made.converted}
    assert directions == {"Account": "to_postgres", "Contact": "both", "Lead": "both"}
    assert made.left_out == {}


def test_one_way_files_can_be_put_in_force_and_read_only_objects_are_left_out() -> None:
    made = run(wishes=ONE_WAY)
    assert {each.object for each in made.converted} == {"Contact", "Lead"}
    assert "read_only" in made.left_out["Account"]
    for each in made.converted:
        spec = parse_mapping(each.text)
        assert (spec.direction, spec.conflict, each.poll) == ("to_destination", "newest", None)
        assert not any(field.owner for field in spec.fields.values())
        assert any("changes in Salesforce do not reach Postgres" in told for told in each.lost)


@pytest.mark.parametrize(("asked", "taken"), [(60, 60), (600, 600), (3600, 3600), (None, 600), (5, 60), (86400, 3600)])
def test_the_poll_interval_is_taken_over_within_what_heroku_allows(asked: int | None, taken: int) -> None:
    found, spec = one(run(lambda data: config(data, "Lead").update(sf_polling_seconds=asked)), "Lead")
    assert (found.poll, spec.poll.every) == (taken, taken)
    assert any(told.startswith("sf_polling_seconds") for told in found.lost) == (asked in (5, 86400))


def test_intervals_are_written_as_people_write_them() -> None:
    assert "poll: {every: 30m}" in one(run(), "Lead")[0].text


def test_the_unique_identifier_becomes_key_and_external_id() -> None:
    found, spec = one(run(), "Contact")
    assert (spec.entity.key, spec.external_id) == (("external_key__c",), "External_Key__c")
    assert "External_Key__c" not in spec.fields
    assert "its index is unique" in found.text
    assert found.sql == (
        "ALTER TABLE salesforce.contact ALTER COLUMN external_key__c SET NOT NULL;",
        "ALTER TABLE salesforce.contact ALTER COLUMN external_key__c SET DEFAULT gen_random_uuid();",
    )
    assert found.questions[0].startswith("Is external_key__c ever null?")
    assert found.questions[1].startswith("Which external_key__c gets a row whose record was made in Salesforce")
    one_way, _ = one(run(wishes=ONE_WAY), "Contact")
    assert (len(one_way.questions), len(one_way.sql)) == (1, 1)


def test_an_identifier_that_is_not_said_to_be_unique_is_asked_about() -> None:
    found, _ = one(run(lambda data: config(data, "Contact").update(indexes={})), "Contact")
    assert "the export does not say that it is unique" in found.questions[0]
    assert found.sql[0] == "CREATE UNIQUE INDEX ON salesforce.contact (external_key__c);"


def test_a_table_that_is_known_answers_these_questions() -> None:
    columns = {name: Column(name, "text", base_type="text") for name in ("firstname", "lastname", "email", "accountid")}
    columns["external_key__c"] = Column("external_key__c", "text", base_type="text", not_null=True, has_default=True)
    table = Table("salesforce", "contact", columns, unique_keys=(("external_key__c",),))
    found, _ = one(run(lambda data: config(data, "Contact").update(indexes={}), contact=Known(table=table)), "Contact")
    assert (found.questions, found.sql) == ((), ())


def test_without_an_identifier_the_key_is_herokus_id_and_the_field_is_to_be_created() -> None:
    found, spec = one(run(), "Lead")
    assert (spec.entity.key, spec.external_id) == (("id",), "Postgres_Key__c")
    assert "In Salesforce Setup, create Postgres_Key__c on Lead: Text(40), external id, unique" in found.questions[0]


def test_the_field_that_carries_the_key_can_be_given() -> None:
    found, spec = one(run(wishes=Wishes(external_id="Row__c")), "Lead")
    assert (spec.external_id, found.questions) == ("Row__c", ())
    assert one(run(wishes=Wishes(external_id="Row__c")), "Contact")[1].external_id == "External_Key__c"


def test_a_given_field_that_the_object_lacks_is_to_be_created() -> None:
    known = Known(remote=RemoteObject("Lead", {name: RemoteField(name, FieldKind.STRING) for name in ("LastName",)}))
    found, _ = one(run(wishes=Wishes(external_id="Row__c"), lead=known), "Lead")
    assert "create Row__c on Lead" in found.questions[0]


def test_what_only_comes_from_salesforce_is_known_by_its_own_id() -> None:
    found, spec = one(run(), "Account")
    assert (spec.entity.key, spec.external_id, found.questions) == (("sfid",), "Id", ())
    assert spec.fields["CreatedDate"].owner == "destination"
    assert set(spec.fields) == {"Name", "CreatedDate", "SystemModstamp"}


def test_columns_are_named_as_heroku_made_them() -> None:
    long = "ns__" + "A" * 70 + "__c"
    _, spec = one(run(lambda data: config(data, "Lead")["fields"].update({long: {}, "My_Field__c": {}})), "Lead")
    assert spec.entity.table == "salesforce.lead"
    assert spec.fields["My_Field__c"].column == "my_field__c"
    assert spec.fields[long].column == long.lower()[:63]
    assert one(run(wishes=Wishes(schema="Odd schema")), "Lead")[1].entity.table_name == ("Odd schema", "lead")


def test_an_object_that_only_comes_is_known_by_its_own_id_also_where_it_had_a_unique_identifier() -> None:
    """Records that somebody made in Salesforce have none, but a row of Heroku's."""
    found, spec = one(run(lambda data: config(data, "Contact").update(access="read_only")), "Contact")
    assert (spec.entity.key, spec.external_id, found.questions) == (("sfid",), "Id", ())
    assert spec.fields["External_Key__c"].column == "external_key__c"


def test_what_salesforce_fills_comes_with_both_ways_but_not_what_every_write_changes() -> None:
    found, spec = one(run(), "Contact")
    assert set(spec.fields) == {"Id", "FirstName", "LastName", "Name", "Email", "AccountId", "CreatedDate"}
    owned = {name: field.column for name, field in spec.fields.items() if field.owner == "destination"}
    assert owned == {"Id": "sfid", "Name": "name", "CreatedDate": "createddate"}
    assert "# SystemModstamp: systemmodstamp" in found.text


def test_fields_that_salesforce_keeps_are_comments_where_everything_is_written() -> None:
    found, spec = one(run(wishes=ONE_WAY), "Contact")
    assert set(spec.fields) == {"FirstName", "LastName", "Email", "AccountId"}
    lines = [line.split("#")[1].strip() for line in found.text.splitlines() if line.startswith("  # ")]
    assert lines[0] == "Id: sfid"
    assert {line.split(":")[0] for line in lines} >= {"Id", "Name", "CreatedDate", "SystemModstamp", "IsDeleted"}


def test_mail_is_sensitive() -> None:
    assert one(run(), "Contact")[1].fields["Email"].sensitive


def test_deletes_go_as_they_did() -> None:
    assert one(run(), "Contact")[1].deletes.to_postgres == "delete"
    assert one(run(), "Contact")[1].deletes.to_destination == "delete"
    assert one(run(), "Account")[1].deletes.to_destination == "ignore"
    assert one(run(wishes=ONE_WAY), "Contact")[1].deletes.to_postgres == "ignore"


def test_a_reference_is_sent_as_heroku_keeps_it_and_a_lookup_is_proposed() -> None:
    found, spec = one(run(), "Contact")
    assert spec.fields["AccountId"].column == "accountid"
    assert "# AccountId: {lookup: account, key: the_column_with_the_key_of_account}" in found.text


def test_a_reference_to_an_object_that_is_left_out_is_no_lookup() -> None:
    assert "lookup" not in one(run(wishes=ONE_WAY), "Contact")[0].text


def test_what_the_object_is_now_decides_what_can_be_written() -> None:
    fields: dict[str, Any] = {"MailingAddress": {}, "Points__c": {}, "Gone__c": {}}
    found, spec = one(
        run(lambda data: config(data, "Contact")["fields"].update(fields), contact=Known(remote=CONTACT)), "Contact"
    )
    assert set(spec.fields) == {
        "Id",
        "FirstName",
        "LastName",
        "Name",
        "Email",
        "AccountId",
        "CreatedDate",
        "Points__c",
    }
    assert spec.fields["Points__c"].owner == "destination"
    assert "MailingAddress: compound or binary" in found.lost
    one_way = run(
        lambda data: config(data, "Contact")["fields"].update(fields), wishes=ONE_WAY, contact=Known(remote=CONTACT)
    )
    lost = one(one_way, "Contact")[0].lost
    assert {"Points__c: cannot be written by this login", "Name: calculated by Salesforce"} <= set(lost)
    assert any("Contact has no field Gone__c any more" in told for told in found.lost)
    assert "Contact.Status__c is required for new records, and no field fills it. What does?" in found.questions


def test_a_column_that_herokus_table_lacks_is_asked_about() -> None:
    table = Table("salesforce", "lead", {"lastname": Column("lastname", "text"), "id": Column("id", "int8")})
    found, spec = one(run(lead=Known(table=table)), "Lead")
    assert set(spec.fields) == {"LastName"}
    assert any("salesforce.lead has no column company" in question for question in found.questions)


def test_a_table_that_is_not_there_is_told() -> None:
    found, _ = one(run(lead=Known(table_missing=True)), "Lead")
    assert found.questions[0].startswith("There is no table salesforce.lead that the login can see.")


# -- tables of the user's own -----------------------------------------------------------------------------------------


def test_own_tables_are_paired_by_the_scores_of_suggest() -> None:
    known = Known(CONTACT, people("external_key"), (COMPANY,))
    found, spec = one(run(wishes=OWN, contact=known), "Contact")
    assert spec.entity.table == "public.people"
    assert {name: field.column for name, field in spec.fields.items()} == {
        "FirstName": "forename",
        "LastName": "surname",
        "Email": "email_address",
    }
    assert (spec.entity.key, spec.external_id) == (("external_key",), "External_Key__c")
    assert "# AccountId: {lookup: account, key: the_column_with_the_key_of_account}" in found.text
    assert "AccountId refers to account: which column of public.people holds the key of its row?" in found.questions
    assert "CREATE INDEX ON public.people (email_address);" in found.sql


def test_a_foreign_key_named_like_a_reference_is_proposed_for_its_lookup() -> None:
    columns = {"id": "int8", "last_name": "text", "account_id": "int8"}
    foreign_key = ForeignKey(("public", "people"), ("account_id",), ("public", "accounts"), ("id",))
    found, _ = one(run(wishes=OWN, contact=Known(CONTACT, people(columns=columns), (foreign_key,))), "Contact")
    assert "# AccountId: {lookup: account, key: account_id}" in found.text


def test_an_own_table_without_the_identifier_gets_a_key_of_its_own_and_a_new_field() -> None:
    found, spec = one(run(wishes=OWN, contact=Known(CONTACT, people())), "Contact")
    assert (spec.entity.key, spec.external_id) == (("person_no",), "Postgres_Key__c")
    assert "No unique column of public.people looks like External_Key__c" in found.questions[0]
    assert spec.fields["External_Key__c"].column == "external_key"


def test_without_the_object_equal_words_pair() -> None:
    table = people(columns={"id": "int8", "first_name": "text", "last_name": "text"})
    found, spec = one(run(wishes=OWN, contact=Known(table=table)), "Contact")
    assert {name: field.column for name, field in spec.fields.items()} == {
        "FirstName": "first_name",
        "LastName": "last_name",
    }
    assert any(question.startswith("Email: no column of public.people looks like it") for question in found.questions)


def test_without_the_table_names_are_made_as_people_make_them() -> None:
    _, spec = one(run(wishes=OWN), "Contact")
    assert spec.fields["FirstName"].column == "first_name"
    assert (spec.entity.key, spec.external_id) == (("external_key",), "External_Key__c")


@pytest.mark.parametrize(
    ("field", "column"),
    [("FirstName", "first_name"), ("ns__First_Name__c", "first_name"), ("SLA__c", "sla"), ("Id", "sfid")],
)
def test_a_columns_usual_name(field: str, column: str) -> None:
    assert spoken_column(field) == column


def test_an_own_table_with_no_column_that_fits_is_left_out() -> None:
    made = run(wishes=OWN, contact=Known(CONTACT, people(columns={"a": "int8", "b": "bytea"})))
    assert made.left_out == {"Contact": "none of its fields can be mapped for sure"}


# -- the report -------------------------------------------------------------------------------------------------------


def test_what_has_no_equivalent_is_told() -> None:
    made = run()
    assert any(told.startswith("sf_notify_enabled: no equivalent") for told in one(made, "Contact")[0].lost)
    notes = "\n".join(made.notes)
    for part in (
        "api_version: 58.0; here `api_version` of [destinations.salesforce]",
        "sf_max_daily_api_calls: 30000 for each object; here `daily_share`",
        "features.poll_db_no_merge: ordered writes",
        "features.brand_new: not known to this version",
        "logplex_log_enabled",
    ):
        assert part in notes
    assert "disable_bulk_writes" not in notes
    assert "version" not in [note.split(":")[0] for note in made.notes]


def test_another_version_of_the_format_is_told() -> None:
    assert "version: 2; this version of syncbridge knows 1. Look twice." in run(lambda d: d.update(version=2)).notes
    assert any(note.startswith("version: none") for note in run(lambda data: data.pop("version")).notes)


def test_keys_that_are_not_known_are_told() -> None:
    made = run(
        lambda data: (config(data, "Lead").update(novel=1), data.update(extra=1), data["connection"].update(x=1))
    )
    assert "config.novel: not known to this version, and not taken over" in one(made, "Lead")[0].lost
    assert "extra: not known to this version, and not taken over" in made.notes
    assert "connection.x: not known to this version, and not taken over" in made.notes


def test_a_table_for_an_object_that_is_not_there_is_told() -> None:
    made = run(wishes=Wishes(tables={"contct": ("public", "people")}))
    assert "--tables: the export has no object contct" in made.notes


def test_names_of_mappings_are_distinct() -> None:
    def change(data: dict[str, Any]) -> None:
        for object in ("A" * 60 + "__c", "A" * 61 + "__c"):
            data["mappings"].append({"object_name": object, "config": {"access": "read_write", "fields": {"X__c": {}}}})

    names = [each.mapping for each in run(change).converted]
    assert len(set(names)) == len(names) == 5


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,50}(__c)?", fullmatch=True)
CONFIGS = st.fixed_dictionaries(
    {
        "access": st.sampled_from(["read_only", "read_write"]),
        "fields": st.dictionaries(
            NAMES | st.sampled_from(["Id", "Name", "IsDeleted", "CreatedDate", "AccountId"]), st.just({}), max_size=8
        ),
    },
    optional={
        "upsert_field": NAMES,
        "sf_polling_seconds": st.integers(-5, 100_000),
        "sf_notify_enabled": st.booleans(),
        "indexes": st.dictionaries(NAMES, st.fixed_dictionaries({"unique": st.booleans()}), max_size=3),
    },
)
WISHES = st.builds(
    Wishes,
    schema=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=8),
    one_way=st.booleans(),
    external_id=st.none() | NAMES,
    tables=st.dictionaries(NAMES.map(str.lower), st.tuples(st.just("public"), NAMES), max_size=2),
)


@settings(max_examples=40)
@given(st.dictionaries(NAMES | st.just("Account"), CONFIGS, min_size=1, max_size=5), WISHES)
def test_every_converted_file_can_be_read(configs: dict[str, Any], wishes: Wishes) -> None:
    objects: dict[str, Any] = {}
    for name, each in configs.items():
        fields = {field.lower(): field for field in each["fields"]}
        objects[name.lower()] = {
            "object_name": name,
            "config": {**each, "fields": {field: {} for field in fields.values()}},
        }
    wishes = Wishes(
        wishes.schema,
        "salesforce",
        {**wishes.tables, **dict.fromkeys(list(objects)[::2], ("public", "t"))},
        wishes.one_way,
        wishes.external_id,
    )
    made = convert(read_export(text({"mappings": list(objects.values())}), "x"), wishes, {})
    assert len(made.converted) + len(made.left_out) == len(objects)
    for each in made.converted:
        spec = parse_mapping(each.text)
        assert (spec.mapping, spec.object, spec.direction) == (each.mapping, each.object, each.direction)
        assert tuple(spec.fields) == each.fields
        assert (spec.entity.key, spec.external_id) == (each.key, each.external_id)
        assert spec.entity.table_name == (
            wishes.tables.get(each.object.lower()) or (wishes.schema, each.object.lower()[:63])
        )
