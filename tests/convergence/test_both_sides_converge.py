"""Whatever people, clocks and troubles do, when it is quiet both sides are equal by the stated rules.

No value is there that nobody wrote, no edit vanished without a word, and nothing is called but the idle polls.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.convergence.far_memory import MemoryFarSide
from tests.convergence.far_sandbox import SandboxFarSide
from tests.convergence.machine import Machine
from tests.convergence.project import Project

#: So many times as many stories, other ones each time: `make soak`. Else the same ones each time.
SOAK = int(os.environ.get("SYNCBRIDGE_SOAK", "0"))

#: When a story ends badly, a shorter one that does too is looked for, for five minutes at most.
pytestmark = pytest.mark.timeout(0 if SOAK else 600)

PHASES = [Phase.generate] if os.environ.get("NOSHRINK") else [Phase.generate, Phase.shrink]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A story tells what matters of the log."""
    log = logging.getLogger("syncbridge")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(before)


def stories(number: int) -> settings:
    return settings(
        max_examples=number * max(SOAK, 1),
        stateful_step_count=50,
        derandomize=not SOAK,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )


def test_both_sides_converge(project: Project) -> None:
    class OnMemory(Machine):
        def far_side(self) -> MemoryFarSide:
            return MemoryFarSide()

    OnMemory.project = project
    run_state_machine_as_test(OnMemory, settings=stories(int(os.environ.get("STORIES", "50"))))


def test_what_persons_decide_stands(project: Project) -> None:
    class Disputes(Machine):
        calm = True

        def far_side(self) -> MemoryFarSide:
            return MemoryFarSide()

    Disputes.project = project
    run_state_machine_as_test(Disputes, settings=stories(12))


def test_both_sides_converge_over_http(project: Project, sandbox_server: SandboxServer) -> None:
    class OnSandbox(Machine):
        def far_side(self) -> SandboxFarSide:
            return SandboxFarSide(sandbox_server)

    OnSandbox.project = project
    run_state_machine_as_test(OnSandbox, settings=stories(10))
