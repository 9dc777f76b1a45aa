"""The worker: one named thread per loop, each `while not stopping: step()`. Nothing a loop meets ends the process."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import psycopg

from syncbridge.errors import NeedsOperator, RetryLater, SyncbridgeError
from syncbridge.loops import DeliveryLoop, HousekeepingLoop, ListenLoop, Loop, RunLoop, Signal, Surroundings
from syncbridge.model import MappingStatus
from syncbridge.outbound.capture import Capture, CaptureSettings
from syncbridge.outbound.capture_session import Pace
from syncbridge.outbound.deliver import Counts
from syncbridge.policy import backoff
from syncbridge.project import Project
from syncbridge.source.replication import StreamSettings
from syncbridge.store import mappings, outbox, workers

log = logging.getLogger("syncbridge.worker")

ROLES = ("capture", "deliver")


class Worker:
    """Runs the loops of a project until `stop` is set. `roles` are some of ROLES."""

    def __init__(self, project: Project, *, roles: Sequence[str] = ROLES, stop: threading.Event | None = None) -> None:
        self.project = project
        self.roles = tuple(roles)
        self.stop = stop or threading.Event()
        self.ready = threading.Event()  # set once every loop was started
        self.capture: Capture | None = None
        self.capture_stopped = ""  # why capture cannot go on until a person acts
        self._changed = threading.Event()
        self._rng = random.Random()
        self._id = 0
        self._numbers: Iterator[int] = iter(())

    def run(self) -> None:
        """Return when `stop` is set and every loop has ended.

        Raises at the start what must be mended before anything can run: SettingsError, or RetryLater when Postgres
        cannot be reached. Later the loops wait and try again by themselves.
        """
        with self.project.store("worker") as store:
            self._sign_in(store)
        try:
            while not self.stop.is_set():
                self._changed.clear()
                self._run_loops(self._look_around())
        finally:
            with suppress(SyncbridgeError, psycopg.Error), self.project.store("worker") as store:
                workers.leave(store, self._id)

    def _sign_in(self, store: psycopg.Connection) -> None:
        """Register, and free what a process of this machine that was killed held under lease."""
        host, pid = socket.gethostname(), os.getpid()
        self._id = workers.register(store, host=host, pid=pid, roles=self.roles)
        self._numbers = workers.claim_numbers(self._id)
        for other in workers.read_all(store):
            if other.id != self._id and other.host == host and (other.pid == pid or not _alive(other.pid)):
                freed = outbox.end_leases(store, *workers.claim_range(other.id))
                workers.leave(store, other.id)
                log.info("worker %d ended without a word; %d of its claims are free again", other.id, freed)

    def _look_around(self) -> Surroundings:
        """What is in force now; mappings that no longer fit their table are halted, the others go on."""
        with self.project.store("worker") as store, self.project.source_admin("worker") as source:
            compiled, broken = self.project.in_force(store, source)
            for mapping, error in broken:
                mappings.set_status(store, mapping.id, MappingStatus.HALTED, reason=error.message, hint=error.hint)
                log.error("mapping %s halted: %s", mapping.name, error.message)
            digests = {name: mapping.digest for name, mapping in mappings.read_all(store).items()}
        return Surroundings(
            project=self.project,
            worker_id=self._id,
            numbers=self._numbers,
            compiled={applied.id: mapping for applied, mapping in compiled},
            digests=digests,
            signals={applied.id: Signal() for applied, _ in compiled},
            counts={applied.id: Counts() for applied, _ in compiled},
            changed=self._changed,
            capture=lambda: self.capture,
            capture_stopped=lambda: self.capture_stopped,
        )

    def _run_loops(self, around: Surroundings) -> None:
        """Carry every loop in a thread of its own until told to stop, or other mappings are in force."""
        ending = threading.Event()
        threads = [
            threading.Thread(target=self._carry, args=(make, ending), name=name) for name, make in self._loops(around)
        ]
        if "capture" in self.roles:
            threads.append(threading.Thread(target=self._carry_capture, args=(around, ending), name="capture"))
        for thread in threads:
            thread.start()
        self.ready.set()
        try:
            while not self.stop.wait(0.2) and not self._changed.is_set():
                pass
        finally:
            ending.set()
            around.wake_all()
            for thread in threads:
                thread.join()

    def _loops(self, around: Surroundings) -> list[tuple[str, Callable[[], Loop]]]:
        loops: list[tuple[str, Callable[[], Loop]]] = [("housekeeping", lambda: HousekeepingLoop(around))]
        if "deliver" not in self.roles:
            return loops
        loops += [("listen", lambda: ListenLoop(around)), ("runs", lambda: RunLoop(around))]
        for mapping_id, mapping in around.compiled.items():
            for lane in range(self.project.settings.worker.lanes):
                name = f"deliver-{mapping.name}" + (f"-{lane + 1}" if lane else "")
                loops.append((name, lambda id=mapping_id, lane=lane: DeliveryLoop(around, id, lane)))  # type: ignore[misc]
        return loops

    def _carry(self, make: Callable[[], Loop], ending: threading.Event) -> None:
        """Step one loop for ever; open it anew, after a growing wait, whenever it fails."""
        failures = 0
        while not ending.is_set():
            try:
                with make() as loop:
                    while not ending.is_set():
                        wait = loop.step()
                        failures = 0
                        if wait > 0:
                            ending.wait(wait)
            except (RetryLater, psycopg.OperationalError) as error:
                failures += 1
                log.warning("%s; trying again", str(error).split("\n", 1)[0])
            except SyncbridgeError as error:
                failures += 5
                log.error("%s %s", error.message, error.hint)
            except Exception:
                failures += 5
                log.exception("unexpected error; trying again")
            if failures:
                ending.wait(backoff(failures, base=0.5, cap=30.0, rng=self._rng))

    def _carry_capture(self, around: Surroundings, ending: threading.Event) -> None:
        """Capture until told to stop. What a person must mend is logged and looked at again, ever more seldom."""
        failures = 0
        while not ending.is_set():
            watches = [w for id, mapping in around.compiled.items() for w in mapping.watches(id)]
            self.capture = Capture(self._capture_settings(), watches)
            try:
                self.capture.run(ending)
            except NeedsOperator as error:
                failures += 1
                self.capture_stopped = f"{error.message} {error.hint}".strip()
                log.error("capture stopped: %s %s", error.message, error.hint)
            except Exception:
                failures += 1
                log.exception("capture met an unexpected error; trying again")
            if failures:
                ending.wait(backoff(failures, base=5.0, cap=120.0, rng=self._rng))

    def _capture_settings(self) -> CaptureSettings:
        settings = self.project.settings
        return CaptureSettings(
            source=settings.source.conninfo(),
            state=settings.store_conninfo(),
            slot=settings.source.slot,
            publication=settings.source.publication,
            pace=Pace(batch_keys=settings.worker.capture_batch),
            heartbeat=settings.source.heartbeat.total_seconds(),
            stream=StreamSettings(sender_timeout=settings.source.wal_sender_timeout.total_seconds()),
        )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
