"""How fast the local Salesforce is by itself: a measurement against it must not measure it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.bench.figures import Outcome, megabytes, middle, spread
from tests.bench.processes import cpu_seconds, peak_memory
from tests.bench.services import Salesforce, salesforce

METHOD = """\
The sandbox runs in a process of its own, its records in memory. One client uploads {rows:,} rows of ten columns \
(some 400 bytes each) as one Bulk upsert by external id into the empty org, then the same keys with other values, \
reads all back by a Bulk query, and upserts rows by collections of 200, one call after the other. Time of a Bulk job: \
from its close to the poll that says JobComplete, without the upload. Waits: how long small REST queries take that \
are sent all the while a Bulk job is done. Then a poller's pages by SystemModstamp and Id, records found by external \
id, and a Bulk delete of all records. Last, a server starts with a data file of as many records."""

COLUMNS = (
    "External_Key__c", "FirstName", "LastName", "Email", "Phone", "Title", "Department", "Birthdate", "MailingCity",
    "Description",
)  # fmt: skip
PATH = "/services/data/v62.0"
COLLECTION = 200
PAGE = 2_000
ASKED = 50
FIGURES = ("start", "create", "update", "query", "collections", "page", "find", "delete", "restart")
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Job:
    """A Bulk job that is done."""

    seconds: float
    cpu: float
    longest_wait: float


def bench(rows: int, rounds: int) -> Outcome:
    """All of it `rounds` times, each with a new server."""
    outcome = Outcome("sandbox", METHOD.format(rows=rows))
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    waits, memory = [], 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="syncbridge-bench-") as folder:
            began = time.monotonic()
            with salesforce("sandbox", Path(folder)) as remote:
                found["start"].append(time.monotonic() - began)
                client = _client(remote)
                for name, text in (("create", "first"), ("update", "second")):
                    job = _upsert(client, remote, rows, text)
                    found[name].append(rows / job.seconds)
                    waits.append(job.longest_wait)
                    outcome.ran(run=name, seconds=round(job.seconds, 3), cpu=round(job.cpu, 2))
                found["query"].append(rows / _query(client, rows))
                found["collections"].append(_collections(client, min(rows, 20_000)))
                memory = max(memory, peak_memory(remote.process.pid))
                found["page"].append(_pages(client))
                found["find"].append(_finds(client, rows))
                found["delete"].append(rows / _delete(client, remote))
            found["restart"].append(_restart(rows, Path(folder)))
    outcome.ran(**{name: [round(each, 3) for each in values] for name, values in found.items()})
    _add(outcome, found, waits, memory, full=rows >= 100_000)
    return outcome


def _add(outcome: Outcome, found: dict[str, list[float]], waits: list[float], memory: int, *, full: bool) -> None:
    def rate(what: str, name: str, target: int) -> None:
        met = middle(found[name]) >= target if full else None
        outcome.add(what, spread(found[name]), target=f"{target:,}/s", met=met)

    seconds = middle(found["start"])
    outcome.add("start to first line, seconds", spread(found["start"], "{:.2f}"), target="2", met=seconds < 2)
    rate("Bulk upsert of new records, rows/s", "create", 10_000)
    rate("Bulk upsert of existing records, rows/s", "update", 10_000)
    outcome.add("... longest wait of another call, seconds", spread(waits, "{:.2f}"))
    outcome.add("Bulk query and download, rows/s", spread(found["query"]))
    rate("collections upsert, records/s", "collections", 5_000)
    outcome.add("memory with all records", megabytes(memory))
    outcome.add("a poller's page of 2,000 records, ms", spread(found["page"], "{:.1f}"))
    outcome.add("a record by external id, ms", spread(found["find"], "{:.1f}"))
    outcome.add("Bulk delete, rows/s", spread(found["delete"]))
    seconds = middle(found["restart"])
    what = "start with a data file of as many records, seconds"
    outcome.add(what, spread(found["restart"], "{:.2f}"), target="2", met=seconds < 2)


def _client(remote: Salesforce) -> httpx.Client:
    headers = {"Authorization": f"Bearer {remote.facts['token']}"}
    return httpx.Client(base_url=remote.facts["url"] + PATH, headers=headers, timeout=600)


def _values(number: int, text: str) -> tuple[str, ...]:
    return (
        f"k{number}", f"First {number}", f"Last {number % 100_003}", f"person.{number}@example.com",
        f"+49 30 {1_000_000 + number}", f"Title {number % 97}", f"Department {number % 31}",
        f"{1950 + number % 50}-0{1 + number % 9}-1{number % 9}", f"City {number % 1_009}", f"{text} {number} " * 16,
    )  # fmt: skip


def _data(rows: int, text: str) -> Iterator[bytes]:
    yield (",".join(COLUMNS) + "\n").encode()
    for start in range(0, rows, 1_000):
        numbers = range(start, min(start + 1_000, rows))
        yield "".join(",".join(_values(each, text)) + "\n" for each in numbers).encode()


def _upsert(client: httpx.Client, remote: Salesforce, rows: int, text: str) -> Job:
    body = {"object": "Contact", "operation": "upsert", "externalIdFieldName": COLUMNS[0], "contentType": "CSV"}
    return _done(client, remote, body, _data(rows, text), rows)


