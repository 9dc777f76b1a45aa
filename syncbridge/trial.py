"""One record, sent now: claimed, composed, sent and settled as by a worker, and the calls that it took."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import Connection, Rollback

from syncbridge import resync
from syncbridge.destinations.base import Destination, Traced
from syncbridge.errors import RetryLater, SettingsError
from syncbridge.mapping.compile import CompiledMapping
from syncbridge.mapping.kinship import kinship
from syncbridge.model import MappingStatus, Priority, Reason
from syncbridge.outbound.deliver import Deliverer, Limits
from syncbridge.outbound.masking import MASK, pattern_of
from syncbridge.project import Project
from syncbridge.store import backlog, claims, kept_rows, mappings, sync_log
from syncbridge.store.backlog import Waiting
from syncbridge.store.claims import Claimed
from syncbridge.store.sync_log import Logged


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of it. Values of fields that the mapping calls sensitive are masked."""

    mapping: str
    key: str
    destination: str
    object: str
    calls: tuple[Traced, ...]
    entry: Logged | None  # of the log; None: there was nothing to send, or it was not tried
    waiting: Waiting | None  # when it stays in the outbox
    status: MappingStatus  # of the mapping, afterwards
    reason: str


@dataclass(slots=True)
class _Taking:
    """Takes just one key: enqueued and claimed in one transaction, so that no worker is faster."""

    source: Connection
    key: str
    taken: bool = False

    def claim(
        self, store: Connection, mapping_id: int, *, limit: int, lease: float, number: int | None, digest: str
    ) -> tuple[int, list[Claimed]]:
        """In place of `claims.claim`; what somebody else delivers right now is left as it was."""
        claim = 0
        claimed: list[Claimed] = []
        with store.transaction():
            resync.enqueue(
                store, self.source, mapping_id, [self.key], reason=Reason.RESYNC, resend=True, priority=Priority.LIVE
            )
            claim, claimed = claims.claim(
                store, mapping_id, limit=1, keys=[self.key], lease=lease, number=number, digest=digest
            )
            if not claimed:
                raise Rollback
            kept_rows.forget(store, mapping_id, [self.key])  # a person wants it sent
        self.taken = bool(claimed)
        return claim, claimed


def send(project: Project, name: str, spelled: Callable[[Connection, CompiledMapping], str]) -> Trial:
    """Send every field of one entity, whatever the status of its mapping; `spelled` gives its key.

    Raises RetryLater when a worker is just delivering it, SettingsError when there is no such mapping or it sends
    nothing.
    """
    with project.store("test") as store, project.source_admin("test") as catalog, project.source("test") as source:
        applied, mapping = project.compiled(store, catalog, name)
        if not mapping.sends:
            raise SettingsError(f"{name} sends nothing: its direction is to_postgres")
        key = spelled(catalog, mapping)
        compiled, _ = project.in_force(store, catalog)
        ids = {each.name: each.id for each in mappings.read_all(store).values()}
        kin = kinship(ids, {each.id: other for each, other in compiled})
        destination = project.destination(mapping.destination)
        newest = _newest(store, name, key)
        taking = _Taking(source, key)
        worker = project.settings.worker
        with _traced(destination) as calls:
            Deliverer(
                applied.id,
                mapping,
                destination,
                store,
                source,
                Limits(batch=1, lease=worker.lease.total_seconds(), max_attempts=worker.max_attempts),
                kin[applied.id],
                claim=taking.claim,
            ).step()
        if not taking.taken:
            raise RetryLater(
                f"{name} {key} is just being delivered by a worker, or other files were put in force",
                hint="Try again in a moment.",
            )
        entry, now = _newest(store, name, key), mappings.read(store, name)
        return Trial(
            mapping=name,
            key=key,
            destination=mapping.destination,
            object=mapping.object,
            calls=tuple(_masked(calls, mapping)),
            entry=entry if entry != newest else None,
            waiting=backlog.waiting(store, applied.id, key),
            status=now.status,
            reason=now.reason,
        )


def _newest(store: Connection, name: str, key: str) -> Logged | None:
    entries = sync_log.read(store, mapping=name, key=key, limit=1)
    return entries[-1] if entries else None


@contextmanager
def _traced(destination: Destination) -> Any:
    calls: list[Traced] = []
    destination.trace = calls.append
    try:
        yield calls
    finally:
        destination.trace = None


# -- masking ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Mask:
    """Hides values of sensitive fields, and the same values wherever else they stand: answers repeat them."""

    names: frozenset[str]
    values: set[str] = field(default_factory=set)

    def collect(self, part: Any) -> None:
        if isinstance(part, dict):
            for name, value in part.items():
                if name.lower() in self.names and isinstance(value, str | int | float) and not isinstance(value, bool):
                    self.values.add(str(value))
                self.collect(value)
        elif isinstance(part, list):
            for each in part:
                self.collect(each)

    def hide(self, part: Any) -> Any:
        if isinstance(part, dict):
            return {
                name: MASK if name.lower() in self.names and value is not None else self.hide(value)
                for name, value in part.items()
            }
        if isinstance(part, list):
            return [self.hide(each) for each in part]
        return pattern_of(self.values, with_words=False).sub(MASK, part) if isinstance(part, str) else part


def _masked(calls: Iterable[Traced], mapping: CompiledMapping) -> list[Traced]:
    traced = list(calls)
    mask = _Mask(mapping.sensitive)
    if not mask.names:
        return traced
    for call in traced:
        mask.collect(call.request)
        mask.collect(call.answer)
    return [
        replace(call, path=mask.hide(call.path), request=mask.hide(_unquoted(call)), answer=mask.hide(call.answer))
        for call in traced
    ]


def _unquoted(call: Traced) -> Any:
    """A query may look records up by a sensitive value: its literals are no one's business."""
    if isinstance(call.request, dict) and isinstance(call.request.get("q"), str):
        return {**call.request, "q": _without_literals(call.request["q"])}
    return call.request


def _without_literals(query: str) -> str:
    parts, inside, at = [], False, 0
    while at < len(query):
        char = query[at]
        if inside and char == "\\":
            at += 1
        elif char == "'":
            inside = not inside
            parts.append(f"'{MASK}" if inside else "'")
        elif not inside:
            parts.append(char)
        at += 1
    return "".join(parts)
