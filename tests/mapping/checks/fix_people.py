"""A table, a remote object and a mapping between them that fit, for tests that spoil one thing at a time."""

from __future__ import annotations

from dataclasses import replace

from syncbridge.errors import Finding, RecordRejected
from syncbridge.mapping.checks.check import Subject, check_mappings
from syncbridge.mapping.files import parse_mapping
from syncbridge.model import Normal, Normaliser, Value
from syncbridge.schemas import Catalog, Column, FieldKind, QueryFault, RemoteField, RemoteObject, Table

F = FieldKind
Fragments = dict[tuple[str, ...], Column | QueryFault | None]


def column(name: str, base_type: str, **facts: object) -> Column:
    return Column(name, base_type, base_type=base_type, **facts)  # type: ignore[arg-type]


PEOPLE = Table(
    "public",
    "people",
    {
        one.name: one
        for one in (
            column("id", "int8", not_null=True),
            column("code", "text", not_null=True),
            column("last_name", "text", not_null=True),
            column("nickname", "text"),
            column("short", "varchar", length=80),
            column("price", "numeric", precision=20, scale=4),
            column("mood", "enum", options=("sad", "glad")),
            column("tags", "text[]"),
            column("born", "date"),
            column("seen", "timestamptz"),
            column("data", "jsonb"),
            column("vip", "bool"),
            column("secret", "text", readable=False),
        )
    },
    primary_key=("id",),
    unique_keys=(("id",), ("code",)),
    index_names={("id",): "people_pkey", ("code",): "people_code_key"},
    identity_columns=("id",),
)
CATALOG = Catalog(
    tables={("public", "people"): PEOPLE},
    server_version=180000,
    free_replication_slots=5,
    free_wal_senders=5,
    user="sync",
    database="app",
)
CONTACT = RemoteObject(
    "Contact",
    {
        one.name: one
        for one in (
            RemoteField("Id", F.IDENTIFIER, external_id=True, createable=False, updateable=False),
            RemoteField("Key__c", F.STRING, length=20, external_id=True, unique=True, case_sensitive=True),
            RemoteField("Loose__c", F.STRING, length=20, external_id=True),
            RemoteField("Number__c", F.NUMBER, precision=18, scale=0, external_id=True, unique=True),
            RemoteField("LastName", F.STRING, length=80, required=True, nillable=False),
            RemoteField("FirstName", F.STRING, length=40),
            RemoteField("Amount__c", F.NUMBER, precision=18, scale=2),
            RemoteField("Count__c", F.INTEGER, precision=8),
            RemoteField("Active__c", F.BOOLEAN),
            RemoteField("Birthdate", F.DATE),
            RemoteField("Seen__c", F.DATETIME),
            RemoteField("Mood__c", F.PICKLIST, options=("Glad", "Sad"), restricted=True),
            RemoteField("Source", F.PICKLIST, options=("Web", "Phone")),
            RemoteField("About__c", F.TEXT, length=32768, filterable=False),
            RemoteField("Tags__c", F.MULTIPICKLIST, options=("a", "b"), restricted=True),
            RemoteField("AccountId", F.REFERENCE),
            RemoteField("Address", F.OTHER, createable=False, updateable=False),
            RemoteField("Formula__c", F.STRING, calculated=True, createable=False, updateable=False),
            RemoteField("Hidden__c", F.STRING, createable=False, updateable=False),
            RemoteField("Once__c", F.STRING, updateable=False),
            RemoteField("Later__c", F.STRING, createable=False),
        )
    },
)
HEAD = """\
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: Key__c
fields:
  LastName: last_name
"""


def normaliser(field: RemoteField) -> Normaliser:
    """As a destination would: strings have a length, checkboxes are true or false."""

    def normalise(value: Value) -> Normal:
        if field.kind is F.BOOLEAN and not isinstance(value, bool):
            raise RecordRejected(f"{field.name}: a str is not a boolean", code="MISTYPED")
        if field.length and len(str(value)) > field.length:
            raise RecordRejected(f"{field.name}: data value too large", code="TOO_LONG")
        return value if isinstance(value, bool | int | None) else str(value)

    return normalise


def findings(
    text: str = HEAD,
    *,
    table: Table | None = PEOPLE,
    catalog: Catalog = CATALOG,
    remote: RemoteObject | None = CONTACT,
    described: Fragments | None = None,
) -> list[Finding]:
    tables = {("public", "people"): table} if table is not None else {}
    subject = Subject(parse_mapping(text, "m.yaml"), described or {}, remote, normaliser)
    return check_mappings([subject], replace(catalog, tables=tables), publication="syncbridge")


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]
