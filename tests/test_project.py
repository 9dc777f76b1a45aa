"""One project, opened: what its parts share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace
from typing import Any, cast

import pytest

from syncbridge.config import Settings
from syncbridge.destinations.memory import MemoryDestination
from syncbridge.project import Project


def test_lanes_that_start_at_once_share_one_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    section = SimpleNamespace(type="memory", values={}, from_file=frozenset())
    project = Project(cast(Settings, SimpleNamespace(destinations={"crm": section})))
    both_open_it = Barrier(2)

    def opened(name: str, *_: Any) -> MemoryDestination:
        with suppress(BrokenBarrierError):
            both_open_it.wait(0.2)  # a second one would come in here
        return MemoryDestination(name, [])

    monkeypatch.setattr("syncbridge.project.open_destination", opened)
    with project, ThreadPoolExecutor(2) as pool:
        first, second = pool.map(project.destination, ("crm", "crm"))
        assert first is second
        assert project.destination("crm") is first
