"""One sandbox org: its objects, records, sessions, faults and counts, as one value that the routes work on."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncbridge.sandbox.salesforce.auth import Credentials, Sessions
from syncbridge.sandbox.salesforce.bulk_apis import Bulk
from syncbridge.sandbox.salesforce.faults import Faults, daily_limit
from syncbridge.sandbox.salesforce.inflight import InFlight
from syncbridge.sandbox.salesforce.org.ids import make_id
from syncbridge.sandbox.salesforce.org.model import Org
from syncbridge.sandbox.salesforce.org.org_file import load_org
from syncbridge.sandbox.salesforce.soql.cursors import Cursors
from syncbridge.sandbox.salesforce.store.clock import Clock
from syncbridge.sandbox.salesforce.store.deletes import Deletes
from syncbridge.sandbox.salesforce.store.locks import Locks
from syncbridge.sandbox.salesforce.store.merges import Merges
from syncbridge.sandbox.salesforce.store.storage import ORGANIZATION_ID, PROFILE_ID, USER_ID, Storage
from syncbridge.sandbox.salesforce.store.values import Stored
from syncbridge.sandbox.salesforce.store.writes import Writes

DAILY_CALLS = 15_000
LOGGED_REQUESTS = 10_000


@dataclass(slots=True)
class Usage:
    """API calls of the day, as `Sforce-Limit-Info` shows them."""

    used: int = 0
    max: int = DAILY_CALLS

    def take(self) -> None:
        """Count one more call, or refuse it when the day's are used up."""
        if self.used >= self.max:
            raise daily_limit()
        self.used += 1


@dataclass(slots=True)
class Settings:
    """What can be turned while the server runs. `page_size` overrules what a query asks for."""

    latency: float = 0.0
    page_size: int | None = None


@dataclass(slots=True)
class Counts:
    """How often each route was called, and the last requests."""

    calls: Counter[str] = field(default_factory=Counter)
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LOGGED_REQUESTS))

    def clear(self) -> None:
        """Start counting again."""
        self.calls.clear()
        self.log.clear()


class Sandbox:
    """The whole state of a server. Whoever reads or writes records holds `lock`."""

    def __init__(
        self,
        *,
        org: Path | None = None,
        data: Path | None = None,
        credentials: Credentials | None = None,
        latency: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.org: Org = load_org(org)
        self.clock = Clock(clock)
        self.storage = Storage(self.org, data, self.clock)
        self.lock = self.storage.lock
        self.locks = Locks(self.org, self.storage)
        self.in_flight = InFlight(self.clock, self.locks)
        self.writes = Writes(self.org, self.storage, self.locks)
        self.deletes = Deletes(self.org, self.storage, self.locks)
        self.merges = Merges(self.org, self.storage, self.writes)
        self.sessions = Sessions(credentials or Credentials(), self.clock)
        self.faults = Faults()
        self.bulk = Bulk(
            org=self.org,
            storage=self.storage,
            writes=self.writes,
            deletes=self.deletes,
            clock=self.clock,
            faults=self.faults,
            locks=self.locks,
        )
        self.usage = Usage()
        self.settings = Settings(latency=latency)
        self.counts = Counts()
        self.cache: dict[Any, Any] = {}
        self.cursors = Cursors()
        self.org_number = 0  # one more at each reset
        self._latency = latency
        self._organizations = 1
        self._seed()

    def close(self) -> None:
        """End the work on jobs and close the database."""
        self.bulk.close()
        self.storage.close()

    def reset(self) -> None:
        """Be as at the start with no records: org, data, sessions, faults, usage, counts, settings and clock.

        Requests under way were for the org as it was: they write nothing, are not counted and get no answer.
        """
        with self.lock:
            self.org_number += 1
            self.bulk.reset()
            self.org.restore()
            self.storage.follow_org()
            self.clock.restore()
            self.storage.late.reset()
            self.locks.reset()
            self.in_flight.reset()
            self._organizations = 1
            self.sessions.organization = ORGANIZATION_ID
            self.reset_data()
            self.sessions.reset()
            self.faults.clear()
            self.usage = Usage()
            self.settings = Settings(latency=self._latency)
            self.counts.clear()
            self.cache.clear()

    def refresh(self, *, records: bool = False) -> None:
        """Be another org at the same address: what the refresh of a Salesforce sandbox leaves.

        With `records` these stay, with their ids, as in a full copy.
        """
        with self.lock:
            self._organizations += 1
            before, self.sessions.organization = self.sessions.organization, make_id("00D", self._organizations)
            self.sessions.expire_all()
            if not records:
                self.reset_data()
                return
            with self.storage.transaction():
                self.storage.update(self.org.original("Organization"), ("Id",), [(self.sessions.organization, before)])

    def reset_data(self) -> None:
        """Remove all records."""
        with self.lock:
            self.storage.reset()
            self.cursors.clear()
            self._seed()

    def _seed(self) -> None:
        """Create the organization, its user and the user's profile, unless the data file has them."""
        stamp = self.clock.stamp()
        email = self.sessions.credentials.user
        audit: dict[str, Stored] = {"CreatedDate": stamp, "LastModifiedDate": stamp, "SystemModstamp": stamp}
        self._plant("Profile", audit | {"Id": PROFILE_ID, "Name": "System Administrator", "UserType": "Standard"})
        self._plant("User", audit | {
            "Id": USER_ID, "Username": email, "Email": email, "FirstName": "Sandbox", "LastName": "User",
            "Alias": "sandbox", "CommunityNickname": "sandbox", "TimeZoneSidKey": "UTC", "LocaleSidKey": "en_US",
            "EmailEncodingKey": "UTF-8", "LanguageLocaleKey": "en_US", "UserType": "Standard",
            "ProfileId": PROFILE_ID,
        })  # fmt: skip
        self._plant("Organization", audit | {
            "Id": self.sessions.organization, "Name": "syncbridge sandbox", "OrganizationType": "Developer Edition",
            "InstanceName": "SBX1", "IsSandbox": 1, "TimeZoneSidKey": "UTC", "LanguageLocaleKey": "en_US",
            "DefaultLocaleSidKey": "en_US", "PrimaryContact": "Sandbox User",
        })  # fmt: skip

    def _plant(self, name: str, values: dict[str, Stored]) -> None:
        """Create a record that every org has, unless it is there."""
        target = self.org.original(name)
        if self.storage.rows_with(target, ("Id",), "Id", [values["Id"]]):
            return
        with self.storage.transaction():
            self.storage.insert(target, tuple(values), [tuple(values.values())])
