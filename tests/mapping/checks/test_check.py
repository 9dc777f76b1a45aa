"""Check: each thing that can be wrong between a mapping, a table and a remote object, with the words that tell it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncbridge.errors import Finding, RecordRejected
from syncbridge.mapping.checks.check import Subject, check_mappings, check_server, fragments
from syncbridge.mapping.files import parse_mapping
from syncbridge.mapping.spec import MappingSpec
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


def test_a_mapping_that_fits_has_no_findings() -> None:
    text = HEAD.replace("key: id}", "key: id, where: vip}") + (
        "  FirstName: {column: nickname}\n  Active__c: vip\n  Birthdate: born\n  Seen__c: seen\n  Tags__c: tags\n"
        "  Mood__c: mood\n  Source: {constant: web}\n  Amount__c: {sql: id * 2}\n  Count__c: id\n"
        "deletes: {to_destination: {set: {Active__c: false}}}\n"
    )
    described: Fragments = {("fields", "Amount__c"): column("f", "int8"), ("entity", "where"): None}
    assert findings(text, described=described) == []


@pytest.mark.parametrize(
    ("changes", "message", "sql"),
    [
        ({"kind": "v"}, "public.people is a view; it has no changes to read", ""),
        ({"kind": "m"}, "public.people is a materialised view", ""),
        ({"kind": "f"}, "public.people is a foreign table", ""),
        ({"persistence": "u"}, "is unlogged", 'ALTER TABLE "public"."people" SET LOGGED;'),
        ({"persistence": "t"}, "is temporary; its changes are not in the log", ""),
        (
            {"readable": False},
            "the login sync may not read public.people",
            'GRANT USAGE ON SCHEMA "public" TO "sync";\nGRANT SELECT ON "public"."people" TO "sync";',
        ),
        (
            {"row_security": True},
            "hides rows from the login sync; they would count as gone",
            'ALTER ROLE "sync" BYPASSRLS;',
        ),
        (
            {"primary_key": (), "unique_keys": ()},
            "id is neither the primary key of public.people nor a unique key of it",
            'ALTER TABLE "public"."people" ADD PRIMARY KEY ("id");',
        ),
        (
            {"primary_key": ("code",), "unique_keys": (("code",),)},
            "id is neither the primary key",
            'CREATE UNIQUE INDEX CONCURRENTLY ON "public"."people" ("id");',
        ),
        (
            {"columns": {**PEOPLE.columns, "id": column("id", "int8")}},
            "id may be null, and a null is no key",
            'ALTER TABLE "public"."people" ALTER COLUMN "id" SET NOT NULL;',
        ),
        (
            {"replica_identity": "n", "identity_columns": ()},
            "deletes and key changes in public.people do not tell the old id",
            'ALTER TABLE "public"."people" REPLICA IDENTITY DEFAULT;',
        ),
        (
            {"primary_key": ("code",), "identity_columns": ("code",)},
            "its replica identity does not hold the key",
            'ALTER TABLE "public"."people" REPLICA IDENTITY USING INDEX people_pkey;',
        ),
        (
            {"identity_columns": ()},  # a deferrable primary key
            "its replica identity does not hold the key",
            'ALTER TABLE "public"."people" REPLICA IDENTITY FULL;',
        ),
    ],
)
def test_a_table_that_cannot_be_captured_is_an_error_with_the_sql_that_mends_it(
    changes: dict[str, object], message: str, sql: str
) -> None:
    found = only(findings(table=replace(PEOPLE, **changes)))  # type: ignore[arg-type]
    assert found.severity == "error"
    assert message in found.message
    assert found.sql == sql
    assert found.where == "m.yaml:4"


def test_a_missing_table_is_told_with_similar_names() -> None:
    catalog = replace(CATALOG, near={("public", "people"): ("crm.people", "public.peoples")})
    found = only(findings(table=None, catalog=catalog))
    assert found.message == "there is no table public.people; did you mean crm.people or public.peoples?"


def test_a_table_of_another_owner_may_be_published_already() -> None:
    theirs = replace(PEOPLE, owned=False)
    published = replace(CATALOG, publications={"syncbridge": frozenset({("public", "people")})})
    assert findings(table=theirs, catalog=published) == []
    without = replace(CATALOG, publications={"syncbridge": frozenset()})
    found = only(findings(table=theirs, catalog=without))
    assert found.where == "database app"
    assert found.message == "the login sync does not own public.people, so it cannot publish it"
    assert "`syncbridge setup` then prints" in found.remedy


def test_tables_of_another_owner_are_one_finding_however_often_they_are_mapped() -> None:
    theirs = replace(PEOPLE, owned=False)
    catalog = replace(CATALOG, tables={("public", "people"): theirs})
    spec = parse_mapping(HEAD + "  FirstName: first_name\n", "m.yaml")
    other = parse_mapping(HEAD.replace("mapping: ", "mapping: x") + "  FirstName: first_name\n", "x.yaml")
    found = check_mappings([Subject(spec), Subject(other)], catalog, publication="p")
    assert [each.where for each in found if "cannot publish" in each.message] == ["database app"]


def test_a_column_that_may_not_be_read_is_an_error_with_its_grant() -> None:
    found = only(findings(HEAD + "  FirstName: secret\n"))
    assert found.message == "the login sync may not read secret of public.people"
    assert found.sql == 'GRANT SELECT ("secret") ON "public"."people" TO "sync";'


def test_partitions_that_tell_other_old_keys_than_their_table_are_an_error() -> None:
    whole = replace(PEOPLE, kind="p", replica_identity="f", identity_columns=("id", "code"))
    assert findings(table=whole) == []
    found = only(findings(table=replace(whole, unlike_partitions=(("people_2025", "n"), ("people_2026", "n")))))
    assert found.message == (
        "2 partitions have another replica identity than public.people, such as people_2025:"
        " old keys are not told there"
    )
    assert 'pg_partition_tree(\'"public"."people"\')' in found.sql
    assert "REPLICA IDENTITY FULL" in found.sql
    by_primary_key = replace(whole, unlike_partitions=(("people_2025", "d"),))  # which holds the key
    assert findings(table=by_primary_key) == []


def test_keys_are_columns_with_a_text_of_their_own() -> None:
    missing = only(findings(HEAD.replace("key: id", "key: idd")))
    assert missing.message == "public.people has no column 'idd'; did you mean 'id'?"
    columns = {**PEOPLE.columns, "id": column("id", "timestamptz", not_null=True)}
    loose = [f.message for f in findings(table=replace(PEOPLE, columns=columns))]
    assert "id is timestamptz, which cannot be a key: its text depends on settings" in loose
    columns["id"] = column("id", "numeric", not_null=True)
    doubtful = findings(table=replace(PEOPLE, columns=columns))
    assert "1.0 and 1.00 are two keys of what may be one entity" in doubtful[0].message


def test_a_generated_key_needs_a_server_that_publishes_it() -> None:
    columns = {**PEOPLE.columns, "id": replace(PEOPLE.columns["id"], generated=True)}
    table = replace(PEOPLE, columns=columns)
    assert findings(table=table) == []
    found = only(findings(table=table, catalog=replace(CATALOG, server_version=170000)))
    assert found.message == "id is a generated column, which Postgres does not publish before version 18"


@pytest.mark.parametrize(
    ("changes", "message", "sql"),
    [
        ({"wal_level": "replica"}, "wal_level is replica, so changes", "ALTER SYSTEM SET wal_level = 'logical';"),
        (
            {"free_replication_slots": 0, "max_replication_slots": 10},
            "no replication slot is free (max_replication_slots is 10)",
            "ALTER SYSTEM SET max_replication_slots = 12;",
        ),
        ({"free_wal_senders": 0, "max_wal_senders": 2}, "no WAL sender", "ALTER SYSTEM SET max_wal_senders = 4;"),
        ({"can_replicate": False}, "the login sync may not replicate", 'ALTER ROLE "sync" REPLICATION;'),
        ({"can_create": False}, "may not create the schema", 'GRANT CREATE ON DATABASE "app" TO "sync";'),
        ({"server_version": 130012}, "Postgres 13 is too old", ""),
    ],
)
def test_a_server_that_is_not_ready_is_an_error_with_the_sql_that_mends_it(
    changes: dict[str, object], message: str, sql: str
) -> None:
    found = only(list(check_server(replace(CATALOG, **changes), slot="syncbridge", state_here=True)))  # type: ignore[arg-type]
    assert (found.severity, found.where, found.sql) == ("error", "database app", sql)
    assert message in found.message


def test_what_is_there_already_need_not_be_free() -> None:
    busy = replace(CATALOG, free_replication_slots=0, free_wal_senders=0, slots=frozenset({"syncbridge"}))
    assert list(check_server(busy, slot="syncbridge", state_here=True)) == []
    elsewhere = replace(CATALOG, can_create=False)
    assert list(check_server(elsewhere, slot="syncbridge", state_here=False)) == []


@pytest.mark.parametrize(
    ("changes", "deletes", "message"),
    [
        ({"createable": False}, "ignore", "Contact records cannot be created by this login"),
        ({"updateable": False}, "ignore", "Contact records cannot be updated by this login"),
        ({"deletable": False}, "delete", "Contact records cannot be deleted by this login"),
    ],
)
def test_what_the_login_may_not_do_is_an_error(changes: dict[str, object], deletes: str, message: str) -> None:
    text = HEAD + f"deletes: {{to_destination: {deletes}}}\n"
    found = only(findings(text, remote=replace(CONTACT, **changes)))  # type: ignore[arg-type]
    assert (found.severity, found.message) == ("error", message)


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
