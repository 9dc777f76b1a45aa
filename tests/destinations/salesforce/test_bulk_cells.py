"""What is written into a job's CSV is read again as it was, whatever it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncbridge.destinations.salesforce.bulk.cells import decoder, encoder
from syncbridge.destinations.salesforce.bulk.sheet import LONGEST_CELL, LONGEST_RECORD, Sheet
from syncbridge.destinations.salesforce.normal_form import normaliser
from syncbridge.errors import SchemaDrift
from syncbridge.model import Fields
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject

FIELDS = (
    RemoteField("Key__c", FieldKind.STRING, external_id=True, unique=True),
    RemoteField("Text__c", FieldKind.TEXT),
    RemoteField("Flag__c", FieldKind.BOOLEAN),
    RemoteField("Count__c", FieldKind.INTEGER, precision=18),
    RemoteField("Whole__c", FieldKind.NUMBER, precision=18, scale=0),
    RemoteField("Number__c", FieldKind.NUMBER, precision=18, scale=6),
    RemoteField("Day__c", FieldKind.DATE),
    RemoteField("Moment__c", FieldKind.DATETIME),
    RemoteField("Time__c", FieldKind.TIME),
    RemoteField("AccountId", FieldKind.REFERENCE, refers_to=("Account",)),
    RemoteField("Master__c", FieldKind.REFERENCE, refers_to=("Order",), required=True),
    RemoteField("OwnerId", FieldKind.REFERENCE, refers_to=("User", "Group")),
)
THING = RemoteObject("Thing__c", {field.name: field for field in FIELDS})
COLUMNS = list(THING.fields)

#: What a database and a normal form let through: no NUL, no lone surrogate, no carriage return, nothing empty.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Text__c": TEXTS.filter(lambda text: text != "#N/A"),
    "Flag__c": st.booleans(),
    "Count__c": st.integers(-(10**17), 10**17),
    "Whole__c": st.integers(-(10**15), 10**15),
    "Number__c": st.decimals(-(10**11), 10**11, places=6),
    "Day__c": st.dates(date(1700, 1, 1), date(4000, 12, 31)),
    "Moment__c": st.datetimes(datetime(1700, 1, 2), datetime(4000, 12, 30)),  # noqa: DTZ001
    "Time__c": st.times(),
}


def uploaded(records: Sequence[Fields], columns: Sequence[str] = COLUMNS) -> tuple[list[dict[str, str]], object]:
    """The rows of the file for these records, and what was told of it."""
    with Sheet() as sheet:
        told = sheet.fill_upserts(THING, columns, "Key__c", records, 1000)
        file = sheet.file()
        file.seek(0)
        text = file.read().decode()
    assert text.endswith("\n")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True)), told


@given(st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in VALUES.items()}))
def test_every_value_comes_back_as_it_was_sent(values: dict[str, Any]) -> None:
    record: Fields = {"Key__c": "k"}
    for name, value in values.items():
        record[name] = normaliser(THING.fields[name])(value)
    ((row,), told) = uploaded([record])
    assert told == (1, ())
    read: Fields = {}
    for name, cell in row.items():
        decode = decoder(THING.fields[name])
        if cell != "":
            read[name] = None if cell == "#N/A" else decode(cell) if decode else cell
    assert read == record
    assert {name: type(value) for name, value in read.items()} == {name: type(record[name]) for name in record}


@pytest.mark.parametrize(
    ("value", "cell"),
    [(0.0, "0.0"), (1e22, "10000000000000000000000"), (-1e-7, "-0.0000001"), (2.675, "2.675"), (7, "7"), (0.1, "0.1")],
)
def test_numbers_are_written_without_an_exponent_and_without_loss(value: float, cell: str) -> None:
    encode = encoder(THING.fields["Number__c"])
    assert encode is not None
    assert str(encode(value)) == cell
    assert float(cell) == value


@pytest.mark.parametrize(("cell", "value"), [("0.0", 0), ("12", 12), ("1E3", 1000), ("-7.0", -7)])
def test_whole_numbers_are_read_however_they_are_spelled(cell: str, value: int) -> None:
    for name in ("Count__c", "Whole__c"):
        decode = decoder(THING.fields[name])
        assert decode is not None
        assert (decode(cell), type(decode(cell))) == (value, int)


@pytest.mark.parametrize(
    "text", ["#N/A", "a\rb", "a\r\nb", "x" * (LONGEST_CELL + 1)], ids=["null", "cr", "crlf", "long"]
)
def test_what_a_cell_cannot_hold_is_left_out_and_named(text: str) -> None:
    rows, told = uploaded([{"Key__c": "k1", "Text__c": text}, {"Key__c": "k2", "Text__c": "fits"}])
    assert told == (2, (0,))
    assert [row["Key__c"] for row in rows] == ["k2"]


def test_the_longest_cell_fits_and_a_record_that_is_too_long_does_not() -> None:
    wide = RemoteObject(
        "Wide", {**THING.fields, **{f"T{at}": RemoteField(f"T{at}", FieldKind.TEXT) for at in range(13)}}
    )
    long = "x" * LONGEST_CELL
    with Sheet() as sheet:
        records: list[Fields] = [{"Key__c": "k1", "T0": long}, {"Key__c": "k2", **{f"T{at}": long for at in range(13)}}]
        assert 13 * LONGEST_CELL > LONGEST_RECORD
        assert sheet.fill_upserts(wide, list(wide.fields), "Key__c", records, 10) == (2, (1,))


def test_a_key_that_is_missing_or_comes_twice_is_left_to_calls() -> None:
    rows, told = uploaded([{"Key__c": "Ada"}, {"Key__c": "ADA"}, {"Text__c": "none"}, {"Key__c": "Eve"}])
    assert told == (4, (1, 2))
    assert [row["Key__c"] for row in rows] == ["Ada", "Eve"]


def test_a_column_that_does_not_exist_is_a_drift_with_near_names() -> None:
    with pytest.raises(SchemaDrift) as drift:
        uploaded([{"Key__c": "k"}], [*COLUMNS, "Number_c"])
    assert "Number__c" in drift.value.hint


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None]), st.sampled_from("pq"))))
def test_children_of_one_parent_stand_together_and_else_keep_their_order(
    parents: list[tuple[str, str | None, str]],
) -> None:
    records: list[Fields] = [
        {"Key__c": f"k{at:04}", "Master__c": master, "AccountId": account, "OwnerId": owner}
        for at, (master, account, owner) in enumerate(parents)
    ]
    rows, _ = uploaded(records)
    assert sorted(rows, key=lambda row: row["Key__c"]) == uploaded_in_order(records)
    orders = [("Master__c", "AccountId", "Key__c"), ("AccountId", "Master__c", "Key__c")]
    told = [[tuple(row[name].replace("#N/A", "") for name in order) for row in rows] for order in orders]
    assert any(keys == sorted(keys) for keys in told)


def uploaded_in_order(records: Sequence[Fields]) -> list[dict[str, str]]:
    """The rows of these records as they were given."""
    return [{name: "" if name not in record else str(record[name] or "#N/A") for name in COLUMNS} for record in records]


def test_parents_that_are_shared_by_more_records_come_first() -> None:
    records: list[Fields] = [
        {"Key__c": f"k{at}", "Master__c": f"m{9 - at}", "AccountId": "ab"[at % 2]} for at in range(4)
    ]
    rows, _ = uploaded(records)
    assert [row["Key__c"] for row in rows] == ["k2", "k0", "k3", "k1"]


def test_owners_are_no_reason_to_reorder() -> None:
    columns = ["Key__c", "OwnerId"]
    rows, _ = uploaded([{"Key__c": key, "OwnerId": owner} for key, owner in (("k1", "z"), ("k2", "a"))], columns)
    assert [row["Key__c"] for row in rows] == ["k1", "k2"]


def test_a_full_file_takes_no_more_records_and_leaves_them_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syncbridge.destinations.salesforce.bulk.sheet.MOST_BYTES", 2_000)
    records = iter([Fields({"Key__c": f"k{at}", "Text__c": "x" * 500}) for at in range(10)])
    with Sheet() as sheet:
        assert sheet.fill_upserts(THING, ["Key__c", "Text__c"], "Key__c", records, 100) == (4, ())
        assert len(sheet.file().read() or b"") == 0  # it stands at its end: the sender rewinds
    assert next(records)["Key__c"] == "k4"
