"""How `syncbridge run` is told to end. Each in a process of its own, since signals belong to a whole process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from syncbridge.cli.run import STOPPING

STOP = """
import signal, sys
from syncbridge.cli.run import stop_on_signals
number = int(sys.argv[1])
stop = stop_on_signals()
"""


def ended(code: str, number: signal.Signals) -> int:
    return subprocess.run([sys.executable, "-c", STOP + code, str(int(number))], timeout=60, check=False).returncode


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_stops_the_worker_also_in_the_midst_of_its_wait(number: signal.Signals) -> None:
    code = "with stop._cond:\n    signal.raise_signal(number)  # as `wait` holds it\nassert stop.wait(30)"
    assert ended(code, number) == 0


@pytest.mark.parametrize("number", STOPPING)
def test_a_second_signal_ends_the_process_at_once(number: signal.Signals) -> None:
    code = (
        "signal.raise_signal(signal.SIGTERM)\nassert stop.wait(30)\nsignal.raise_signal(number)\nraise AssertionError"
    )
    assert ended(code, number) == -number
