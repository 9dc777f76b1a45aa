"""The file of `check --save`: what is written comes back, and equal schemas are equal texts."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncbridge import saved_schemas
from syncbridge.errors import SettingsError
from syncbridge.saved_schemas import SavedDestination, SavedFragment, SavedSchemas
from syncbridge.schemas import Catalog, Column, FieldKind, QueryFault, RemoteField, RemoteObject, Table

ODD = Table(
    schema='odd."schema',
    name="täble: x",
    columns={
        "id": Column("id", "bigint", 20, "int8", not_null=True, has_default=True),
        "mood": Column("mood", 'odd."mood"', 99_999, "enum", options=("sad", "it's ok", 'gl"ad')),
        "price": Column("price", "numeric(12,2)", 1700, "numeric", precision=12, scale=0, readable=False),
    },
    oid=4711,
    primary_key=("id",),
    unique_keys=(("id",), ("mood", "price")),
    replica_identity="i",
    identity_columns=("id",),
    kind="p",
    rows=10_000,
    owned=False,
    index_names={("mood", "price"): 'odd."index"', ("id",): "odd_pkey"},
)
CONTACT = RemoteObject(
    "Contact",
    {
        "Email": RemoteField("Email", FieldKind.EMAIL, "E-Mail", length=80, external_id=True),
        "Level__c": RemoteField("Level__c", FieldKind.PICKLIST, options=("Gold", "Silver"), restricted=True),
        "AccountId": RemoteField("AccountId", FieldKind.REFERENCE, refers_to=("Account",), nillable=False),
    },
    deletable=False,
    label="Kontakt",
)
SCHEMAS = SavedSchemas(
    Catalog(
        {(ODD.schema, ODD.name): ODD},
        server_version=180006,
        max_replication_slots=10,
        can_replicate=False,
        user="app",
        database="crm",
        settings={"wal_sender_timeout": "60000"},
        slots=frozenset({"syncbridge"}),
        publications={"mine": frozenset({("public", "b"), ("public", "a")}), "other": frozenset()},
    ),
    "mine",
    {"crm": SavedDestination("salesforce", {"Contact": CONTACT}), "none": SavedDestination("memory")},
    {
        "people": {
            "fields.Name": SavedFragment("select 'a\n\"b\"'", Column("?column?", "text", 25, "text")),
            "entity.where": SavedFragment("select where true"),
            "fields.Wrong": SavedFragment("select nope", fault=QueryFault("no such column", 8, "hint", "42703")),
        }
    },
)


def _round_trip(folder: Path, schemas: SavedSchemas = SCHEMAS) -> SavedSchemas:
    saved_schemas.write(folder / "schemas.json", schemas)
    return saved_schemas.read(folder / "schemas.json", "schemas.json")


def test_what_is_written_comes_back_but_for_what_moves_by_itself(tmp_path: Path) -> None:
    found = _round_trip(tmp_path)
    columns = {name: replace(column, type_oid=0) for name, column in ODD.columns.items()}
    table = replace(ODD, oid=0, rows=0, columns=columns)
    assert found.catalog == replace(
        SCHEMAS.catalog,
        tables={(ODD.schema, ODD.name): table},
        free_replication_slots=1,
        free_wal_senders=1,
        slots=frozenset(),
        publications={"mine": frozenset({("public", "b"), ("public", "a")})},
        saved_in="schemas.json",
    )
    fields = {name: replace(field, label="") for name, field in CONTACT.fields.items()}
    assert found.destinations == {
        "crm": SavedDestination("salesforce", {"Contact": replace(CONTACT, label="", fields=fields)}),
        "none": SavedDestination("memory"),
    }
    assert found.described() == {
        "select 'a\n\"b\"'": Column("?column?", "text", 0, "text"),
        "select where true": None,
        "select nope": QueryFault("no such column", 8, "hint", "42703"),
    }


def _any(kind: type, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of this class in all its members, so that one that is added later is tried too."""
    hints = get_type_hints(kind)
    members = {each.name: parts.get(each.name, st.from_type(hints[each.name])) for each in fields(kind)}
    return st.builds(kind, **members)


