"""A Salesforce that refuses: the mapping halts or waits with a clear reason, the others go on, nothing is lost."""

from __future__ import annotations

import pytest

from syncbridge.destinations import allowance
from syncbridge.model import MappingStatus
from syncbridge.store.mappings import AppliedMapping
from tests.fix_project import WholeProject, until


def halted(whole: WholeProject) -> str:
    """Why the mapping of people is halted, when it is."""
    mapping = whole.mapping()
    return f"{mapping.reason} {mapping.hint}" if mapping.status is MappingStatus.HALTED else ""


def waiting_mappings(whole: WholeProject) -> list[AppliedMapping]:
    """Those that go on by themselves later."""
    return [m for m in (whole.mapping("people"), whole.mapping("parts")) if m.status is MappingStatus.WAITING]


def first_name(whole: WholeProject) -> object:
    """Of the first person, over there."""
    record = whole.record(1)
    return record and record["FirstName"]


def assert_parts_go_on(whole: WholeProject) -> None:
    whole.sql("update parts set stock = stock + 100")
    whole.wait("parts")


def test_a_refused_login_halts_with_a_hint_and_a_right_one_delivers_everything(whole: WholeProject) -> None:
    right = whole.environment["SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET"]
    whole.done("setup")
    whole.environment["SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET"] = "wrong-secret"
    checked = whole.run("check")
    assert checked.code == 1
    assert "Salesforce refused the login" in checked.out
    worker = whole.start()
    waited = whole.run("wait", "--timeout", "60s")
    assert waited.code == 4
    assert "Salesforce refused the login" in waited.out
    assert "wrong-secret" not in waited.out + worker.log + checked.out
    assert worker.stop() == 0
    whole.environment["SYNCBRIDGE_DESTINATIONS__CRM__CLIENT_SECRET"] = right
    whole.start()
    whole.done("resume", "--all")
    whole.wait()
    whole.assert_equal()


def test_sessions_that_end_are_renewed_without_a_word(running: WholeProject) -> None:
    running.salesforce.control.expire_tokens()
    running.sql("update people set first_name = 'With a new session'")
    running.wait()
    running.assert_equal()


def test_a_field_that_is_gone_halts_its_mapping_alone_until_it_is_back(running: WholeProject) -> None:
    field = {"type": "picklist", "values": ["Gold", "Silver"], "restricted": True}
    running.salesforce.control.remove_field("Contact", "Level__c")
    running.sql("update people set level = 'Gold'")
    reason = until(lambda: halted(running), what="the mapping halts")
    assert "Level__c" in reason
    assert "syncbridge" in reason
    assert_parts_go_on(running)
    status = running.run("status")
    assert status.code == 1
    assert "! people: halted" in status.out
    assert running.waiting("people") == 5
    assert running.dead() == {}
    running.salesforce.control.put_field("Contact", "Level__c", field)
    running.done("resume", "people")
    running.wait()
    running.assert_equal()


def test_an_object_that_is_gone_halts_its_mapping_alone_until_it_is_back(running: WholeProject) -> None:
    running.salesforce.control.remove_object("Part__c")
    running.sql("update parts set stock = 1000")
    until(lambda: running.mapping("parts").status is MappingStatus.HALTED, what="the mapping halts")
    assert "Part__c" in running.mapping("parts").reason
    running.sql("update people set first_name = 'Goes on'")
    running.wait("people")
    assert running.waiting("parts") == 3
    fields = {"Part_Key__c": "string(80) external_id", "Stock__c": "int"}
    running.salesforce.control.put_object("Part__c", {"fields": fields})
    running.done("resume", "parts")
    running.wait()
    running.assert_equal()


@pytest.mark.parametrize("used", [15_000, 12_500])
def test_a_spent_allowance_makes_mappings_wait_and_go_on_by_themselves(
    whole: WholeProject, monkeypatch: pytest.MonkeyPatch, used: int
) -> None:
    """All of the day's calls, or our share of them; here the worker looks again at once."""
    monkeypatch.setattr(allowance, "RECHECK", 0.5)
    whole.done("setup")
    with whole.worker_here():
        whole.wait()
        whole.salesforce.control.set_usage(used=used, max=15_000)
        whole.sql("update people set first_name = 'The last call' where id = 1")
        until(lambda: first_name(whole) == "The last call" or waiting_mappings(whole), what="the worker knows")
        whole.sql("update people set first_name = 'Much later'")
        (waiting,) = until(lambda: waiting_mappings(whole)[:1], what="a mapping waits")
        assert "API calls" in waiting.reason or "REQUEST_LIMIT_EXCEEDED" in waiting.reason
        assert "by itself" in waiting.hint or "used up" in waiting.hint
        assert "waiting" in whole.run("status").out
        assert whole.waiting() > 0
        whole.salesforce.control.set_usage(used=100, max=15_000)
        whole.wait()
        whole.assert_equal()
