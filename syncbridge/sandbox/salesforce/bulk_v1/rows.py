"""Records of batches: JSON made CSV for the work, and results in the order of the records, as CSV or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from syncbridge.sandbox.salesforce.bulk.columns import NOTHING
from syncbridge.sandbox.salesforce.bulk.jobs import IngestJob, QueryJob
from syncbridge.sandbox.salesforce.bulk.results import read_outcomes, row_error_text
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, Field, ObjectType, Org

RESULT_HEADER = ("Id", "Success", "Created", "Error")


def json_to_csv(body: bytes) -> bytes:
    """Return a list of JSON records as CSV: null as #N/A, a parent's key as `Relationship.Key`."""
    try:
        records = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal("InvalidBatch", f"Failed to parse JSON: {error}") from None
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise Refusal("InvalidBatch", "A batch is a list of JSON records")
    flat = [dict(_cells(each, "")) for each in records]
    names = list(dict.fromkeys(name for each in flat for name in each))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if names:
        writer.writerow(names)
        writer.writerows([each.get(name, "") for name in names] for each in flat)
    return text.getvalue().encode()


def _cells(record: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, value in record.items():
        if isinstance(value, dict):
            if name != "attributes":
                yield from _cells(value, f"{before}{name}.")
        elif isinstance(value, bool):
            yield before + name, str(value).lower()
        elif not (before and name == "attributes"):
            yield before + name, NOTHING if value is None else str(value)


def results_csv(work: IngestJob) -> bytes:
    """Return the results of a batch that writes, in the order of its records."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(RESULT_HEADER)
    for each in read_outcomes(work):
        error = row_error_text(each["errors"][0]) if each["errors"] else ""
        writer.writerow((each["id"], str(each["success"]).lower(), str(each["created"]).lower(), error))
    return text.getvalue().encode()


def results_json(work: IngestJob) -> list[dict[str, Any]]:
    """Return the same as JSON has it."""
    return list(read_outcomes(work))


def query_json(org: Org, work: QueryJob, base: str) -> Iterator[bytes]:
    """Yield a query's records as one JSON list: numbers and booleans as such, moments as milliseconds since 1970."""
    target = org.find(work.object)
    with work.results.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        places = [_Place(org, target, name) for name in next(rows, [])]
        opening = b"["
        for row in rows:
            record: dict[str, Any] = {"attributes": {"type": work.object}}
            for place, cell in zip(places, row, strict=True):
                place.put(record, cell)
            if "Id" in record:
                record["attributes"]["url"] = f"{base}/sobjects/{work.object}/{record['Id']}"
            yield opening + orjson.dumps(record)
            opening = b","
        yield b"[]" if opening == b"[" else b"]"


class _Place:
    """Where a column goes in a JSON record, and how its cells are read."""

    def __init__(self, org: Org, target: ObjectType | None, column: str) -> None:
        *self._parents, self._name = column.split(".")
        known: Field | None = None
        for name in self._parents:
            lookup = target.by_relationship.get(name.lower()) if target else None
            target = org.find(lookup.reference_to[0]) if lookup else None
        known = target.find(self._name) if target else None
        self._kind = known.type if known else "string"

    def put(self, record: dict[str, Any], cell: str) -> None:
        """Put a cell into its place in a record."""
        for name in self._parents:
            record = record.setdefault(name, {})
        record[self._name] = self._value(cell)

    def _value(self, cell: str) -> Any:
        if not cell:
            return None
        if self._kind == "boolean":
            return cell == "true"
        if self._kind == "int":
            return int(cell)
        if self._kind in NUMBER_TYPES:
            return float(cell)
        if self._kind == "datetime":
            return round(datetime.fromisoformat(cell).timestamp() * 1000)
        return cell