def _by_name(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(values, max_size=3).map(lambda found: {each.name: each for each in found})


_TABLES = _any(
    Table,
    columns=_by_name(_any(Column)),
    unique_keys=st.frozensets(st.tuples(st.text()), max_size=2).map(lambda keys: tuple(sorted(keys))),
    primary_key=st.just(()),
)
_REMOTES = _any(RemoteObject, fields=_by_name(_any(RemoteField)))


def _kept(value: Any, **parts: Any) -> dict[str, Any]:
    """What the file keeps of a value."""
    left_out = saved_schemas.LEFT_OUT[type(value)] - {"name", "schema", "columns", "fields", "index_names"}
    told = {each.name: getattr(value, each.name) for each in fields(value) if each.name not in left_out}
    return {**told, **parts}


def _kept_table(table: Table) -> dict[str, Any]:
    return _kept(table, columns={name: _kept(column) for name, column in table.columns.items()})


@settings(max_examples=40)
@given(table=_TABLES, remote=_REMOTES)
def test_no_fact_is_forgotten_that_a_check_could_ask_for(tmp_path: Path, table: Table, remote: RemoteObject) -> None:
    place = (table.schema, table.name)
    schemas = SavedSchemas(Catalog({place: table}), "mine", {"crm": SavedDestination("x", {remote.name: remote})})
    found = _round_trip(tmp_path, schemas)
    assert _kept_table(found.catalog.tables[place]) == _kept_table(table)
    back = found.destinations["crm"].objects[remote.name]
    assert {name: _kept(field) for name, field in back.fields.items()} == {
        name: _kept(field) for name, field in remote.fields.items()
    }
    assert _kept(back, fields=None) == _kept(remote, fields=None)


@settings(max_examples=40)
@given(catalog=_any(Catalog, tables=st.just({}), settings=st.dictionaries(st.text(), st.text(), max_size=3)))
def test_no_fact_of_the_server_is_forgotten(tmp_path: Path, catalog: Catalog) -> None:
    assert _kept(_round_trip(tmp_path, SavedSchemas(catalog, "mine")).catalog) == _kept(catalog)


def test_what_was_read_is_written_as_the_same_text(tmp_path: Path) -> None:
    assert saved_schemas.to_text(_round_trip(tmp_path)) == saved_schemas.to_text(SCHEMAS)


def test_the_order_in_which_the_server_tells_does_not_matter() -> None:
    turned = replace(
        ODD,
        columns=dict(reversed(list(ODD.columns.items()))),
        unique_keys=ODD.unique_keys[::-1],
        index_names=dict(reversed(list(ODD.index_names.items()))),
    )
    other = replace(SCHEMAS, catalog=replace(SCHEMAS.catalog, tables={(ODD.schema, ODD.name): turned}))
    assert saved_schemas.to_text(other) == saved_schemas.to_text(SCHEMAS)


def test_a_publication_that_is_not_there_is_none_and_an_empty_one_is_empty(tmp_path: Path) -> None:
    assert _round_trip(tmp_path, replace(SCHEMAS, publication="gone")).catalog.publications == {}
    assert _round_trip(tmp_path, replace(SCHEMAS, publication="other")).catalog.publications == {"other": frozenset()}


def test_an_equal_file_is_left_alone_and_no_draft_stays_behind(tmp_path: Path) -> None:
    path = tmp_path / "schemas.json"
    assert saved_schemas.write(path, SCHEMAS) is True
    assert saved_schemas.write(path, SCHEMAS) is False
    assert [each.name for each in tmp_path.iterdir()] == ["schemas.json"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"schemas\.json: cannot be written: No such file or directory"):
        saved_schemas.write(tmp_path / "none" / "schemas.json", SCHEMAS)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("source", []),
        ("destinations", {"crm": {"type": "salesforce", "objects": {"Contact": {"fields": ["Email"]}}}}),
        ("destinations", {"crm": {"type": "salesforce", "objects": {"Contact": {"fields": {"A": {"kind": "x"}}}}}}),
        ("fragments", {"people": {"fields.Name": {"query": 7}}}),
        ("surplus", {}),
    ],
)
def test_a_file_that_was_edited_wrongly_is_told_as_such(tmp_path: Path, part: str, wrong: object) -> None:
    document = json.loads(saved_schemas.to_text(SCHEMAS))
    (tmp_path / "schemas.json").write_text(json.dumps({**document, part: wrong}))
    with pytest.raises(SettingsError, match="not what `syncbridge check --save` writes"):
        saved_schemas.read(tmp_path / "schemas.json", "schemas.json")
