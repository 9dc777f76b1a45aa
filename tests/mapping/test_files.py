"""Mapping files: what is understood, and every kind of mistake with its line, its words and the nearest right name."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.errors import MappingError
from syncbridge.mapping.files import find_mappings, parse_mapping, read_mappings, restore_mapping
from syncbridge.mapping.spec import Rate

HEAD = """\
mapping: people
destination: crm
object: Contact
entity: {table: public.people, key: id}
external_id: Key__c
"""
GOOD = HEAD + "fields:\n  LastName: last_name\n"


def mistakes(text: str) -> list[str]:
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "m.yaml")
    return caught.value.message.split("\n")


def test_every_form_of_a_field_is_understood() -> None:
    spec = parse_mapping(
        HEAD
        + """
fields:
  A: a
  B: {column: b, default: x, sensitive: true}
  C: {column: c, values: {active: Active, "": null, true: 1, 007: false}}
  D: {constant: 2.5}
  E: {sql: "a || ';' -- a comment"}
"""
    )
    fields = spec.fields
    assert (fields["A"].column, fields["A"].sensitive) == ("a", False)
    assert (fields["B"].default, fields["B"].sensitive) == ("x", True)
    assert fields["C"].values == {"active": "Active", "": None, "true": 1, "007": False}
    assert fields["D"].constant == 2.5
    assert fields["E"].sql == "a || ';' -- a comment"


def test_what_is_left_out_has_careful_defaults() -> None:
    spec = parse_mapping(GOOD)
    assert spec.deletes.to_destination == "delete"
    assert spec.guard.deletes == Rate(100, 3600)
    assert spec.guard.changes is None
    assert spec.entity.where is None


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("people", ("public", "people")),
        ("crm.People", ("crm", "People")),
        ('\'"odd.schema"."a ""b"""\'', ("odd.schema", 'a "b"')),
    ],
)
def test_tables_are_named_exactly(table: str, expected: tuple[str, str]) -> None:
    assert parse_mapping(GOOD.replace("public.people", table)).entity.table_name == expected


def test_several_columns_may_be_the_key() -> None:
    assert parse_mapping(GOOD.replace("key: id", "key: [a, b]")).entity.key == ("a", "b")


def test_guards_and_deletes_are_read() -> None:
    spec = parse_mapping(
        GOOD
        + "guard: {deletes: off, changes: 5_000 per minute}\ndeletes: {to_destination: {set: {A: false, B: null}}}\n"
    )
    assert spec.guard.deletes is None
    assert spec.guard.changes == Rate(5000, 60)
    assert spec.deletes.to_destination == {"set": {"A": False, "B": None}}


def test_a_definition_survives_being_stored_as_json() -> None:
    spec = parse_mapping(
        GOOD
        + "  B: {column: b, values: {x: 1}}\ndeletes: {to_destination: {set: {A: 1.5}}}\nguard: {changes: 1 per day}\n"
    )
    stored = json.loads(json.dumps(spec.definition()))
    assert restore_mapping(stored).definition() == spec.definition()
    assert spec.definition()["guard"] == {"deletes": "100 per hour", "changes": "1 per day"}


def test_equal_mappings_have_equal_definitions_however_they_are_spelled() -> None:
    other = GOOD.replace("LastName: last_name", "LastName: {column: last_name}").replace("key: id", "key: [id]")
    assert parse_mapping(other + "direction: to_destination\n").definition() == parse_mapping(GOOD).definition()


