"""The Salesforce sandbox as an org: the real adapter over real HTTP, and people who use the same API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from syncbridge.destinations.base import Delivered, RemoteRecord, Result
from syncbridge.destinations.feed import ChangesPage, RemoteChange, ScanPage
from syncbridge.destinations.salesforce import SalesforceDestination
from syncbridge.destinations.salesforce.settings import read_settings
from syncbridge.model import Fields
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.convergence.far_side import KEYS, Calls, FarSide, Trouble
from tests.destinations.salesforce.fix_salesforce import FakeTime, values_for

ORG: dict[str, dict[str, str]] = {
    "Account": {"Company_Key__c": "string(40) external_id unique"},
    "Contact": {
        "Person_Key__c": "string(40) external_id unique",
        "Score__c": "double(10,2)",
        "Grade__c": "string(80)",
        "Greeting__c": "string(80)",
    },
}
RULES: dict[str, Any] = {
    "Account": {"validation_rules": {"Plain": {"error_if": "instr(BillingCity, '?') > 0", "message": "No questions"}}},
    "Contact": {"validation_rules": {"Plain": {"error_if": "instr(LastName, '?') > 0", "message": "No questions"}}},
}
RULES["Contact"] |= {
    "automations": {
        "Grade": {"on": ["create", "update"], "when": ["FirstName"], "set": {"Grade__c": "'auto ' || FirstName"}}
    }
}
_FAULTS: dict[Trouble, tuple[Any, str, int]] = {
    "lost answer": ("drop_after", "/composite/sobjects", 1),
    "unavailable": ("unavailable", "/services/data", 6),
    "quota": ("daily_limit", "/services/data", 1),
}


class WatchedSalesforce(SalesforceDestination):
    """The adapter, with something around each of its calls."""

    around: Calls

    def upsert(self, object: str, external_id: str, records: Sequence[Fields], *, lane: str = "") -> list[Result]:
        self.around.sent += len(records)
        make = partial(super().upsert, object, external_id, records, lane=lane)
        return self.around.around("upsert", f"{object} {[dict(each) for each in records]}", make)

    def delete(self, object: str, remote_ids: Sequence[str], *, lane: str = "") -> list[Result]:
        self.around.sent += len(remote_ids)
        make = partial(super().delete, object, remote_ids, lane=lane)
        return self.around.around("delete", f"{object} {list(remote_ids)}", make)

    def read(self, *args: Any, **named: Any) -> list[RemoteRecord | None]:
        return self.around.around("read", "", partial(super().read, *args, **named))

    def changes(self, *args: Any, **named: Any) -> ChangesPage:
        return self.around.around("changes", "", partial(super().changes, *args, **named))

    def scan(self, *args: Any, **named: Any) -> ScanPage:
        return self.around.around("scan", "", partial(super().scan, *args, **named))

    def current(self, *args: Any, **named: Any) -> list[RemoteChange]:
        return self.around.around("current", "", partial(super().current, *args, **named))


class SandboxFarSide(FarSide):
    """An org of the sandbox, which is emptied first."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        control = server.control
        control.reset()
        for object, fields in ORG.items():
            for name, definition in fields.items():
                control.put_field(object, name, definition)
        for object, rules in RULES.items():
            control.put_rules(object, rules)
        control.change_field("Contact", "AccountId", on_delete="clear")  # else a person may go by nobody's wish
        self.time = FakeTime()
        settings = read_settings("crm", values_for(server), frozenset())
        self.calls = Calls(arm=self._arm, disarm=control.faults.clear)
        self.destination = WatchedSalesforce("crm", settings, times=self.time.times())
        self.destination.around = self.calls
        self._people = SalesforceDestination("people", settings, times=self.time.times())

    @property
    def now(self) -> datetime:
        return self.server.sandbox.clock.now()

    def _arm(self, trouble: Trouble) -> None:
        if trouble == "session":
            self.server.control.expire_tokens()
            return
        kind, path, times = _FAULTS[trouble]
        self.server.control.faults.add(kind, path=path, times=times)

    def create(self, object: str, fields: Fields) -> str:
        """By REST's upsert, which needs a key; one that the record is not to have is emptied in the same second."""
        key = KEYS[object]
        values = {name: float(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
        (result,) = self._people.upsert(object, key, [{key: "none yet", **values}])
        assert isinstance(result, Delivered), result
        if key not in fields:
            self.edit(object, result.remote_id, {key: None})
        return result.remote_id

    def merge(self, object: str, survivor: str, loser: str) -> None:
        self.server.control.merge(object, survivor, [loser])

    def edit(self, object: str, remote_id: str, fields: Fields) -> None:
        values = {name: float(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
        (result,) = self._people.update(object, [(remote_id, values)])
        assert isinstance(result, Delivered), result

    def delete(self, object: str, remote_id: str) -> None:
        (result,) = self._people.delete(object, [remote_id])
        assert isinstance(result, Delivered), result

    def undelete(self, object: str, remote_id: str) -> bool:
        key = KEYS[object]
        binned = {each["Id"]: each[key] for each in self.server.control.records(object, deleted=True)}
        if any(record[key] == binned[remote_id] for record in self.records(object).values()):
            return False
        return self.server.control.undelete(object, [remote_id]) == 1

    def records(self, object: str) -> dict[str, Fields]:
        return {each["Id"]: each for each in self.server.control.records(object)}

    def binned(self, object: str) -> list[str]:
        return [e["Id"] for e in self.server.control.records(object, deleted=True) if e["IsDeleted"]]

    def pass_time(self, seconds: float) -> None:
        self.time.now += seconds
        self.server.control.advance_clock(seconds)

    def be_late(self, seconds: float) -> None:
        self.server.control.set_late_visibility(seconds, seconds)

    def calls_made(self) -> int:
        return sum(self.destination.calls_made().values())

    def close(self) -> None:
        self.destination.close()
        self._people.close()
