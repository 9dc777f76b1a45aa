"""The loop of a worker that looks for what is wrong and sends what has to be told, in a thread of its own."""

from __future__ import annotations

import logging
import random
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from syncbridge.alerts import conditions, message
from syncbridge.alerts.targets import NotTaken, Target, targets
from syncbridge.alerts.transition import Transition, transition
from syncbridge.answers.status import gather
from syncbridge.errors import SettingsError
from syncbridge.policy import backoff
from syncbridge.project import Project
from syncbridge.store import alerts

log = logging.getLogger("syncbridge.alerts")

#: Seconds: the longest wait after a target did not take a message, the first one, and the longest between two steps.
CAP = 600.0
BASE = 5.0
IDLE = 30.0
#: A message that nobody took for so many days is dropped.
STALE_DAYS = 7
#: Looking takes at most this part of the time: counting an outbox of millions takes seconds.
SHARE = 0.05


class AlertLoop:
    """Any number of workers may run it: one looks at a time, and one sends each message."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._settings = project.settings.alerts
        self._targets = targets(self._settings)
        self._names = [target.name for target in self._targets]
        self._rng = random.Random()
        self._rest_until = float("-inf")
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._store = self._open.enter_context(self.project.store("alerts"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def step(self) -> float:
        """Look, when that is due, then send one message to each target that has one due."""
        if time.monotonic() >= self._rest_until:
            self.look()
        sent = [target for target in self._targets if self.send(target)]
        if sent:
            return 0.0
        due = alerts.next_due(self._store, self._names)
        look = max(alerts.next_look(self._store, self._every), self._rest_until - time.monotonic())
        return max(0.05, min(look, IDLE, *(() if due is None else (due,))))

    @property
    def _every(self) -> float:
        return self._settings.every.total_seconds()

    def look(self) -> Transition | None:
        """Read how everything stands, remember it, and leave a message when something changed.

        All in one transaction, so that nothing is told twice or lost. None when it was not our turn.
        """
        started = time.monotonic()
        with self._store.transaction():
            at = alerts.begin_look(self._store, self._every)
            if at is None:
                return None
            snapshot = gather(self.project, linked=False)
            change = transition(
                alerts.read_all(self._store),
                conditions.read(snapshot, self._settings),
                at=at,
                calm=self._settings.calm,
            )
            alerts.remember(self._store, change.kept, change.gone)
            if change.raised or change.recovered:
                title, body = message.compose(change, message.project_name(self.project.settings))
                alerts.post(self._store, self._names, title, body)
            dropped = alerts.drop_old(self._store, STALE_DAYS)
        _tell(change)
        for target, count in dropped:
            log.error("%d messages to %s were given up: it took none for %d days", count, target, STALE_DAYS)
        self._rest_until = time.monotonic() + (time.monotonic() - started) / SHARE
        return change

    def send(self, target: Target) -> bool:
        """Send the next message for a target, if one is due; whether it was taken."""
        claimed = alerts.claim(self._store, target.name)
        if claimed is None:
            return False
        try:
            target.send(claimed.title, claimed.body)
        except (NotTaken, SettingsError) as error:
            wait = backoff(claimed.attempts, base=BASE, cap=CAP, rng=self._rng)
            alerts.refused(self._store, claimed, str(error), wait=wait)
            log.warning("an alert was not taken by %s: %s; trying again in %.0f s", target.name, error, wait)
            return False
        alerts.taken(self._store, target.name, claimed)
        return True


def _tell(change: Transition) -> None:
    """Also in the worker's log, for those who read that alone."""
    for alert in change.raised:
        log.warning("alert: %s: %s", message.headline(alert), alert.words)
    for recovery in change.recovered:
        log.info("alert is over: %s; now: %s", message.headline(recovery.alert), recovery.now)