def test_a_definition_of_another_version_is_refused_by_name() -> None:
    definition = {**parse_mapping(GOOD).definition(), "novelty": 1}
    with pytest.raises(MappingError, match="mapping people: its stored definition is not understood: unknown key"):
        restore_mapping(definition)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # not YAML at all
        ("", "m.yaml:1: is empty (`syncbridge init` writes an example mapping.)"),
        ("# nothing\n", "m.yaml:1: is empty"),
        ("- a\n", "m.yaml:1: a mapping file is made of keys and values"),
        ("just text", "m.yaml:1: a mapping file is made of keys and values"),
        ("mapping: [\n", "m.yaml:2: not valid YAML: expected the node content, but found '<stream end>'"),
        ("mapping: a: b\n", "m.yaml:1: not valid YAML: mapping values are not allowed here (Put a text that holds"),
        ("a:\n\tb: c\n", "m.yaml:2: not valid YAML: found character '\\t' that cannot start any token (There is a tab"),
        ("a: 'b\n", "m.yaml:2: not valid YAML: found unexpected end of stream"),
        ("a: *b\n", "m.yaml:1: not valid YAML: found undefined alias 'b'"),
        ("a: \x00\n", "m.yaml:1: not valid YAML: unacceptable character #x0000"),
        ("a: &x [*x, *x]\n", "m.yaml:1: is nested too deeply"),
        ("[" * 3000, "m.yaml:1: is nested too deeply"),
        (GOOD + "---\n" + GOOD, "m.yaml:9: holds a second document (Write one mapping per file"),
        # keys
        (GOOD.replace("destination", "destinaton"), "m.yaml:2: unknown key 'destinaton'; did you mean 'destination'?"),
        (GOOD + "zzz: 1\n", "m.yaml:8: unknown key 'zzz'"),
        (
            GOOD.replace("key: id", "key: id, filter: x"),
            "m.yaml:4: unknown key 'filter' in entity; known are key, related, ta",
        ),
        (GOOD + "  B: {colunm: b}\n", "m.yaml:8: unknown key 'colunm' in fields.B; did you mean 'column'?"),
        (GOOD + "deletes: {to_destinaton: delete}\n", "m.yaml:8: unknown key 'to_destinaton' in deletes; did you mean"),
        (GOOD + "guard: {delete: 1 per day}\n", "m.yaml:8: unknown key 'delete' in guard; did you mean 'deletes'?"),
        (GOOD + "object: Lead\n", "m.yaml:8: 'object' stands here twice; the first is in line 3"),
        (GOOD + "  LastName: other\n", "m.yaml:8: 'LastName' stands here twice; the first is in line 7"),
        (GOOD + "? [a]\n: b\n", "m.yaml:8: a key must be plain text"),
        (GOOD + "x: !python/name:os.system y\n", "m.yaml:8: the YAML tag !python/name:os.system has no meaning here"),
        ("mapping: people\n", "m.yaml:1: fields is missing"),
        (GOOD.replace("table: public.people, ", ""), "m.yaml:4: entity.table is missing"),
        # values of the head
        (GOOD.replace(": people\n", ": My People\n"), "m.yaml:1: mapping: a mapping's name is made of small letters"),
        (GOOD.replace(": people\n", ": 5\n"), "m.yaml:1: mapping: should be text; put it in quotes"),
        (GOOD.replace(": people\n", ":\n"), "m.yaml:1: mapping: should be text"),
        (GOOD.replace(": Contact", ": [Contact]"), "m.yaml:3: object: should be text"),
        (GOOD.replace(": Contact", ': " "'), "m.yaml:3: object: is empty"),
        (GOOD.replace("public.people", "a.b.c"), "m.yaml:4: entity.table: write schema.table; a name with a dot"),
        (GOOD.replace("public.people", "my table"), "m.yaml:4: entity.table: write schema.table"),
        (GOOD.replace("public.people", "public."), "m.yaml:4: entity.table: write schema.table"),
        (GOOD.replace("key: id", "key: []"), "m.yaml:4: entity.key: should be a column, or a list of columns"),
        (GOOD.replace("key: id", "key: [id, 5]"), "m.yaml:4: entity.key: should be a column, or a list of columns"),
        (GOOD.replace("key: id", "key: [id, id]"), "m.yaml:4: entity.key: names a column twice"),
        (HEAD.replace("entity: {table: public.people, key: id}", "entity: people"), "m.yaml:4: entity: should be keys"),
        # fields
        (HEAD + "fields: {}\n", "m.yaml:6: fields: is empty"),
        (HEAD + "fields:\n", "m.yaml:6: fields: should be keys and values"),
        (HEAD + "fields: [a]\n", "m.yaml:6: fields: should be keys and values"),
        (GOOD + "  B:\n", "m.yaml:8: fields.B.column: should be text"),
        (GOOD + "  B: 5\n", "m.yaml:8: fields.B.column: should be text; put it in quotes"),
        (GOOD + "  B: {}\n", "m.yaml:8: fields.B: needs one of column, sql, constant or lookup"),
        (GOOD + "  B: {default: x}\n", "m.yaml:8: fields.B: needs one of column, sql, constant or lookup"),
        (GOOD + "  B: {column: b, sql: c}\n", "m.yaml:8: fields.B: column and sql are given; only one can be"),
        (GOOD + "  B: {constant: 1, default: 2}\n", "m.yaml:8: fields.B: default has no meaning beside a constant"),
        (GOOD + "  B: {constant: null}\n", "m.yaml:8: fields.B.constant: is empty"),
        (GOOD + "  B: {constant: [1]}\n", "m.yaml:8: fields.B.constant: should be a text, a number, true or false"),
        (GOOD + "  B: {column: b, default: {a: 1}}\n", "m.yaml:8: fields.B.default: should be a text, a number, true"),
        (GOOD + "  B: {column: b, sensitive: yes}\n", "m.yaml:8: fields.B.sensitive: should be true or false"),
        (GOOD + "  B: {column: b, values: {}}\n", "m.yaml:8: fields.B.values: is empty"),
        (GOOD + "  B: {column: b, values: }\n", "m.yaml:8: fields.B.values: is empty"),
        (GOOD + "  B: {column: b, values: [a]}\n", "m.yaml:8: fields.B.values: should be keys and values"),
        (GOOD + "  B: {column: b, values: {a: [1]}}\n", "m.yaml:8: fields.B.values.a: should be a text, a number"),
        (
            GOOD + "  lastname: x\n",
            "m.yaml:8: fields.lastname and fields.LastName differ only by case",
        ),
        (GOOD + "  key__C: x\n", "m.yaml:8: fields.key__C: external_id already fills this field with the key"),
        # SQL
        (GOOD.replace("key: id", "key: id, where: "), "m.yaml:4: entity.where: should be text"),
        (GOOD + "  B: {sql: ''}\n", "m.yaml:8: fields.B.sql: is empty"),
        (GOOD + "  B: {sql: -- x}\n", "m.yaml:8: fields.B.sql: this SQL holds nothing but a comment"),
        (GOOD + "  B: {sql: a; drop table b}\n", "m.yaml:8: fields.B.sql: this SQL holds a semicolon; it must be one"),
        (GOOD + "  B: {sql: f(a}\n", "m.yaml:8: fields.B.sql: this SQL has an opening ( that is never closed"),
        (GOOD + "  B: {sql: a) or (b}\n", "m.yaml:8: fields.B.sql: this SQL has a closing ) too many"),
        (GOOD + '  B: {sql: "a = \'x"}\n', "m.yaml:8: fields.B.sql: this SQL has a quote ' that is never closed"),
        (GOOD + "  B: {sql: 'a /* b'}\n", "m.yaml:8: fields.B.sql: this SQL has a comment /* that is never closed"),
        (GOOD + "  B: {sql: a = $1}\n", "m.yaml:8: fields.B.sql: this SQL holds the parameter $1, which has no value"),
        # deletes and guard
        (
            GOOD + "deletes: {to_destination: remove}\n",
            "m.yaml:8: deletes.to_destination: should be delete, ignore",
        ),
        (GOOD + "deletes: {to_destination: {set: {}}}\n", "m.yaml:8: deletes.to_destination: set: needs at least one"),
        (GOOD + "deletes: {to_destination: {set: {key__c: x}}}\n", "external_id carries the key and cannot be set"),
        (GOOD + "deletes: delete\n", "m.yaml:8: deletes: should be keys and values"),
        (GOOD + "guard: {deletes: 100}\n", "m.yaml:8: guard.deletes: should read like `100 per hour` (second, minute"),
        (GOOD + "guard: {changes: 0 per day}\n", "m.yaml:8: guard.changes: should read like `100 per hour`"),
        (GOOD + "guard: {changes: 5 per week}\n", "m.yaml:8: guard.changes: should read like `100 per hour`"),
        # directions
        (GOOD + "direction: up\n", "m.yaml:8: direction: should be to_destination, to_postgres or both"),
        (GOOD + "conflict: newest\n", "m.yaml:8: conflict has no meaning with direction to_destination (It needs"),
        (GOOD + "poll: {every: 30s}\n", "m.yaml:8: poll has no meaning with direction to_destination"),
        (GOOD + "deletes: {to_postgres: ignore}\n", "m.yaml:8: deletes.to_postgres has no meaning with direction"),
        (
            GOOD + "direction: both\nconflict: random\n",
            "m.yaml:9: conflict: should be newest, postgres, destination or",
        ),
        (GOOD + "direction: both\npoll: {every: 30}\n", "m.yaml:9: poll.every: should read like `30s`, `10m`, `1h`"),
        (
            GOOD + "direction: both\npoll: {formulas: never}\n",
            "m.yaml:9: poll.formulas: should read like `30s`, `10m`, `1h` or `1d`, or be `off`",
        ),
        (GOOD + "  B: {column: b, owner: me}\n", "m.yaml:8: fields.B.owner: should be postgres or destination"),
        # first contact, rules
        (GOOD + "match_on: Email\n", "m.yaml:8: match_on: Email is not one of the fields; "),
        (
            GOOD + "match_on: LastNam\n",
            "m.yaml:8: match_on: LastNam is not one of the fields; did you mean 'LastName'?",
        ),
        (GOOD + "match_on: []\n", "m.yaml:8: match_on: should be a remote field, or a list of remote fields"),
        (GOOD + "match_on: [LastName, lastname]\n", "m.yaml:8: match_on: names a field twice"),
        (GOOD + "require: {a: '('}\n", "m.yaml:8: require.a: this SQL has an opening ( that is never closed"),
        (GOOD + "require: {A b: x}\n", "m.yaml:8: require.A b: such a name is made of small letters"),
        (GOOD + "guard: {refused: 120% per hour}\n", "m.yaml:8: guard.refused: should read like `20% per hour`"),
        # lookups
        (GOOD + "  B: {lookup: companies}\n", "m.yaml:8: fields.B: lookup needs key, the column that holds the key"),
        (GOOD + "  B: {lookup: Companies!, key: c}\n", "m.yaml:8: fields.B.lookup: a mapping's name is made of small"),
        (GOOD + "  B: {lookup: c, key: c, default: x}\n", "m.yaml:8: fields.B: default has no meaning beside a lookup"),
        (GOOD + "  B: {lookup: c, key: c, missing: skip}\n", "m.yaml:8: fields.B.missing: should be wait or empty"),
        (GOOD + "  B: {column: c, key: c}\n", "m.yaml:8: fields.B: key has no meaning beside a column"),
        (GOOD + "  B: {lookup: c, key: c, column: x}\n", "m.yaml:8: fields.B: column and lookup are given; only one"),
        # related tables
        (
            GOOD.replace("key: id", "key: id, related: {c: {table: x, on: c.id > people.c_id}}"),
            "m.yaml:4: entity.related.c.on: write `c.id = other.c_id`, several joined by `and`; other conditions belong"
            " into where:",
        ),
        (
            GOOD.replace("key: id", "key: id, related: {c: {table: x, on: c.id = peple.c_id}}"),
            "m.yaml:4: entity.related.c.on: there is no table or relation 'peple' here; did you mean 'people'?",
        ),
        (
            GOOD.replace("key: id", "key: id, related: {a: {table: x, on: a.i = b.i}, b: {table: x, on: b.i = a.i}}"),
            "m.yaml:4: entity.related.a.on: these relations hang on each other in a circle: a -> b -> a",
        ),
        (
            GOOD.replace(
                "key: id",
                "key: id, related: {a: {table: x, on: a.p = people.id, rollup: {n: count(*)}},"
                " b: {table: x, on: b.a = a.id, rollup: {n: count(*)}}}",
            ),
            "m.yaml:4: entity.related.b.rollup: b hangs on a, which is rolled up already"
            " (Join it there, and use it in a.rollup.)",
        ),
        (
            GOOD.replace("key: id", "key: id, related: {_syncbridge: {table: x, on: _syncbridge.i = people.i}}"),
            "m.yaml:4: entity.related._syncbridge: names that begin with _syncbridge are taken; choose another",
        ),
        (
            GOOD.replace("key: id", "key: id, related: {people: {table: x, on: a}}"),
            "m.yaml:4: entity.related.people: the entity's own table has this name in SQL; choose another",
        ),
        (GOOD.replace("key: id", "key: id, related: {c: {table: x}}"), "m.yaml:4: entity.related.c.on is missing"),
        (
            GOOD.replace("key: id", "key: id, related: {c: {tabel: x, on: a}}"),
            "m.yaml:4: unknown key 'tabel' in entity.related.c; did you mean 'table'?",
        ),
        (
            GOOD.replace("key: id", "key: id, related: {c: {table: x, on: a, rollup: {}}}"),
            "m.yaml:4: entity.related.c.rollup: is empty (Or leave it out.)",
        ),
        (GOOD.replace("key: id", "key: id, related: {C d: {table: x, on: a}}"), "such a name is made of small letters"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, message: str) -> None:
    assert any(message in told for told in mistakes(text)), mistakes(text)


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines() -> None:
    text = GOOD.replace("object", "objekt").replace("key: id", "key: id, where: '('") + "  B: {}\nguard: {deletes: 5}\n"
    told = mistakes(text)
    assert [line.split(": ")[0] for line in told] == ["m.yaml:1", "m.yaml:3", "m.yaml:4", "m.yaml:8", "m.yaml:9"]


