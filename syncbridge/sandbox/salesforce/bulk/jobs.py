"""Jobs and their states, as the API shows them, and the list of all jobs of an org.

A job's data and results are files in a folder of its own. Whoever reads or changes a job holds the sandbox's lock.
"""

from __future__ import annotations

import shutil
import tempfile
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from syncbridge.sandbox.salesforce.org.ids import make_id, to_18
from syncbridge.sandbox.salesforce.store.storage import USER_ID

OPEN, UPLOADED, RUNNING = "Open", "UploadComplete", "InProgress"
COMPLETE, FAILED, ABORTED = "JobComplete", "Failed", "Aborted"
ENDED = frozenset({COMPLETE, FAILED, ABORTED})
JOB_PREFIX = "750"
DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
CHUNKING_SHOWN_SINCE = 61
AnyJob = TypeVar("AnyJob", bound="Job")


@dataclass(slots=True, kw_only=True)
class Job:
    """What both kinds of job have in common."""

    operation: str
    object: str
    version: float
    delimiter: str = "COMMA"
    line_ending: str = "LF"
    created: str = ""
    id: str = ""
    folder: Path = Path()
    state: str = UPLOADED
    modified: str = ""
    error: str | None = None
    processed: int = 0
    milliseconds: float = 0.0

    @property
    def ended(self) -> bool:
        """True when nothing more will happen to the job."""
        return self.state in ENDED

    def move(self, state: str, stamp: str, error: str | None = None) -> None:
        """Enter a state."""
        self.state, self.modified, self.error = state, stamp, error

    def brief(self) -> dict[str, Any]:
        """Return what the answer to an abort says."""
        shown: dict[str, Any] = {"id": self.id, "operation": self.operation, "object": self.object}
        shown |= {"createdById": USER_ID, "createdDate": self.created, "systemModstamp": self.modified}
        shown |= {"state": self.state, "concurrencyMode": "Parallel", "contentType": "CSV"}
        return shown | {"apiVersion": self.version}

    def format(self) -> dict[str, Any]:
        """Return how the job's CSV is written."""
        return {"lineEnding": self.line_ending, "columnDelimiter": self.delimiter}

    def created_now(self) -> dict[str, Any]:
        """Return what the answer to a create says."""
        return self.brief() | self.format()


@dataclass(slots=True, kw_only=True)
class IngestJob(Job):
    """A job that writes. `offset` is the place in the data behind the last record processed, in bytes.

    The results of an `ordered` job are in one file, in the order of its records.
    """

    external_id: str | None = None
    assignment_rule: str | None = None
    failed: int = 0
    retries: int = 0
    header_end: int = 0
    offset: int = 0
    header: list[str] = field(default_factory=list)
    ordered: bool = False

    @property
    def data(self) -> Path:
        return self.folder / "data.csv"

    def brief(self) -> dict[str, Any]:
        shown = Job.brief(self)
        if self.external_id is not None:
            shown["externalIdFieldName"] = self.external_id
        if self.assignment_rule is not None:
            shown["assignmentRuleId"] = self.assignment_rule
        if self.state == OPEN:
            shown["contentUrl"] = f"services/data/v{self.version:.1f}/jobs/ingest/{self.id}/batches"
        return shown

    def listed(self) -> dict[str, Any]:
        """Return what the list of jobs says."""
        return self.brief() | {"jobType": "V2Ingest"} | self.format()

    def details(self) -> dict[str, Any]:
        """Return what the answer to a poll says."""
        shown = self.listed() | {"numberRecordsProcessed": self.processed, "numberRecordsFailed": self.failed}
        spent = round(self.milliseconds)
        shown |= {"retries": self.retries, "totalProcessingTime": spent, "apiActiveProcessingTime": spent}
        shown["apexProcessingTime"] = 0
        if self.error is not None:
            shown["errorMessage"] = self.error
        if self.version >= CHUNKING_SHOWN_SINCE:
            shown["isPkChunkingSupported"] = False
        return shown


@dataclass(slots=True, kw_only=True)
class QueryJob(Job):
    """A job that reads. `ends` are the places in the results behind the header and behind each record, in bytes."""

    query: str
    ends: array[int] = field(default_factory=lambda: array("Q", [0]))

    @property
    def results(self) -> Path:
        return self.folder / "results.csv"

    def listed(self) -> dict[str, Any]:
        """Return what the list of jobs says."""
        return self.brief() | {"jobType": "V2Query"} | self.format()

    def details(self) -> dict[str, Any]:
        """Return what the answer to a poll says."""
        shown = self.listed() | {"numberRecordsProcessed": self.processed, "retries": 0}
        shown["totalProcessingTime"] = round(self.milliseconds)
        if self.error is not None:
            shown["errorMessage"] = self.error
        if self.version >= CHUNKING_SHOWN_SINCE:
            shown["isPkChunkingSupported"] = self.object.endswith("__c")
        return shown


class Jobs:
    """All jobs of an org, in the order of their creation. They end with the server."""

    def __init__(self, prefix: str = JOB_PREFIX) -> None:
        self._prefix = prefix
        self._jobs: dict[str, IngestJob | QueryJob] = {}
        self._number = 0
        self._folder: Path | None = None

    def folder(self) -> Path:
        """Return the folder for uploads and jobs; it is made when it is first needed."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="syncbridge-sandbox-jobs-"))
        return self._folder

    def add(self, job: IngestJob | QueryJob, stamp: str) -> None:
        """Take in a new job: it gets its id and its folder."""
        job.id = self.new_id()
        job.created = job.modified = stamp
        job.folder = self.folder() / job.id
        job.folder.mkdir()
        self._jobs[job.id] = job

    def new_id(self) -> str:
        """Return an id that no other job has."""
        self._number += 1
        return make_id(self._prefix, self._number)

    def find(self, kind: type[AnyJob], job_id: str) -> AnyJob | None:
        """Return the job of this kind with this id, or None."""
        found = self._jobs.get(to_18(job_id) or "")
        return found if isinstance(found, kind) else None

    def object_of(self, job_id: str) -> str | None:
        """Return the name of the object that a job is about, or None."""
        found = self._jobs.get(to_18(job_id) or "")
        return found.object if found else None

    def all(self, kind: type[AnyJob]) -> list[AnyJob]:
        """Return the jobs of a kind, oldest first."""
        return [each for each in self._jobs.values() if isinstance(each, kind)]

    def every(self) -> Iterable[IngestJob | QueryJob]:
        """Return the jobs of both kinds, oldest first."""
        return list(self._jobs.values())

    def remove(self, job: IngestJob | QueryJob) -> None:
        """Forget a job and its files."""
        del self._jobs[job.id]
        shutil.rmtree(job.folder, ignore_errors=True)

    def clear(self) -> None:
        """Forget all jobs and all files."""
        self._jobs.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
