"""`check --save` and `check --offline`: the schemas of both sides to a file, and mappings against that file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from syncbridge.cli.check_live import Sides
from syncbridge.config import Settings
from syncbridge.destinations.registry import normaliser_of
from syncbridge.errors import Finding
from syncbridge.mapping.checks.check import Subject, fragments
from syncbridge.mapping.checks.source import SAVE_ANEW
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.spec import MappingSpec
from syncbridge.saved_schemas import SavedDestination, SavedFragment, SavedSchemas
from syncbridge.schemas import Catalog, Column, QueryFault, RemoteObject
from syncbridge.source.catalog import similar


def to_save(settings: Settings, sides: Sides, catalog: Catalog) -> SavedSchemas:
    """What was read, as it is saved: destinations that a mapping names, or of which an object was asked for."""
    objects: dict[str, dict[str, RemoteObject]] = {}
    for subject in sides.subjects:
        if subject.remote is not None:
            objects.setdefault(subject.spec.destination, {})[subject.remote.name] = subject.remote
    for name, asked in sides.extra.items():
        objects.setdefault(name, {}).update((remote.name, remote) for remote in asked)
    if settings.store.dsn is not None:  # the state lives elsewhere, so this right is not needed
        catalog = replace(catalog, can_create=True)
    return SavedSchemas(
        catalog,
        settings.source.publication,
        {name: SavedDestination(settings.destinations[name].type, found) for name, found in objects.items()},
        {subject.spec.mapping: found for subject in sides.subjects if (found := _fragments(subject, catalog))},
    )


def _fragments(subject: Subject, catalog: Catalog) -> dict[str, SavedFragment]:
    saved = {}
    for route, query in fragments(subject.spec, catalog).items():
        outcome = subject.described[route]
        fault = outcome if isinstance(outcome, QueryFault) else None
        saved[".".join(route)] = SavedFragment(query, outcome if isinstance(outcome, Column) else None, fault)
    return saved


def look_offline(saved: SavedSchemas, specs: Sequence[MappingSpec]) -> Sides:
    """What the file knows of these mappings; nothing is opened. What it does not know is a finding.

    A fragment is known when the file holds the very same query, that is the same SQL over the same tables, in whichever
    mapping and place it stood then.
    """
    file = saved.catalog.saved_in
    sides = Sides([], _with_near(saved.catalog, specs))
    described = saved.described()
    for spec in {spec.mapping: spec for spec in specs}.values():
        known: dict[tuple[str, ...], Column | QueryFault | None] = {}
        for route, query in fragments(spec, saved.catalog).items():
            if query in described:
                known[route] = described[query]
            else:
                message = f"{'.'.join(route)}: this SQL is not verified offline: {file} does not know it"
                sides.findings.append(Finding("warning", spec.at(*route), message, SAVE_ANEW))
        sides.subjects.append(_with_remote(Subject(spec, known), saved.destinations, file, sides.findings))
    return sides


def _with_remote(
    subject: Subject, destinations: Mapping[str, SavedDestination], file: str, findings: list[Finding]
) -> Subject:
    spec = subject.spec
    destination = destinations.get(spec.destination)
    if destination is None:
        message = f"{file} holds no destination {spec.destination!r}{did_you_mean(spec.destination, destinations)}"
        findings.append(Finding("error", spec.at("destination"), message, SAVE_ANEW))
        return subject
    # destinations compare names without case
    by_small = {name.lower(): remote for name, remote in destination.objects.items()}
    remote = by_small.get(spec.object.lower())
    if remote is None:
        perhaps = did_you_mean(spec.object, destination.objects)
        message = f"{file} holds no object {spec.object!r} of {spec.destination}{perhaps}"
        findings.append(Finding("error", spec.at("object"), message, SAVE_ANEW))
    return replace(subject, remote=remote, normaliser=normaliser_of(spec.destination, destination.type))


def _with_near(catalog: Catalog, specs: Sequence[MappingSpec]) -> Catalog:
    """Of each table that is not there, the similar names that are."""
    missing = {table for spec in specs for table in spec.tables} - catalog.tables.keys()
    return replace(catalog, near=similar(sorted(missing), catalog.tables))