def test_all_files_of_a_folder_are_read_and_all_mistakes_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yml").write_text(GOOD.replace(": people\n", ": others\n"))
    (tmp_path / "c.yaml").write_text(GOOD)
    (tmp_path / "d.yaml").write_text("nonsense")
    (tmp_path / ".hidden.yaml").write_text("nonsense")
    (tmp_path / "notes.txt").write_text("nonsense")
    found = find_mappings(tmp_path)
    assert [spec.mapping for spec in found.specs] == ["people", "others", "people"]
    with pytest.raises(MappingError) as caught:
        read_mappings(tmp_path)
    lines = caught.value.message.split("\n")
    assert lines[0].endswith("d.yaml:1: a mapping file is made of keys and values")
    assert f"c.yaml:1: there is another mapping named 'people' in {tmp_path / 'a.yaml'}:1" in lines[1]
    assert len(lines) == 2


def test_messages_name_files_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.yaml").write_text(GOOD)
    assert find_mappings(tmp_path / "maps").specs[0].at("fields", "LastName", "column") == "maps/a.yaml:7"


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: folder.rmdir(), "there is no such folder"),
        (lambda folder: None, "holds no mapping files"),
        (lambda folder: (folder / "a.yaml").mkdir(), "a.yaml:1: cannot be read: Is a directory"),
        (lambda folder: (folder / "a.yaml").write_bytes(b"\xff\xfe"), "a.yaml:1: is not UTF-8 text (Save the file"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path, prepare: object, message: str) -> None:
    assert callable(prepare)
    prepare(tmp_path)
    with pytest.raises(MappingError) as caught:
        read_mappings(tmp_path)
    assert message in caught.value.message


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD, encoding="utf-8-sig")
    assert len(read_mappings(tmp_path)) == 1


