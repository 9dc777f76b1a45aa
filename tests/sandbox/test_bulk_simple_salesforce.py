"""The Bulk 2.0 part of the real simple-salesforce client."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
import requests
from simple_salesforce import api, exceptions

from syncbridge.sandbox.salesforce.server import SandboxServer

AT_ONCE = 0.001


@pytest.fixture
def contacts(sandbox: SandboxServer, https: requests.Session) -> Any:
    """`client.bulk2.Contact` of version 62.0."""
    client: Any = api.Salesforce(
        instance_url=sandbox.url, session_id=sandbox.credentials.token, session=https, version="62.0"
    )
    return client.bulk2.Contact


def people(*pairs: str, **every: str) -> list[dict[str, str]]:
    """`people("a:1")` is a record with that LastName and External_Key__c."""
    return [dict(zip(("LastName", "External_Key__c"), each.split(":"), strict=False)) | every for each in pairs]


def names(sandbox: SandboxServer) -> list[tuple[str, str | None]]:
    return [(each["LastName"], each["Title"]) for each in sandbox.control.records("Contact")]


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_inserts_updates_and_upserts(contacts: Any, sandbox: SandboxServer) -> None:
    [done] = contacts.insert(records=people("a:1", "b:2"), wait=AT_ONCE)
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"], done["numberRecordsTotal"]) == (2, 0, 2)
    ids = {each["LastName"]: each["sf__Id"] for each in rows(contacts.get_successful_records(done["job_id"]))}
    contacts.update(records=[{"Id": ids["a"], "Title": "Boss"}], wait=AT_ONCE)
    contacts.upsert(records=people("b2:2", "c:3"), external_id_field="External_Key__c", wait=AT_ONCE)
    assert names(sandbox) == [("a", "Boss"), ("b2", None), ("c", None)]
    contacts.update(records=[{"Id": ids["a"], "Title": "#N/A"}], wait=AT_ONCE)
    assert names(sandbox)[0] == ("a", None)


def test_deletes_from_a_file(contacts: Any, sandbox: SandboxServer, tmp_path: Path) -> None:
    [done] = contacts.insert(records=people("a", "b"), wait=AT_ONCE)
    ids = {each["LastName"]: each["sf__Id"] for each in rows(contacts.get_successful_records(done["job_id"]))}
    file = tmp_path / "delete.csv"
    file.write_text(f"Id\n{ids['b']}\n")
    contacts.delete(str(file), wait=AT_ONCE)
    assert names(sandbox) == [("a", None)]


def test_uploads_a_file_as_several_jobs_side_by_side(contacts: Any, sandbox: SandboxServer, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("LastName,External_Key__c\n" + "".join(f"n{at},{at}\n" for at in range(500)))
    done = contacts.insert(str(file), batch_size=100, concurrency=3, wait=AT_ONCE)
    assert [each["numberRecordsProcessed"] for each in done] == [100] * 5
    assert len(names(sandbox)) == 500


def test_reads_what_failed_and_what_was_not_processed(contacts: Any, sandbox: SandboxServer) -> None:
    [done] = contacts.insert(records=people("a", "é" * 81), wait=AT_ONCE)
    assert done["numberRecordsFailed"] == 1
    [failed] = rows(contacts.get_failed_records(done["job_id"]))
    assert failed["sf__Error"].startswith("STRING_TOO_LONG:")
    assert failed["LastName"] == "é" * 81
    everything = contacts.get_all_ingest_records(done["job_id"])
    assert {kind: len(found) for kind, found in everything.items()} == {
        "successfulRecords": 1,
        "failedRecords": 1,
        "unprocessedRecords": 0,
    }


def test_sees_a_failed_job_as_its_own_error(contacts: Any) -> None:
    with pytest.raises(exceptions.SalesforceOperationError, match="InvalidBatch : Field name not found : Nope__c"):
        contacts.insert(records=people("a", Nope__c="b"), wait=AT_ONCE)
    with pytest.raises(exceptions.SalesforceMalformedRequest, match="INVALIDJOB"):
        contacts.upsert(records=people("a"), external_id_field="Nope__c", wait=AT_ONCE)


def test_queries_page_by_page_and_into_files(contacts: Any, tmp_path: Path) -> None:
    contacts.insert(records=people(*(f"n{at}" for at in range(7))), wait=AT_ONCE)
    soql = "SELECT LastName FROM Contact ORDER BY LastName"
    pages = list(contacts.query(soql, max_records=3, wait=AT_ONCE))
    found = [each["LastName"] for page in pages for each in rows(page)]
    assert (len(pages), found) == (3, [f"n{at}" for at in range(7)])
    assert list(contacts.query_all(soql, wait=AT_ONCE)) == ['"LastName"\n' + "".join(f'"{each}"\n' for each in found)]
    files = contacts.download(soql, path=str(tmp_path), max_records=5, wait=AT_ONCE)
    assert [each["number_of_records"] for each in files] == [5, 2]
    assert [row["LastName"] for each in files for row in rows(Path(each["file"]).read_text())] == found
