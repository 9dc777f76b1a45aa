"""Child processes: started, measured while they live, ended. Memory and CPU come from /proc, so only on Linux."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@contextmanager
def running(
    arguments: list[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None, log: Path
) -> Iterator[subprocess.Popen[str]]:
    """A Python process of ours for as long as the block lasts; ended with SIGTERM. Its stderr goes to `log`."""
    with log.open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).absolute().parents[2]), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def first_line(process: subprocess.Popen[str], log: Path) -> Any:
    """The JSON that a process prints first; RuntimeError with the end of its log when it prints none."""
    assert process.stdout is not None  # `running` asked for a pipe
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a process of the bench ended early: {log.read_text()[-2000:]}")
    return json.loads(line)


def peak_memory(pid: int) -> int:
    """The most memory a process had so far, in bytes; 0 where there is no /proc.

    Not `ru_maxrss`: that counts what the parent had when it forked.
    """
    with suppress(OSError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far, its threads included; 0 where there is no /proc."""
    return sum(_times(pid)[:2]) / _TICK


def family_cpu_seconds(pid: int) -> float:
    """CPU seconds of a process, of its children, and of those that it had: of all of a Postgres server."""
    total = sum(_times(pid))
    for child in _children(pid):
        total += sum(_times(child))
    return total / _TICK


def _times(pid: int) -> list[int]:
    """User and system time, and both of the children that ended, in ticks."""
    try:
        after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return [0, 0, 0, 0]
    return [int(ticks) for ticks in after_name[11:15]]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except OSError:
        return []
