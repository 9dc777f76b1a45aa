"""What a person writes without us: `python -m tests.bench.plain_download DSN URL`, the session id on its input.

simple-salesforce's Bulk API 2.0 query of all contacts to CSV files, then COPY of these into an empty table. No merge
with what is there, no links, no place to go on from. Prints its figures as one line of JSON.
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

#: Field -> column of the copy, all of them text as the file has them.
FIELDS = (
    "Id", "External_Key__c", "FirstName", "LastName", "Email", "Phone", "Title", "Department", "Birthdate",
    "MailingCity", "Description", "SystemModstamp",
)  # fmt: skip
MAX_RECORDS = 50_000


def load(dsn: str, url: str, token: str) -> dict[str, float]:
    """Copy all contacts into a table; seconds, CPU seconds, records, and the process's peak of memory in bytes."""
    began = time.monotonic()
    session = requests.Session()
    session.mount("https://", PlainHttp(url))
    salesforce = Salesforce(instance_url=url, session_id=token, version="62.0", session=session)
    bulk = SFBulk2Handler(salesforce.session_id, salesforce.bulk2_url, session=session)
    columns = ", ".join(f'"{name}" text' for name in FIELDS)
    with tempfile.TemporaryDirectory(prefix="syncbridge-bench-") as folder:
        query = f"SELECT {', '.join(FIELDS)} FROM Contact"
        files = bulk.Contact.download(query, path=folder, max_records=MAX_RECORDS)
        with psycopg.connect(dsn) as connection:
            connection.execute(f"create table copied ({columns})".encode())
            for each in files:
                with connection.cursor().copy("copy copied from stdin with (format csv, header)") as copy:
                    copy.write(Path(str(each["file"])).read_bytes())
            found = connection.execute("select count(*) from copied").fetchone()
            connection.execute("drop table copied")
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": time.monotonic() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "records": found[0] if found else 0,
        "memory": used.ru_maxrss * 1024,
    }


if __name__ == "__main__":
    print(json.dumps(load(sys.argv[1], sys.argv[2], sys.stdin.readline().strip())))  # noqa: T201 - its only output