def _delete(client: httpx.Client, remote: Salesforce) -> float:
    """Seconds of a Bulk delete of all records."""
    lines = httpx.get(f"{remote.facts['url']}/sandbox/records/Contact", timeout=600).iter_lines()
    ids = [orjson.loads(line)["Id"] for line in lines]
    body = {"object": "Contact", "operation": "delete", "contentType": "CSV"}
    return _done(client, remote, body, "\n".join(["Id", *ids]).encode(), len(ids)).seconds


def _done(
    client: httpx.Client, remote: Salesforce, body: dict[str, str], data: bytes | Iterator[bytes], rows: int
) -> Job:
    job = client.post("/jobs/ingest", json=body).raise_for_status().json()["id"]
    client.put(f"/jobs/ingest/{job}/batches", content=data).raise_for_status()
    cpu, began = cpu_seconds(remote.process.pid), time.monotonic()
    client.patch(f"/jobs/ingest/{job}", json={"state": "UploadComplete"}).raise_for_status()
    longest = 0.0
    while (state := client.get(f"/jobs/ingest/{job}").json())["state"] in ("UploadComplete", "InProgress"):
        asked = time.monotonic()
        client.get("/query", params={"q": "SELECT Name FROM Organization"}).raise_for_status()
        longest = max(longest, time.monotonic() - asked)
        time.sleep(POLL_SECONDS)
    seconds = time.monotonic() - began
    if (state["state"], state["numberRecordsProcessed"], state["numberRecordsFailed"]) != ("JobComplete", rows, 0):
        raise RuntimeError(f"the job ended as {state}")
    return Job(seconds, cpu_seconds(remote.process.pid) - cpu, longest)


def _query(client: httpx.Client, rows: int) -> float:
    """Seconds from the creation of the job to the last byte of its results."""
    began = time.monotonic()
    soql = f"SELECT Id, {', '.join(COLUMNS[:-1])} FROM Contact"
    job = client.post("/jobs/query", json={"operation": "query", "query": soql}).raise_for_status().json()["id"]
    while client.get(f"/jobs/query/{job}").json()["state"] != "JobComplete":
        time.sleep(POLL_SECONDS)
    found, locator = 0, ""
    while locator != "null":
        parameters = {"maxRecords": "50000"} | ({"locator": locator} if locator else {})
        with client.stream("GET", f"/jobs/query/{job}/results", params=parameters) as page:
            found += int(page.headers["Sforce-NumberOfRecords"])
            locator = page.headers["Sforce-Locator"]
            for _ in page.iter_bytes():
                pass
    if found != rows:
        raise RuntimeError(f"{found} rows came back of {rows}")
    return time.monotonic() - began


def _collections(client: httpx.Client, rows: int) -> float:
    """Records per second."""
    began = time.monotonic()
    for start in range(0, rows, COLLECTION):
        records: list[dict[str, Any]] = [
            {"attributes": {"type": "Contact"}, **dict(zip(COLUMNS, _values(each, "third"), strict=True))}
            for each in range(start, start + COLLECTION)
        ]
        body = {"allOrNone": False, "records": records}
        answer = client.patch(f"/composite/sobjects/Contact/{COLUMNS[0]}", json=body).raise_for_status().json()
        if not all(each["success"] for each in answer):
            raise RuntimeError("a record was refused")
    return rows / (time.monotonic() - began)


def _pages(client: httpx.Client) -> float:
    """Milliseconds of a poller's page, on the way through the records in the order of their changes."""
    stamp, last = "2000-01-01T00:00:00Z", "000000000000000AAA"
    began = time.monotonic()
    for _ in range(ASKED):
        soql = (
            f"SELECT Id, SystemModstamp, LastName, Email FROM Contact WHERE SystemModstamp > {stamp} "
            f"OR (SystemModstamp = {stamp} AND Id > '{last}') ORDER BY SystemModstamp, Id LIMIT {PAGE}"
        )
        records = client.get("/query", params={"q": soql}).raise_for_status().json()["records"]
        if not records:
            raise RuntimeError("a page of the poller was empty")
        if len(records) == PAGE:
            stamp, last = records[-1]["SystemModstamp"].replace("+0000", "Z"), records[-1]["Id"]
    return (time.monotonic() - began) / ASKED * 1000


def _finds(client: httpx.Client, rows: int) -> float:
    """Milliseconds of a query by an external id."""
    began = time.monotonic()
    for number in range(ASKED):
        soql = f"SELECT Id FROM Contact WHERE {COLUMNS[0]} = 'k{number * rows // ASKED}'"
        if client.get("/query", params={"q": soql}).raise_for_status().json()["totalSize"] != 1:
            raise RuntimeError("a record was not found")
    return (time.monotonic() - began) / ASKED * 1000


def _restart(rows: int, folder: Path) -> float:
    """Seconds to the first line of a server whose data file has all records."""
    options = ("--data", str(folder / "org.db"))
    with salesforce("sandbox", folder, *options) as remote:
        _upsert(_client(remote), remote, rows, "first")
    began = time.monotonic()
    with salesforce("sandbox", folder, *options) as remote:
        seconds = time.monotonic() - began
        if remote.get("/sandbox/stats")["records"]["Contact"] != rows:
            raise RuntimeError("the data file has lost records")
    return seconds