@given(st.text(max_size=200))
def test_no_text_whatever_ends_in_anything_but_a_mapping_error(text: str) -> None:
    with pytest.raises(MappingError):
        parse_mapping(text)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_KEYS = ["mapping", "destination", "object", "entity", "external_id", "fields", "deletes", "guard", "direction"]


@given(st.dictionaries(st.sampled_from(_KEYS), _VALUES), st.sampled_from([{}, {"table": "t"}]))
def test_no_value_whatever_ends_in_anything_but_a_mapping_error(data: dict[str, object], entity: object) -> None:
    base = {key: value for key, value in parse_mapping(GOOD).definition().items() if key not in data}
    whole = {"entity": entity, **base, **data} if "entity" not in base else {**base, **data}
    with suppress(MappingError):
        restore_mapping(whole)


@pytest.mark.parametrize("indent", ["", " ", "   ", "    "])
def test_a_wrong_indent_is_told_as_such(tmp_path: Path, indent: str) -> None:
    (tmp_path / "m.yaml").write_text(f"{GOOD}{indent}B: b\n")
    (found,) = find_mappings(tmp_path).findings
    if indent:
        assert found.remedy.startswith("Look at the indent: keys of one level begin in the same column.")
    else:
        assert "unknown key 'B'" in found.message
