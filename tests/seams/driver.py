"""A program that runs real workers which kill themselves at a chosen point of a seam.

It imports everything once and then forks, so that a worker costs a fraction of a second instead of a whole start. Each
line on standard input asks for one worker: {"point": "save inside", "call": 3} kills it with SIGKILL at the third call
of `save`, in the middle of its transaction; {} lets it run until it is killed, or ended with SIGTERM. Two answers come
for each: {"pid": ...} when it was started, {"ended": -9} when it is over.

    before   nothing of the transaction was begun
    inside   every statement was executed, nothing is committed
    after    it is committed, and nobody in the process knows
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from psycopg import Connection

import syncbridge.destinations.salesforce.destination  # which a project else imports when it opens the destination
import syncbridge.loops.fan_out
import syncbridge.worker
from syncbridge import config, log
from syncbridge.cli.run import stop_on_signals
from syncbridge.fan_out import FanOut, Progress
from syncbridge.inbound import write
from syncbridge.inbound.way import WayBack
from syncbridge.outbound import capture, recording
from syncbridge.outbound.capture import CaptureSettings
from syncbridge.outbound.capture_session import Batch
from syncbridge.project import Project
from syncbridge.store import fan_out, watermarks
from syncbridge.worker import Worker

#: Shorter than in life, so that what a killed worker held is free after a moment; longer than any call of the sandbox.
SILENCE = 2.0
#: Entities a page of the fan-out, so that the load has join keys of more than one page.
PAGE = 6

Seam = Callable[..., Any]


class QuickWorker(Worker):
    """Looks again sooner when the slot of its killed predecessor is still taken."""

    def _capture_settings(self) -> CaptureSettings:
        return replace(super()._capture_settings(), standby_wait=0.05)


def killing(seam: Seam, point: str, at_call: int) -> Seam:
    """The seam, which kills this process at its `at_call`-th call."""
    calls = count(1)

    def wrapped(where: Connection | WayBack, *arguments: Any, **named: Any) -> Any:
        connection = where.store if isinstance(where, WayBack) else where
        of_nothing = isinstance(arguments[-1], Batch) and not len(arguments[-1].touched)  # a position without keys
        if of_nothing or next(calls) < at_call:
            return seam(where, *arguments, **named)
        if point == "inside":
            with connection.transaction():
                seam(where, *arguments, **named)
                _die()
        if point == "after":
            seam(where, *arguments, **named)
        _die()

    return wrapped


def dying_after(step: Callable[..., Progress], at_call: int) -> Callable[..., Progress]:
    """The fan-out step, which kills this process after the `at_call`-th one that did something."""
    calls = count(1)

    def wrapped(fan: FanOut, *arguments: Any) -> Progress:
        progress = step(fan, *arguments)
        if progress is Progress.WENT_ON and next(calls) >= at_call:
            _die()
        return progress

    return wrapped


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("this process outlived SIGKILL")


def arm(order: Mapping[str, Any]) -> None:
    """Let the seam that is asked for kill this process."""
    seam, _, point = str(order.get("point", "")).partition(" ")
    at_call = int(order.get("call", 1))
    if seam == "save":
        armed = partial(capture.Capture, save=killing(capture.save, point, at_call))
        syncbridge.worker.Capture = armed  # type: ignore[attr-defined,assignment]
    elif seam == "fan_out" and point == "after":
        FanOut.step = dying_after(FanOut.step, at_call)  # type: ignore[method-assign]
    elif seam in ("fan_out", "page"):  # the transactions of the fan-out step end with these
        name = "finish" if seam == "fan_out" else "advance_pass"
        setattr(fan_out, name, killing(getattr(fan_out, name), point, at_call))
    elif seam == "write" and point == "after":  # the page is committed, and nobody moved on from it
        watermarks.advance = killing(watermarks.advance, "before", at_call)
    elif seam == "write":
        write.record = killing(write.record, point, at_call)  # type: ignore[attr-defined]
    elif seam == "settle":
        recording.settle = killing(recording.settle, point, at_call)  # type: ignore[attr-defined]


def work(settings: Path, order: Mapping[str, Any]) -> None:
    """In the new process: a worker, until it is killed or told to end."""
    os.setpgid(0, os.getppid())  # it ends with the driver's group
    stop = stop_on_signals()
    log.start()
    syncbridge.loops.fan_out.FanOut = partial(FanOut, page=PAGE, large_page=PAGE)  # type: ignore[attr-defined,assignment]
    arm(order)
    with Project(config.load(settings, os.environ)) as project:
        QuickWorker(project, stop=stop, silence=SILENCE).run()


def tell(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main(settings: Path) -> None:
    """Serve orders until standard input ends."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(settings, json.loads(line))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        tell({"pid": pid})
        _, status = os.waitpid(pid, 0)
        tell({"ended": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
