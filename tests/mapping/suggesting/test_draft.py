"""A draft is a mapping file: it parses, says why, asks what is open, and its comments can be taken into use."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.suggesting.draft import Sources, draft
from syncbridge.mapping.suggesting.text import scalar
from syncbridge.schemas import Column, FieldKind, ForeignKey, RemoteObject, Table
from tests.schemas_of import field, remote, standard, table

PEOPLE = table(
    "people", "company_id bigint", "first_name text", "last_name text not null", "email varchar(200)", "status text",
    "is_test boolean not null", "deleted_at timestamptz",
)  # fmt: skip
TO_COMPANY = ForeignKey(("public", "people"), ("company_id",), ("public", "companies"), ("id",))
FROM_ORDERS = ForeignKey(("public", "orders"), ("person_id",), ("public", "people"), ("id",))
COMPANIES = parse_mapping(
    "mapping: firms\ndestination: crm\nobject: Account\nentity: {table: companies, key: id}\n"
    "external_id: External_Key__c\nfields: {Name: name}\n"
)


def _draft(over: Table = PEOPLE, to: RemoteObject | None = None, *keys: ForeignKey, mapped: bool = True) -> str:
    others = [COMPANIES] if mapped else []
    return draft(Sources(over, to or standard("Contact"), "crm", over.name, keys, others))


def _questions(text: str) -> str:
    """The open questions, unwrapped."""
    asked = text.partition("# Open questions\n")[2]
    return re.sub(r"\n#    ", " ", asked)


def _taken_into_use(text: str, *beginnings: str) -> str:
    """The draft with these comments made active, as a person would."""
    lines = []
    for line in text.splitlines():
        plain = re.sub(r"^( *)# ", r"\1", line)
        lines.append(plain if plain.strip().startswith(beginnings) else line)
    return "\n".join(lines)


def test_the_whole_draft() -> None:
    assert (
        _draft(PEOPLE, None, TO_COMPANY, FROM_ORDERS)
        == """\
# A draft, made by `syncbridge suggest` of public.people and crm:Contact.
# Read every line, answer the questions at the end, then run:
#     syncbridge check people
mapping: people
destination: crm
object: Contact

entity:
  table: public.people
  key: id                                           # the primary key
  # where: not is_test                              # a row that stops passing is treated as gone
  # where: deleted_at is null                       # a row that stops passing is treated as gone
  # related:                                        # rows of other tables, for column and sql
  #   company: {table: public.companies, on: company.id = people.company_id}
  #   orders: {table: public.orders, on: orders.person_id = people.id, rollup: {order_count: count(*)}}

external_id: External_Key__c                        # carries the key: an external id, unique, 191 characters

# match_on: Email                                   # links records that are there already, in place of new ones

# direction: both                                   # changes there come back, too; the login needs UPDATE, INSERT

fields:
  FirstName: {column: first_name, sensitive: true}  # sure: the same name; text to string(40)
  LastName: {column: last_name, sensitive: true}    # sure: the same name; text to string(80)
  Email: {column: email, sensitive: true}           # sure: the same name; varchar(200) to email(80); may be too long
  # AccountId: {lookup: firms, key: company_id}     # company_id names a row of public.companies

deletes: {to_destination: delete}                   # delete | ignore | {set: {Some_Field: false}}
guard: {deletes: 100 per hour}                      # above this the mapping stops and asks

