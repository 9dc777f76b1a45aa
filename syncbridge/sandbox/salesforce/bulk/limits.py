"""What a day allows, as `/limits` shows it and as jobs run into it."""

from __future__ import annotations

from dataclasses import dataclass

from syncbridge.sandbox.salesforce.errors import Refusal

LARGEST_UPLOAD = 150_000_000
LARGEST_ENCODED = LARGEST_UPLOAD * 3 // 4
TOO_LARGE = Refusal("CLIENTINPUTERROR", f"Failed to read request. Exceeded max size limit of {LARGEST_UPLOAD}")


@dataclass(slots=True)
class BulkUsage:
    """Batches, records and query jobs of the day."""

    batches: int = 0
    max_batches: int = 15_000
    rows: int = 0
    max_rows: int = 150_000_000
    query_jobs: int = 0
    max_query_jobs: int = 10_000

    def check_batches(self) -> None:
        """Refuse a new ingest job when the day's batches are used up."""
        if self.batches >= self.max_batches:
            raise Refusal("EXCEEDEDQUOTA", "ApiBatchItems Limit exceeded.")

    def take_query_job(self) -> None:
        """Count a query job, or refuse it when the day's are used up."""
        if self.query_jobs >= self.max_query_jobs:
            most, used = self.max_query_jobs, self.query_jobs
            text = f"Max bulk v2 query jobs ({most}) per 24 hrs has been reached ({used})"
            raise Refusal("LIMIT_EXCEEDED", text)
        self.query_jobs += 1

    def limits(self) -> dict[str, dict[str, int]]:
        """Return the entries of `/limits`."""
        return {
            "DailyBulkApiBatches": _entry(self.max_batches, self.batches),
            "DailyBulkV2QueryJobs": _entry(self.max_query_jobs, self.query_jobs),
        }


def _entry(most: int, used: int) -> dict[str, int]:
    return {"Max": most, "Remaining": max(most - used, 0)}
