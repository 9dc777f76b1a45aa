"""The loop that loads: parents before children, one page in memory, no two workers at one mapping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from syncbridge.inbound import load
from syncbridge.loops.load import LoadLoop
from syncbridge.loops.loop import Surroundings
from syncbridge.mapping.kinship import kinship
from syncbridge.store import loads, runs
from syncbridge.store.runs import Direction
from tests.fix_family_both import COMPANIES, PEOPLE, SHOPS, FamilyBoth, StartFamilyBoth


def ask(both: FamilyBoth, *names: str) -> None:
    """Ask for first loads, as `apply` does, in this order."""
    for name in names:
        loads.ask_first(both.family.store, both.family.id(name))
    runs.open_asked(both.family.store, barrier="0")


@contextmanager
def loop_of(both: FamilyBoth) -> Iterator[LoadLoop]:
    """The loop of one worker."""
    compiled = dict(both.family.mappings.values())
    settings = SimpleNamespace(store_conninfo=lambda: "", source=SimpleNamespace(conninfo=lambda: ""))
    project = SimpleNamespace(
        store=lambda purpose: both.family.connect(), destination=lambda name: both.family.crm, settings=settings
    )
    kin = kinship({name: id for name, (id, _) in both.family.mappings.items()}, compiled)
    with LoadLoop(cast(Surroundings, SimpleNamespace(project=project, compiled=compiled, kin=kin))) as loop:
        yield loop


def scanned(both: FamilyBoth, loop: LoadLoop, most: int = 200) -> list[str]:
    """Objects whose pages are read until no load is left."""
    before = len(both.family.crm.calls)
    for _ in range(most):
        if not runs.pending(both.family.store, Direction.IN):
            break
        loop.step()
    return [object for operation, object, _ in both.family.crm.calls[before:] if operation == "scan"]


def test_the_load_of_a_mapping_waits_for_those_that_it_looks_up(start_family_both: StartFamilyBoth) -> None:
    both = start_family_both(COMPANIES, PEOPLE)
    seven = both.make("Account", Key__c="7", Name="seven")
    both.make("Contact", Key__c="1", Name="Ada", AccountId=seven)
    ask(both, "people", "companies")
    with loop_of(both) as loop:
        assert scanned(both, loop) == ["Account", "Contact"]
    assert both.row("companies", 7, "name") == ("seven",)
    assert both.row("people", 1, "name, company_id") == ("Ada", 7)


def test_while_a_page_is_written_no_other_is_read(
    start_family_both: StartFamilyBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "PART", 1)
    both = start_family_both(COMPANIES, SHOPS)
    for number in range(3):
        both.make("Account", Key__c=str(number), Name="n")
    ask(both, "companies", "shops")
    with loop_of(both) as loop:
        for _ in range(2):
            assert scanned(both, loop, most=1) in (["Account"], [])
        assert scanned(both, loop) == ["Shop"]


def test_another_worker_carries_nothing_of_a_mapping_until_this_one_is_gone(start_family_both: StartFamilyBoth) -> None:
    both = start_family_both(COMPANIES)
    for number in range(both.family.crm.batch_size + 1):
        both.make("Account", Key__c=str(number), Name="n")
    ask(both, "companies")
    with loop_of(both) as second:
        with loop_of(both) as first:
            first.step()
            assert scanned(both, second, most=3) == []
        assert scanned(both, second) == ["Account"]
