"""What a person writes without us: `python -m tests.bench.plain_loader DSN URL`, the session id on its input.

One COPY of the table to a CSV file, then simple-salesforce's Bulk API 2.0 upsert of that file, then the rows that were
refused. No change detection, no links, no account per record. Prints its figures as one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.bulk2 import SFBulk2Handler

from tests.plain_http import PlainHttp

COPY = """
copy (select id as "External_Key__c", first_name as "FirstName", last_name as "LastName", email as "Email",
             phone as "Phone", title as "Title", department as "Department", birthdate as "Birthdate",
             city as "MailingCity", about as "Description"
        from people order by id) to stdout with (format csv, header)
"""


def load(dsn: str, url: str, token: str) -> dict[str, float]:
    """Load the table into Contact; seconds, CPU seconds, records, jobs, and the process's peak of memory in bytes."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="syncbridge-bench-") as folder:
        file = Path(folder) / "people.csv"
        with psycopg.connect(dsn) as connection, file.open("wb") as target:
            with connection.cursor().copy(COPY) as copy:
                for block in copy:
                    target.write(block)
        session = requests.Session()
        session.mount("https://", PlainHttp(url))
        salesforce = Salesforce(instance_url=url, session_id=token, version="62.0", session=session)
        bulk = SFBulk2Handler(salesforce.session_id, salesforce.bulk2_url, session=session)
        results = bulk.Contact.upsert(csv_file=str(file), external_id_field="External_Key__c")
        for result in results:
            if bulk.Contact.get_failed_records(str(result["job_id"])).strip().count("\n"):
                raise RuntimeError("the plain loader had rows refused")
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": time.monotonic() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "records": sum(int(result["numberRecordsProcessed"]) for result in results),
        "jobs": len(results),
        "memory": used.ru_maxrss * 1024,
    }


if __name__ == "__main__":
    print(json.dumps(load(sys.argv[1], sys.argv[2], sys.stdin.readline().strip())))  # noqa: T201 - its only output
