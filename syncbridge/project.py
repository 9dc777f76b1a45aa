"""One project, opened: its settings, mapping files, destinations and connections, and what of them is in force."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Self

import psycopg
from psycopg import Connection

from syncbridge.config import Settings
from syncbridge.destinations.base import Destination
from syncbridge.destinations.registry import open_destination
from syncbridge.errors import OtherSystem, RetryLater, SettingsError, SyncbridgeError
from syncbridge.mapping.compile import CompiledMapping, compile_mapping
from syncbridge.mapping.files import read_mappings, restore_mapping
from syncbridge.mapping.kinship import kinship
from syncbridge.mapping.spec import MappingSpec
from syncbridge.model import MappingStatus
from syncbridge.outbound.lookups import Lookups
from syncbridge.schemas import Catalog, Table
from syncbridge.source import rows
from syncbridge.source.catalog import read_catalog
from syncbridge.store import database, identities, mappings, runs
from syncbridge.store.mappings import AppliedMapping


@dataclass(frozen=True, slots=True)
class Drift:
    """How the mapping files differ from what is in force, by name."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()  # but for those that a person paused: these rest
    unfinished: tuple[str, ...] = ()  # putting these in force was interrupted

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone or self.unfinished)

    def __str__(self) -> str:
        parts = (
            ("new", self.new),
            ("changed", self.changed),
            ("without a file", self.gone),
            ("interrupted", self.unfinished),
        )
        return "; ".join(f"{word}: {', '.join(names)}" for word, names in parts if names)


