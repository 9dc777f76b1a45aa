"""The worker: one named thread per loop, each `while not stopping: step()`. Nothing a loop meets ends the process."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import psycopg

from syncbridge.alerts import targets
from syncbridge.alerts.loop import AlertLoop
from syncbridge.applying import positions
from syncbridge.applying.restored import Witness
from syncbridge.errors import NeedsOperator, PositionLost, ProgramOutdated, RetryLater, SyncbridgeError
from syncbridge.loops.bulk import BulkLoop, BulkResultsLoop
from syncbridge.loops.deliver import DeliveryLoop
from syncbridge.loops.fan_out import FanOutLoop
from syncbridge.loops.housekeeping import SILENCE, HousekeepingLoop
from syncbridge.loops.listen import ListenLoop
from syncbridge.loops.load import LoadLoop
from syncbridge.loops.loop import Loop, Signal, Surroundings
from syncbridge.loops.poll import PollLoop
from syncbridge.loops.reconcile import ReconcileLoop
from syncbridge.loops.runs import RunLoop
from syncbridge.loops.spending import Spending
from syncbridge.mapping.kinship import kinship
from syncbridge.model import MappingStatus, Reason
from syncbridge.outbound.bulk_turn import Turn
from syncbridge.outbound.capture import Capture, CaptureSettings
from syncbridge.outbound.capture_session import Pace
from syncbridge.outbound.linger import Linger
from syncbridge.policy import backoff
from syncbridge.project import Project
from syncbridge.schemas import Watch
from syncbridge.source import publication
from syncbridge.source.replication import StreamSettings
from syncbridge.store import forget, mappings, runs, way_back, workers

log = logging.getLogger("syncbridge.worker")

ROLES = ("capture", "deliver")

#: Seconds after which a failure of capture has nothing to do with the one before.
CALM = 60.0


class Worker:
    """Runs the loops of a project until `stop` is set. `roles` are some of ROLES.

    After `silence` seconds without a sign of life, what a dead process of this machine held is free for others.
    """

    def __init__(
        self,
        project: Project,
        *,
        roles: Sequence[str] = ROLES,
        stop: threading.Event | None = None,
        silence: float = SILENCE,
    ) -> None:
        self.project = project
        self.roles = tuple(roles)
        self.stop = stop or threading.Event()
        self.silence = silence
        self.ready = threading.Event()  # set once every loop was started
        self.capture: Capture | None = None
        self.capture_stopped = ""  # why capture cannot go on until a person acts
        self._changed = threading.Event()
        self._rng = random.Random()
        self._outdated: ProgramOutdated | None = None
        self._witness = Witness(project)
        self._id = 0
        self._numbers: Iterator[int] = iter(())
        self._spending = Spending(project)

    def run(self) -> None:
        """Return when `stop` is set and every loop has ended.

        Raises at the start what must be mended before anything can run: SettingsError, or RetryLater when Postgres
        cannot be reached. Later the loops wait and try again by themselves. ProgramOutdated ends it at any time.
        """
        targets.verify(targets.targets(self.project.settings.alerts))
        with self.project.store("worker") as store:
            self._id = workers.register(store, host=socket.gethostname(), pid=os.getpid(), roles=self.roles)
            self._numbers = workers.claim_numbers(self._id)
        try:
            around = self._look_around()
            while not self.stop.is_set():
                self._run_loops(around)
                around = self._look_around_again(around)
        finally:
            with suppress(SyncbridgeError, psycopg.Error), self.project.store("worker", ready=False) as store:
                self._spending.write(store)
                workers.leave(store, self._id)
        if self._outdated is not None:
            raise self._outdated

    def _look_around_again(self, around: Surroundings) -> Surroundings:
        """The same later, when Postgres may be away for a while."""
        failures = 0
        while not self.stop.is_set():
            self._changed.clear()
            try:
                return self._look_around()
            except ProgramOutdated as error:
                self._end(error)
            except (SyncbridgeError, psycopg.Error) as error:
                failures += 1
                log.warning("%s; trying again", str(error).split("\n", 1)[0])
                self.stop.wait(backoff(failures, base=0.5, cap=30.0, rng=self._rng))
        return around

    def _look_around(self) -> Surroundings:
        """What is in force now; mappings that no longer fit their table are halted, the others go on.

        Changes of a halted one are not captured, so all of its records are compared once it fits again.
        """
        self._halt_if_restored()
        with self.project.store("worker") as store, self.project.source_admin("worker") as source:
            compiled, broken = self.project.in_force(store, source)
            for mapping, error in broken:
                hint = f"{error.hint} Then run: syncbridge resume {mapping.name}".strip()
                mappings.set_status(store, mapping.id, MappingStatus.HALTED, reason=error.message, hint=hint)
                way_back.set_status(store, mapping.id, MappingStatus.HALTED, reason=error.message, hint=hint)
                runs.request(store, mapping.id, Reason.RESYNC, fresh=True)
                log.error("mapping %s halted: %s", mapping.name, error.message)
            forget.strays(store)
            known = mappings.read_all(store)
            digests = {name: mapping.digest for name, mapping in known.items()}
            publication.announce(source)  # a worker that captures already watches what we are about to read
        return Surroundings(
            project=self.project,
            worker_id=self._id,
            numbers=self._numbers,
            compiled={applied.id: mapping for applied, mapping in compiled},
            kin=kinship({name: each.id for name, each in known.items()}, {applied.id: m for applied, m in compiled}),
            broken=frozenset(applied.name for applied, _ in broken),
            digests=digests,
            signals={
                applied.id: Signal(Linger(self.project.settings.linger(applied.destination))) for applied, _ in compiled
            },
            fan_out=threading.Event(),
            polls={applied.id: threading.Event() for applied, mapping in compiled if mapping.two_way is not None},
            turns={applied.id: Turn() for applied, _ in compiled},
            counts={applied.id: self._spending.counts(mapping) for applied, mapping in compiled},
            spending=self._spending,
            changed=self._changed,
            capture=lambda: self.capture,
            capture_stopped=self._why_capture_stopped,
            silence=self.silence,
        )

    def _run_loops(self, around: Surroundings) -> None:
        """Carry every loop in a thread of its own until told to stop, or other mappings are in force."""
        ending = around.ending
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
        if self.project.settings.alerts.wanted:
            loops.append(("alerts", lambda: AlertLoop(self.project)))
        if "deliver" not in self.roles:
            return loops
        scheduled = any(mapping.schedule is not None for mapping in around.compiled.values())
        loops += [
            ("listen", lambda: ListenLoop(around)),
            ("runs", lambda: RunLoop(around)),
            ("fan-out", lambda: FanOutLoop(around)),
            *([("reconcile", lambda: ReconcileLoop(around))] if scheduled else []),
        ]
        if any(mapping.two_way is not None for mapping in around.compiled.values()):
            loops.append(("loads", lambda: LoadLoop(around)))
        for mapping_id, mapping in around.compiled.items():
            lanes = self.project.settings.worker.lanes if mapping.sends else 0
            for lane in range(lanes):
                name = f"deliver-{mapping.name}" + (f"-{lane + 1}" if lane else "")
                loops.append((name, lambda id=mapping_id, lane=lane: DeliveryLoop(around, id, lane)))  # type: ignore[misc]
            if mapping.two_way is not None:
                loops.append((f"poll-{mapping.name}", lambda id=mapping_id: PollLoop(around, id)))  # type: ignore[misc]
            if not mapping.sends:
                continue
            loops.append((f"bulk-{mapping.name}", lambda id=mapping_id: BulkLoop(around, id)))  # type: ignore[misc]
            loops.append((f"bulk-results-{mapping.name}", lambda id=mapping_id: BulkResultsLoop(around, id)))  # type: ignore[misc]
        return loops

    def _carry(self, make: Callable[[], Loop], ending: threading.Event) -> None:
        """Step one loop for ever; open it anew, after a growing wait, whenever it fails."""
        failures = 0
        while not ending.is_set():
            try:
                if failures:
                    self._halt_if_restored()
                with make() as loop:
                    while not ending.is_set():
                        wait = loop.step()
                        failures = 0
                        if wait > 0:
                            ending.wait(wait)
            except ProgramOutdated as error:
                self._end(error)
                return
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

    def _halt_if_restored(self) -> None:
        """Before anything is sent or written through a new connection: is it still the database that we know?"""
        if self.capture is not None:
            figures = self.capture.figures()
            self._witness.saw(figures.timeline, figures.checkpoint)
        self._witness.halt_if_restored()

    def _carry_capture(self, around: Surroundings, ending: threading.Event) -> None:
        """Capture until told to stop. What a person must mend is logged and looked at again, ever more seldom."""
        failures = 0
        self.capture_stopped = ""
        while not ending.is_set():
            self.capture = Capture(self._capture_settings(), lambda: self._watches(around))
            began = time.monotonic()
            try:
                self.capture.run(ending)
            except ProgramOutdated as error:
                self._end(error)
                return
            except NeedsOperator as error:
                recovered = self._recovered(error)
                if not recovered and self._drifted(around):  # one mapping does not stop capture for the others
                    self._changed.set()
                    return
                failures = 1 if time.monotonic() - began > CALM else failures + 1
                if recovered and failures == 1:
                    continue
                self.capture_stopped = f"{error.message} {error.hint}".strip()
                log.error("capture stopped: %s %s", error.message, error.hint)
            except Exception:
                failures += 1
                log.exception("capture met an unexpected error; trying again")
            if failures:
                ending.wait(backoff(failures, base=5.0, cap=120.0, rng=self._rng))

    def _end(self, error: ProgramOutdated) -> None:
        """Let every loop come to its end, and then the process."""
        self._outdated = error
        self.stop.set()

    def _recovered(self, error: NeedsOperator) -> bool:
        """Whether capture can go on because a slot that was lost, and nothing else, is made anew."""
        if not isinstance(error, PositionLost) or self.project.settings.source.slot_lost == "stop":
            return False
        try:
            return positions.recover(self.project)
        except (SyncbridgeError, psycopg.Error) as failure:
            log.warning("the slot cannot be made anew: %s", str(failure).split("\n", 1)[0])
            return False

    def _watches(self, around: Surroundings) -> list[Watch]:
        """What the mappings that are in force at this moment watch; one that just ceased to fit, what it watched."""
        with self.project.store("watches") as store, self.project.source_admin("watches") as source:
            compiled, broken = self.project.in_force(store, source)
        now = {applied.id: mapping for applied, mapping in compiled}
        now |= {a.id: around.compiled[a.id] for a, _ in broken if a.id in around.compiled}
        return [watch for id, mapping in now.items() for watch in mapping.watches(id)]

    def _drifted(self, around: Surroundings) -> bool:
        """Whether other mappings than these loops know no longer fit their table."""
        with suppress(SyncbridgeError, psycopg.Error):
            with self.project.store("watches") as store, self.project.source_admin("watches") as source:
                _, broken = self.project.in_force(store, source)
            return {applied.name for applied, _ in broken} != around.broken
        return False

    def _why_capture_stopped(self) -> str:
        return "" if self.capture is not None and self.capture.figures().streaming else self.capture_stopped

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
