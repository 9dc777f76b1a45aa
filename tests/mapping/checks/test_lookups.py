"""Lookups are checked against the mapping they name, its key, and the field that takes the id."""

from __future__ import annotations

import pytest

from syncbridge.errors import Finding
from syncbridge.mapping.checks.check import Subject, check_mappings
from syncbridge.mapping.files import parse_mapping
from syncbridge.schemas import Catalog, Column, FieldKind, RemoteField, RemoteObject, Table


def _column(name: str, base: str, *, scale: int | None = None) -> Column:
    return Column(name, base, base_type=base, not_null=True, scale=scale)


def _table(name: str, *columns: Column, key: tuple[str, ...] = ("id",)) -> Table:
    return Table(
        "public", name, {c.name: c for c in columns}, primary_key=key, unique_keys=(key,), identity_columns=key
    )


TABLES = [
    _table("companies", _column("id", "int8"), _column("name", "text")),
    _table("shops", _column("country", "text"), _column("no", "int4"), _column("name", "text"), key=("country", "no")),
    _table(
        "people",
        *(_column("id", "int8"), _column("name", "text"), _column("company_id", "int4"), _column("company", "text")),
        *(_column("country", "varchar"), _column("shop_no", "int8"), _column("price", "numeric", scale=2)),
    ),
]
CATALOG = Catalog({(t.schema, t.name): t for t in TABLES}, server_version=180000)
CONTACT = RemoteObject(
    "Contact",
    {
        f.name: f
        for f in (
            RemoteField("Key__c", FieldKind.STRING, external_id=True, unique=True, case_sensitive=True),
            RemoteField("Name", FieldKind.STRING),
            RemoteField("AccountId", FieldKind.REFERENCE, refers_to=("Account",)),
            RemoteField("Owner__c", FieldKind.REFERENCE, refers_to=("Account",), required=True, nillable=False),
            RemoteField("ShopId", FieldKind.STRING),
            RemoteField("Amount", FieldKind.NUMBER),
            RemoteField("Later__c", FieldKind.STRING, createable=False),
        )
    },
)
HEAD = "mapping: {0}\ndestination: {1}\nobject: {2}\nentity: {{table: public.{0}, key: {3}}}\nexternal_id: Key__c\n"
COMPANIES = HEAD.format("companies", "crm", "Account", "id") + "fields:\n  Name: name\n"
SHOPS = HEAD.format("shops", "crm", "Shop", "[country, no]") + "fields:\n  Name: name\n"
PEOPLE = HEAD.format("people", "crm", "Contact", "id") + "fields:\n  Name: name\n"
OWNED = "  Owner__c: {lookup: companies, key: company_id}\n"


def _findings(fields: str, *others: str) -> list[Finding]:
    known = [parse_mapping(text, f"m{turn}.yaml") for turn, text in enumerate(others or (COMPANIES, SHOPS))]
    subject = Subject(parse_mapping(PEOPLE + fields, "people.yaml"), {}, CONTACT, None)
    return check_mappings([subject], CATALOG, publication="syncbridge", known=known)


def test_lookups_that_fit_have_no_findings() -> None:
    shop = "  ShopId: {lookup: shops, key: [country, shop_no], missing: empty}\n"
    assert _findings(OWNED + "  AccountId: {lookup: companies, key: company_id}\n" + shop) == []


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "AccountId: {lookup: compnies, key: company_id}",
            "fields.AccountId.lookup: there is no mapping 'compnies'; did you mean 'companies'?",
        ),
        (
            "AccountId: {lookup: companies, key: compny_id}",
            "fields.AccountId.key: public.people has no column 'compny_id'; did you mean 'company_id'?",
        ),
        (
            "AccountId: {lookup: companies, key: company}",
            "fields.AccountId.key: company is text, but companies.id is int8",
        ),
        ("ShopId: {lookup: shops, key: country}", "fields.ShopId.key: the key of shops has 2 columns, this is 1"),
        (
            "ShopId: {lookup: shops, key: [shop_no, country]}",
            "fields.ShopId.key: shop_no is int8, but shops.country is text",
        ),
        (
            "AccountId: {lookup: shops, key: [country, shop_no]}",
            "fields.AccountId: AccountId refers to Account, but shops keeps Shop records",
        ),
        (
            "Amount: {lookup: companies, key: company_id}",
            "fields.Amount: Amount is a number field, which cannot hold the id of a record",
        ),
    ],
)
def test_what_does_not_fit_is_told(field: str, message: str) -> None:
    found = _findings(f"{OWNED}  {field}\n")
    assert message in [each.message for each in found]
    assert all(each.severity == "error" and each.where.startswith("people.yaml:") for each in found)


def test_a_lookup_that_waits_for_what_a_filter_leaves_out_is_told() -> None:
    filtered = COMPANIES.replace("key: id}", "key: id, where: active}")
    (found,) = _findings(OWNED, filtered)
    assert (found.severity, found.where) == ("warning", "people.yaml:8")
    assert "companies has a `where`: what looks up a row it leaves out waits for good" in found.message
    assert "missing: empty" in found.remedy
    account = OWNED.replace("Owner__c", "AccountId").replace("company_id}", "company_id, missing: empty}")
    assert "`where`" not in str(_findings(account, filtered))
    assert "`where`" not in str(_findings(OWNED))


def test_a_mapping_of_another_destination_cannot_be_looked_up() -> None:
    (found,) = _findings(OWNED, COMPANIES.replace("destination: crm", "destination: erp"))
    assert found.message == "fields.Owner__c.lookup: companies goes to erp, this mapping to crm"


def test_a_required_field_cannot_be_sent_empty() -> None:
    (found,) = _findings(OWNED.replace("company_id}", "company_id, missing: empty}"))
    assert found.message == "fields.Owner__c: Owner__c is required, so that no record can be sent without it"


def test_a_field_that_no_new_record_takes_cannot_be_the_destination_s_own() -> None:
    found = _findings(f"{OWNED}  Later__c: {{column: name, owner: destination}}\n")
    assert any("with this owner it never is afterwards" in each.message for each in found if each.severity == "error")
