"""What a person writes without us: `python -m tests.bench.plain_comparer DSN URL`, the session id on its input.

One COPY of the table and simple-salesforce's Bulk API 2.0 query of the object, both to CSV files; GNU sort puts both in
the order of keys, and `comm` counts the lines that differ. It knows nothing of what is on its way, of links, of types
that are written in two ways, nor of which field differs. Prints its figures as one line of JSON.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.bulk2 import SFBulk2Handler

from tests.bench.plain_loader import COPY
from tests.plain_http import PlainHttp

_FIELDS = "External_Key__c, FirstName, LastName, Email, Phone, Title, Department, Birthdate, MailingCity, Description"


def compare(dsn: str, url: str, token: str) -> dict[str, float]:
    """Compare the table with Contact; seconds, CPU seconds, records, differing lines, the peak of memory in bytes."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="syncbridge-bench-") as name:
        folder = Path(name)
        ours, theirs = folder / "ours", folder / "theirs"
        with psycopg.connect(dsn) as connection, ours.open("wb") as target:
            with connection.cursor().copy(COPY.replace(", header", "")) as copy:
                for block in copy:
                    target.write(block)
        records = _download(url, token, folder, theirs)
        for file in (ours, theirs):
            subprocess.run(["sort", "-o", str(file), str(file)], env={**os.environ, "LC_ALL": "C"}, check=True)
        differing = subprocess.run(
            ["comm", "-3", str(ours), str(theirs)],
            env={**os.environ, "LC_ALL": "C"},
            stdout=subprocess.PIPE,
            check=True,
        )
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": time.monotonic() - began,
        "cpu": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "records": records,
        "differing": differing.stdout.count(b"\n"),
        "memory": max(own.ru_maxrss, children.ru_maxrss) * 1024,
    }


def _download(url: str, token: str, folder: Path, target: Path) -> int:
    """All records as lines of CSV without a header, spelled as COPY spells them; how many."""
    session = requests.Session()
    session.mount("https://", PlainHttp(url))
    salesforce = Salesforce(instance_url=url, session_id=token, version="62.0", session=session)
    bulk = SFBulk2Handler(salesforce.session_id, salesforce.bulk2_url, session=session)
    query = f"select {_FIELDS} from Contact"
    files = bulk.Contact.download(query, path=str(folder), max_records=50_000)
    count = 0
    with target.open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        for each in files:
            with Path(each["file"]).open(newline="") as source:
                rows = csv.reader(source)
                next(rows)
                for row in rows:
                    writer.writerow(row)
                    count += 1
    return count


if __name__ == "__main__":
    print(json.dumps(compare(sys.argv[1], sys.argv[2], sys.stdin.readline().strip())))  # noqa: T201 - its only output
