"""The process whose speed and memory the capture bench measures: `python -m tests.bench.capture_child SETTINGS`.

It runs the very loop of the worker, with the worker's settings, from another slot; nothing else runs in it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import orjson

from syncbridge import config
from syncbridge.outbound.capture import Capture, CaptureSettings
from syncbridge.outbound.capture_session import Pace
from syncbridge.project import Project
from syncbridge.source.replication import StreamSettings
from tests.bench.processes import cpu_seconds, peak_memory


def main(folder: str, slot: str, changes: int) -> None:
    """Capture until so many changes are in the outbox; print how long that took, as JSON."""
    with Project(config.load(Path(folder) / "syncbridge.toml", os.environ)) as project:
        settings = project.settings
        with project.store("bench") as store, project.source_admin("bench") as source:
            compiled, _ = project.in_force(store, source)
        capture = Capture(
            CaptureSettings(
                source=settings.source.conninfo(),
                state=settings.store_conninfo(),
                slot=slot,
                publication=settings.source.publication,
                pace=Pace(batch_keys=settings.worker.capture_batch),
                heartbeat=settings.source.heartbeat.total_seconds(),
                stream=StreamSettings(sender_timeout=settings.source.wal_sender_timeout.total_seconds()),
            ),
            [watch for applied, mapping in compiled for watch in mapping.watches(applied.id)],
        )
        began, cpu = time.monotonic(), cpu_seconds(os.getpid())
        while not (capture.step(wait=0.05).caught_up and capture.figures().changes >= changes):
            pass
        seconds = time.monotonic() - began
        figures = capture.figures()
        capture.close()
    facts = {
        "seconds": seconds,
        "cpu": cpu_seconds(os.getpid()) - cpu,
        "memory": peak_memory(os.getpid()),
        "changes": figures.changes,
        "transactions": figures.transactions,
        "keys_saved": figures.keys_saved,
    }
    sys.stdout.write(orjson.dumps(facts).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
