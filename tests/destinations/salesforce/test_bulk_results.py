"""Result files are read as they arrive, whatever is in them, and never half."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from syncbridge.destinations.base import BulkJob, BulkResult, Delivered, Rejected
from syncbridge.destinations.salesforce.bulk.failures import of_record
from syncbridge.destinations.salesforce.bulk.results import failed, left_over, results, succeeded
from syncbridge.destinations.salesforce.describe import Names
from syncbridge.errors import NeedsOperator, Remedy, RetryLater
from syncbridge.model import Fields
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject

FIELDS = (
    RemoteField("Number__c", FieldKind.NUMBER, precision=18, scale=0, external_id=True),
    RemoteField("Text__c", FieldKind.TEXT),
    RemoteField("Flag__c", FieldKind.BOOLEAN),
)
THING = RemoteObject("Thing__c", Names({field.name: field for field in FIELDS}))
JOB = BulkJob("750", "Thing__c", "upsert", "Number__c")
OWN = ("sf__Id", "sf__Created")


def answer(body: bytes, *, gzipped: bool = False, promised: int | None = None) -> requests.Response:
    """A response whose body is still to be read."""
    sent = gzip.compress(body) if gzipped else body
    headers = {"Content-Length": str(promised or len(sent))} | ({"Content-Encoding": "gzip"} if gzipped else {})
    response = requests.Response()
    response.raw = HTTPResponse(io.BytesIO(sent), headers=headers, preload_content=False, decode_content=False)
    return response


def file(rows: Sequence[Sequence[str]], header: Sequence[str] = (*OWN, *THING.fields)) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue().encode()


def read(response: requests.Response) -> list[BulkResult]:
    return list(results(response, JOB, THING, 2, succeeded))


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")), max_size=20), st.booleans()
)
def test_texts_are_read_as_they_were_sent(texts: list[str], gzipped: bool) -> None:
    rows = [("003", "true", str(at), text, "") for at, text in enumerate(texts)]
    sent: list[Fields] = [{"Text__c": None if text == "#N/A" else text} if text else {} for text in texts]
    assert read(answer(file(rows), gzipped=gzipped)) == [
        BulkResult(at, Delivered("003", created=True), fields) for at, fields in enumerate(sent)
    ]


def test_values_are_in_normal_form_and_the_key_is_found_in_any_case() -> None:
    rows = [("003", "false", "12.0", "a", "TRUE"), ("004", "true", "-1", "b", "false")]
    body = file(rows, ("sf__Id", "sf__Created", "number__c", "Text__c", "Flag__c"))
    assert read(answer(body)) == [
        BulkResult(12, Delivered("003"), {"Text__c": "a", "Flag__c": True}),
        BulkResult(-1, Delivered("004", created=True), {"Text__c": "b", "Flag__c": False}),
    ]


@pytest.mark.parametrize("body", [b"", b'"sf__Id","sf__Created"\n', file([])])
def test_a_file_without_records_has_no_results(body: bytes) -> None:
    assert read(answer(body)) == []


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_body_that_ends_too_early_is_no_end_of_the_results(gzipped: bool) -> None:
    body = file([("003", "true", str(at), "x", "") for at in range(5)])
    with pytest.raises(RetryLater):
        read(answer(body, gzipped=gzipped, promised=len(body) + 100))


@pytest.mark.parametrize(
    "body",
    [
        file([("003", "true", "1", "x")]),  # a cell is missing
        file([("003", "true", "1")], (*OWN, "Text__c")),  # no column holds the key
        file([])[:-1] + b'\n"003","true","1","x',  # a quote that does not end
    ],
    ids=["short", "keyless", "unquoted"],
)
def test_what_is_no_result_file_needs_a_person(body: bytes) -> None:
    with pytest.raises(NeedsOperator):
        read(answer(body))


@pytest.mark.parametrize(
    ("error", "code", "message", "fields"),
    [
        ("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", "REQUIRED_FIELD_MISSING",
         "Required fields are missing: [Name]", ("Name",)),
        ("INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--", "INVALID_CROSS_REFERENCE_KEY",
         "invalid cross reference id", ()),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION:Ratio 1:2, or less:A__c, B__c --", "FIELD_CUSTOM_VALIDATION_EXCEPTION",
         "Ratio 1:2, or less", ("A__c", "B__c")),
        ("INVALID_FIELD:Failed to deserialize field at col 3. Due to, 'tomorrow' is not a valid value for the type "
         "xsd:date:CloseDate --", "INVALID_FIELD",
         "Failed to deserialize field at col 3. Due to, … is not a valid value for the type xsd:date", ("CloseDate",)),
        ("SOMETHING_NEW", "SOMETHING_NEW", "", ()),
    ],
)  # fmt: skip
def test_an_error_of_a_row_is_taken_apart(error: str, code: str, message: str, fields: tuple[str, ...]) -> None:
    body = file([("", error, "1", "x", "")], ("sf__Id", "sf__Error", *THING.fields))
    (result,) = results(answer(body), JOB, THING, 2, failed(deleting=False, allow_save=False))
    assert isinstance(result.result, Rejected)
    assert (result.result.code, result.result.message, result.result.fields) == (code, message, fields)


def test_a_value_of_a_wrong_type_is_the_fault_of_its_record() -> None:
    error = "INVALID_FIELD:Failed to deserialize field at col 3. Due to, 'x' is not a valid value for the type a:b:A --"
    assert of_record("", error, deleting=False, allow_save=False).remedy is Remedy.RECORD  # type: ignore[union-attr]


def test_records_that_were_left_over_share_the_fate_of_the_job() -> None:
    fate = Rejected("Timeout", "took too long", Remedy.RETRY_SMALLER)
    body = file([("7", "x", "")], tuple(THING.fields))
    assert list(results(answer(body), JOB, THING, 0, left_over(fate))) == [BulkResult(7, fate, {"Text__c": "x"})]


def test_a_delete_of_what_is_gone_succeeds_by_the_id_that_was_sent() -> None:
    job = BulkJob("750", "Thing__c", "delete")
    body = file([("", "ENTITY_IS_DELETED:entity is deleted:--", "003000000000001AAA")], ("sf__Id", "sf__Error", "Id"))
    (result,) = results(answer(body), job, THING, 2, failed(deleting=True, allow_save=False))
    assert result == BulkResult("003000000000001AAA", Delivered("003000000000001AAA"), {})
