"""The `fields` of a converted mapping: what is written, what Salesforce keeps for itself, what is a lookup. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from syncbridge.importing.heroku_subject import NAME_LENGTH, Paired, Subject, heroku_column, spoken_column
from syncbridge.mapping.suggesting.suggest import is_personal
from syncbridge.mapping.suggesting.text import Line, scalar
from syncbridge.schemas import Column, FieldKind, RemoteField

#: Fields that Salesforce alone writes, on every object.
SYSTEM_FIELDS = frozenset(
    (
        "id",
        "isdeleted",
        "createddate",
        "createdbyid",
        "lastmodifieddate",
        "lastmodifiedbyid",
        "systemmodstamp",
        "lastactivitydate",
        "lastvieweddate",
        "lastreferenceddate",
    )
)
#: Those of them that change whenever somebody writes, or just looks.
_MOVED_BY_WRITES = frozenset(
    (
        "lastmodifieddate",
        "lastmodifiedbyid",
        "systemmodstamp",
        "lastactivitydate",
        "lastvieweddate",
        "lastreferenceddate",
    )
)
#: Objects whose Name is made of its parts.
_PERSONS = frozenset({"contact", "lead", "user"})


@dataclass(frozen=True, slots=True)
class FieldLines:
    """One exported field: its lines, and what is to be told of it."""

    name: str
    lines: tuple[Line, ...]
    lost: str = ""  # why nothing carries it
    question: str = ""

    @property
    def active(self) -> bool:
        """Whether a line of it counts."""
        return any(line.active for line in self.lines)


def field_lines(subject: Subject, paired: Mapping[str, Paired], external_id: str) -> Iterator[FieldLines]:
    """Every exported field but the external id, which carries the key."""
    for name in subject.config.fields:
        if name.lower() != external_id.lower():
            yield _field(subject, name, paired[name])


def _field(subject: Subject, name: str, pair: Paired) -> FieldLines:
    described = subject.field(name)
    if name.lower() == "isdeleted":
        return _idle(name, pair, "a deleted record is a deleted row; see deletes")
    if name.lower() not in SYSTEM_FIELDS and subject.known.remote is not None and described is None:
        told = f"{subject.object} has no field {name} any more, or the login may not see it"
        return _idle(name, pair, told, lost=told)
    if described is not None and described.kind is FieldKind.OTHER:
        return _idle(name, pair, "compound or binary: only its parts can be mapped", lost="compound or binary")
    if kept := _kept(subject, name, described):
        return _kept_field(subject, name, pair, kept)
    if parent := _parent(subject, name, described):
        return _reference(subject, name, pair, parent)
    if not pair.column or not pair.sure:
        told = f"{name}: {pair.remark}" if not pair.column else f"{name}: is it {pair.column}? ({pair.remark})"
        return _idle(name, pair, pair.remark, question=f"{told}. Fill it in, or leave the field out.")
    return FieldLines(name, (Line(f"  {_entry(name, pair, described)}", _remark(subject, name, pair)),))


def _kept(subject: Subject, name: str, described: RemoteField | None) -> str:
    """Why Salesforce alone fills this field, or an empty text."""
    if name.lower() in SYSTEM_FIELDS:
        return "the remote id" if name.lower() == "id" else "kept by Salesforce"
    if described is not None:
        if described.calculated:
            return "calculated by Salesforce"
        return "" if described.createable or described.updateable else "cannot be written by this login"
    if name.lower() == "name" and subject.object.lower() in _PERSONS:
        return "made of its parts by Salesforce"
    return ""


def _kept_field(subject: Subject, name: str, pair: Paired, why: str) -> FieldLines:
    """On the way back it is read like any other; it is never written.

    With both ways every write of ours would bring back what such a write changes, so this stays a comment.
    """
    if subject.direction == "both" and name.lower() in _MOVED_BY_WRITES:
        return _idle(name, pair, f"{why}; changes with every write, so each would come back")
    if subject.direction != "to_destination" and pair.column and pair.sure:
        entry = f"{name}: {{column: {scalar(pair.column)}, owner: destination}}"
        return FieldLines(name, (Line(f"  {entry}", f"{why}; never written"),))
    lost = "" if name.lower() in SYSTEM_FIELDS else why
    return _idle(name, pair, f"{why}; not written", lost=lost)


def _parent(subject: Subject, name: str, described: RemoteField | None) -> str:
    """The mapping whose records this field refers to, if there is one; an object's own counts."""
    if described is not None:
        if described.kind is not FieldKind.REFERENCE:
            return ""
        return next(
            (subject.mappings[each.lower()] for each in described.refers_to if each.lower() in subject.mappings), ""
        )
    if name.endswith("Id") and len(name) > 2:
        return subject.mappings.get(name[:-2].lower(), "")
    return ""


def _reference(subject: Subject, name: str, pair: Paired, parent: str) -> FieldLines:
    """Heroku's column holds the remote id, which can be sent as it is; a lookup also knows parents not yet sent."""
    if subject.direction == "to_postgres":
        return FieldLines(name, (Line(f"  {_entry(name, pair, None)}", "a remote id"),) if pair.column else ())
    key = _parent_key(subject, name, parent)
    lookup = Line(
        f"  {name}: {{lookup: {parent}, key: {key}}}", "by the key of its row, also of a new one", active=False
    )
    if subject.own:
        question = f"{name} refers to {parent}: which column of {subject.table_text} holds the key of its row?"
        return FieldLines(name, (lookup,), question=question)
    if not pair.column:
        return _idle(name, pair, pair.remark, question=f"{name}: {pair.remark}.")
    plain = Line(f"  {_entry(name, pair, None)}", "a remote id, as Heroku keeps it; for new parents use the next line")
    return FieldLines(name, (plain, lookup))


def _parent_key(subject: Subject, name: str, parent: str) -> str:
    for foreign_key in subject.known.foreign_keys:
        column = foreign_key.columns[-1]
        if len(foreign_key.columns) == 1 and spoken_column(name).startswith(column.removesuffix("_id")):
            return scalar(column)
    return f"the_column_with_the_key_of_{parent.replace('-', '_')}"


def _entry(name: str, pair: Paired, described: RemoteField | None) -> str:
    if is_personal(Column(pair.column, ""), described):
        return f"{name}: {{column: {scalar(pair.column)}, sensitive: true}}"
    return f"{name}: {scalar(pair.column)}"


def _remark(subject: Subject, name: str, pair: Paired) -> str:
    if not subject.own and len(name) > NAME_LENGTH:
        return f"Postgres keeps {NAME_LENGTH} characters of a name"
    return pair.remark


def _idle(name: str, pair: Paired, remark: str, *, lost: str = "", question: str = "") -> FieldLines:
    column = pair.column or heroku_column(name)
    return FieldLines(name, (Line(f"  {name}: {scalar(column)}", remark, active=False),), lost, question)
