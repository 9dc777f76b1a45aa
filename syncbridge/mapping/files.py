"""Folders of mapping files: every mistake of every file with file, line and the nearest right name, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from syncbridge.errors import Finding, MappingError
from syncbridge.mapping.contradictions import contradictions
from syncbridge.mapping.document import Document, Route, parse_document, read_document, shown
from syncbridge.mapping.names import did_you_mean
from syncbridge.mapping.spec import (
    DeletesSpec,
    EntitySpec,
    FieldSpec,
    GuardSpec,
    MappingSpec,
    Part,
    PollSpec,
    ReconcileSpec,
    RelationSpec,
)

_BEGIN = "One mapping per file, named *.yaml. To draft one: syncbridge suggest TABLE --to DESTINATION:OBJECT --write"


@dataclass(frozen=True, slots=True)
class MappingFiles:
    """What a folder holds: the mappings that could be read, and every mistake in those that could not."""

    specs: tuple[MappingSpec, ...]
    findings: tuple[Finding, ...]
    unread: bool = False  # whether a file gave no mapping, so that names may be missing here

    def complete(self) -> tuple[MappingSpec, ...]:
        """The mappings; raises MappingError with all mistakes when there is one."""
        if self.findings:
            raise MappingError("\n".join(_line(finding) for finding in self.findings))
        return self.specs


def _line(finding: Finding) -> str:
    return f"{finding.where}: {finding.message}" + (f" ({finding.remedy})" if finding.remedy else "")


def find_mappings(folder: Path) -> MappingFiles:
    """Read all `*.yaml` of a folder; never raises."""
    if not folder.is_dir():
        missing = Finding("error", shown(folder), "there is no such folder", _BEGIN)
        return MappingFiles((), (missing,))
    paths = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml") and not p.name.startswith("."))
    if not paths:
        empty = Finding("error", shown(folder), "holds no mapping files", _BEGIN)
        return MappingFiles((), (empty,))
    read = [_validate(read_document(path)) for path in paths]
    specs = [spec for spec, _ in read if spec is not None]
    findings = [finding for _, found in read for finding in found]
    return MappingFiles(tuple(specs), (*findings, *_same_names(specs)), unread=len(specs) < len(paths))


def read_mappings(folder: Path) -> tuple[MappingSpec, ...]:
    """All mappings of a folder. Raises MappingError with every mistake of every file, one a line."""
    return find_mappings(folder).complete()


def parse_mapping(text: str, name: str = "mapping.yaml") -> MappingSpec:
    """One mapping from a text. Raises MappingError with every mistake, one a line."""
    spec, findings = _validate(parse_document(text, name))
    return MappingFiles((spec,) if spec else (), tuple(findings)).complete()[0]


def restore_mapping(definition: Mapping[str, Any]) -> MappingSpec:
    """The mapping of a stored definition. Raises MappingError when this version does not understand it."""
    spec, findings = _validate(Document("", dict(definition), {}))
    if spec is None:
        details = "; ".join(finding.message for finding in findings)
        raise MappingError(
            f"mapping {definition.get('mapping', '?')}: its stored definition is not understood: {details}"
        )
    return spec


def _same_names(specs: Sequence[MappingSpec]) -> list[Finding]:
    first: dict[str, MappingSpec] = {}
    findings = []
    for spec in specs:
        if (held := first.setdefault(spec.mapping, spec)) is not spec:
            message = f"there is another mapping named {spec.mapping!r} in {held.at('mapping')}"
            findings.append(Finding("error", spec.at("mapping"), message, "Give one of them another name."))
    return findings


def _validate(document: Document) -> tuple[MappingSpec | None, list[Finding]]:
    findings = list(document.findings)
    if document.data is None:
        return None, findings or [Finding("error", document.at(), "is empty")]
    if not isinstance(document.data, Mapping):
        return None, [*findings, Finding("error", document.at(), "a mapping file is made of keys and values")]
    spec = None
    try:
        spec = MappingSpec.model_validate(document.data).stands_in(document)
    except ValidationError as error:
        findings += [_finding(document, detail) for detail in error.errors(include_url=False, include_input=False)]
    findings += [
        Finding("error", document.at(*each.route), each.message, each.remedy) for each in contradictions(document.data)
    ]
    findings.sort(key=_place)
    return (None if findings else spec), findings


def _place(finding: Finding) -> tuple[int, str]:
    line = finding.where.rpartition(":")[2]
    return (int(line) if line.isdigit() else 0, finding.message)


def _finding(document: Document, detail: Any) -> Finding:
    route: Route = tuple(step for step in detail["loc"] if step != "[key]")
    where = document.at(*route)
    label = ".".join(str(step) for step in route)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Finding("error", where, *_unknown(route))
    if kind == "missing":
        return Finding("error", where, f"{label} is missing")
    worded = {
        "dict_type": "should be keys and values",
        "model_type": "should be keys and values",
        "too_short": "is empty",
    }.get(kind, detail["msg"].removeprefix("Value error, "))
    return Finding("error", where, f"{label}: {worded}")


def _unknown(route: Route) -> tuple[str, str]:
    name = str(route[-1])
    place = "related" if route[:2] == ("entity", "related") else str(route[0]) if len(route) > 1 else ""
    known = _PARTS[place].model_fields
    label = f" in {'.'.join(str(step) for step in route[:-1])}" if len(route) > 1 else ""
    return f"unknown key {name!r}{label}{did_you_mean(name, known)}", ""


_PARTS: dict[str, type[Part]] = {
    "": MappingSpec,
    "entity": EntitySpec,
    "related": RelationSpec,
    "fields": FieldSpec,
    "deletes": DeletesSpec,
    "guard": GuardSpec,
    "poll": PollSpec,
    "reconcile": ReconcileSpec,
}