@dataclass
class Project:
    """Opens the parts of a project as they are asked for, and closes what it opened."""

    settings: Settings
    _destinations: dict[str, Destination] = field(default_factory=dict)
    _opening: threading.Lock = field(default_factory=threading.Lock)
    _reads_only: bool = False

    def destination(self, name: str) -> Destination:
        """The destination of this name, one for all threads; SettingsError when the settings have none."""
        with self._opening:  # lanes start at once, and must share calls in flight and the allowance
            if name not in self._destinations:
                self._destinations[name] = self._open(name)
            return self._destinations[name]

    def _open(self, name: str) -> Destination:
        section = self.settings.destinations.get(name)
        if section is None:
            known = ", ".join(sorted(self.settings.destinations)) or "none"
            raise SettingsError(
                f"no destination named {name!r} in the settings",
                hint=f"Write [destinations.{name}] in syncbridge.toml. There are: {known}.",
            )
        opened = open_destination(name, section.type, section.values, section.from_file)
        opened.admit = partial(self._admit, name)
        return opened

    def take_over(self, name: str) -> None:
        """Let a destination be another system from now on: its links are about to be forgotten."""
        self.destination(name).admit = None

    def read_only(self) -> None:
        """Let destinations be read also while the state cannot be reached: nothing is going to be written."""
        self._reads_only = True

    def _admit(self, name: str, identity: str) -> None:
        """Halt the mappings of a destination that is not the system that their links name, and raise OtherSystem.

        Without a state there are no links. Raises RetryLater when it cannot be reached: then nobody is let in.
        """
        try:
            store = self.store("identity")
        except SettingsError:  # it was not set up yet
            return
        except RetryLater:
            if self._reads_only:
                return
            raise
        with store:
            known = identities.meet(store, name, identity)
            if known != identity:
                error = _other_system(name, known, identity)
                mappings.halt_all(store, name, reason=error.message, hint=error.hint)
                raise error

    def store(self, purpose: str, *, ready: bool = True) -> Connection:
        """A connection to the state; SettingsError when its schema was never set up (unless not `ready`)."""
        connection = database.connect(self.settings.store_conninfo(), purpose=purpose)
        if ready:
            try:
                database.ensure_ready(connection)
            except SyncbridgeError:
                connection.close()
                raise
        return connection

    def source(self, purpose: str) -> Connection:
        """A connection to the source for reading rows: values come as Postgres's text."""
        connection = database.connect(self.settings.source.conninfo(), purpose=purpose)
        rows.prepare(connection)
        return connection

    def source_admin(self, purpose: str) -> Connection:
        """A connection to the source for its catalog, slot and publication."""
        return database.connect(self.settings.source.conninfo(), purpose=purpose)

    def files(self) -> tuple[MappingSpec, ...]:
        """The mapping files; MappingError with every mistake."""
        return read_mappings(self.settings.mappings)

    def catalog(self, specs: Iterable[MappingSpec], connection: Connection) -> Catalog:
        """The tables of these mappings."""
        return read_catalog(connection, [table for spec in specs for table in spec.tables])

    def in_force(
        self, store: Connection, source: Connection, *, names: Iterable[str] | None = None
    ) -> tuple[list[tuple[AppliedMapping, CompiledMapping]], list[tuple[AppliedMapping, SyncbridgeError]]]:
        """Applied mappings compiled over today's tables, and those that no longer compile, with the reason.

        `source` is a connection of `source_admin`.
        """
        applied = [a for a in mappings.read_all(store).values() if names is None or a.name in set(names)]
        specs = {a.name: restore_mapping(a.definition) for a in applied}
        tables = self.catalog(specs.values(), source).tables
        compiled, broken = [], []
        for mapping in applied:
            try:
                compiled.append((mapping, _as_applied(mapping, compile_over(specs[mapping.name], tables))))
            except SyncbridgeError as error:
                broken.append((mapping, error))
        return compiled, broken

    def compiled(self, store: Connection, source: Connection, name: str) -> tuple[AppliedMapping, CompiledMapping]:
        """One applied mapping, compiled; SettingsError when there is none, SchemaDrift when it no longer compiles."""
        applied = mappings.read(store, name)
        spec = restore_mapping(applied.definition)
        return applied, _as_applied(applied, compile_over(spec, self.catalog([spec], source).tables))

    def lookups(self, store: Connection, mapping: CompiledMapping) -> Lookups:
        """Resolves what the mapping looks up, to look at its records; not to deliver them."""
        ids = {name: applied.id for name, applied in mappings.read_all(store).items()}
        kin = kinship(ids, {ids[mapping.name]: mapping})
        return Lookups(ids[mapping.name], mapping.name, kin[ids[mapping.name]], store)

    def drift(self, store: Connection) -> Drift:
        """How the files differ from what is in force."""
        files = {spec.mapping: spec.definition() for spec in self.files()}
        known = mappings.read_all(store)
        applied = {name: mapping.definition for name, mapping in known.items()}
        resting = {name for name, mapping in known.items() if mapping.status is MappingStatus.PAUSED}
        return Drift(
            new=tuple(sorted(files.keys() - applied.keys())),
            changed=tuple(sorted(n for n in files.keys() & applied.keys() if files[n] != applied[n])),
            gone=tuple(sorted(applied.keys() - files.keys() - resting)),
            unfinished=tuple(sorted({run.mapping for run in runs.asked(store)})),
        )

    def close(self) -> None:
        """Close every destination that was opened."""
        while self._destinations:
            self._destinations.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _other_system(name: str, known: str, identity: str) -> OtherSystem:
    return OtherSystem(
        f"{name}: the login reaches {identity}, and the links of its mappings name records of {known}",
        hint=f"When the settings point to the wrong place, mend them, then `syncbridge resume --all`. When {known} was"
        f" replaced (a sandbox that was refreshed, another org): `syncbridge apply --relink-destination {name}` forgets"
        " its links and begins anew by external id, then `syncbridge resume --all`.",
    )


def _as_applied(applied: AppliedMapping, mapping: CompiledMapping) -> CompiledMapping:
    """With the digest that is in force: another version may have written the same definition in another way."""
    return replace(mapping, digest=applied.digest)


def compile_over(spec: MappingSpec, tables: Mapping[tuple[str, str], Table]) -> CompiledMapping:
    """Compile a mapping over tables as read from the catalog; SettingsError when one of its tables is not there."""
    table = tables.get(spec.entity.table_name)
    if table is None:
        raise _no_table(spec, spec.entity.table, "entity", "table")
    related: dict[str, Table] = {}
    for name, relation in spec.entity.related.items():
        found = tables.get(relation.table_name)
        if found is None:
            raise _no_table(spec, relation.table, "entity", "related", name, "table")
        related[name] = found
    return compile_mapping(spec, table, related)


def _no_table(spec: MappingSpec, table: str, *route: str) -> SettingsError:
    hint = f"Run `syncbridge check {spec.mapping}`."
    return SettingsError(f"{spec.at(*route)}: there is no table {table}", hint=hint)


def lost(connection: Connection) -> bool:
    """Whether a connection can no longer be used."""
    return connection.closed or connection.info.transaction_status == psycopg.pq.TransactionStatus.UNKNOWN
