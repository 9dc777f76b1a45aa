"""What a job's data may look like, and what makes a record or the whole job fail."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from syncbridge.sandbox.salesforce.bulk.columns import Columns
from syncbridge.sandbox.salesforce.bulk.jobs import IngestJob
from syncbridge.sandbox.salesforce.org.ids import make_id
from syncbridge.sandbox.salesforce.org.org_file import load_org
from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.sandbox.salesforce.store.changes import Shape
from tests.sandbox.conftest import Api, BulkApi

UNESCAPED = "InvalidBatch : Failed to parse CSV. Found unescaped quote. A value with quote should be within a quote"
WRONG_ENDING = "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {}"


@pytest.mark.parametrize(
    ("name", "character"),
    [("BACKQUOTE", "`"), ("CARET", "^"), ("COMMA", ","), ("PIPE", "|"), ("SEMICOLON", ";"), ("TAB", "\t")],
)
@pytest.mark.parametrize(("line_ending", "end"), [("LF", "\n"), ("CRLF", "\r\n")])
def test_delimiters_and_line_endings_are_those_of_the_job_both_ways(
    api: Api, bulk: BulkApi, name: str, character: str, line_ending: str, end: str
) -> None:
    data = f'LastName{character}FirstName{end}a{character}"x{character}y"{end}'
    job = bulk.run(data, columnDelimiter=name, lineEnding=line_ending)
    assert api.rows("SELECT LastName, FirstName FROM Contact") == [{"LastName": "a", "FirstName": f"x{character}y"}]
    lines = api.get(f"/jobs/ingest/{job['id']}/successfulResults").text.split(end)
    assert lines[0] == character.join(['"sf__Id"', '"sf__Created"', "LastName", "FirstName"])
    assert lines[1].endswith(character.join(['"true"', '"a"', f'"x{character}y"']))


@pytest.mark.parametrize(
    ("line_ending", "data"),
    [
        ("LF", "LastName\r\na\r\n"),
        ("LF", "LastName\na\nb\r\n"),
        ("CRLF", "LastName\na\n"),
        ("CRLF", "LastName\r\na\nb\r\n"),
        ("LF", "LastName\ra\rb\r"),
    ],
)
def test_other_line_endings_than_the_jobs_fail_it_before_anything_is_written(
    api: Api, bulk: BulkApi, line_ending: str, data: str
) -> None:
    job = bulk.run(data, lineEnding=line_ending)
    assert (job["state"], job["errorMessage"]) == ("Failed", WRONG_ENDING.format(line_ending))
    assert job["numberRecordsProcessed"] == 0
    assert api.rows("SELECT Id FROM Contact") == []
    assert api.get(f"/jobs/ingest/{job['id']}/unprocessedrecords").content == data.encode()


@pytest.mark.parametrize(("line_ending", "end"), [("LF", "\n"), ("CRLF", "\r\n")])
def test_line_breaks_inside_quotes_are_data(api: Api, bulk: BulkApi, line_ending: str, end: str) -> None:
    bulk.run(f'LastName,Description{end}a,"one\ntwo\r\nthree"{end}', lineEnding=line_ending)
    assert api.rows("SELECT Description FROM Contact") == [{"Description": "one\ntwo\r\nthree"}]


def test_an_empty_cell_says_nothing_and_n_a_empties(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.put_field("Contact", "Flag__c", "boolean")
    first = api.create("Contact", LastName="a", FirstName="x", Email="a@b.c", Flag__c=True)
    bulk.run(f"Id,FirstName,Email,Flag__c\n{first},,#N/A,\n", operation="update")
    assert api.rows("SELECT FirstName, Email, Flag__c FROM Contact") == [
        {"FirstName": "x", "Email": None, "Flag__c": True}
    ]


def test_values_are_brought_to_their_normal_form(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.put_field("Contact", "Flag__c", "boolean")
    bulk.run("LastName,Email,Birthdate,Flag__c\n  a  ,A@B.C,1980-02-03,TRUE\n")
    assert api.rows("SELECT LastName, Email, Birthdate, Flag__c FROM Contact") == [
        {"LastName": "a", "Email": "a@b.c", "Birthdate": "1980-02-03", "Flag__c": True}
    ]


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("Birthdate", "6/15/19", "INVALID_FIELD:Failed to deserialize field at col 1. Due to, '6/15/19' is not a valid "
         "value for the type xsd:date:Birthdate --"),
        ("Flag__c", "maybe", "INVALID_FIELD:Failed to deserialize field at col 1. Due to, 'maybe' is not a valid "
         "value for the type xsd:boolean:Flag__c --"),
        ("Email", "nobody", "INVALID_EMAIL_ADDRESS:Email: invalid email address: nobody:Email --"),
        ("AccountId", "0018K0000000009QAA", "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:AccountId --"),
        ("Id", "0038K0000000009QAA", "INVALID_FIELD_FOR_INSERT_UPDATE:cannot specify Id in an insert call:Id --"),
        ("CreatedDate", "2026-01-01T00:00:00Z", "INVALID_FIELD_FOR_INSERT_UPDATE:Unable to create/update fields: "
         "CreatedDate. Please check the security settings of this field and verify that it is read/write for your "
         "profile or permission set.:CreatedDate --"),
        ("Account.External_Key__c", "nope", "INVALID_FIELD:Foreign key external ID: nope not found for field "
         "External_Key__c in entity Account:--"),
    ],
)  # fmt: skip
def test_a_record_that_is_refused_leaves_its_neighbours_alone(
    api: Api, bulk: BulkApi, sandbox: SandboxServer, column: str, value: str, error: str
) -> None:
    sandbox.control.put_field("Contact", "Flag__c", "boolean")
    assert bulk.errors(f"LastName,{column}\na,\nb,{value}\nc,\n") == [error]
    assert [each["LastName"] for each in api.rows("SELECT LastName FROM Contact ORDER BY LastName")] == ["a", "c"]


def test_a_parent_may_be_named_by_its_external_id(api: Api, bulk: BulkApi) -> None:
    parent = api.create("Account", Name="Acme", External_Key__c="acme")
    child = api.create("Contact", LastName="b", External_Key__c="2", AccountId=parent)
    bulk.run(
        "External_Key__c,LastName,account.external_key__c\n1,a,ACME\n2,b,#N/A\n3,c,\n",
        operation="upsert",
        externalIdFieldName="External_Key__c",
    )
    found = {each["LastName"]: each["AccountId"] for each in api.rows("SELECT LastName, AccountId FROM Contact")}
    assert found == {"a": parent, "b": None, "c": None}
    assert child


def test_a_lookup_to_several_objects_needs_the_object_in_front(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.put_object("Note__c", {"fields": {"About__c": {"type": "reference", "to": ["Account", "Contact"]}}})
    person = api.create("Contact", LastName="a", External_Key__c="k")
    bulk.run("Name,Contact:About__r.External_Key__c\nn,k\n", "Note__c")
    assert api.rows("SELECT About__c FROM Note__c") == [{"About__c": person}]
    for column, named in (
        ("About__r.External_Key__c", "Field name not found : About__r.External_Key__c"),
        ("Lead:About__r.External_Key__c", "Field name not found : Lead:About__r.External_Key__c"),
    ):
        assert bulk.run(f"Name,{column}\nn,k\n", "Note__c")["errorMessage"] == f"InvalidBatch : {named}"
    job = bulk.run("LastName,Account:Account.External_Key__c\na,k\n")
    text = "type is not needed for non polymorphic foreign key references: Account"
    assert job["errorMessage"] == f"InvalidBatch : {text}"


@pytest.mark.parametrize(
    ("operation", "header", "named"),
    [
        ("insert", "LastName,Nope__c,Other__c", "Field name not found : Nope__c"),
        ("insert", "\ufeffLastName,FirstName", "Field name not found : \ufeffLastName"),
        ("insert", "LastName,Nope.External_Key__c", "Field name not found : Nope.External_Key__c"),
        ("insert", "LastName,Account.Name", "Field name not found : Account.Name"),
        ("insert", "LastName,MailingAddress", "Field name not found : MailingAddress"),
        ("insert", "LastName,lastname", "Duplicate field names in the header"),
        ("update", "External_Key__c,LastName", "Field name not found : Id"),
        ("upsert", "LastName,FirstName", "Field name not found : External_Key__c"),
        ("delete", "LastName,FirstName", "Field name not found : Id"),
        ("delete", "Id,LastName", "The 'delete' batch must contain only ids"),
    ],
)
def test_a_header_that_does_not_fit_fails_the_job_and_processes_nothing(
    api: Api, bulk: BulkApi, operation: str, header: str, named: str
) -> None:
    key = {"externalIdFieldName": "External_Key__c"} if operation == "upsert" else {}
    data = f"{header}\na,b\nc,d\n"
    job = bulk.run(data, operation=operation, **key)
    assert (job["state"], job["errorMessage"]) == ("Failed", f"InvalidBatch : {named}")
    assert api.get(f"/jobs/ingest/{job['id']}/unprocessedRecords").text == data
    assert api.rows("SELECT Id FROM Contact") == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ('\ufeff"LastName"\n"a"\n'.encode(), UNESCAPED),
        (b'LastName\n"a"b\n', UNESCAPED),
        (b'LastName\n5" pipe\n', UNESCAPED),
        (b"LastName\n\xff\n", "InvalidBatch : Failed to parse CSV. The data is not encoded in UTF-8"),
        (b"LastName\na,b\n", "InvalidBatch : Failed to parse CSV. Row 1 has 2 columns, the header has 1"),
        (
            b"LastName,Description\na," + b"x" * 32_001,
            "InvalidBatch : Row 1 has a field longer than 32000 characters",
        ),
        (b"LastName\n" + b",".join([b"x" * 10_000] * 41), "InvalidBatch : A record is longer than 400000 characters"),
    ],
)
def test_data_that_are_no_csv_fail_the_job(api: Api, bulk: BulkApi, data: bytes, error: str) -> None:
    job = bulk.run(data)
    assert (job["state"], job["errorMessage"]) == ("Failed", error)
    assert api.rows("SELECT Id FROM Contact") == []


def test_an_external_id_twice_in_a_batch_is_refused_the_second_time(api: Api, bulk: BulkApi) -> None:
    rows = [f"k{at},x" for at in range(1500)]
    rows += ["K7,later", "fresh,y"]
    errors = bulk.errors(
        "External_Key__c,LastName\n" + "\n".join(rows), operation="upsert", externalIdFieldName="External_Key__c"
    )
    assert errors == ["DUPLICATE_VALUE:Duplicate external id specified: K7:External_Key__c --"]


def test_ten_thousand_records_later_it_is_an_update(api: Api, bulk: BulkApi) -> None:
    rows = [f"k{at},x" for at in range(10_000)]
    rows += ["k7,later"]
    key = {"externalIdFieldName": "External_Key__c"}
    assert bulk.errors("External_Key__c,LastName\n" + "\n".join(rows), operation="upsert", **key) == []
    assert api.rows("SELECT LastName FROM Contact WHERE External_Key__c = 'k7'") == [{"LastName": "later"}]
    assert api.get("/limits").json()["DailyBulkApiBatches"] == {"Max": 15000, "Remaining": 14998}


def test_deletes_refuse_what_is_not_there(api: Api, bulk: BulkApi) -> None:
    gone, account = api.create("Contact", LastName="a"), api.create("Account", Name="b")
    api.delete(f"/sobjects/Contact/{gone}")
    data = f"Id\n{gone}\n{make_id('003', 99)}\n{account}\nnonsense\n"
    assert bulk.errors(data, operation="delete") == [
        "ENTITY_IS_DELETED:entity is deleted:--",
        "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--",
        f"MALFORMED_ID:malformed id {account}:--",
        "MALFORMED_ID:malformed id nonsense:--",
    ]


def test_blank_lines_are_left_out(api: Api, bulk: BulkApi) -> None:
    assert bulk.run("LastName\n\na\n\n\nb\n")["numberRecordsProcessed"] == 2


ORG = load_org(None)
CONTACT = ORG.original("Contact")


@given(st.text(st.characters(codec="utf-8"), max_size=90), st.sampled_from(["LastName", "Email", "Birthdate", "Title"]))
def test_a_cell_becomes_what_rest_makes_of_the_same_text(text: str, name: str) -> None:
    assume(text not in ("", "#N/A"))
    job = IngestJob(operation="insert", object="Contact", version=62.0, header=[name])
    by_bulk = Columns(ORG, CONTACT, job).change([text])
    by_rest = Shape(ORG, CONTACT).read({name: text})
    assert by_bulk.values == by_rest.values
    assert (by_bulk.refusal is None) == (by_rest.refusal is None)
