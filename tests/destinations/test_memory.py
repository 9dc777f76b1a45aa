"""The memory destination keeps the contract; its faults do what they say."""

from __future__ import annotations

import threading

import pytest

from syncbridge.destinations.base import Rejected
from syncbridge.destinations.memory import MemoryDestination
from syncbridge.destinations.registry import open_destination
from syncbridge.errors import LoginRefused, RateLimited, Remedy, RetryLater, SettingsError
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject
from tests.contract.destination import DestinationContract, Remote, delivered, rejected
from tests.contract.feed import FeedContract
from tests.contract.scan import WorkedScanContract

CONTACT = RemoteObject(
    "Contact",
    {
        field.name: field
        for field in (
            RemoteField("Person_Key__c", FieldKind.STRING, length=40, unique=True, external_id=True),
            RemoteField("LastName", FieldKind.STRING, required=True, length=80),
            RemoteField("FirstName", FieldKind.STRING, length=40),
            RemoteField("Balance__c", FieldKind.NUMBER, precision=18, scale=2),
            RemoteField("Seen_At__c", FieldKind.DATETIME),
        )
    },
)


class MemoryRemote(Remote):
    destination: MemoryDestination

    def calls(self) -> int:
        return len(self.destination.calls)

    def refuse(self, key: str) -> None:
        self.destination.faults.reject(key, "STRING_TOO_LONG")

    def rate_limit(self) -> None:
        self.destination.faults.fail(RateLimited("slow down", delay=2.0))

    def go_down(self) -> None:
        self.destination.faults.hold()

    def recover(self) -> None:
        self.destination.faults.clear()

    def lose_answer(self) -> None:
        self.destination.faults.fail_after_write()

    def refuse_login(self) -> None:
        self.destination.faults.refuse_login(LoginRefused("the credentials were refused"))


def remote_in_memory() -> MemoryRemote:
    return MemoryRemote(
        destination=MemoryDestination("crm", [CONTACT], batch_size=10),
        object="Contact",
        key="Person_Key__c",
        text="FirstName",
        required="LastName",
        number="Balance__c",
        moment="Seen_At__c",
    )


class TestMemory(DestinationContract, FeedContract, WorkedScanContract):
    @pytest.fixture
    def remote(self) -> Remote:
        return remote_in_memory()

    def hold(self, remote: Remote) -> None:
        assert isinstance(remote, MemoryRemote)
        remote.destination.faults.hold_jobs()

    def release(self, remote: Remote) -> None:
        assert isinstance(remote, MemoryRemote)
        remote.destination.faults.clear()

    def lose(self, remote: Remote) -> None:
        assert isinstance(remote, MemoryRemote)
        remote.destination.scans.begun.clear()


def test_a_rejection_stays_until_the_faults_are_cleared() -> None:
    remote = remote_in_memory()
    remote.destination.faults.reject("k1", "LOCKED", remedy=Remedy.RETRY)
    for _ in range(2):
        assert rejected(remote.upsert(remote.record("k1"))[0]).remedy is Remedy.RETRY
    remote.destination.faults.clear()
    assert delivered(remote.upsert(remote.record("k1"))[0]).created


def test_a_slow_call_waits_for_its_event() -> None:
    remote = remote_in_memory()
    go = threading.Event()
    remote.destination.faults.slow_until(go)
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.extend(remote.upsert(remote.record("k1"))))
    thread.start()
    assert remote.destination.stored("Contact") == {}
    go.set()
    thread.join()
    assert len(results) == len(remote.destination.stored("Contact")) == 1


def test_a_slow_call_ends_at_its_time_limit() -> None:
    destination = MemoryDestination("crm", [CONTACT], call_seconds=0.0)
    destination.faults.slow_until(threading.Event())
    with pytest.raises(RetryLater):
        destination.delete("Contact", ["m1"])


def test_a_record_that_somebody_else_created_is_found_and_updated() -> None:
    remote = remote_in_memory()
    remote_id = remote.destination.put("Contact", remote.record("k1"))
    assert delivered(remote.upsert(remote.record("K1", "Grace"))[0]).remote_id == remote_id
    assert remote.destination.stored("Contact")[remote_id]["FirstName"] == "Grace"


def test_results_of_a_lost_answer_are_all_uncertain() -> None:
    remote = remote_in_memory()
    remote.lose_answer()
    results = remote.upsert(remote.record("k1"), remote.record("k2"))
    assert all(isinstance(result, Rejected) and result.uncertain for result in results)
    assert len(remote.destination.stored("Contact")) == 2


def test_objects_are_declared_in_the_settings() -> None:
    destination = open_destination("crm", "memory", {"objects": {"Lead": {"Key__c": "string", "Score__c": "number"}}})
    assert destination.objects() == ["Lead"]
    assert destination.describe("lead").fields["Score__c"].kind is FieldKind.NUMBER


def test_wrong_settings_name_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"destinations\.crm.*objekts"):
        open_destination("crm", "memory", {"objekts": {}})
