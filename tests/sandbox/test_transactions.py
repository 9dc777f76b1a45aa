"""Transactions of the sandbox's store, one inside another."""

from __future__ import annotations

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.sandbox import Sandbox
from syncbridge.sandbox.salesforce.server import SandboxServer


def create(org: Sandbox, name: str) -> None:
    org.writes.create([(org.org.objects["account"], {"Name": name})])


def names(sandbox: SandboxServer) -> list[str]:
    return [each["Name"] for each in sandbox.control.records("Account")]


def fail() -> None:
    raise Refusal("NOT_FOUND", "ends a transaction")


def test_an_inner_transaction_is_undone_alone(sandbox: SandboxServer) -> None:
    org = sandbox.sandbox
    with org.lock, org.storage.transaction():
        create(org, "before")
        try:
            with org.storage.transaction():
                create(org, "inside")
                fail()
        except Refusal:
            create(org, "after")
    assert names(sandbox) == ["before", "after"]


def test_an_outer_transaction_takes_the_inner_ones_with_it(sandbox: SandboxServer) -> None:
    org = sandbox.sandbox
    create(org, "kept")
    try:
        with org.lock, org.storage.transaction():
            create(org, "inside")
            fail()
    except Refusal:
        create(org, "later")
    assert names(sandbox) == ["kept", "later"]
