"""Which column fills which field: on the standard objects, and rule by rule."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from syncbridge.mapping.suggesting.suggest import (
    Pair,
    Sureness,
    choose_external_ids,
    choose_key,
    is_personal,
    reference_for,
    suggest,
)
from syncbridge.schemas import FieldKind, ForeignKey, RemoteObject, Table
from tests.schemas_of import column, field, remote, standard, table

USERS = table(
    "users", "fname varchar(50)", "surname varchar(100) not null", "email_address citext not null", "mobile text",
    "work_phone text", "street text", "city text", "zip varchar(10)", "dob date", "marketing_opt_in boolean",
    "utm_source text", "created_at timestamptz not null", "notes text", "job_title text", "dept text",
    "preferences jsonb",
)  # fmt: skip
CUSTOMERS = table(
    "customers", "company_name text not null", "url text", "sector text", "staff_count integer",
    "yearly_revenue numeric(14, 2)", "billing_city text", "shipping_city text", "billing_zip text",
    "customer_number varchar(20)", "ticker text",
)  # fmt: skip
DEALS = table(
    "deals", "deal_name text not null", "deal_value numeric(12, 2)", "stage text not null",
    "probability double precision", "expected_close_date date not null", "next_step varchar(300)", "won boolean",
)  # fmt: skip


def _pairs(over: Table, to: RemoteObject) -> dict[str, tuple[str, str]]:
    found = suggest(over, to).pairs
    return {pair.column.name: (pair.field.name, str(pair.sureness)) for pair in found}


def _one(text: str, *fields: str | tuple[str, FieldKind], over: str = "things") -> Pair | None:
    made = [field(each) if isinstance(each, str) else field(*each) for each in fields]
    pairs = suggest(table(over, text), remote(*made)).pairs
    return pairs[0] if pairs else None


def test_people_of_a_product_are_contacts() -> None:
    assert _pairs(USERS, standard("Contact")) == {
        "fname": ("FirstName", "sure"),
        "surname": ("LastName", "sure"),
        "email_address": ("Email", "sure"),
        "mobile": ("MobilePhone", "sure"),
        "work_phone": ("Phone", "sure"),
        "street": ("MailingStreet", "sure"),
        "city": ("MailingCity", "sure"),
        "zip": ("MailingPostalCode", "sure"),
        "dob": ("Birthdate", "sure"),
        "utm_source": ("LeadSource", "likely"),
        "notes": ("Description", "sure"),
        "job_title": ("Title", "sure"),
        "dept": ("Department", "sure"),
    }


def test_customers_are_accounts() -> None:
    assert _pairs(CUSTOMERS, standard("Account")) == {
        "company_name": ("Name", "sure"),
        "url": ("Website", "sure"),
        "sector": ("Industry", "sure"),
        "staff_count": ("NumberOfEmployees", "sure"),
        "yearly_revenue": ("AnnualRevenue", "sure"),
        "billing_city": ("BillingCity", "sure"),
        "shipping_city": ("ShippingCity", "sure"),
        "billing_zip": ("BillingPostalCode", "sure"),
        "customer_number": ("AccountNumber", "sure"),
        "ticker": ("TickerSymbol", "sure"),
    }


def test_deals_are_opportunities() -> None:
    assert _pairs(DEALS, standard("Opportunity")) == {
        "deal_name": ("Name", "sure"),
        "deal_value": ("Amount", "likely"),
        "stage": ("StageName", "sure"),
        "probability": ("Probability", "sure"),
        "expected_close_date": ("CloseDate", "sure"),
        "next_step": ("NextStep", "sure"),
    }


def test_what_pairs_with_nothing_is_left_over() -> None:
    found = suggest(USERS, standard("Contact"))
    assert [each.name for each in found.columns_left] == ["marketing_opt_in", "created_at", "preferences"]
    assert found.required_left == ()
    nameless = suggest(table("users", "email text"), standard("Contact"))
    assert [each.name for each in nameless.required_left] == ["LastName"]


def test_the_order_in_which_schemas_are_told_does_not_matter() -> None:
    contact = standard("Contact")
    wanted = _pairs(USERS, contact)
    chance = random.Random(7)
    for _ in range(5):
        columns, fields = list(USERS.columns.items()), list(contact.fields.items())
        chance.shuffle(columns)
        chance.shuffle(fields)
        shuffled = replace(USERS, columns=dict(columns))
        assert _pairs(shuffled, replace(contact, fields=dict(fields))) == wanted


def test_each_column_and_each_field_is_used_once_and_the_better_name_wins() -> None:
    found = suggest(table("people", "work_email text", "email text"), remote(field("Email"), field("Other__c")))
    assert [(pair.column.name, pair.field.name) for pair in found.pairs] == [("email", "Email")]
    assert [each.name for each in found.columns_left] == ["work_email"]


def test_of_equal_pairs_the_required_field_wins_then_the_earlier_column() -> None:
    over = table("things", "source text")
    fields = [field("AccountSource"), field("LeadSource", required=True)]
    assert [pair.field.name for pair in suggest(over, remote(*fields)).pairs] == ["LeadSource"]
    twice = suggest(table("things", "note text", "notes text"), remote(field("Note__c")))
    assert [pair.column.name for pair in twice.pairs] == ["note"]


@pytest.mark.parametrize(
    ("text", "name", "score", "reason"),
    [
        ("first_name text", "FirstName", 1.0, "the same name"),
        ("lifetime_value numeric(10, 2)", "Lifetime_Value__c", 1.0, "the same name"),
        ("zip text", "Postal_Code__c", 1.0, "another way to write it"),
        ("surname text", "LastName", 1.0, "another way to write it"),
        ("headcount text", "NumberOfEmployees", 0.9, "headcount usually means it"),
        ("title text", "Name", 0.78, "title often means it"),
        ("name_last text", "LastName", 0.85, "the same words"),
        ("billing_contact_email text", "BillingEmail__c", 0.736, "both say billing email"),
        ("favourite_colour text", "Favorite_Color__c", 0.8 * 26 / 28, "spelled alike"),
    ],
)
def test_the_score_says_how_alike_names_are(text: str, name: str, score: float, reason: str) -> None:
    kind = FieldKind.NUMBER if "numeric" in text else FieldKind.STRING
    pair = _one(text, (name, kind))
    assert pair is not None
    assert pair.score == pytest.approx(score, abs=1e-3)
    assert pair.reason == reason


def test_a_label_counts_as_a_name() -> None:
    labelled = remote(field("NumberOfEmployees", FieldKind.INTEGER, label="Employees"))
    pair = suggest(table("companies", "employees integer"), labelled).pairs[0]
    assert (pair.score, pair.reason) == (0.95, "the name of its label")


@pytest.mark.parametrize(
    ("text", "name"), [("status text", "CleanStatus"), ("type text", "FuelType__c"), ("a text", "B__c")]
)
def test_words_that_say_nothing_make_no_pair(text: str, name: str) -> None:
    assert _one(text, name) is None


def test_some_words_in_common_are_worth_a_question_only() -> None:
    pair = _one("private_email text", "Email")
    assert pair is not None
    assert pair.sureness is Sureness.PERHAPS


@pytest.mark.parametrize(
    "unfit",
    [
        field("Email", calculated=True),
        field("Email", createable=False),
        field("Email", updateable=False),
        field("Email", FieldKind.REFERENCE),
        field("Email", FieldKind.OTHER),
    ],
)
def test_fields_that_a_mapping_cannot_fill_are_no_targets(unfit: object) -> None:
    assert suggest(table("people", "email text"), remote(unfit)).pairs == ()  # type: ignore[arg-type]


def test_a_type_that_does_not_fit_is_a_misfit_with_its_cast_where_names_leave_no_doubt() -> None:
    dated = remote(field("Birthdate", FieldKind.DATE), field("Seen__c", FieldKind.DATE))
    found = suggest(table("people", "birth_date text", "last_seen text"), dated)
    assert found.pairs == ()
    assert [(pair.column.name, pair.field.name, pair.cast) for pair in found.misfits] == [
        ("birth_date", "Birthdate", "{}::date")
    ]
    assert [each.name for each in found.columns_left] == ["last_seen"]


def test_a_remark_on_the_type_or_a_longer_value_costs_a_little() -> None:
    dated = _one("born_on timestamptz", ("BornOn__c", FieldKind.DATE))
    assert dated is not None
    assert dated.score == 0.97
    long = suggest(table("people", "email varchar(200)"), remote(field("Email", length=80))).pairs[0]
    assert long.score == 0.98


def test_a_column_that_the_login_may_not_read_is_left_over() -> None:
    hidden = replace(column("email text"), readable=False)
    over = replace(table("people"), columns={"id": column("id bigint not null"), "email": hidden})
    found = suggest(over, remote(field("Email")))
    assert (found.pairs, [each.name for each in found.columns_left]) == ((), ["email"])


# -- keys -----------------------------------------------------------------------------------------------------------


def test_the_key_is_the_primary_key_or_the_shortest_unique_one_without_nulls() -> None:
    columns = ("code text not null", "shop text not null", "number text")
    assert choose_key(table("shops", *columns, key=("code", "shop"))) == ("code", "shop")
    without = replace(
        table("shops", *columns, key=()), unique_keys=(("number",), ("shop", "code"), ("shop",), ("code",))
    )
    assert choose_key(without) == ("code",)
    assert choose_key(table("shops", *columns, key=())) == ()


def test_the_external_id_is_unique_and_best_named_first() -> None:
    candidates = remote(
        field("Badge__c", unique=True, external_id=True),
        field("Erp_Id__c", unique=True, external_id=True),
        field("Person_Key__c", unique=True, external_id=True),
        field("Person_No__c", FieldKind.NUMBER, unique=True, external_id=True),
        field("Email", FieldKind.EMAIL, external_id=True),
        field("Read__c", unique=True, external_id=True, updateable=False),
        field("Id", FieldKind.IDENTIFIER, unique=True, external_id=True),
    )
    people = table("people")
    assert [each.name for each in choose_external_ids(people, candidates)] == [
        "Person_Key__c",
        "Person_No__c",
        "Erp_Id__c",
        "Badge__c",
    ]
    by_text = table("people", "id uuid not null")
    assert "Person_No__c" not in [each.name for each in choose_external_ids(by_text, candidates)]


def test_the_key_and_its_field_are_in_no_pair() -> None:
    keyed = remote(field("Person_Id__c", unique=True, external_id=True), field("Id__c"))
    found = suggest(table("people", "person_id text"), keyed)
    assert "Person_Id__c" not in [pair.field.name for pair in found.pairs]
    assert "id" not in [pair.column.name for pair in found.pairs]


# -- personal data and references -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "personal"),
    [
        ("email", True), ("work_phone", True), ("first_name", True), ("surname", True), ("full_name", True),
        ("dob", True), ("gender", True), ("company_name", False), ("name", False), ("title", False),
        ("first_order_at", False), ("status", False),
    ],
)  # fmt: skip
def test_columns_that_tell_of_a_person_are_known_by_name(name: str, personal: bool) -> None:
    assert is_personal(column(f"{name} text")) is personal


def test_columns_that_fill_a_mail_or_phone_field_are_personal_whatever_their_name() -> None:
    assert is_personal(column("login text"), field("Email__c", FieldKind.EMAIL))
    assert not is_personal(column("login text"), field("Login__c"))


@pytest.mark.parametrize(
    ("object", "columns", "to", "name"),
    [
        ("Contact", "company_id", "companies", "AccountId"),
        ("Contact", "employer_id", "organizations", None),
        ("Contact", "manager_id", "people", "ReportsToId"),
        ("Account", "parent_id", "companies", "ParentId"),
        ("Case", "customer_id", "customers", "AccountId"),
        ("Case", "person_id", "people", "ContactId"),
        ("Opportunity", "campaign_id", "campaigns", "CampaignId"),
        ("Lead", "shop_id", "shops", None),
    ],
)
def test_a_foreign_key_fills_the_reference_of_its_name(object: str, columns: str, to: str, name: str | None) -> None:
    key = ForeignKey(("public", "things"), (columns,), ("public", to), ("id",))
    found = reference_for(key, standard(object))
    assert (found.name if found else None) == name


def test_the_only_reference_to_what_a_mapping_writes_is_it_whatever_its_name() -> None:
    key = ForeignKey(("public", "people"), ("employer_id",), ("public", "organizations"), ("id",))
    found = reference_for(key, standard("Contact"), {"account": "companies"})
    assert found is not None
    assert found.name == "AccountId"


def test_columns_of_foreign_keys_are_in_no_pair() -> None:
    over = table("people", "company text", "email text")
    key = ForeignKey(("public", "people"), ("company",), ("public", "companies"), ("id",))
    found = suggest(over, standard("Lead"), [key])
    assert [pair.column.name for pair in found.pairs] == ["email"]
    assert "company" not in [each.name for each in found.columns_left]
