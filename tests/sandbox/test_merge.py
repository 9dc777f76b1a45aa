"""Merges and undeletes: what SOAP's merge() and undelete() do to the org, by the control surface."""

from __future__ import annotations

import pytest

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api


def test_a_merge_gives_the_children_to_the_master_and_deletes_the_losers(api: Api, sandbox: SandboxServer) -> None:
    master, loser = api.create("Account", Name="Acme"), api.create("Account", Name="Acme Inc")
    child = api.create("Contact", LastName="Lovelace", AccountId=loser)
    sandbox.control.advance_clock(5)
    assert sandbox.control.merge("Account", master, [loser], Phone="1") == [child]
    assert api.rows("SELECT Id, Phone FROM Account") == [{"Id": master, "Phone": "1"}]
    assert api.rows("SELECT AccountId FROM Contact") == [{"AccountId": master}]
    moved = api.rows("SELECT SystemModstamp FROM Contact")[0]["SystemModstamp"]
    assert moved > api.get(f"/sobjects/Contact/{child}").json()["CreatedDate"]


def test_a_loser_is_in_the_bin_and_in_the_deleted_feed_with_its_master(api: Api, sandbox: SandboxServer) -> None:
    master, loser = api.create("Lead", LastName="A", Company="C"), api.create("Lead", LastName="B", Company="C")
    sandbox.control.merge("Lead", master, [loser])
    answer = api.get("/queryAll", params={"q": "SELECT Id, MasterRecordId FROM Lead WHERE IsDeleted = true"}).json()
    assert [(each["Id"], each["MasterRecordId"]) for each in answer["records"]] == [(loser, master)]
    sandbox.control.advance_clock(120)
    window = {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
    window["start"] = sandbox.control.records("Lead")[0]["CreatedDate"]
    deleted = api.get("/sobjects/Lead/deleted", params=window).json()["deletedRecords"]
    assert [each["id"] for each in deleted] == [loser]


def test_a_master_that_looked_up_to_its_loser_no_longer_does(api: Api, sandbox: SandboxServer) -> None:
    loser = api.create("Account", Name="Parent")
    master = api.create("Account", Name="Child", ParentId=loser)
    assert sandbox.control.merge("Account", master, [loser]) == []
    assert api.rows("SELECT ParentId FROM Account") == [{"ParentId": None}]


def test_a_merge_that_is_refused_changes_nothing(api: Api, sandbox: SandboxServer) -> None:
    master, loser = api.create("Account", Name="Acme"), api.create("Account", Name="Acme Inc")
    other = api.create("Contact", LastName="Lovelace", AccountId=loser)
    refused = [
        ("Account", master, [loser], {"Name": None}, "REQUIRED_FIELD_MISSING"),
        ("Account", master, [other], {}, "MALFORMED_ID"),
        ("Account", master, [master], {}, "INVALID_CROSS_REFERENCE_KEY"),
        ("Account", master, [], {}, "LIMIT_EXCEEDED"),
        ("Account", master, ["0018K0000009999QAA"], {}, "INVALID_CROSS_REFERENCE_KEY"),
        ("Opportunity", master, [loser], {}, "INVALID_TYPE"),
    ]
    for object, into, losers, values, code in refused:
        with pytest.raises(Refusal) as refusal:
            sandbox.control.merge(object, into, losers, **values)
        assert refusal.value.code == code
    assert len(api.rows("SELECT Id FROM Account")) == 2
    assert api.rows("SELECT AccountId FROM Contact") == [{"AccountId": loser}]


def test_an_undelete_brings_back_the_details_that_went_with_the_record(api: Api, sandbox: SandboxServer) -> None:
    account = api.create("Account", Name="Acme")
    alone, together = (api.create("Contact", LastName=each, AccountId=account) for each in ("alone", "together"))
    api.delete(f"/sobjects/Contact/{alone}")
    sandbox.control.advance_clock(5)
    api.delete(f"/sobjects/Account/{account}")
    sandbox.control.advance_clock(5)
    assert sandbox.control.undelete("Account", [account]) == 1
    assert api.rows("SELECT Id FROM Contact") == [{"Id": together}]
    restored = api.get(f"/sobjects/Account/{account}").json()
    assert restored["SystemModstamp"] > restored["CreatedDate"]


def test_undeletes_are_refused_one_by_one(api: Api, sandbox: SandboxServer) -> None:
    live, dead = api.create("Account", Name="a"), api.create("Account", Name="b")
    api.delete(f"/sobjects/Account/{dead}")
    with sandbox.sandbox.lock:
        outcomes = sandbox.sandbox.deletes.undelete([dead, live, "0018K0000009999QAA", "junk"])
    codes = [each.refusal.code if each.refusal else None for each in outcomes]
    assert codes == [None, "UNDELETE_FAILED", "INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID"]
    assert [each.id for each in outcomes] == [dead, None, None, None]
    assert len(api.rows("SELECT Id FROM Account")) == 2