# Open questions
# 1. No field looks like these columns. Are some needed there, in fields that are made for them? status (text),
#    is_test (boolean), deleted_at (timestamptz)
"""
    )


def test_the_way_back_can_be_taken_into_use() -> None:
    assert parse_mapping(_draft()).direction == "to_destination"
    assert parse_mapping(_taken_into_use(_draft(), "direction:")).direction == "both"


def test_the_draft_is_read_as_it_says() -> None:
    spec = parse_mapping(_draft())
    assert (spec.mapping, spec.destination, spec.object) == ("people", "crm", "Contact")
    assert (spec.entity.table_name, spec.entity.key) == (("public", "people"), ("id",))
    assert {name: each.column for name, each in spec.fields.items()} == {
        "FirstName": "first_name",
        "LastName": "last_name",
        "Email": "email",
    }
    assert all(each.sensitive for each in spec.fields.values())


def test_its_comments_can_be_taken_into_use_as_they_stand() -> None:
    text = _draft(PEOPLE, None, TO_COMPANY, FROM_ORDERS)
    used = _taken_into_use(text, "where: not", "related:", "company: {", "orders: {", "match_on:", "AccountId:")
    spec = parse_mapping(used)
    assert spec.entity.where == "not is_test"
    assert spec.match_on == ("Email",)
    assert (spec.fields["AccountId"].lookup, spec.fields["AccountId"].key) == ("firms", ("company_id",))
    assert spec.entity.related["company"].on == "company.id = people.company_id"
    assert spec.entity.related["orders"].rollup == {"order_count": "count(*)"}


def test_a_lookup_of_a_table_that_nobody_maps_says_what_comes_first() -> None:
    text = _draft(PEOPLE, None, TO_COMPANY, mapped=False)
    assert "# AccountId: {lookup: companies, key: company_id}" in text
    assert "which needs a mapping to Account first: syncbridge suggest public.companies --to crm:..." in text


def test_a_row_that_names_another_of_its_own_table_is_a_lookup_of_this_mapping() -> None:
    boss = ForeignKey(("public", "people"), ("manager_id",), ("public", "people"), ("id",))
    text = _draft(PEOPLE, None, boss)
    assert "  # ReportsToId: {lookup: people, key: manager_id}" in text
    assert "  #   manager: {table: public.people, on: manager.id = people.manager_id}" in text
    assert "  #   people_2: {table: public.people, on: people_2.manager_id = people.id," in text


def test_a_foreign_key_that_no_reference_is_named_for_is_a_question() -> None:
    text = _draft(PEOPLE, standard("Lead"), TO_COMPANY)
    assert "company_id names a row of public.companies. Which reference field of Lead is it, if any?" in _questions(
        text
    )


@pytest.mark.parametrize(
    ("over", "wanted"),
    [
        (table("people", "email text"), "Text(20), external id, unique."),
        (table("people", "id uuid not null", "email text"), "Text(36), external id, unique."),
        (table("people", "id varchar(40) not null", "email text"), "Text(40), external id, unique, case-sensitive."),
        (table("people", "id text not null", "email text"), "Text(255), external id, unique, case-sensitive."),
        (
            table("people", "shop integer not null", "no integer not null", "email text", key=("shop", "no")),
            "Text(30), external id, unique, case-sensitive.",
        ),
    ],
)
def test_without_an_external_id_the_draft_says_which_field_to_create(over: Table, wanted: str) -> None:
    text = draft(Sources(over, remote(field("Email")), "crm", "people"))
    assert "external_id: External_Key__c" in text
    assert f"In Setup, create External_Key__c on Thing__c: {wanted} Give" in _questions(text)
    assert parse_mapping(text).external_id == "External_Key__c"


def test_other_external_ids_are_shown_as_comments() -> None:
    two = [field(name, unique=True, external_id=True) for name in ("Badge__c", "Person_Key__c")]
    text = draft(Sources(PEOPLE, remote(field("Email"), *two), "crm", "people"))
    assert parse_mapping(text).external_id == "Person_Key__c"
    assert "\n# external_id: Badge__c " in text


def test_a_required_field_that_nothing_fills_is_asked_for_with_what_could() -> None:
    leads = table("leads", "email text", "firm_of_lead text", "created_at timestamptz")
    asked = _questions(_draft(leads, standard("Lead")))
    assert "Lead.LastName is required. What fills it: a column, sql (perhaps with firm_of_lead) or a constant?" in asked
    assert "created_at)" not in asked.split("Lead.LastName")[1].split("?")[0]


def test_a_required_field_from_a_column_that_may_be_null_says_so() -> None:
    over = table("people", "last_name text")
    assert "text to string(80); may be null, but is required there" in _draft(over)


def test_labels_that_a_picklist_refuses_are_left_to_be_translated() -> None:
    level = field("Level__c", FieldKind.PICKLIST, options=("Gold", "Silver"), restricted=True, required=True)
    over = table("people", "level enum(gold, bronze) not null", "email text")
    text = draft(Sources(over, remote(level, field("Email")), "crm", "people"))
    assert "  # Level__c: {column: level, values: {gold: ..., bronze: ...}}" in text
    assert "What do bronze of level become in Level__c? It offers Gold, Silver. Fill in values:." in _questions(text)
    assert list(parse_mapping(text).fields) == ["Email"]


def test_a_text_that_fills_a_picklist_is_asked_about() -> None:
    asked = _questions(_draft(table("cases", "priority text", "subject text"), standard("Case")))
    assert "Does priority hold what Priority offers (High, Medium, Low)?" in asked


def test_a_type_that_does_not_fit_is_asked_about_with_its_cast() -> None:
    asked = _questions(_draft(table("people", "last_name text not null", "Birthdate text")))
    assert 'Can every value be cast? Then write Birthdate: {sql: "\\"Birthdate\\"::date"}' in asked


def test_guesses_are_comments() -> None:
    text = _draft(table("people", "last_name text", "private_email text"))
    assert "  # Email: {column: private_email, sensitive: true}" in text
    assert list(parse_mapping(text).fields) == ["LastName"]
    assert "match_on" not in text


def test_where_nothing_fits_the_draft_says_so_in_the_place_to_fill() -> None:
    text = _draft(table("colours", "hue integer"), remote(field("Email")))
    assert "fields: {}" in text
    assert "no column looks like a field for sure: fill this in" in text


def test_a_table_without_a_key_is_asked_about() -> None:
    asked = _questions(_draft(table("people", "last_name text", key=())))
    assert "public.people has no primary key, nor a unique key without nulls." in asked
    asked = _questions(_draft(table("people", "id jsonb not null", "last_name text")))
    assert "id is jsonb, which cannot be a key." in asked


def test_names_that_are_no_plain_words_are_quoted_and_never_end_a_comment() -> None:
    odd = _with_columns(table('or"der', "last_name text not null", key=("last_name",)), "e.mail", "true", "first: name")
    fields = [field("LastName"), field("Email"), field("True__c"), field("FirstName")]
    keyed = remote(*fields, field("Key__c", unique=True, external_id=True))
    spec = parse_mapping(draft(Sources(replace(odd, schema="my schema"), keyed, "crm", "odd")))
    assert spec.entity.table_name == ("my schema", 'or"der')
    assert spec.fields["True__c"].column == "true"
    assert spec.fields["FirstName"].column == "first: name"
    assert spec.fields["Email"].sql == '"e.mail"'
    evil = _draft(_with_columns(table("people", "last_name text not null"), "x\nfields: {A: b}"))
    assert list(parse_mapping(evil).fields) == ["LastName"]
    assert "x fields: {A: b} (text)" in _questions(evil)


@given(st.text() | st.text("\x00\x1b\x7f\x85\x9f\u2028\ufeff\ufffe'\"\\: #{}[],"))
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    assert YAML(typ="safe", pure=True).load(f"{{a: {scalar(text)}}}") == {"a": text}


def _with_columns(over: Table, *names: str) -> Table:
    more = {name: Column(name, "text", base_type="text") for name in names}
    return replace(over, columns={**over.columns, **more})


def test_reserved_words_are_quoted_in_sql() -> None:
    order = table("order", "subject text", "user_id bigint")
    key = ForeignKey(("public", "order"), ("user_id",), ("public", "user"), ("id",))
    text = _draft(order, standard("Case"), key)
    assert r'#   user: {table: public.user, on: "\"user\".id = \"order\".user_id"}' in text
    spec = parse_mapping(_taken_into_use(text, "related:", "user: {"))
    assert spec.entity.related["user"].on == '"user".id = "order".user_id'


def test_a_draft_is_the_same_every_time() -> None:
    assert len({_draft(PEOPLE, None, TO_COMPANY, FROM_ORDERS) for _ in range(3)}) == 1
